"""The outbox: records go in, are durable when their future resolves, and come out as groups."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from pathlib import Path
from typing import Generic, TypeVar

import structlog

from toolreeve.audit import Position
from toolreeve.audit.span import EpochSpan
from toolreeve.outbox.error import DamageError, OutboxError
from toolreeve.outbox.flusher import End, Epoch, Flusher, Pack, R, Waiting
from toolreeve.outbox.frame import HEADER_BYTES, Group
from toolreeve.outbox.host import HERE, Host
from toolreeve.outbox.journal import Journal
from toolreeve.outbox.reader import reached
from toolreeve.outbox.salvage import (
    Salvage,
    finish_interrupted,
    reported,
    salvage,
    unreported,
)
from toolreeve.outbox.scrub import Scrub
from toolreeve.outbox.segment import IDENTITY_BYTES, OWNER_BYTES_MAX
from toolreeve.outbox.settings import OutboxSettings
from toolreeve.outbox.standing import OutboxStatus, Recovered

log = structlog.get_logger()

_GROUP_BYTES = 512

S = TypeVar("S")  # what `Outbox.open` finds out from `pack`


class Outbox(Generic[R]):
    """The records of one owner, in one folder, for one process and one event loop."""

    def __init__(
        self,
        journal: Journal,
        pack: Pack[R],
        settings: OutboxSettings,
        *,
        reserved: Callable[[R], bool],
        salvaged: Salvage | None = None,
        on_durable: Callable[[Group, Sequence[R]], None] | None = None,
        host: Host = HERE,
    ) -> None:
        """For `open`, which is how to get one."""
        self._journal = journal
        self._host = host
        self._pack = pack
        self._settings = settings
        self._reserved = reserved
        self._on_durable = on_durable
        self._epoch: int | None = None
        self._flusher: Flusher[R] | None = None
        self.newest: asyncio.Future[Position] | None = None
        """Of the record that was appended last: when it is durable, so is every one before it, or
        has been refused."""
        self.appended = 0
        """How many records were appended in this life."""
        self._waiting = 0
        self._gathered: list[Waiting[R]] = []  # since the last turn of the loop
        self._due = False  # they go at the end of this turn
        self._lingering: asyncio.TimerHandle | None = None
        self._finished = False
        self._recent: dict[Position | None, Group] = {}  # by the position each one follows
        self._recent_bytes = 0
        self._recent_last = journal.view.last
        self._followers: set[asyncio.Event] = set()
        view = journal.view
        self.recovered = Recovered(
            last=view.last,
            head=view.head,
            published=journal.mark.position,
            torn_bytes=journal.torn_bytes,
            salvaged=salvaged,
        )

    @staticmethod
    def open(
        folder: Path,
        *,
        owner: str,
        pack: Pack[S],
        settings: OutboxSettings | None = None,
        reserved: "Callable[[S], bool]" = lambda _: False,
        on_durable: "Callable[[Group, Sequence[S]], None] | None" = None,
        whole: bool = True,
        host: Host = HERE,
    ) -> "Outbox[S]":
        """Open or make the outbox in `folder`; read what is there and cut off a torn tail.

        Where it need not be `whole`, only the last segment is read and what is not yet published:
        damage elsewhere shows when it is read, as DamageError, and the next opening is whole.

        Records that are `reserved` are still taken where the room that is left is kept for them.
        `on_durable` hears of each new group and its records, on the loop, before those who wait.

        Raises OutboxError where another process works with it or where it belongs to another
        owner; then nothing is changed. Where something that was durable cannot be read any more
        the folder is set aside and what can be read goes on: see `Recovered.salvaged`, which says
        so at each opening until `reported`. Blocks on the disk; keep it off a busy loop.
        """
        settings = settings or OutboxSettings()
        if not 0 < len(owner.encode()) <= OWNER_BYTES_MAX:
            raise ValueError(f"an owner has 1 to {OWNER_BYTES_MAX} bytes")
        if IDENTITY_BYTES + HEADER_BYTES + settings.bytes_max > settings.segment_bytes:
            raise OutboxError(
                "a group of bytes_max does not fit into segment_bytes",
                remedy=f"set segment_bytes to {settings.bytes_max + 2 * IDENTITY_BYTES} or more",
                folder=folder,
            )
        finish_interrupted(folder, host)
        try:
            journal = Journal(folder, owner=owner, settings=settings, whole=whole, host=host)
        except DamageError as damaged:
            salvaged = salvage(folder, owner=owner, settings=settings, found=damaged, host=host)
            log.error(
                "outbox.damaged",
                folder=str(folder),
                evidence=salvaged.evidence,
                lost=[str(part) for part in salvaged.lost],
                remedy="keep the evidence; what could be read goes on",
            )
            journal = Journal(folder, owner=owner, settings=settings, host=host)
        return Outbox(
            journal,
            pack,
            settings,
            reserved=reserved,
            salvaged=unreported(folder, host),
            on_durable=on_durable,
            host=host,
        )

    def groups(self, after: Position | None = None) -> Iterator[Group]:
        """What is on disk behind `after`, oldest first. Blocks on the disk.

        Segments older than `keep_seconds` may be gone, once what `keep_until` says has happened.
        """
        return self._journal.groups(after)

    def scrub(self) -> Scrub:
        """For whoever reads everything again and again while the outbox is at work."""
        return Scrub(self._journal, self._host)

    def reported(self) -> None:
        """What `Recovered.salvaged` said is on record."""
        reported(self._journal.folder, self._host)

    def begin(self, epoch: int) -> None:
        """Let sequences start at 1 again under a new epoch; the hash chain goes on.

        Needed once before the first `append`. See `Recovered.next_epoch`.
        """
        last = self._journal.view.last
        highest = max(self._epoch or 0, 0 if last is None else last.epoch)
        if epoch <= highest:
            raise ValueError(f"epoch {epoch} is not above {highest}")
        self._hand_over()
        self._epoch = epoch
        if self._flusher is not None:
            self._flusher.put(Epoch(epoch))

    def append(self, record: R, *, lingers: bool = False) -> "asyncio.Future[Position]":
        """Queue a record, in the order of calls; the future resolves when it is durable.

        A record that `lingers` asks for no flush of its own: it goes with the next one that does
        not, and `linger_seconds` later at the latest. The future raises OutboxError where
        durability cannot be promised: the record is then not part of the history and has used no
        sequence number. Cancelling the future takes nothing back.
        """
        loop = asyncio.get_running_loop()
        done: asyncio.Future[Position] = loop.create_future()
        if self._flusher is None:
            self._start(loop)
        if self._finished or self._waiting >= self._settings.waiting_max:
            done.set_exception(self._refusal())
            return done
        self._waiting += 1
        self._gathered.append(Waiting(record, done, self._reserved(record)))
        self.newest = done
        self.appended += 1
        if lingers:
            if self._lingering is None:
                self._lingering = loop.call_later(self._settings.linger_seconds, self._lingered)
        elif not self._due:
            self._due = True
            loop.call_soon(self._hand_over)
        return done

    async def follow(self) -> AsyncIterator[Group]:
        """Groups that are not yet published, oldest first, then each new one as it is durable.

        Ends when the outbox is finished and everything durable has been given out. Raises
        OutboxError where a group cannot be read. Groups come from memory where they are recent.
        """
        news = asyncio.Event()
        self._followers.add(news)
        try:
            cursor = self._unpublished_from()
            reader = self._journal.reader(cursor)
            behind = False
            while True:
                news.clear()
                group = self._recent.get(cursor)
                if group is not None:
                    behind = False
                    self._passed(cursor)
                    cursor = group.last
                    yield group
                elif cursor == self._recent_last:
                    if self._finished:
                        return
                    await news.wait()
                else:
                    if not behind:
                        reader, behind = self._journal.reader(cursor), True
                    groups = await asyncio.to_thread(reader.read)
                    for group in groups:
                        self._passed(cursor)
                        cursor = group.last
                        yield group
                    if not groups and not self._finished:  # ahead of what this loop was told
                        await news.wait()
        finally:
            self._followers.discard(news)
            if not self._followers:
                self._recent.clear()
                self._recent_bytes = 0

    def published(self, position: Position) -> None:
        """Everything up to here has been taken over by whoever follows.

        Remembered over restarts, lazily: after a crash some groups may come again.
        """
        if not reached(position, self._journal.view.last):
            raise ValueError(f"{position} was never written")
        self._journal.mark.advance(position)

    def materialised(self, spans: tuple[EpochSpan, ...]) -> None:
        """All that the warehouse has of this history; what was said before is void.

        Not remembered over restarts: until it is said again, nothing counts as materialised.
        """
        self._journal.retention.hear(spans)

    @property
    def heard_of_materialised(self) -> bool:
        """Whether it was ever said since the outbox was opened."""
        return self._journal.retention.heard

    def status(self) -> OutboxStatus:
        """Where things stand now. Cheap."""
        view = self._journal.view
        oldest = view.segments[0] if view.segments else None
        return OutboxStatus(
            last=view.last,
            head=view.head,
            published=self._journal.mark.position,
            bytes_on_disk=self._journal.bytes_on_disk(),
            recent_bytes=self._recent_bytes,
            waiting=self._waiting,
            kept_after=None if oldest is None else oldest.after,
            kept_after_head=b"" if oldest is None else oldest.head,
        )

    def trim(self) -> int:
        """Delete segments older than `keep_seconds`, and wholly published where `publishes`, and
        materialised where `keep_until` says so.

        Returns how many. Also done whenever a segment is begun. Blocks on the disk; raises
        OSError and OutboxError.
        """
        return self._journal.trim()

    async def finish(self) -> None:
        """Write what waits; refuse later appends, and let followers end behind the last group.

        The folder stays ours, so that what is still under way can be reported as published.
        """
        if not self._finished:
            self._hand_over()
            self._finished = True
            if self._flusher is not None:
                self._flusher.put(End())
        if self._flusher is not None:
            await asyncio.to_thread(self._flusher.join)
        for news in self._followers:
            news.set()

    async def close(self) -> None:
        """Finish, and let go of the folder."""
        await self.finish()
        await asyncio.to_thread(self._journal.close)

    def _start(self, loop: asyncio.AbstractEventLoop) -> None:
        assert self._epoch is not None, "begin an epoch before the first append"
        self._flusher = Flusher(
            self._journal,
            self._pack,
            self._settings,
            epoch=self._epoch,
            loop=loop,
            durable=self._durable,
            refused=self._refused,
            host=self._host,
        )

    def _hand_over(self) -> None:
        """Everything of one turn of the loop goes in one piece: that wakes the flusher once."""
        self._due = False
        if not self._gathered or self._flusher is None:
            return
        gathered, self._gathered = self._gathered, []
        self._flusher.put(gathered)
        if self._flusher.broken is not None:
            for waiting in gathered:
                if not waiting.done.done():
                    waiting.done.set_exception(self._flusher.broken)

    def _lingered(self) -> None:
        self._lingering = None
        self._hand_over()

    def _durable(self, group: Group, records: Sequence[Waiting[R]]) -> None:
        self._waiting -= len(records)
        if self._on_durable is not None:
            self._on_durable(group, [waiting.record for waiting in records])
        epoch, sequence = group.first.epoch, group.first.sequence
        for number, waiting in enumerate(records, sequence):
            if not waiting.done.done():
                waiting.done.set_result(Position(epoch, number))
        self._remember(group)
        for news in self._followers:
            news.set()

    def _remember(self, group: Group) -> None:
        """Keep a group for those who follow, until they have come by or there is no more room."""
        if self._followers:
            self._recent[self._recent_last] = group
            self._recent_bytes += _weight(group)
            while self._recent_bytes > self._settings.recent_bytes_max:
                self._forget(next(iter(self._recent)))
        self._recent_last = group.last

    def _passed(self, cursor: Position | None) -> None:
        """A follower has come by the group behind this position; others may be on their way."""
        if len(self._followers) == 1:
            self._forget(cursor)

    def _forget(self, cursor: Position | None) -> None:
        group = self._recent.pop(cursor, None)
        if group is not None:
            self._recent_bytes -= _weight(group)

    def _refused(self, error: OutboxError, records: Sequence[Waiting[R]]) -> None:
        self._waiting -= len(records)
        for waiting in records:
            if not waiting.done.done():
                waiting.done.set_exception(error)

    def _refusal(self) -> OutboxError:
        if self._finished:
            problem, remedy = "it is closed", "append before closing"
        else:
            problem = f"{self._waiting} records wait for the disk"
            remedy = "call less often or get a faster disk; waiting_max bounds this"
        return OutboxError(problem, remedy=remedy, folder=self._journal.folder)

    def _unpublished_from(self) -> Position | None:
        published = self._journal.mark.position
        if published is None and self._journal.view.segments:
            return self._journal.view.segments[0].after
        return published


def _weight(group: Group) -> int:
    """What a group takes in memory: small ones, of which there are many, mostly by themselves."""
    return len(group.payload) + _GROUP_BYTES
