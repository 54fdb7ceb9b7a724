"""The HTTP server in front of agents: small, strict, and aware of every disconnect.

It is written on `asyncio.Protocol` and a parser in C because each call an agent makes passes
here. Whole requests only: a handler runs when the body is there, in a task of its own, one at a
time per connection and in the order in which the requests came. All state of a request lies in
its `HttpRequest` and its `HttpReply`; a connection holds nothing that a second request could
find.

A client that leaves is noticed at once, because the socket is read even while a handler runs,
and the handler is cancelled: in the 2026 era of MCP that is how a call is cancelled. A handler
that must not be torn apart sets `request.shielded` and looks at `request.gone` afterwards.
"""

import asyncio
import collections
import time
from collections.abc import Awaitable, Callable
from email.utils import formatdate
from typing import Final, cast

import httptools
import structlog

from toolreeve.proxy.answers import INTERNAL_ERROR, JSON_HEADERS, error_answer
from toolreeve.proxy.http_reply import HttpReply
from toolreeve.proxy.http_request import HeadRules, HttpBounds, HttpRequest, body_too_long
from toolreeve.proxy.strictjson import Refused

log = structlog.get_logger()

Handler = Callable[[HttpRequest, HttpReply], Awaitable[None]]

_FAILED: Final = "the enforcer failed; the request was not answered"
_CONTINUE: Final = b"HTTP/1.1 100 Continue\r\n\r\n"
_SWEEP_SECONDS: Final = 0.25


class _Connection(asyncio.Protocol):
    def __init__(self, listener: "HttpListener") -> None:
        self._listener = listener
        self._bounds = listener.bounds
        self._loop = asyncio.get_running_loop()
        self._parser = httptools.HttpRequestParser(self)
        self._transport: asyncio.Transport | None = None
        self._coming: HttpRequest | None = None  # being read
        self._waiting: collections.deque[HttpRequest] = collections.deque()  # whole
        self._active: HttpRequest | None = None  # being answered
        self._task: asyncio.Task[None] | None = None
        self._in_body = False
        self._head_bytes = 0
        self._deaf = False  # nothing that comes now is looked at
        self._lingering = False
        self._deadline = self._loop.time() + self._bounds.header_seconds_max
        self._write_deadline = 0.0  # counts while `drained` is set
        self.drained: asyncio.Future[None] | None = None  # set while the client is slow

    # What asyncio calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # A cast, because the transports of uvloop do not derive from asyncio's.
        self._transport = cast(asyncio.Transport, transport)
        if not self._listener.joined(self):
            self._deaf = True
            self.put(
                b"HTTP/1.1 503 Service Unavailable\r\n"
                b"content-length: 0\r\nconnection: close\r\n\r\n"
            )
            self._transport.close()

    def data_received(self, data: bytes) -> None:
        if self._deaf:
            return
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError as problem:
            if not self._deaf:
                self._refuse(Refused(code="http", reason=f"not HTTP/1.1: {problem}"))
        except httptools.HttpParserUpgrade:
            self._refuse(Refused(code="http", reason="this server does not change protocols"))
        else:
            if self._coming is not None and not self._in_body and not self._deaf:
                self._head_bytes += len(data)
                if self._head_bytes > self._bounds.header_bytes_max:
                    self._refuse(Refused(code="headers", reason="too long", http_status=431))

    def eof_received(self) -> bool:
        return False

    def pause_writing(self) -> None:
        self.drained = self._loop.create_future()
        self._write_deadline = self._loop.time() + self._bounds.stalled_write_seconds_max

    def resume_writing(self) -> None:
        drained, self.drained = self.drained, None
        if drained is not None and not drained.done():
            drained.set_result(None)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002  # asyncio's form
        self._deaf = True
        self._listener.left(self)
        self.resume_writing()
        self._waiting.clear()
        if self._active is not None:
            self._active.gone = True
            if self._task is not None and not self._active.shielded:
                self._task.cancel()

    # What the parser calls.

    def on_message_begin(self) -> None:
        if self._deaf:
            return
        self._coming = HttpRequest()
        self._in_body = False
        self._head_bytes = 0
        self._deadline = self._loop.time() + self._bounds.header_seconds_max

    def on_url(self, url: bytes) -> None:
        if self._coming is not None:
            self._coming.target += url

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._coming is None:
            return
        if self._in_body:
            self._refuse(Refused(code="http", reason="a body has no trailers here"))
            return
        self._coming.add_header(name, value)
        if len(self._coming.headers) > self._bounds.header_count_max:
            self._refuse(Refused(code="headers", reason="too many headers", http_status=431))

    def on_headers_complete(self) -> None:
        request = self._coming
        if request is None:
            return
        request.method = self._parser.get_method()
        request.close = not self._parser.should_keep_alive()
        refused = self._listener.rules.judge(request, self._parser.get_http_version())
        if refused is None and self._parser.should_upgrade():
            refused = Refused(code="http", reason="this server does not change protocols")
        if refused is not None:
            self._refuse(refused)
            return
        self._in_body = True
        self._deadline = self._loop.time() + self._bounds.body_seconds_max
        if b"expect" in request.headers and self._active is None:
            self.put(_CONTINUE)

    def on_body(self, body: bytes) -> None:
        request = self._coming
        if request is None:
            return
        request.received_bytes += len(body)
        if request.received_bytes > self._bounds.body_bytes_max:
            self._refuse(body_too_long(self._bounds))
            return
        request.chunks.append(body)

    def on_message_complete(self) -> None:
        request, self._coming = self._coming, None
        if request is None:
            return
        chunks = request.chunks
        request.body = chunks[0] if len(chunks) == 1 else b"".join(chunks)
        request.chunks = []
        self._submit(request)
        if len(self._waiting) > self._bounds.pipelined_max:
            self._refuse(Refused(code="pipelining", reason="too many requests sent ahead"))

    # Requests, one after the other.

    def _refuse(self, refused: Refused) -> None:
        """Answer what was being read with a refusal, and read nothing more."""
        request = self._coming or HttpRequest()
        self._coming = None
        self._deaf = True
        request.refused = refused
        request.close = True
        request.chunks = []
        self._submit(request)

    def _submit(self, request: HttpRequest) -> None:
        if self._active is None:
            self._start(request)
        else:
            self._waiting.append(request)

    def _start(self, request: HttpRequest) -> None:
        self._active = request
        self._task = self._loop.create_task(self._serve(request, HttpReply(self, request)))

    async def _serve(self, request: HttpRequest, reply: HttpReply) -> None:
        try:
            await self._listener.handler(request, reply)
        except Exception:
            log.exception("request.failed", target=request.target[:256].decode("latin-1"))
            if not reply.started and not request.gone:
                request.close = True
                reply.send(500, JSON_HEADERS, error_answer("null", INTERNAL_ERROR, _FAILED))
        finally:
            self._served(request, reply)

    def _served(self, request: HttpRequest, reply: HttpReply) -> None:
        self._active = self._task = None
        if self._transport is None or self._transport.is_closing():
            return
        if not reply.ended:
            self._transport.abort()  # a body that broke off must not look whole
        elif request.close:
            self._close()
        elif self._waiting:
            self._start(self._waiting.popleft())
        elif self._listener.closing:
            self._close()
        else:
            bounds = self._bounds
            between = self._coming is None
            wait = bounds.idle_seconds_max if between else bounds.body_seconds_max
            self._deadline = self._loop.time() + wait

    def _close(self) -> None:
        """End the connection so that the last answer arrives even where input lies unread."""
        assert self._transport is not None
        if self._deaf and self._transport.can_write_eof():
            self._lingering = True
            self._deadline = self._loop.time() + self._bounds.linger_seconds_max
            self._transport.write_eof()
        else:
            self._deaf = True
            self._transport.close()

    # For the reply and the listener.

    @property
    def date(self) -> bytes:
        return self._listener.date

    def put(self, data: bytes) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(data)

    def sweep(self, now: float) -> None:
        """End what has waited too long."""
        if self._transport is None:
            return
        if self.drained is not None and now >= self._write_deadline:
            self._transport.abort()
        elif now < self._deadline:
            return
        elif self._lingering:
            self._transport.abort()
        elif self._active is not None:
            return
        elif self._coming is not None:
            what = "body" if self._in_body else "headers"
            self._refuse(Refused(code="slow", reason=f"the {what} took too long", http_status=408))
        else:
            self._deaf = True
            self._transport.close()

    def finish(self) -> asyncio.Task[None] | None:
        """Close when nothing is being answered, else say what to wait for."""
        if self._active is not None and self._task is not None:
            if self._active.endless:
                self._task.cancel()
            return self._task
        if self._transport is not None:
            self._deaf = True
            self._transport.close()
        return None

    def abort(self) -> None:
        if self._transport is not None:
            self._transport.abort()


class HttpListener:
    """Listens, and gives whole requests to `handler`. Deadlines are kept to a quarter second."""

    def __init__(self, handler: Handler, rules: HeadRules, bounds: HttpBounds) -> None:
        self.handler = handler
        self.rules = rules
        self.bounds = bounds
        self.date = b""
        self.closing = False
        self._connections: set[_Connection] = set()
        self._server: asyncio.Server | None = None
        self._sweeper: asyncio.TimerHandle | None = None

    async def listen(self, host: str, port: int) -> int:
        """Start; the answer is the port, which the system chooses when `port` is 0."""
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(
            lambda: _Connection(self), host, port, backlog=1024, start_serving=False
        )
        self._sweep()
        await self._server.start_serving()
        number: int = self._server.sockets[0].getsockname()[1]
        return number

    @property
    def connections(self) -> int:
        return len(self._connections)

    async def close(self, grace_seconds: float = 5.0) -> None:
        """Take nothing new, give what is being answered its time, then cancel it."""
        self.closing = True
        if self._server is not None:
            self._server.close()
        tasks = [task for one in tuple(self._connections) if (task := one.finish()) is not None]
        if tasks:
            _, late = await asyncio.wait(tasks, timeout=grace_seconds)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)
        for connection in tuple(self._connections):
            connection.abort()
        if self._sweeper is not None:
            self._sweeper.cancel()
        if self._server is not None:
            await self._server.wait_closed()

    def joined(self, connection: _Connection) -> bool:
        """False when the house is full."""
        self._connections.add(connection)
        return not self.closing and len(self._connections) <= self.bounds.connections_max

    def left(self, connection: _Connection) -> None:
        self._connections.discard(connection)

    def _sweep(self) -> None:
        loop = asyncio.get_running_loop()
        now = loop.time()
        self.date = b"date: " + formatdate(time.time(), usegmt=True).encode() + b"\r\n"
        for connection in tuple(self._connections):
            connection.sweep(now)
        self._sweeper = loop.call_later(_SWEEP_SECONDS, self._sweep)
