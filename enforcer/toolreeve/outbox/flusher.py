"""The one thread that makes records durable.

Everybody's records go through one queue. While a group is being written the next records gather,
and all that have gathered become the next group: under load groups grow, alone a record waits for
one flush of the disk and no longer.
"""

from asyncio import AbstractEventLoop, Future
from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from queue import Empty, SimpleQueue
from typing import Generic, TypeVar

import structlog
from msgspec import Struct

from toolreeve.audit import Position
from toolreeve.outbox.error import NoRoomError, OutboxError
from toolreeve.outbox.frame import Group
from toolreeve.outbox.host import HERE, Host
from toolreeve.outbox.journal import Journal
from toolreeve.outbox.settings import OutboxSettings

log = structlog.get_logger()

R = TypeVar("R")

Pack = Callable[[Position, bytes, Sequence[R]], tuple[bytes, bytes]]
"""(first position, head before, records) -> (payload, head behind). Pure; may run again for a part
of the same records. Runs on the flusher's thread."""


class Waiting(Struct, Generic[R], frozen=True, eq=False):
    """A record, and who waits for it."""

    record: R
    done: "Future[Position]"
    reserved: bool


class Epoch(Struct, frozen=True):
    """From here on records belong to this epoch."""

    number: int


class End(Struct, frozen=True):
    """Nothing comes behind this."""


class Flusher(Generic[R]):
    """Takes what is put, in order, and tells `loop` what became of it.

    `durable` and `refused` are called on the loop, once for a group.
    """

    def __init__(
        self,
        journal: Journal,
        pack: Pack[R],
        settings: OutboxSettings,
        *,
        epoch: int,
        loop: AbstractEventLoop,
        durable: Callable[[Group, Sequence[Waiting[R]]], None],
        refused: Callable[[OutboxError, Sequence[Waiting[R]]], None],
        host: Host = HERE,
    ) -> None:
        self._journal = journal
        self._pack = pack
        self._settings = settings
        self._loop = loop
        self._durable = durable
        self._refused = refused
        self._queue: SimpleQueue[Sequence[Waiting[R]] | Epoch | End] = SimpleQueue()
        self._epoch = epoch
        self._ended = False
        self._failing = False  # so that a full disk is told once, not with every call
        self._flushing: Sequence[Waiting[R]] = ()
        self.broken: OutboxError | None = None
        """Set when the thread ended by a fault of its own; whatever is put then stays there."""
        self._worker = host.begin(self._step, idle=self._queue.empty, name="outbox-flusher")

    def put(self, item: Sequence[Waiting[R]] | Epoch | End) -> None:
        """Never blocks."""
        self._queue.put(item)
        self._worker.wake()

    def join(self) -> None:
        """Wait until everything before the End is done with. Blocks."""
        self._worker.join()

    def _step(self) -> bool:
        """One group, when there is something for it. False: there will be none any more."""
        try:
            records = self._take()
            if records:
                self._flush(records)
        except Exception as error:  # our own fault; those who wait must hear of it
            log.exception("outbox.flusher_died")
            self.broken = OutboxError(
                f"the flusher has ended ({error!r})",
                remedy="restart the process, and please report it",
                folder=self._journal.folder,
            )
            self._refuse_everything(self.broken, [self._flushing])
            return False
        return not self._ended

    def _take(self) -> list[Waiting[R]]:
        """The next group's records: waits for one, then takes what is there."""
        records: list[Waiting[R]] = []
        item = self._queue.get()
        while not isinstance(item, Epoch | End):
            records += item
            if len(records) >= self._settings.records_max:
                return records
            try:
                item = self._queue.get_nowait()
            except Empty:
                return records
        if records:  # they belong before whatever ended the group
            self._flush(records)
        self._obey(item)
        return []

    def _obey(self, item: Epoch | End) -> None:
        match item:
            case Epoch():
                self._epoch = item.number
            case End():
                self._ended = True

    def _flush(self, records: list[Waiting[R]]) -> None:
        """Make the records durable, as one group if they fit."""
        self._flushing = records
        most = self._settings.records_max
        parts = deque(records[at : at + most] for at in range(0, len(records), most))
        while parts:
            part = parts.popleft()
            if not part:
                continue
            made = self._make(part)
            if made is None:
                middle = len(part) // 2
                parts.extendleft([part[middle:], part[:middle]])
            elif isinstance(made, OutboxError):
                self._tell(partial(self._refused, made, part))
            else:
                reserved = all(one.reserved for one in part)
                try:
                    self._journal.write(made, reserved=reserved)
                except NoRoomError as error:
                    self._refuse(error, [one for one in part if not one.reserved])
                    parts.appendleft([one for one in part if one.reserved])
                    continue
                except OutboxError as error:
                    self._refuse_everything(error, [part, *parts])
                    return
                if self._failing and not reserved:
                    self._failing = False
                    log.info("outbox.writes_again", folder=str(self._journal.folder))
                self._tell(partial(self._durable, made, part))

    def _make(self, part: Sequence[Waiting[R]]) -> Group | OutboxError | None:
        """The records as a group. None: they do not go into one, try fewer."""
        view = self._journal.view
        sequence = 1
        if view.last is not None and view.last.epoch == self._epoch:
            sequence = view.last.sequence + 1
        first = Position(self._epoch, sequence)
        try:
            payload, head = self._pack(first, view.head, [waiting.record for waiting in part])
        except Exception as error:  # noqa: BLE001  (pack is the caller's; one bad record ends nobody)
            if len(part) > 1:
                return None
            refusal = OutboxError(
                f"a record cannot be packed ({error!r})",
                remedy="this is a fault in the program; please report it",
                folder=self._journal.folder,
            )
            refusal.__cause__ = error
            return refusal
        if len(payload) > self._settings.bytes_max:
            if len(part) > 1:
                return None
            return OutboxError(
                f"a record takes {len(payload)} bytes, more than bytes_max",
                remedy=f"keep less of it, or raise bytes_max from {self._settings.bytes_max}",
                folder=self._journal.folder,
            )
        return Group(first, len(part), head, payload)

    def _refuse_everything(self, error: OutboxError, parts: Sequence[Sequence[Waiting[R]]]) -> None:
        """After a write that failed, nothing that already waits is written."""
        refused = [waiting for part in parts for waiting in part]
        while True:
            try:
                item = self._queue.get_nowait()
            except Empty:
                break
            if isinstance(item, Epoch | End):
                self._obey(item)
            else:
                refused += item
        self._refuse(error, refused)

    def _refuse(self, error: OutboxError, records: Sequence[Waiting[R]]) -> None:
        if not self._failing:
            self._failing = True
            log.error("outbox.write_failed", error=str(error), records=len(records))
        self._tell(partial(self._refused, error, records))

    def _tell(self, what: Callable[[], None]) -> None:
        try:
            self._loop.call_soon_threadsafe(what)
        except RuntimeError:  # the loop is closed: nobody is left who waits
            log.warning("outbox.nobody_waits", folder=str(self._journal.folder))
