"""From the stream into the warehouse: load, then acknowledge, then watch."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

import duckdb
import structlog

from toolreeve.audit import Draft, EnforcerStarted
from toolreeve.bus import (
    BusError,
    Connection,
    Message,
    StreamLosesError,
    Subjects,
    ack_all,
    consume,
    ensure_stream,
    speaks_for,
)
from toolreeve.outbox import Outbox
from toolreeve.runtime.clock import Clock
from toolreeve.warehouse.batch import Spoiled
from toolreeve.warehouse.errors import WarehouseDamagedError, WarehouseError, is_damage
from toolreeve.warehouse.loads import LoadReport
from toolreeve.warehouse.store import Warehouse
from toolreeve.wire import Group, WireError, unpack
from toolreeve.worker.audit_stream import AuditStream
from toolreeve.worker.opening import mark_damaged
from toolreeve.worker.settings import WorkerSettings
from toolreeve.worker.watch import MARK, Watch

log = structlog.get_logger()

STREAM_MARK = "stream"
RETRY_SECONDS = 1.0
QUIET_SECONDS = 1.0
PROBLEM_CHARACTERS_MAX = 300


class Loaded:
    """Tells those who follow the loads that there is a new one."""

    def __init__(self) -> None:
        self._news = asyncio.Event()

    def tell(self) -> None:
        """There is a new load."""
        news, self._news = self._news, asyncio.Event()
        news.set()

    async def wait(self) -> None:
        """Return at the next load."""
        await self._news.wait()


def read_message(message: Message, subjects: Subjects) -> Group | Spoiled:
    """The group that a message carries, or why it is none.

    An enforcer may publish on its own subject only, so what a group says of itself must be what
    the subject says: nobody writes another's history.
    """
    source = message.subject.rpartition(".")[2]
    try:
        group = unpack(message.payload)
    except WireError as error:
        return Spoiled(source, str(error), message.payload)
    if message.subject != f"{subjects.prefix}.audit.v1.{group.enforcer}":
        reason = f"a group of {group.enforcer!r} on the subject of {source!r}"
        return Spoiled(source, reason, message.payload)
    return group


class Materialiser:
    """Fills one warehouse from one stream."""

    def __init__(
        self,
        settings: WorkerSettings,
        *,
        connection: Connection,
        stream: AuditStream,
        warehouse: Warehouse,
        watch: Watch,
        clock: Clock,
        loaded: Loaded,
        on_load: Callable[[LoadReport], None],
        on_foreign: Callable[[str, str], None] = lambda _enforcer, _message_id: None,
    ) -> None:
        """`on_foreign` hears of an enforcer's message under an id that is not its own."""
        self._settings = settings
        self._connection = connection
        self._stream = stream
        self._warehouse = warehouse
        self._watch = watch
        self._clock = clock
        self._loaded = loaded
        self._on_load = on_load
        self._on_foreign = on_foreign
        self._subjects = Subjects(settings.prefix)
        self._detected = warehouse.mark(MARK)
        self._numbers_are_new = False
        self._thread = ThreadPoolExecutor(1, "load")  # no report or tail may keep a load waiting
        self.epoch: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        """Known when this start has one: before, nothing can be recorded."""

    def begin_numbers_anew(self) -> None:
        """The stream is not the one that was read before: its numbers begin anew."""
        self._numbers_are_new = True

    async def run(self, outbox: Outbox[Draft], started: EnforcerStarted) -> None:
        """Take part in the stream for ever; nothing here ends it but a failing disk."""
        await self._have_stream()
        epoch = await self._choose_epoch(outbox)
        outbox.begin(epoch)
        await outbox.append(Draft(self._clock.now(), started))
        self.epoch.set_result(epoch)
        self._detected = await self._watch.catch_up(self._warehouse)
        await self._stream.begin_again_behind(self._warehouse.mark(STREAM_MARK))
        batches = consume(
            self._connection,
            stream=self._subjects.audit_stream,
            durable=self._settings.name,
            settings=self._settings.consume,
        )
        await self._follow(batches)

    async def _follow(self, batches: AsyncIterator[list[Message]]) -> None:
        """Load each batch; let time pass for the detectors while nothing comes."""
        coming: asyncio.Task[list[Message]] | None = None
        try:
            while True:
                coming = coming or asyncio.create_task(_next(batches), name="next-batch")
                done, _ = await asyncio.wait({coming}, timeout=QUIET_SECONDS)
                if not done:
                    now = self._clock.now()
                    if await self._stream.pending() == 0:
                        await self._watch.pass_time(now)
                    continue
                batch, coming = coming.result(), None
                await self._take(batch)
        finally:
            if coming is not None:
                coming.cancel()
                await asyncio.wait({coming})

    async def _take(self, batch: Sequence[Message]) -> None:
        report = await self._load(batch)
        self._on_load(report)
        for message in batch:
            source = message.subject.rpartition(".")[2]
            if not speaks_for(message.message_id, source):
                self._on_foreign(source, message.message_id)
        self._loaded.tell()
        for anomaly in report.anomalies:
            say = log.info if anomaly.kind == "gap_filled" else log.warning
            say(
                f"history.{anomaly.kind}",
                enforcer=anomaly.enforcer,
                epoch=anomaly.epoch,
                first_sequence=anomaly.first_sequence,
                last_sequence=anomaly.last_sequence,
            )
        await self._watch.see(report.events)
        self._detected = report.load
        await ack_all(batch)

    async def _load(self, batch: Sequence[Message]) -> LoadReport:
        """Load until it is loaded: a full disk empties again, and nothing is acknowledged till."""
        loop = asyncio.get_running_loop()
        while True:
            try:
                return await loop.run_in_executor(self._thread, self._load_once, batch)
            except duckdb.Error as error:
                if is_damage(error):
                    mark_damaged(self._warehouse.path)
                    text = str(error)[:PROBLEM_CHARACTERS_MAX]
                    raise WarehouseDamagedError(self._warehouse.path, text) from error
                if not isinstance(error, duckdb.FatalException):
                    log.error("load.failed", problem=str(error)[:PROBLEM_CHARACTERS_MAX])
                    await asyncio.sleep(RETRY_SECONDS)
                    continue
                raise WarehouseError(
                    f"the warehouse broke down: {str(error)[:PROBLEM_CHARACTERS_MAX]}",
                    remedy="start the worker again; it goes on where it stood",
                ) from error

    def _load_once(self, batch: Sequence[Message]) -> LoadReport:
        read = [read_message(message, self._subjects) for message in batch]
        newest = max(message.stream_sequence for message in batch)
        if self._numbers_are_new:
            self._numbers_are_new = False
        else:
            newest = max(newest, self._warehouse.mark(STREAM_MARK))
        return self._warehouse.load(
            [each for each in read if isinstance(each, Group)],
            at=self._clock.now(),
            spoiled=[each for each in read if isinstance(each, Spoiled)],
            marks={MARK: self._detected, STREAM_MARK: newest},
        )

    async def _have_stream(self) -> None:
        while True:
            try:
                await ensure_stream(
                    self._connection,
                    self._subjects.audit_stream,
                    [self._subjects.audit_all],
                    self._settings.stream,
                )
            except StreamLosesError as error:
                # What there is can be read, what is lost is asked for again, and an alert tells.
                log.error("stream.loses", problem=str(error))
                return
            except BusError as error:
                log.error("stream.unusable", problem=str(error))
                await asyncio.sleep(RETRY_SECONDS)
            else:
                return

    async def _choose_epoch(self, outbox: Outbox[Draft]) -> int:
        """An epoch that this worker's name never had.

        Its folder may have been lost; then the stream, and the warehouse where it was kept, know
        what was used.
        """
        recovered = outbox.recovered
        if recovered.last is not None:
            return recovered.next_epoch
        name = self._settings.name
        used = [
            mark.position.epoch for mark in self._warehouse.watermarks() if mark.enforcer == name
        ]
        last = await self._stream.last_payload(self._subjects.audit(name))
        if last is not None:
            used.append(unpack(last).epoch)
        return max(recovered.next_epoch, max(used, default=0) + 1)


async def _next(batches: AsyncIterator[list[Message]]) -> list[Message]:
    return await anext(batches)
