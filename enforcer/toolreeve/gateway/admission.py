"""Who may come in at this enforcer: by the grants of its settings, or by those of its fleet."""

import asyncio
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path
from typing import Protocol

import structlog
from msgspec import Struct

from toolreeve.audit import GrantChanged
from toolreeve.decision import Instant
from toolreeve.decision.grant import (
    UNAUTHENTICATED,
    Grant,
    Grants,
    Holder,
    Token,
    TurnedAway,
)
from toolreeve.enforcement.grants import put
from toolreeve.gateway.keptfile import KeptFile
from toolreeve.gateway.settings import GatewaySettings, GrantSettings
from toolreeve.outbox import HERE, Host
from toolreeve.wire.grants import GrantOrder

log = structlog.get_logger()

LOCAL = "local"
EVERYBODY = Holder(LOCAL, LOCAL)
FILE = "grants.json"
_SCHEME = "bearer "


class GrantedState(Struct, frozen=True, kw_only=True):
    """All grants of the fleet that are for this enforcer, as of the order with this sequence."""

    sequence: int = 0
    grants: tuple[Grant, ...] = ()


class Admission(Protocol):
    """Asked with each request."""

    def admit(self, server: str, authorization: str | None, at: Instant) -> Holder | TurnedAway:
        """Who stands behind an `Authorization` header at `server`."""
        ...

    def holds(self, server: str, grant: str, at: Instant) -> bool:
        """Whether somebody who came in under `grant` may still be there."""
        ...


class Everybody:
    """Whoever reaches this enforcer is the implicit grant `local`."""

    def admit(self, server: str, authorization: str | None, at: Instant) -> Holder | TurnedAway:
        del server, authorization, at
        return EVERYBODY

    def holds(self, server: str, grant: str, at: Instant) -> bool:
        del server, grant, at
        return True


class Granted:
    """Bearer tokens open grants. Where a request carries none, `presented` stands for it: over
    stdio the token comes from the environment."""

    def __init__(self, grants: Grants, *, presented: str | None = None) -> None:
        self.grants = grants
        self._presented = None if presented is None else hash_of(presented)

    def admit(self, server: str, authorization: str | None, at: Instant) -> Holder | TurnedAway:
        if authorization is None:
            shown = self._presented
        elif authorization[: len(_SCHEME)].lower() == _SCHEME:
            shown = hash_of(authorization[len(_SCHEME) :].strip())
        else:
            shown = None
        return UNAUTHENTICATED if shown is None else self.grants.admit(server, shown, at)

    def holds(self, server: str, grant: str, at: Instant) -> bool:
        return self.grants.holds(server, grant, at)


class FleetGrants(Granted):
    """The grants of the fleet, as far as they are for `servers`; they lie in `folder`.

    Raises SettingsError where they lie there and cannot be read.
    """

    def __init__(
        self,
        folder: Path,
        servers: Sequence[str],
        *,
        presented: str | None = None,
        host: Host = HERE,
    ) -> None:
        remedy = "delete the file: until the control plane answers, nobody is let in"
        self._file = KeptFile(folder / FILE, GrantedState, GrantedState(), remedy, host)
        self._servers = servers
        super().__init__(Grants(self._file.state.grants), presented=presented)

    async def carry_out(self, order: GrantOrder) -> tuple[GrantChanged, ...]:
        """Carry out an order: in force at once, then on disk; what is to be recorded of it.

        An order from before the last one is passed over. A disk that cannot take it keeps nobody
        out or in: the next hello brings all of them again.
        """
        before = self._file.state.sequence
        if order.sequence < before or (order.sequence == before and not order.snapshot):
            return ()
        ours = [grant for grant in order.grants if grant.serves(self._servers)]
        self.grants, news = put(self.grants, ours, snapshot=order.snapshot)
        state = GrantedState(sequence=order.sequence, grants=tuple(self.grants.by_name.values()))
        try:
            await asyncio.to_thread(self._file.keep, state)
        except OSError as error:
            log.error("grants.not_kept", error=str(error))
            self._file.state = state
        return news


def admission_of(
    settings: GatewaySettings, *, presented: str | None = None
) -> Everybody | Granted | FleetGrants:
    """What the settings say about who may come in. Raises SettingsError."""
    if settings.grants_from == "control":
        settings.data.mkdir(parents=True, exist_ok=True, mode=0o700)
        return FleetGrants(settings.data, tuple(settings.upstreams), presented=presented)
    if settings.grants:
        return Granted(Grants(_grant(one) for one in settings.grants), presented=presented)
    return Everybody()


def hash_of(token: str) -> str:
    """By what a token is known."""
    return sha256(token.encode(errors="surrogateescape")).hexdigest()


def _grant(settings: GrantSettings) -> Grant:
    return Grant(
        grant=settings.grant,
        agent=settings.agent,
        servers=settings.servers,
        tokens=(Token(settings.token_sha256),),
    )
