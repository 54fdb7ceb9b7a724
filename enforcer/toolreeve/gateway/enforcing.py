"""An enforcer with everything it needs beside the proxy, for as long as it runs.

The same behind an HTTP listener and inside `toolreeve wrap`: the station that decides and
records, the bus that carries events away, the control stream or the files that bring policies.
"""

import asyncio
import os
from collections.abc import AsyncGenerator, Callable, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import structlog
from msgspec import Struct

from toolreeve.audit import Draft, EnforcerStopped
from toolreeve.audit.span import Missing
from toolreeve.enforcement import HoldsReplaced, PolicyOffered, PolicyUnfit
from toolreeve.gateway.admission import FleetGrants, admission_of
from toolreeve.gateway.freshness import Heard
from toolreeve.gateway.holdfile import HoldFile
from toolreeve.gateway.opening import Opened, damaged, open_station
from toolreeve.gateway.pinfile import FOLDER
from toolreeve.gateway.pinkeeper import PinKeeper
from toolreeve.gateway.policyfile import policy_of_file, watch
from toolreeve.gateway.scrubbing import scrub
from toolreeve.gateway.settings import BusSettings, GatewaySettings
from toolreeve.gateway.station import Station
from toolreeve.outbox import Outbox, OutboxError, OutboxSettings
from toolreeve.policy import Scope
from toolreeve.runtime.process import Stopping

if TYPE_CHECKING:
    from toolreeve.gateway.membership import Membership

log = structlog.get_logger()

TRIM_SECONDS = 600.0
RESENDS_WAITING_MAX = 16
LAST_WORD_SECONDS = 2.0


class Running(Struct, frozen=True):
    """What the proxy needs of it."""

    station: Station


@asynccontextmanager
async def enforcing(
    settings: GatewaySettings,
    stopping: Stopping,
    *,
    pins_folder: Path | None = None,
    presented: str | None = None,
) -> AsyncGenerator[Running, None]:
    """Open the enforcer, keep its companions running, and end it in order.

    `pins_folder` is where the pins of its servers lie, if not beside its outbox: enforcers of the
    same servers share one. `presented` is the token of whoever speaks to us over stdio.

    A companion that fails asks the process to end; its fault is raised when it has.
    """
    servers = tuple(settings.upstreams)
    name = settings.enforcer
    assert name is not None, "whoever calls has settled it"
    member = None
    wanted: asyncio.Queue[Missing] = asyncio.Queue(RESENDS_WAITING_MAX)
    if settings.control is not None:
        # grpc is loaded for members of a fleet only. Its handlers around fork crash one in ten
        # children that are spawned while it is at work, and nobody here forks without exec.
        os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")
        from toolreeve.gateway.membership import Membership  # noqa: PLC0415

        member = Membership(settings.control, name, settings, wanted)
    found: list[PolicyOffered | PolicyUnfit] = (
        [policy_of_file(server, path) for server, path in settings.policy_files().items()]
        if member is None
        else member.last_known_good()
    )
    admission = admission_of(settings, presented=presented)
    opened = await open_station(
        settings.data,
        name=name,
        servers=servers,
        policies={one.server: one for one in found if isinstance(one, PolicyOffered)},
        admission=admission,
        keep_arguments=settings.keep_arguments,
        outbox_settings=OutboxSettings(
            keep_seconds=settings.keep_hours * 3600,
            bytes_on_disk_max=settings.outbox_mb_max << 20,
            publishes=settings.bus is not None,
            keep_until=settings.outbox_kept_until,
        ),
        sampling=settings.refusals,
        waits=settings.audit == "required",
        tell=(lambda _: None) if member is None else member.tell,
        shared=frozenset() if member is None else _shared(settings),
    )
    for one in found:
        if isinstance(one, PolicyUnfit):
            await opened.station.hear(one)
    holds = HoldFile(settings.data / "holds.json")
    await opened.station.hear(HoldsReplaced(holds.state.holds))
    pins = PinKeeper(
        pins_folder or settings.data / FOLDER,
        servers,
        name=name,
        enforcer=opened.enforcer,
        outbox=opened.outbox,
        clock=opened.clock,
        announce=opened.station.announce,
    )
    pins.begin()
    opened.station.on_listing = pins.listed
    companions = [_trim(opened.outbox, settings), opened.sealer.run(), pins.run()]
    companions.append(opened.rememberer.run())
    companions.append(
        scrub(
            opened.outbox,
            lambda found: opened.station.note(Draft(opened.clock.now(), damaged(found))),
        )
    )
    if member is not None:
        fleet_grants = admission if isinstance(admission, FleetGrants) else None
        heard = Heard(opened.enforcer, opened.clock, settings.data)
        heard.begin()
        companions.append(heard.run(servers, lambda: member.connected))
        companions.append(member.run(opened, holds, fleet_grants))
    if settings.policy_files():
        companions.append(watch(settings.policy_files(), opened.station.attempt))
    try:
        async with asyncio.TaskGroup() as tasks:
            shipping = None
            if settings.bus is not None:
                shipping = tasks.create_task(
                    _ship(settings.bus, name, opened.outbox, wanted, member), name="bus"
                )
            beside = [tasks.create_task(_beside(one, stopping)) for one in companions]
            try:
                yield Running(opened.station)
            finally:
                await opened.station.approving.close()
                for task in beside:
                    task.cancel()
                await pins.settle()
                await _last_word(opened, stopping, shipping)
    finally:
        await opened.outbox.close()


def _shared(settings: GatewaySettings) -> frozenset[Scope]:
    """Whose counts the fleet shares: also those of grants that are good at every enforcer."""
    roaming = settings.grants_from == "control"
    return frozenset({Scope.FLEET, Scope.GRANT} if roaming else {Scope.FLEET})


async def _beside(companion: Coroutine[Any, Any, None], stopping: Stopping) -> None:
    try:
        await companion
    finally:
        stopping.ask("error")  # only the first reason stands


async def _last_word(
    opened: Opened, stopping: Stopping, shipping: asyncio.Task[None] | None
) -> None:
    """Record the end, and give what is in the outbox a moment to leave."""
    try:
        stopped = EnforcerStopped(reason=stopping.reason or "error")
        await opened.station.settle()
        await opened.station.note(Draft(opened.clock.now(), stopped))
        await opened.sealer.seal()
    except OutboxError as error:
        log.error("enforcer.stop_not_recorded", error=str(error))
    await opened.rememberer.write()
    await opened.outbox.finish()
    if shipping is not None:
        await asyncio.wait([shipping], timeout=LAST_WORD_SECONDS)
        shipping.cancel()
    log.info("enforcer.stopped", reason=stopping.reason)


async def _trim(outbox: Outbox[Draft], settings: GatewaySettings) -> None:
    keeps = settings.outbox_kept_until == "materialised"
    while True:
        await asyncio.sleep(TRIM_SECONDS)
        try:
            await asyncio.to_thread(outbox.trim)
        except (OutboxError, OSError) as error:
            log.error("outbox.not_trimmed", error=str(error))
        half_full = outbox.status().bytes_on_disk > settings.outbox_mb_max << 19
        if keeps and half_full and not outbox.heard_of_materialised:
            log.warning(
                "outbox.nobody_says_what_is_materialised",
                remedy='set `control` at the worker, or outbox_keep_until = "published" here',
            )


async def _over_damage(resending: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Go on behind a request whose events cannot be read: nobody waits for them but the worker."""
    while True:
        try:
            await resending()
        except (OutboxError, OSError) as error:
            log.error("resend.unreadable", error=str(error))


async def _ship(
    settings: BusSettings,
    enforcer: str,
    outbox: Outbox[Draft],
    wanted: asyncio.Queue[Missing],
    member: "Membership | None",
) -> None:
    """Publish until the outbox is finished, and beside it what is asked for again."""
    # nats-py takes a fifth of a second to load; an enforcer without a bus never pays for it.
    from toolreeve.bus import (  # noqa: PLC0415
        Login,
        Publisher,
        Subjects,
        connect,
        resend,
        ship,
    )

    def login() -> Login | None:
        """What the control plane gave us with the certificate; it is renewed with it."""
        shown = None if member is None else member.credentials()
        return Login(shown.nats_jwt, shown.nats_seed) if shown and shown.nats_jwt else None

    subjects = Subjects(settings.prefix)
    async with connect(
        settings.url, name=enforcer, prefix=settings.prefix, login=login
    ) as connection:
        stream = subjects.audit_stream
        publisher = Publisher(connection, subjects.audit(enforcer), stream=stream)
        async with asyncio.TaskGroup() as tasks:
            again = tasks.create_task(
                _over_damage(lambda: resend(outbox, publisher, wanted, enforcer=enforcer)),
                name="resend",
            )
            await ship(outbox, publisher, enforcer=enforcer)
            again.cancel()
