"""What one enforcer's stream is owed.

There is no queue of messages to an enforcer: there is what it has been sent, and what is wanted
now; the difference is what it is owed. However slow a stream is, it costs the same memory, and
when it gets round to reading it gets the newest and nothing that was overtaken.
"""

from collections.abc import Iterable, Mapping

from msgspec import Struct
from msgspec.structs import replace

from toolreeve.decision import Hold, Instant
from toolreeve.decision.grant import Grant
from toolreeve.fleet.grants import GrantBook
from toolreeve.fleet.state import HoldStep, Running, State, WantedPolicy


class Sent(Struct, frozen=True, kw_only=True):
    """What one stream has been sent: by server the manifest's sequence, holds and grants up to one.

    `hold_sequence` and `grant_sequence` are None before the first snapshot.
    """

    enforcer_id: str
    servers: tuple[str, ...]
    manifests: Mapping[str, int]
    hold_sequence: int | None = None
    grant_sequence: int | None = None


class HoldSnapshot(Struct, frozen=True, kw_only=True):
    """All holds in force; whoever hears this drops every other."""

    sequence: int
    holds: tuple[Hold, ...]


class GrantsOwed(Struct, frozen=True, kw_only=True):
    """Grants as they stand now: all that are for this stream's servers where `snapshot`, else
    those of them that have changed."""

    sequence: int
    snapshot: bool
    grants: tuple[Grant, ...]


Owed = HoldSnapshot | HoldStep | GrantsOwed | WantedPolicy


def greet(
    state: State, enforcer_id: str, servers: Iterable[str], running: Iterable[Running]
) -> Sent:
    """A stream's beginning: what runs already as it is wanted need not be sent."""
    served = tuple(servers)
    manifests: dict[str, int] = {}
    for one in running:
        wanted = state.wanted_by(enforcer_id, one.server)
        if wanted is not None and (wanted.revision, wanted.manifest_sequence) == (
            one.revision,
            one.manifest_sequence,
        ):
            manifests[one.server] = one.manifest_sequence
    return Sent(enforcer_id=enforcer_id, servers=served, manifests=manifests)


def owed(state: State, sent: Sent, at: Instant) -> tuple[Owed, Sent] | None:
    """The first thing a stream is owed, and what has been sent once that is done; None: nothing.

    One thing at a time, because what comes next may be overtaken while this one is written. Holds
    come first: they wait for nothing. Grants come next, because one may have been revoked.
    """
    if sent.hold_sequence != state.hold_sequence:
        return _hold_owed(state, sent, at)
    if sent.grant_sequence != state.grants.sequence:
        return _grants_owed(state.grants, sent)
    for server in sent.servers:
        wanted = state.wanted_by(sent.enforcer_id, server)
        if wanted is not None and wanted.manifest_sequence > sent.manifests.get(server, 0):
            manifests = {**sent.manifests, server: wanted.manifest_sequence}
            return wanted, replace(sent, manifests=manifests)
    return None


def _hold_owed(state: State, sent: Sent, at: Instant) -> tuple[HoldSnapshot | HoldStep, Sent]:
    if sent.hold_sequence is not None:
        behind = state.hold_sequence - sent.hold_sequence
        if 0 < behind <= len(state.hold_steps):
            step = state.hold_steps[-behind]
            return step, replace(sent, hold_sequence=step.sequence)
    snapshot = HoldSnapshot(sequence=state.hold_sequence, holds=state.standing_holds(at))
    return snapshot, replace(sent, hold_sequence=snapshot.sequence)


def _grants_owed(book: GrantBook, sent: Sent) -> tuple[GrantsOwed, Sent]:
    """What has changed since, or all there is; nothing for these servers is said too, so that the
    enforcer knows how far it has come."""
    changed = book.since(sent.grant_sequence)
    ours = (
        book.for_servers(sent.servers)
        if changed is None
        else tuple(grant for grant in changed if grant.serves(sent.servers))
    )
    message = GrantsOwed(sequence=book.sequence, snapshot=changed is None, grants=ours)
    return message, replace(sent, grant_sequence=book.sequence)
