"""The control plane's state, and the one way to change it: append a commit, then fold it.

Whoever appended a commit, this replica or another, it is folded only as it comes back from the
log, so all replicas go through the same states in the same order.
"""

import asyncio
from collections.abc import Callable
from hashlib import sha256
from typing import NoReturn

import structlog
from msgspec import Struct

from toolreeve.control.ledger import Entry, Ledger, OvertakenError, UnansweredError
from toolreeve.control.translate import read_commit, write_commit
from toolreeve.decision import Instant
from toolreeve.fleet import Commit, State, Unchanged, replay
from toolreeve.runtime.clock import Clock

log = structlog.get_logger()

Decide = Callable[[State, Instant], Commit | Unchanged]
RETRY_SECONDS = 0.05
DIGESTS_KEPT = 4096


class Change(Struct, frozen=True, kw_only=True):
    """One step of the state, by one commit or by several that came together."""

    before: State
    after: State
    commits: tuple[Commit, ...]


class LogUnavailableError(Exception):
    """The log did not answer in time. Whether the command was carried out is not known: ask again
    with the same command id."""


class Store:
    """The state, kept up to date by `run`."""

    def __init__(self, ledger: Ledger, clock: Clock) -> None:
        self._ledger = ledger
        self._clock = clock
        self._state = State()
        self._digests: dict[int, bytes] = {}
        self._moved = asyncio.Event()
        self._turn = asyncio.Lock()
        self._listeners: list[Callable[[Change], None]] = []

    @property
    def state(self) -> State:
        """The state behind the last commit that was read."""
        return self._state

    def listen(self, listener: Callable[[Change], None]) -> None:
        """Call `listener` after every change. It must not wait and must not fail."""
        self._listeners.append(listener)

    async def run(self) -> NoReturn:
        """Follow the log for ever.

        Raises HistoryError or WireError where the log holds what cannot be folded, and
        LedgerLostError where it is gone: a control plane that goes on from there would command a
        fleet from a state that never was.
        """
        await self._ledger.follow(self._state.index, self._fold)

    async def caught_up(self) -> None:
        """Return once everything is folded that was in the log at the time of asking."""
        last = await self._ledger.last_sequence()
        await self._reached(last)

    async def submit(self, decide: Decide, *, seconds_max: float | None) -> Commit | Unchanged:
        """Carry out a command: ask `decide`, append its commit, and return once it is folded.

        `decide` is asked again on the newer state whenever another replica was quicker; what it
        raises is raised here. Raises LogUnavailableError after `seconds_max`; None waits for ever.
        """
        try:
            async with asyncio.timeout(seconds_max), self._turn:
                return await self._carry_out(decide)
        except TimeoutError as error:
            raise LogUnavailableError(
                "the control plane's log did not answer; ask again with the same command id"
            ) from error

    async def _carry_out(self, decide: Decide) -> Commit | Unchanged:
        while True:
            commit = decide(self._state, self._clock.now())
            if isinstance(commit, Unchanged):
                return commit
            if await self._append(commit):
                return commit

    async def _append(self, commit: Commit) -> bool:
        """Whether `commit` stands in the log. False: another stands in its place."""
        payload = write_commit(commit)
        digest = sha256(payload).digest()
        after = commit.index - 1
        while True:
            try:
                await self._ledger.append(payload, after=after, message_id=commit.command_id)
            except OvertakenError:
                pass
            except UnansweredError as error:
                log.warning("log.unanswered", index=commit.index, error=str(error))
                if self._state.index <= after:
                    await asyncio.sleep(RETRY_SECONDS)
                    continue
            stands = await self._digest_at(commit.index)
            if stands == digest:
                return True
            log.debug("log.overtaken", index=commit.index, command_id=commit.command_id)
            return False

    async def _digest_at(self, index: int) -> bytes:
        await self._reached(index)
        return self._digests.get(index, b"")

    async def _reached(self, index: int) -> None:
        while self._state.index < index:
            await self._moved.wait()

    def _fold(self, entries: list[Entry]) -> None:
        before = self._state
        read = [(read_commit(entry.payload), sha256(entry.payload).digest()) for entry in entries]
        self._state = replay(before, read)
        for commit, digest in read:
            self._digests[commit.index] = digest
            self._digests.pop(commit.index - DIGESTS_KEPT, None)
        change = Change(
            before=before, after=self._state, commits=tuple(commit for commit, _ in read)
        )
        for listener in self._listeners:
            listener(change)
        self._moved.set()
        self._moved = asyncio.Event()
