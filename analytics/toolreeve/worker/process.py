"""The worker as a process: what it opens, what runs side by side, how it ends."""

import asyncio
from collections.abc import AsyncGenerator, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager
from ipaddress import ip_address
from pathlib import Path
from socket import gethostname

import structlog
from grpc import aio

from toolreeve.audit import AlertRaised, Draft, EnforcerStarted, EnforcerStopped
from toolreeve.audit.span import Missing
from toolreeve.bus import Publisher, Subjects, connect, login_file, nobody, resend, ship
from toolreeve.decision import Instant
from toolreeve.decision.instant import SECOND
from toolreeve.outbox import Outbox, Sealer
from toolreeve.runtime.clock import Clock
from toolreeve.runtime.identity import Identity, identity
from toolreeve.runtime.process import Stopping, until_stopped, write_ready_file
from toolreeve.runtime.settings import SettingsError
from toolreeve.runtime.version import VERSION
from toolreeve.sync.joining import Renewing, joined
from toolreeve.v1.query_pb2 import DESCRIPTOR as QUERY_FILE
from toolreeve.v1.query_pb2_grpc import add_QueryServiceServicer_to_server
from toolreeve.warehouse import report
from toolreeve.warehouse.erasure import Eraser
from toolreeve.warehouse.errors import WarehouseError
from toolreeve.warehouse.executor import QueryExecutor
from toolreeve.warehouse.loads import Notification
from toolreeve.warehouse.parts import Parts
from toolreeve.warehouse.store import Warehouse
from toolreeve.wire import pack
from toolreeve.worker import reconcile, stream_watch, upkeep
from toolreeve.worker.audit_stream import AuditStream
from toolreeve.worker.checkpoints import Checkpointer
from toolreeve.worker.erasing import Erasing
from toolreeve.worker.guard import TokenGuard, server_credentials
from toolreeve.worker.health import Health
from toolreeve.worker.materialise import STREAM_MARK, Loaded, Materialiser
from toolreeve.worker.notify import Notice, Webhook
from toolreeve.worker.open_alerts import OpenAlerts
from toolreeve.worker.opening import open_warehouse
from toolreeve.worker.reconcile import Reconciler
from toolreeve.worker.service import QueryService
from toolreeve.worker.settings import WorkerSettings
from toolreeve.worker.stream_watch import StreamWatch
from toolreeve.worker.watch import Watch

log = structlog.get_logger()

GRACE_SECONDS = 2.0
RESENDS_WAITING_MAX = 16


async def serve(
    settings: WorkerSettings, stopping: Stopping, *, ready_file: Path | None = None
) -> int:
    """Run the worker until it is asked to end; returns the process's exit code.

    `ready_file` gets {"query": "HOST:PORT"} once queries are answered, which needs no NATS.
    Raises WarehouseError, OutboxError and SettingsError where its files cannot be had.
    """
    clock = Clock()
    settings.folder.mkdir(parents=True, exist_ok=True)
    who = identity(settings.folder, "worker")
    async with AsyncExitStack() as ends:
        warehouse = await asyncio.to_thread(open_warehouse, settings, clock.now())
        ends.callback(warehouse.close)
        outbox = Outbox[Draft].open(
            settings.folder / "outbox",
            owner=settings.name,
            pack=pack(settings.name),
            settings=settings.outbox,
        )
        ends.push_async_callback(outbox.close)
        login = login_file(Path(settings.nats_credentials)) if settings.nats_credentials else nobody
        connection = await ends.enter_async_context(
            connect(settings.nats_url, name=settings.name, prefix=settings.prefix, login=login)
        )
        subjects = Subjects(settings.prefix)
        stream = AuditStream(connection, stream=subjects.audit_stream, durable=settings.name)
        notifier = Notifier(settings, warehouse, clock)
        watch = Watch(
            settings.rules, outbox, clock.now, notifier.tell, definitions=settings.definitions
        )
        await asyncio.to_thread(watch.restore, warehouse)
        await notifier.resume(watch.on_record())
        parts = await asyncio.to_thread(Parts, warehouse, settings.folder / "parts")
        loaded = Loaded()
        executor = QueryExecutor(parts, settings.query)
        eraser = Eraser(warehouse, parts, settings.name)
        erasing = Erasing(warehouse, outbox, eraser, clock.now)
        service = QueryService(
            warehouse,
            executor,
            stream,
            loaded,
            erasing,
            origin=settings.name,
            public_key=who.public_key,
        )
        renewing = _renewing(settings, clock)
        address = await ends.enter_async_context(_serving(settings, service, renewing))
        checkpointer = Checkpointer(
            settings.name,
            who=who,
            warehouse=warehouse,
            outbox=outbox,
            watch=watch,
            now=clock.now,
            seconds=settings.checkpoints.seconds,
            witness=settings.witness_path,
        )
        alerts = OpenAlerts(watch, clock.now, *reconcile.RULES, *stream_watch.RULES)
        wanted: asyncio.Queue[Missing] = asyncio.Queue(RESENDS_WAITING_MAX)
        reconciler = Reconciler(
            settings,
            warehouse=warehouse,
            stream=stream,
            outbox=outbox,
            wanted=wanted,
            alerts=alerts,
            now=clock.now,
            credentials=lambda: None if renewing is None else renewing.now,
        )
        materialiser = Materialiser(
            settings,
            connection=connection,
            stream=stream,
            warehouse=warehouse,
            watch=watch,
            clock=clock,
            loaded=loaded,
            on_load=checkpointer.loaded,
            on_foreign=reconciler.foreign,
        )
        keeper = StreamWatch(
            connection,
            stream=subjects.audit_stream,
            subjects=[subjects.audit_all],
            settings=settings.stream,
            loaded=lambda: warehouse.mark(STREAM_MARK),
            whole=lambda: reconciler.whole,
            on_lost=materialiser.begin_numbers_anew,
            alerts=alerts,
            now=clock.now,
        )
        publisher = Publisher(
            connection, subjects.audit(settings.name), stream=subjects.audit_stream
        )
        started = EnforcerStarted(
            software_version=VERSION, host=gethostname(), servers=(), public_key=who.public_key
        )
        log.info("worker.started", query=address, data=str(settings.folder))
        write_ready_file(ready_file, {"query": address})
        await _until_stopped(
            stopping,
            materialiser.run(outbox, started),
            ship(outbox, publisher, enforcer=settings.name, settings=settings.ship),
            resend(outbox, publisher, wanted, enforcer=settings.name),
            reconciler.run(materialiser.epoch),
            keeper.run(materialiser.epoch),
            notifier.run(),
            checkpointer.run(),
            _seal(settings.name, materialiser, outbox, clock, who),
            upkeep.tidy(warehouse, parts),
            upkeep.archive(warehouse, settings, clock, eraser, erasing.carried_out),
            erasing.begin(materialiser.epoch),
            upkeep.look_over_once(warehouse, settings),
            *(() if renewing is None else (renewing.run(),)),
        )
        if materialiser.epoch.done():
            # Shipped at the next start, if not now.
            await outbox.append(Draft(clock.now(), EnforcerStopped(reason=stopping.reason)))
        log.info("worker.stopped", reason=stopping.reason)
    return 0


def _renewing(settings: WorkerSettings, clock: Clock) -> Renewing | None:
    """What keeps this worker's credentials fresh; None where it speaks to nobody, or in the clear.

    Raises SettingsError.
    """
    if not settings.control_addresses or settings.control_plaintext:
        return None
    return joined(
        settings.folder,
        kind="worker",
        name=settings.name,
        addresses=settings.control_addresses,
        clock=clock,
        unless="control_plaintext",
    )


async def _until_stopped(stopping: Stopping, *tasks: Coroutine[object, object, None]) -> None:
    """Run side by side until asked to end. A warehouse that broke down is said as such."""
    try:
        await until_stopped(stopping, *tasks)
    except ExceptionGroup as group:
        broken: Exception | None = group.subgroup(WarehouseError)
        while isinstance(broken, ExceptionGroup):
            broken = broken.exceptions[0]
        if broken is None:
            raise
        raise broken from group


class Notifier:
    """All receivers, and the record of what they were told."""

    def __init__(self, settings: WorkerSettings, warehouse: Warehouse, clock: Clock) -> None:
        self._resend_ns = settings.resend_seconds * SECOND
        self._warehouse = warehouse
        self._clock = clock
        self._endings: asyncio.Queue[Notification] = asyncio.Queue()
        self._webhooks = [Webhook(each, self._endings.put_nowait) for each in settings.webhooks]

    def tell(self, raised: AlertRaised, resolved_at: Instant | None) -> None:
        """Tell every receiver of a change."""
        for webhook in self._webhooks:
            webhook.tell(Notice(raised, resolved_at))

    async def resume(self, alerts: tuple[tuple[AlertRaised, Instant | None], ...]) -> None:
        """Tell what a crash kept from being told, of alerts that are not too old for it."""
        told = await asyncio.to_thread(report.told, self._warehouse)
        oldest = self._clock.now() - self._resend_ns
        for raised, resolved_at in alerts:
            for webhook in self._webhooks:
                notice = Notice(raised, resolved_at)
                key = (raised.alert_id, notice.status, webhook.settings.name)
                if (resolved_at or raised.crossed_at) >= oldest and key not in told:
                    webhook.tell(notice)

    async def run(self) -> None:
        """Send and record, for ever."""
        async with asyncio.TaskGroup() as tasks:
            for webhook in self._webhooks:
                tasks.create_task(webhook.run(), name=f"webhook:{webhook.settings.name}")
            tasks.create_task(self._record(), name="notifications")

    async def _record(self) -> None:
        while True:
            ending = await self._endings.get()
            await asyncio.to_thread(self._warehouse.note, [ending], at=self._clock.now())


async def _seal(
    name: str, materialiser: Materialiser, outbox: Outbox[Draft], clock: Clock, who: Identity
) -> None:
    """Vouch for the worker's own history, from when it has an epoch."""
    epoch = await asyncio.shield(materialiser.epoch)
    sealer = Sealer(name, outbox, epoch=epoch, now=clock.now, signer=who.signer)
    await sealer.run()


@asynccontextmanager
async def _serving(
    settings: WorkerSettings, service: QueryService, renewing: Renewing | None
) -> AsyncGenerator[str]:
    """Answer on gRPC inside; gives the address, with the port that was found for port 0.

    A worker that has joined answers over TLS, and operators only.
    """
    secret = None if settings.plaintext else renewing
    guards: list[aio.ServerInterceptor] = []
    if secret is not None:
        guards.append(TokenGuard(settings.control_addresses, lambda: secret.now))
    server = aio.server(
        interceptors=guards,
        options=[
            ("grpc.http2.min_ping_interval_without_data_ms", 5_000),
            ("grpc.keepalive_permit_without_calls", 1),
            ("grpc.max_connection_age_ms", 30 * 60 * 1000),
            ("grpc.so_reuseport", 0),
        ],
    )
    add_QueryServiceServicer_to_server(service, server)
    health = Health(server)
    host = settings.listen.rpartition(":")[0]
    port = _bind(server, settings, secret)
    await server.start()
    await health.serving(QUERY_FILE.services_by_name["QueryService"].full_name)
    try:
        yield f"{host}:{port}"
    finally:
        await health.ending()
        await server.stop(GRACE_SECONDS)


def _bind(server: aio.Server, settings: WorkerSettings, secret: Renewing | None) -> int:
    """Take the address; returns the port. Raises SettingsError where it cannot be had."""
    host, _, port = settings.listen.rpartition(":")
    if not host or not port.isdigit():
        raise SettingsError("listen", f"{settings.listen} is no address", "write HOST:PORT")
    if secret is None and not (settings.plaintext or _is_loopback(host)):
        raise SettingsError(
            "listen",
            f"nothing encrypts {settings.listen}, and it is not on loopback",
            "let the worker join a control plane, or set plaintext = true where the network is"
            " trusted",
        )
    try:
        if secret is None:
            return server.add_insecure_port(settings.listen)
        return server.add_secure_port(settings.listen, server_credentials(lambda: secret.now))
    except RuntimeError as error:
        raise SettingsError(
            "listen", f"cannot listen on {settings.listen}", "is another process using the port?"
        ) from error


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False
