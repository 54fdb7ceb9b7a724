"""As little of an HTTP client as can be measured with: one connection, one request at a time."""

import asyncio
import re
from collections.abc import Callable
from typing import Final, cast

LENGTH: Final = re.compile(rb"content-length:\s*(\d+)", re.IGNORECASE)
CHUNKED: Final = re.compile(rb"transfer-encoding:\s*chunked", re.IGNORECASE)
LAST_CHUNK: Final = b"0\r\n\r\n"
HEAD_END: Final = b"\r\n\r\n"

Heard = Callable[[int, bytes, bytes], None]
"""What is told of a whole answer: its status, its head and its body as it came."""


class BrokenConnectionError(Exception):
    """The connection ended, or what came on it cannot be an answer."""


class HttpWire(asyncio.Protocol):
    """A connection. Set `heard` and `lost` before you `write`; a body keeps its chunk marks."""

    def __init__(self) -> None:
        self.heard: Heard = _nobody
        self.lost: Callable[[str], None] = _not_told
        self.open = False
        self._rest = b""
        self._body = -1  # where it begins; -1 while the head is not whole
        self._whole = -1  # how long all of it is; -1 where a last chunk ends it

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self.open = True

    def write(self, request: bytes) -> None:
        """Send; where the connection has ended, `lost` says so at once."""
        if not self.open or self._transport.is_closing():
            self.lost("the connection was closed")
        else:
            self._transport.write(request)

    def close(self) -> None:
        self.lost = _not_told
        self._transport.abort()

    def data_received(self, data: bytes) -> None:
        rest = self._rest = self._rest + data if self._rest else data
        if self._body < 0:
            end = rest.find(HEAD_END)
            if end < 0:
                return
            self._body = end + 4
            found = LENGTH.search(rest, 0, end)
            if found is not None:
                self._whole = self._body + int(found.group(1))
            elif CHUNKED.search(rest, 0, end):
                self._whole = -1
            else:
                self._whole = self._body
        if self._whole >= 0:
            if len(rest) < self._whole:
                return
            body = rest[self._body : self._whole]
        else:
            if not rest.endswith(LAST_CHUNK):
                return
            body = rest[self._body :]
        head = rest[: self._body]
        self._rest, self._body = b"", -1
        if not head.startswith(b"HTTP/1.1 "):
            self.lost(f"this is not HTTP: {head[:60]!r}")
            return
        self.heard(int(head[9:12]), head, body)

    def connection_lost(self, exc: Exception | None) -> None:
        self.open = False
        self.lost(f"the connection broke: {exc or 'the other side closed it'}")

    async def ask(self, request: bytes) -> tuple[int, bytes, bytes]:
        """Send, and wait for the whole answer. Raises BrokenConnectionError."""
        done: asyncio.Future[tuple[int, bytes, bytes]] = asyncio.get_running_loop().create_future()

        def heard(status: int, head: bytes, body: bytes) -> None:
            if not done.done():
                done.set_result((status, head, body))

        def lost(why: str) -> None:
            if not done.done():
                done.set_exception(BrokenConnectionError(why))

        self.heard, self.lost = heard, lost
        self.write(request)
        try:
            return await done
        finally:
            self.heard, self.lost = _nobody, _not_told


def _nobody(status: int, head: bytes, body: bytes) -> None:
    """Nobody asked for this."""


def _not_told(why: str) -> None:
    """Nobody wants to know."""


def header(head: bytes, name: bytes) -> str | None:
    """A header's value, without regard to case."""
    found = re.search(rb"\r\n" + re.escape(name) + rb":[ \t]*([^\r\n]*)", head, re.IGNORECASE)
    return found.group(1).decode("latin-1").strip() if found else None
