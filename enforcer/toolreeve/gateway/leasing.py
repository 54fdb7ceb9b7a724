"""Calls that wait a little for a lease, and the asks that go up for them.

A call for which no block lies here is held for as long as an answer usually takes, several times
over, and then decided without one. Calls that come in the same moment share an ask.
"""

import asyncio
from collections.abc import Callable

import structlog

from toolreeve.decision import Instant
from toolreeve.decision.lease import LeaseAsk
from toolreeve.enforcement import AskLeases, AsksDue, Enforcer, LeaseNews, Wake

log = structlog.get_logger()

WAIT_SECONDS_MAX = 0.5
WAITING_MAX = 1_000
LOOK_SECONDS = 0.25

Again = Callable[[bool], tuple[int, ...]]
"""Decide once more; True: for the last time. The counts to wait for, or none: it is decided."""


class _Waiting:
    __slots__ = ("again", "counts", "deadline")

    def __init__(self, again: Again, counts: tuple[int, ...]) -> None:
        self.again = again
        self.counts = set(counts)
        self.deadline: asyncio.TimerHandle | None = None


class Leasing:
    """The waiting room. `send` says whether an ask has gone up; without it nobody is waited for."""

    def __init__(self, enforcer: Enforcer, now: Callable[[], Instant]) -> None:
        self.send: Callable[[LeaseAsk], bool] = lambda _: False
        self._enforcer = enforcer
        self._now = now
        self._waiting: dict[_Waiting, None] = {}
        self._due = False

    @property
    def full(self) -> bool:
        """Whether no more calls may wait."""
        return len(self._waiting) >= WAITING_MAX

    def wait(self, counts: tuple[int, ...], again: Again) -> None:
        """Let a call wait for `counts`, and have it decided `again` in time."""
        loop = asyncio.get_running_loop()
        waiting = _Waiting(again, counts)
        waiting.deadline = loop.call_later(WAIT_SECONDS_MAX, self._too_late, waiting)
        self._waiting[waiting] = None

    def ask_soon(self) -> None:
        """Ask for what is wanted, together with what else is decided in this moment."""
        if not self._due:
            self._due = True
            asyncio.get_running_loop().call_soon(self._ask)

    def hear(self, news: LeaseNews) -> None:
        """Let the enforcement hear of leases, and do what it wants done."""
        for action in self._enforcer.hear_of_leases(news, self._now()):
            match action:
                case Wake(counts=counts):
                    self._wake(counts)
                case AskLeases(asks=asks):
                    for ask in asks:
                        self.send(ask)
        if self._enforcer.wants_leases:
            self.ask_soon()

    async def run(self) -> None:
        """From time to time tell back what was not used, for ever."""
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            self.hear(AsksDue(all=True))

    def _ask(self) -> None:
        self._due = False
        self.hear(AsksDue())

    def _wake(self, counts: tuple[int, ...]) -> None:
        for waiting in tuple(self._waiting):
            waiting.counts.difference_update(counts)
            if not waiting.counts:
                self._again(waiting, last=False)

    def _too_late(self, waiting: _Waiting) -> None:
        if waiting in self._waiting:
            self._again(waiting, last=True)

    def _again(self, waiting: _Waiting, *, last: bool) -> None:
        counts = waiting.again(last)
        if counts:
            waiting.counts = set(counts)
            return
        if waiting.deadline is not None:
            waiting.deadline.cancel()
        del self._waiting[waiting]
