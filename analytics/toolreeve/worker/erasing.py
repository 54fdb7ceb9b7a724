"""An erasure that somebody asks for: recorded first, then carried out as it comes back.

What is to be erased is said in the worker's own history, and `Eraser` carries out what it meets
there, so a worker that is killed in between goes on with it at its next start. To ask again is
harmless: what is erased is not found again.
"""

import asyncio
from collections.abc import Callable, Iterator, Sequence
from uuid import uuid4

from msgspec import Struct

from toolreeve.audit import Draft, ErasedEvents, ErasureMade
from toolreeve.decision import Instant
from toolreeve.outbox import Outbox
from toolreeve.warehouse import choosing
from toolreeve.warehouse.choosing import Selector
from toolreeve.warehouse.erasure import Eraser
from toolreeve.warehouse.store import Warehouse

EVENTS_IN_A_PART_MAX = 20_000
"""Some 60 kB of the one event that names them."""
READY_SECONDS = 10.0
WAIT_SECONDS = 30.0


class NotReadyError(Exception):
    """Nothing can be recorded yet."""


class Erased(Struct, frozen=True, kw_only=True):
    """What became of it. `done`: it is gone from the warehouse and the archive."""

    erasure_id: str
    events: int
    done: bool
    in_the_chain: int


class Erasing:
    """Erasures of one worker."""

    def __init__(
        self,
        warehouse: Warehouse,
        outbox: Outbox[Draft],
        eraser: Eraser,
        now: Callable[[], Instant],
    ) -> None:
        self._warehouse = warehouse
        self._outbox = outbox
        self._eraser = eraser
        self._now = now
        self._ready = asyncio.Event()
        self._one = asyncio.Lock()
        self._news = asyncio.Event()

    async def begin(self, epoch: "asyncio.Future[int]") -> None:
        """Take requests from when the worker's own history has an epoch."""
        await asyncio.shield(epoch)
        self._ready.set()

    def carried_out(self) -> None:
        """Something was."""
        self._news.set()

    async def erase(
        self, selector: Selector, *, actor: str, reason: str, dry_run: bool = False
    ) -> Erased:
        """Erase what `selector` chooses now; waits until it is gone, but not for ever.

        Raises NotReadyError, and OutboxError where it cannot be recorded; nothing is erased then.
        """
        async with self._one:
            chosen = await asyncio.to_thread(choosing.choose, self._warehouse, selector)
            chained = await asyncio.to_thread(choosing.in_the_chain, self._warehouse, selector)
            events = sum(len(one.sequences) for one in chosen)
            if dry_run or not events:
                return Erased(erasure_id="", events=events, done=not dry_run, in_the_chain=chained)
            await self._until_ready()
            erasure_id = str(uuid4())
            parts = [*_parts(chosen)]
            for part in parts:
                made = ErasureMade(
                    erasure_id=erasure_id,
                    actor=actor,
                    reason=reason,
                    selector=selector.words,
                    erased=part,
                )
                await self._outbox.append(Draft(self._now(), made))
            done = await self._until_gone(erasure_id, len(parts))
        return Erased(erasure_id=erasure_id, events=events, done=done, in_the_chain=chained)

    async def _until_ready(self) -> None:
        try:
            async with asyncio.timeout(READY_SECONDS):
                await self._ready.wait()
        except TimeoutError:
            raise NotReadyError from None

    async def _until_gone(self, erasure_id: str, parts: int) -> bool:
        try:
            async with asyncio.timeout(WAIT_SECONDS):
                while True:
                    self._news.clear()
                    if await asyncio.to_thread(self._is_gone, erasure_id, parts):
                        return True
                    await self._news.wait()
        except TimeoutError:
            return False

    def _is_gone(self, erasure_id: str, parts: int) -> bool:
        with self._warehouse.reader() as reader:
            row = reader.execute(
                "SELECT count(*) FROM erasure_events WHERE erasure_id = ?", [erasure_id]
            ).fetchone()
        assert row is not None
        return int(row[0]) == parts and not self._eraser.pending


def _parts(chosen: Sequence[ErasedEvents]) -> Iterator[tuple[ErasedEvents, ...]]:
    """In pieces that an event can hold."""
    part: list[ErasedEvents] = []
    room = EVENTS_IN_A_PART_MAX
    for events in chosen:
        left = events.sequences
        while left:
            taken, left = left[:room], left[room:]
            part.append(ErasedEvents(enforcer=events.enforcer, epoch=events.epoch, sequences=taken))
            room -= len(taken)
            if not room:
                yield tuple(part)
                part, room = [], EVENTS_IN_A_PART_MAX
    if part:
        yield tuple(part)
