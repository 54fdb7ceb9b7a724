"""`toolreeve control`: from settings to a control plane that serves, and back to nothing."""

import asyncio
import secrets
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import NoReturn

import structlog

from toolreeve.bus import StreamSettings, Subjects, connect, ensure_stream
from toolreeve.control.fleet_service import FleetService
from toolreeve.control.ledger import Ledger
from toolreeve.control.observer import Observer
from toolreeve.control.operator_service import SERVICE as OPERATOR_SERVICE
from toolreeve.control.operator_service import OperatorService
from toolreeve.control.reconcile_service import SERVICE as RECONCILE_SERVICE
from toolreeve.control.reconcile_service import ReconcileService
from toolreeve.control.server import Listener
from toolreeve.control.settings import ControlSettings
from toolreeve.control.store import Store
from toolreeve.control.streams import Streams
from toolreeve.policy.sign import SigningKey
from toolreeve.runtime.clock import Clock
from toolreeve.runtime.keyfile import load_or_create
from toolreeve.runtime.process import Stopping, until_stopped, write_ready_file
from toolreeve.wire.fleet import SERVICE as FLEET_SERVICE

log = structlog.get_logger()


async def serve(settings: ControlSettings, stopping: Stopping) -> int:
    """Run a control plane until it is asked to stop; returns the process's exit code.

    Once it serves, its address and public key stand in the log and in `ready_file`. Raises
    KeyFileError, ListenError, and HistoryError, WireError or LedgerLostError where the log cannot
    be folded.
    """
    key, created = load_or_create(settings.signing_key_file)
    if created:
        log.info("signing_key.created", file=str(settings.signing_key_file), key=key.public.text)
    try:
        await until_stopped(stopping, _serve_for_ever(settings, key))
    except BaseExceptionGroup as group:
        raise _first(group) from group
    log.info("control.stopped", reason=stopping.reason)
    return 0


async def _serve_for_ever(settings: ControlSettings, key: SigningKey) -> None:
    async with running(settings, key) as address:
        facts: dict[str, object] = {"address": address, "public_key": key.public.text}
        write_ready_file(Path(settings.ready_file) if settings.ready_file else None, facts)
        log.info("control.ready", address=address, public_key=key.public.text)
        await asyncio.Event().wait()


@asynccontextmanager
async def running(settings: ControlSettings, key: SigningKey) -> AsyncGenerator[str]:
    """A control plane that serves; gives the address it has bound.

    What ends it from within (a log that cannot be folded) is raised where it stands.
    """
    clock = Clock()
    subjects = Subjects(settings.prefix)
    name = f"control-{secrets.token_hex(4)}"
    async with connect(settings.nats_url, name=name, prefix=settings.prefix) as connection:
        ledger = Ledger(connection, stream=subjects.control_stream, subject=subjects.control)
        store = Store(ledger, clock)
        streams = Streams(store, clock)
        observer = Observer(store)
        fleet = FleetService(
            store, streams, observer, clock, hello_seconds_max=settings.hello_seconds_max
        )
        operators = OperatorService(
            store,
            streams,
            clock,
            key,
            policy_bytes_max=settings.policy_bytes_max,
            command_seconds_max=settings.command_seconds_max,
        )
        reconciling = ReconcileService(streams, clock, durable_seconds=settings.durable_seconds)
        listener = Listener(
            settings,
            {
                FLEET_SERVICE: fleet.handler(),
                OPERATOR_SERVICE: operators.handler(),
                RECONCILE_SERVICE: reconciling.handler(),
            },
        )
        try:
            async with asyncio.TaskGroup() as tasks:
                following: list[asyncio.Task[NoReturn]] = []
                try:
                    await ensure_stream(
                        connection,
                        subjects.control_stream,
                        [subjects.control],
                        _log_settings(settings),
                    )
                    following.append(tasks.create_task(store.run(), name="log"))
                    await store.caught_up()
                    log.info("log.folded", commits=store.state.index)
                    following.append(tasks.create_task(observer.run(), name="observer"))
                    await listener.start()
                    yield listener.address
                finally:
                    streams.close_all()
                    await listener.stop(settings.stop_seconds_max)
                    for task in following:
                        task.cancel()
        except BaseExceptionGroup as group:
            raise _first(group) from group


def _log_settings(settings: ControlSettings) -> StreamSettings:
    """The log is kept for ever: nothing in it can be taken away, and none of it ages."""
    return StreamSettings(
        bytes_max=settings.log_bytes_max,
        age_seconds_max=0,
        replicas=settings.log_replicas,
        deny_delete=True,
        deny_purge=True,
    )


def _first(error: BaseException) -> BaseException:
    """The fault itself: one task fails, the others only end."""
    while True:
        match error:
            case BaseExceptionGroup(exceptions=(first, *_)):
                error = first
            case _:
                return error
