"""Events about grants, to the contract and back."""

from typing import assert_never

from toolreeve.decision import Instant
from toolreeve.fleet.grants import GrantCreated, GrantEvent, GrantRevoked, GrantRotated
from toolreeve.v1 import control_pb2 as pb

GRANT_EVENTS = frozenset({"grant_created", "grant_rotated", "grant_revoked"})


def write_grant_event(event: GrantEvent) -> pb.ControlEvent:
    """One event as it stands in the log."""
    match event:
        case GrantCreated():
            created = pb.GrantCreated(
                grant=event.grant,
                agent=event.agent,
                servers=event.servers,
                expires_unix_nano=event.expires_at or 0,
                token_sha256=bytes.fromhex(event.token_sha256),
            )
            return pb.ControlEvent(grant_created=created)
        case GrantRotated():
            rotated = pb.GrantRotated(
                grant=event.grant,
                token_sha256=bytes.fromhex(event.token_sha256),
                overlap_until_unix_nano=event.overlap_until,
            )
            return pb.ControlEvent(grant_rotated=rotated)
        case GrantRevoked():
            return pb.ControlEvent(grant_revoked=pb.GrantRevoked(grant=event.grant))
        case _:
            assert_never(event)


def read_grant_event(message: pb.ControlEvent) -> GrantEvent:
    """An event of the log whose body is one of GRANT_EVENTS."""
    match message.WhichOneof("body"):
        case "grant_created":
            created = message.grant_created
            expires = created.expires_unix_nano
            return GrantCreated(
                grant=created.grant,
                agent=created.agent,
                servers=tuple(created.servers),
                expires_at=Instant(expires) if expires else None,
                token_sha256=created.token_sha256.hex(),
            )
        case "grant_rotated":
            rotated = message.grant_rotated
            return GrantRotated(
                grant=rotated.grant,
                token_sha256=rotated.token_sha256.hex(),
                overlap_until=Instant(rotated.overlap_until_unix_nano),
            )
        case _:
            return GrantRevoked(grant=message.grant_revoked.grant)
