"""Lines on their way from one server process to one client stream.

What a client does not take is not collected: its server is not read on until it does, where the
server is this client's alone. Where clients share a server, none may stop it for the others, so
notes that nobody takes in time are lost, answers never.
"""

import asyncio
import collections
from collections.abc import Callable
from typing import Final

import msgspec

from toolreeve.proxy.seen import Seen

LINES_HIGH: Final = 1_000
BYTES_HIGH: Final = 4 * 1024 * 1024


class Line(msgspec.Struct, frozen=True):
    """Something for a client: a message, and what it is."""

    raw: bytes
    seen: Seen


class Mailbox:
    """Lines for one client stream, in order. `closed` says why no more will come.

    `full` is told when more waits than should, and `free` when there is room again; without them
    what is no answer is lost meanwhile.
    """

    def __init__(
        self, full: Callable[[], None] | None = None, free: Callable[[], None] | None = None
    ) -> None:
        self._full = full
        self._free = free
        self._lines: collections.deque[Line] = collections.deque()
        self._bytes = 0
        self._is_full = False
        self._waiter: asyncio.Future[None] | None = None
        self.closed: str | None = None
        self.lost = 0

    def put(self, line: Line) -> None:
        if self.closed is not None:
            return
        if self._is_full and self._full is None and not line.seen.is_response:
            self.lost += 1
            return
        self._lines.append(line)
        self._bytes += len(line.raw)
        if not self._is_full and (len(self._lines) > LINES_HIGH or self._bytes > BYTES_HIGH):
            self._is_full = True
            if self._full is not None:
                self._full()
        self._wake()

    def close(self, why: str) -> None:
        """No more will come; what waits can still be taken."""
        if self.closed is None:
            self.closed = why
            self._wake()
        self._is_free()

    async def get(self, seconds: float | None) -> Line | None:
        """The next line; None when there will be none. Raises TimeoutError."""
        async with asyncio.timeout(seconds):
            while not self._lines and self.closed is None:
                self._waiter = asyncio.get_running_loop().create_future()
                await self._waiter
        if not self._lines:
            return None
        line = self._lines.popleft()
        self._bytes -= len(line.raw)
        if self._is_full and len(self._lines) <= LINES_HIGH // 2 and self._bytes <= BYTES_HIGH // 2:
            self._is_free()
        return line

    def _is_free(self) -> None:
        if self._is_full:
            self._is_full = False
            if self._free is not None:
                self._free()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)


class Backlog:
    """Lines that nobody is there to take: the newest of them, up to a bound."""

    def __init__(self, *, lines_max: int = 256, bytes_max: int = 1024 * 1024) -> None:
        self._lines_max = lines_max
        self._bytes_max = bytes_max
        self._lines: collections.deque[Line] = collections.deque()
        self._bytes = 0

    def put(self, line: Line) -> None:
        self._lines.append(line)
        self._bytes += len(line.raw)
        while len(self._lines) > self._lines_max or self._bytes > self._bytes_max:
            self._bytes -= len(self._lines.popleft().raw)

    def empty_into(self, mailbox: Mailbox) -> None:
        while self._lines:
            mailbox.put(self._lines.popleft())
        self._bytes = 0
