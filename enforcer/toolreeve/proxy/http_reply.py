"""The answer to one HTTP request, as a handler writes it."""

import asyncio
from collections.abc import Sequence
from http import HTTPStatus
from typing import Final, Protocol

from toolreeve.proxy.http_request import HttpRequest

Headers = Sequence[tuple[bytes, bytes]]

_STATUS_LINES: Final = {
    status.value: f"HTTP/1.1 {status.value} {status.phrase}\r\n".encode() for status in HTTPStatus
}


SSE_TYPE: Final = (b"content-type", b"text/event-stream")
_ONE_LINE: Final = bytes.maketrans(b"\r\n", b"  ")
"""For JSON, where line ends stand between members only."""


class Wire(Protocol):
    """The connection that carries the answer."""

    @property
    def date(self) -> bytes:
        """The header line with the time."""
        ...

    @property
    def drained(self) -> asyncio.Future[None] | None:
        """Set while the client reads slower than we write; done when it has caught up."""
        ...

    def put(self, data: bytes) -> None: ...


class HttpReply:
    """The answer to one request: sent whole, or started, written and ended."""

    __slots__ = ("_as_event", "_chunked", "_connection", "_request", "_told", "ended", "started")

    def __init__(self, connection: Wire, request: HttpRequest) -> None:
        self._connection = connection
        self._request = request
        self._chunked = False
        self._told = False  # events of our own went before it
        self._as_event = False  # and what follows is one more of them
        self.started = False
        self.ended = False

    def send(self, status: int, headers: Headers, body: bytes = b"") -> None:
        """Answer with a body that is whole."""
        assert not self.started, "an answer has begun already"
        if self._told:
            self._send_event(body)
            return
        self.started = self.ended = True
        head = self._head(status, headers)
        if status not in (204, 304):
            head.append(b"content-length: %d\r\n" % len(body))
        head.append(b"\r\n")
        if self._request.method != b"HEAD":
            head.append(body)
        self._connection.put(b"".join(head))

    def send_written(self, headers: bytes, body: bytes) -> None:
        """Answer with status 200 and with headers that are written out: whole lines."""
        assert not self.started, "an answer has begun already"
        if self._told:
            self._send_event(body)
            return
        self.started = self.ended = True
        close = b"connection: close\r\n" if self._request.close else b""
        self._connection.put(
            b"HTTP/1.1 200 OK\r\n%b%b%bcontent-length: %d\r\n\r\n%b"
            % (headers, self._connection.date, close, len(body), body)
        )

    def start(self, status: int, headers: Headers, length: int | None = None) -> None:
        """Begin an answer whose body follows; without `length` it is sent in chunks."""
        assert not self.started, "an answer has begun already"
        self.started = True
        if self._told:
            self._as_event = not any(
                name.lower() == b"content-type" and value.startswith(SSE_TYPE[1])
                for name, value in headers
            )
            if self._as_event:
                self._put_chunk(b"event: message\ndata: ")
            return
        self._chunked = length is None
        head = self._head(status, headers)
        if length is None:
            head.append(b"transfer-encoding: chunked\r\n\r\n")
        else:
            head.append(b"content-length: %d\r\n\r\n" % length)
        self._connection.put(b"".join(head))

    async def write(self, data: bytes) -> None:
        """Send a part of the body; waits while the client reads slower than we write."""
        if data:
            if self._as_event:
                data = data.translate(_ONE_LINE)
            if self._chunked:
                data = b"%x\r\n%b\r\n" % (len(data), data)
            self._connection.put(data)
        if self._connection.drained is not None:
            await self._connection.drained

    def insert(self, data: bytes) -> None:
        """Send a short part of the body at once, between two others, however slow the client."""
        assert self._chunked, "a body of a given length takes no insertions"
        self._put_chunk(data)

    def tell(self, event: bytes) -> None:
        """Send an event ahead of the answer, which becomes an event of the same stream.

        A client that does not read is told nothing.
        """
        assert not self.started, "an answer has begun already"
        if not self._told:
            self._told = self._chunked = True
            head = self._head(200, (SSE_TYPE, (b"cache-control", b"no-cache, no-transform")))
            self._connection.put(b"".join((*head, b"transfer-encoding: chunked\r\n\r\n")))
        if self._connection.drained is None:
            self._put_chunk(event)

    def end(self) -> None:
        """The body is complete."""
        self.ended = True
        if self._as_event:
            self._put_chunk(b"\n\n")
        if self._chunked:
            self._connection.put(b"0\r\n\r\n")

    def _send_event(self, body: bytes) -> None:
        self.started = True
        if body:
            self._put_chunk(b"event: message\ndata: %b\n\n" % body.translate(_ONE_LINE))
        self.end()

    def _put_chunk(self, data: bytes) -> None:
        self._connection.put(b"%x\r\n%b\r\n" % (len(data), data))

    def _head(self, status: int, headers: Headers) -> list[bytes]:
        head = [_STATUS_LINES.get(status) or b"HTTP/1.1 %d Unknown\r\n" % status]
        head += [b"%b: %b\r\n" % header for header in headers]
        head.append(self._connection.date)
        if self._request.close:
            head.append(b"connection: close\r\n")
        return head
