"""Grants on their way: what enforcers are told of them, and what they record."""

from msgspec import Struct

from toolreeve.audit import GrantChanged
from toolreeve.decision import Instant
from toolreeve.decision.grant import Grant, Token
from toolreeve.v1 import audit_pb2, fleet_pb2
from toolreeve.wire.errors import WireError

SHA256_BYTES = 32


class GrantOrder(Struct, frozen=True, kw_only=True):
    """Grants as they stand now: all there are where `snapshot`, else those that have changed.

    An order whose sequence does not lie above the last one carried out is to be ignored; a
    snapshot may repeat the last sequence.
    """

    sequence: int
    snapshot: bool
    grants: tuple[Grant, ...]


def write_grant_order(order: GrantOrder) -> fleet_pb2.GrantOrder:
    """An order as the contract says it."""
    return fleet_pb2.GrantOrder(
        sequence=order.sequence,
        snapshot=order.snapshot,
        grants=[write_grant(grant) for grant in order.grants],
    )


def read_grant_order(message: fleet_pb2.GrantOrder) -> GrantOrder:
    """An order from the contract. Raises WireError."""
    return GrantOrder(
        sequence=message.sequence,
        snapshot=message.snapshot,
        grants=tuple(read_grant(grant) for grant in message.grants),
    )


def write_grant(grant: Grant) -> fleet_pb2.GrantEntry:
    """One grant as the contract says it."""
    return fleet_pb2.GrantEntry(
        grant=grant.grant,
        agent=grant.agent,
        servers=grant.servers,
        tokens=[
            fleet_pb2.GrantToken(
                sha256=bytes.fromhex(token.sha256), expires_unix_nano=token.expires_at or 0
            )
            for token in grant.tokens
        ],
        expires_unix_nano=grant.expires_at or 0,
        revoked=grant.revoked,
        actor=grant.actor,
        reason=grant.reason,
    )


def read_grant(message: fleet_pb2.GrantEntry) -> Grant:
    """One grant from the contract. Raises WireError for one without a name, or a bad hash."""
    if not message.grant:
        raise WireError("a grant without a name")
    if any(len(token.sha256) != SHA256_BYTES for token in message.tokens):
        raise WireError(f"a token of grant {message.grant!r} is not named by a sha256")
    return Grant(
        grant=message.grant,
        agent=message.agent,
        servers=tuple(message.servers),
        tokens=tuple(
            Token(token.sha256.hex(), _time(token.expires_unix_nano)) for token in message.tokens
        ),
        expires_at=_time(message.expires_unix_nano),
        revoked=message.revoked,
        actor=message.actor,
        reason=message.reason,
    )


def write_grant_changed(body: GrantChanged) -> audit_pb2.GrantChanged:
    """The event as the contract says it."""
    return audit_pb2.GrantChanged(
        grant=body.grant,
        agent=body.agent,
        servers=body.servers,
        expires_unix_nano=body.expires_at or 0,
        tokens=body.tokens,
        revoked=body.revoked,
        actor=body.actor,
        reason=body.reason,
    )


def read_grant_changed(message: audit_pb2.GrantChanged) -> GrantChanged:
    """The event from the contract."""
    return GrantChanged(
        grant=message.grant,
        agent=message.agent,
        servers=tuple(message.servers),
        expires_at=_time(message.expires_unix_nano),
        tokens=message.tokens,
        revoked=message.revoked,
        actor=message.actor,
        reason=message.reason,
    )


def _time(unix_nano: int) -> Instant | None:
    return Instant(unix_nano) if unix_nano else None
