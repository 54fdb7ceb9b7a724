"""`toolreeve wrap`: the same enforcer between a client and the one server it has spawned."""

import asyncio
import os
import signal
from collections.abc import Coroutine
from typing import Any

import structlog
from msgspec import structs

from toolreeve.gateway.answering import child_bounds
from toolreeve.gateway.enforcing import enforcing
from toolreeve.gateway.naming import name_of
from toolreeve.gateway.pinfile import FOLDER
from toolreeve.gateway.settings import ControlSettings, GatewaySettings, UpstreamSettings
from toolreeve.gateway.slot import claim_slot
from toolreeve.proxy.wrap import wrap
from toolreeve.runtime.process import Stopping

log = structlog.get_logger()

GRANT_VARIABLE = "TOOLREEVE_GRANT"  # the token of whoever has started us; the server never sees it
ENDED_BY_SIGNAL = 128 + signal.SIGTERM


async def serve(
    settings: GatewaySettings, server: str, command: tuple[str, ...], stopping: Stopping
) -> int:
    """Stand between stdin, stdout and `command` until either side ends; the child's exit code.

    `settings` are a gateway's; its upstreams are not used. State lies in a slot below `data`.
    Raises what `process.serve` raises.
    """
    slot = claim_slot(settings.data / "wrap" / server)
    upstream = UpstreamSettings(command=command, policy=settings.policy)
    mine = structs.replace(
        settings,
        enforcer=name_of(slot.folder, settings.enforcer, server, str(slot.number)),
        data=slot.folder,
        upstreams={server: upstream},
        grants=(),
        control=_control(settings),
    )
    mine.check("settings")
    pins = settings.data / FOLDER  # one for all slots: what one has seen, the others go by
    presented = os.environ.get(GRANT_VARIABLE)
    environ = {name: value for name, value in os.environ.items() if name != GRANT_VARIABLE}
    async with enforcing(mine, stopping, pins_folder=pins, presented=presented) as running:
        log.info("wrap.ready", server=server, command=command[0], enforcer=mine.enforcer)
        bounds = child_bounds(settings.answers)
        return await _until_asked(
            wrap(command, running.station, server, environ=environ, bounds=bounds), stopping
        )


def _control(settings: GatewaySettings) -> ControlSettings | None:
    """All slots show what the user has joined with, whose name theirs begin with."""
    control = settings.control
    if control is None or control.plaintext:
        return control
    return structs.replace(control, credentials=control.credentials or settings.data)


async def _until_asked(wrapped: Coroutine[Any, Any, int], stopping: Stopping) -> int:
    """What the wrapped command returned; it is ended when the process is asked to end."""
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(wrapped, name="wrap")
        asked = tasks.create_task(stopping.wait(), name="asked to stop")
        await asyncio.wait([running, asked], return_when=asyncio.FIRST_COMPLETED)
        stopping.ask("stdin closed")
        running.cancel()
        asked.cancel()
    return ENDED_BY_SIGNAL if running.cancelled() else running.result()
