"""Grants, as operators create, rotate, revoke and list them."""

import structlog

from toolreeve.control.desk import Methods, Submitting
from toolreeve.control.store import Store
from toolreeve.control.translate import read_command
from toolreeve.decision import Instant
from toolreeve.fleet import CommandReusedError
from toolreeve.fleet.grant_commands import create_grant, revoke_grant, rotate_grant
from toolreeve.fleet.grants import GrantAnswer, GrantRotated, Issued
from toolreeve.runtime.clock import Clock
from toolreeve.v1 import operator_pb2 as pb

log = structlog.get_logger()

MILLISECOND_NS = 1_000_000


class GrantDesk:
    """Grants go into the log; the streams bring them to the fleet. Tokens are never heard here."""

    def __init__(self, store: Store, submitting: Submitting, clock: Clock) -> None:
        self._store = store
        self._submitting = submitting
        self._clock = clock

    def methods(self) -> Methods:
        """What is answered here."""
        return {
            "CreateGrant": self.create_grant,
            "RotateGrant": self.rotate_grant,
            "RevokeGrant": self.revoke_grant,
            "ListGrants": self.list_grants,
        }

    async def create_grant(self, request: pb.CreateGrantRequest) -> pb.CreateGrantResponse:
        """Let an agent in, with the token of this hash."""
        command = read_command(request.command)
        expires = request.expires_unix_nano
        answer, changed = await self._submitting.submit(
            lambda state, at: create_grant(
                state,
                command,
                grant=request.grant,
                agent=request.agent,
                servers=tuple(request.servers),
                expires_at=Instant(expires) if expires else None,
                token_sha256=request.token_sha256.hex(),
                at=at,
            )
        )
        if not isinstance(answer, GrantAnswer):
            raise CommandReusedError(command.command_id)
        if changed:
            log.info("grant.created", grant=request.grant, actor=command.actor)
        return pb.CreateGrantResponse(grant=self._shown(answer.event.grant))

    async def rotate_grant(self, request: pb.RotateGrantRequest) -> pb.RotateGrantResponse:
        """Give a grant a new token."""
        command = read_command(request.command)
        answer, changed = await self._submitting.submit(
            lambda state, at: rotate_grant(
                state,
                command,
                grant=request.grant,
                token_sha256=request.token_sha256.hex(),
                overlap_ns=request.overlap_ms * MILLISECOND_NS,
                at=at,
            )
        )
        if not isinstance(answer, GrantAnswer) or not isinstance(answer.event, GrantRotated):
            raise CommandReusedError(command.command_id)
        if changed:
            log.info("grant.rotated", grant=request.grant, actor=command.actor)
        return pb.RotateGrantResponse(
            grant=self._shown(answer.event.grant),
            overlap_until_unix_nano=answer.event.overlap_until,
        )

    async def revoke_grant(self, request: pb.RevokeGrantRequest) -> pb.RevokeGrantResponse:
        """Keep the holder of a grant out, everywhere, from now on."""
        command = read_command(request.command)
        _, changed = await self._submitting.submit(
            lambda state, at: revoke_grant(state, command, grant=request.grant, at=at)
        )
        if changed:
            log.info("grant.revoked", grant=request.grant, actor=command.actor)
        return pb.RevokeGrantResponse(grant=self._shown(request.grant))

    async def list_grants(self, request: pb.ListGrantsRequest) -> pb.ListGrantsResponse:
        """The grants that open something, or all there ever were."""
        at = self._clock.now()
        listed = [
            _written(issued, at)
            for _, issued in sorted(self._store.state.grants.by_name.items())
            if request.all or not issued.over(at)
        ]
        return pb.ListGrantsResponse(grants=listed)

    def _shown(self, grant: str) -> pb.Grant:
        return _written(self._store.state.grants.by_name[grant], self._clock.now())


def _written(issued: Issued, at: Instant) -> pb.Grant:
    grant = issued.grant
    alive = [one for one in grant.tokens if one.expires_at is None or at < one.expires_at]
    return pb.Grant(
        grant=grant.grant,
        agent=grant.agent,
        servers=grant.servers,
        created_unix_nano=issued.created_at,
        expires_unix_nano=grant.expires_at or 0,
        revoked=grant.revoked,
        actor=grant.actor,
        reason=grant.reason,
        tokens=0 if issued.over(at) else len(alive),
    )
