"""What enforcers say about themselves, when it is news.

Many enforcers speak at once (a push to five thousand is answered by five thousand), so what they
say is written down by the batch. What the roster knows already is not written again: an enforcer
that comes and goes a hundred times leaves nothing in the log.
"""

from collections.abc import Mapping, Sequence
from typing import assert_never

import msgspec
from msgspec import Struct

from toolreeve.decision import Instant
from toolreeve.fleet.commands import Command, Unchanged, next_commit
from toolreeve.fleet.fold import replay
from toolreeve.fleet.history import (
    Commit,
    ControlEvent,
    EnforcerSeen,
    PolicyActivated,
    PolicyNacked,
)
from toolreeve.fleet.state import Enforcer, Running, State

ACTOR = "fleet"
"""Who stands as actor in commits that no operator asked for."""


class Seen(Struct, frozen=True, kw_only=True):
    """An enforcer said hello."""

    enforcer_id: str
    host: str
    software_version: str
    servers: tuple[str, ...]
    labels: Mapping[str, str] = msgspec.field(default_factory=dict[str, str])
    running: tuple[Running, ...] = ()


class Activated(Struct, frozen=True, kw_only=True):
    """An enforcer runs a revision since now."""

    enforcer_id: str
    running: Running


class Nacked(Struct, frozen=True, kw_only=True):
    """An enforcer refused a revision."""

    enforcer_id: str
    server: str
    revision: str
    manifest_sequence: int
    code: str
    reason: str


Observation = Seen | Activated | Nacked


def observe(
    state: State, observations: Sequence[Observation], *, command_id: str, at: Instant
) -> Commit | Unchanged:
    """One commit that says what is new in `observations`, taken in their order."""
    command = Command(command_id=command_id, actor=ACTOR)
    events: list[ControlEvent] = []
    roster = dict(state.roster)
    for observation in observations:
        enforcer = roster.get(observation.enforcer_id)
        news = _news(enforcer, observation)
        if news:
            events += news
            alone = State(roster={} if enforcer is None else {enforcer.enforcer_id: enforcer})
            said = next_commit(alone, command, news, at)
            roster |= replay(alone, [(said, b"")]).roster
    if not events:
        return Unchanged()
    return next_commit(state, command, tuple(events), at)


def _news(enforcer: Enforcer | None, observation: Observation) -> tuple[ControlEvent, ...]:
    match observation:
        case Seen():
            return _seen(enforcer, observation)
        case Activated(running=running):
            if enforcer is None or running.server not in enforcer.servers:
                return ()
            if not _is_news(enforcer, running):
                return ()
            return (_activated(observation.enforcer_id, running),)
        case Nacked():
            return () if enforcer is None else _nacked(enforcer, observation)
        case _:
            assert_never(observation)


def _seen(enforcer: Enforcer | None, seen: Seen) -> tuple[ControlEvent, ...]:
    said = EnforcerSeen(
        enforcer_id=seen.enforcer_id,
        host=seen.host,
        software_version=seen.software_version,
        servers=seen.servers,
        labels=seen.labels,
    )
    served = [running for running in seen.running if running.server in seen.servers]
    if enforcer is None:
        return (said, *(_activated(seen.enforcer_id, running) for running in served))
    known = EnforcerSeen(
        enforcer_id=enforcer.enforcer_id,
        host=enforcer.host,
        software_version=enforcer.software_version,
        servers=enforcer.servers,
        labels=enforcer.labels,
    )
    hello = () if known == said else (said,)
    return (
        *hello,
        *(
            _activated(seen.enforcer_id, running)
            for running in served
            if running.server not in enforcer.servers or _is_news(enforcer, running)
        ),
    )


def _is_news(enforcer: Enforcer, running: Running) -> bool:
    """Whether `running` is later than what is known: acks come by two ways, and out of order."""
    known = enforcer.running.get(running.server)
    if known is None:
        return True
    return running.manifest_sequence >= known.manifest_sequence and running != known


def _activated(enforcer_id: str, running: Running) -> PolicyActivated:
    return PolicyActivated(
        enforcer_id=enforcer_id,
        server=running.server,
        revision=running.revision,
        manifest_sequence=running.manifest_sequence,
    )


def _nacked(enforcer: Enforcer, nacked: Nacked) -> tuple[ControlEvent, ...]:
    if nacked.server and nacked.server not in enforcer.servers:
        return ()
    known = enforcer.refused.get(nacked.server)
    if known is not None and (known.revision, known.manifest_sequence, known.code) == (
        nacked.revision,
        nacked.manifest_sequence,
        nacked.code,
    ):
        return ()
    return (
        PolicyNacked(
            enforcer_id=nacked.enforcer_id,
            server=nacked.server,
            revision=nacked.revision,
            manifest_sequence=nacked.manifest_sequence,
            code=nacked.code,
            reason=nacked.reason,
        ),
    )
