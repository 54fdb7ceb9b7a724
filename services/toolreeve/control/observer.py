"""What the fleet says about itself, on its way into the log.

While one commit is under way, whatever arrives is gathered for the next. With the log away the
queue fills up and streams are read no further: the enforcers' words wait at the enforcers.
"""

import asyncio
from typing import NoReturn
from uuid import uuid4

import structlog
from msgspec import Struct

from toolreeve.control.ledger import EntryTooLargeError
from toolreeve.control.store import Decide, Store
from toolreeve.decision import Instant
from toolreeve.fleet import Commit, Observation, State, Unchanged, observe

log = structlog.get_logger()

QUEUED_MAX = 10_000
COMMIT_BYTES_MAX = 256 * 1024


class _Said(Struct, frozen=True):
    observation: Observation
    size: int


class Observer:
    """Gathers observations and writes down what is new in them."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._queue = asyncio.Queue[_Said](QUEUED_MAX)

    async def put(self, observation: Observation, *, size: int) -> None:
        """Hand over one observation of about `size` bytes; waits while too many are waiting."""
        await self._queue.put(_Said(observation, size))

    async def run(self) -> NoReturn:
        """Write down for ever."""
        while True:
            batch = await self._gather()
            try:
                await self._store.submit(_write_down(batch), seconds_max=None)
            except EntryTooLargeError:
                log.exception("observations.dropped", count=len(batch))

    async def _gather(self) -> list[Observation]:
        said = await self._queue.get()
        batch, size = [said.observation], said.size
        while size < COMMIT_BYTES_MAX and not self._queue.empty():
            said = self._queue.get_nowait()
            batch.append(said.observation)
            size += said.size
        return batch


def _write_down(batch: list[Observation]) -> Decide:
    command_id = f"fleet-{uuid4()}"

    def decide(state: State, at: Instant) -> Commit | Unchanged:
        return observe(state, batch, command_id=command_id, at=at)

    return decide
