"""One connection of a client: bytes become requests, and one after the other they are answered.

All state of a request lies in its `HttpRequest` and its `HttpReply`; a connection holds nothing
that a second request could find. A request is judged when its head is there, before a byte of its
body is kept: whoever has no grant cannot make us hold anything. Nothing that waits is unbounded:
requests sent ahead have no more room together than one body, and while the client does not take
its answers none is made for it.

A client that leaves is noticed at once, because the socket is read even while a handler runs,
and the answer is given up: in the 2026 era of MCP that is how a call is cancelled. A handler
that must not be torn apart sets `request.shielded` and looks at `request.gone` afterwards.
"""

import asyncio
import collections
from collections.abc import Callable
from typing import Final, Protocol, cast

import httptools

from toolreeve.proxy.answering import Answering, Handler
from toolreeve.proxy.http_reply import HttpReply
from toolreeve.proxy.http_request import HeadRules, HttpBounds, HttpRequest, body_too_long
from toolreeve.proxy.known_heads import KnownHeads
from toolreeve.proxy.occupancy import HOUSE_FULL, Occupancy, peer_of
from toolreeve.proxy.strictjson import Refused

_NO_UPGRADE: Final = Refused(code="http", reason="this server does not change protocols")
_TOO_MUCH_AHEAD: Final = Refused(code="pipelining", reason="too much was sent ahead")
_CONTINUE: Final = b"HTTP/1.1 100 Continue\r\n\r\n"
_TAKEN_BYTES_MIN: Final = 64 * 1024  # in the time that a write may stall
_WASTE_BYTES_MAX: Final = 64 * 1024  # around the chunks of a body, beside the body's own length


class House(Protocol):
    """What a connection needs of its listener."""

    bounds: HttpBounds
    date: bytes
    closing: bool
    handler: Handler

    @property
    def crowded(self) -> bool:
        """Whether even those who are on their way out take too much room."""
        ...

    @property
    def occupancy(self) -> "Occupancy[HttpConnection]": ...

    @property
    def rules(self) -> HeadRules: ...

    @property
    def heads(self) -> KnownHeads: ...

    @property
    def enter(self) -> Callable[[HttpRequest], Refused | None]:
        """What is wrong with a request whose head is well-formed; sets its `caller`."""
        ...

    def joined(self, connection: "HttpConnection") -> None: ...

    def left(self, connection: "HttpConnection") -> None: ...


class HttpConnection(asyncio.Protocol):
    def __init__(self, house: House) -> None:
        self._house = house
        self._bounds = house.bounds
        self._header_count_max = house.bounds.header_count_max
        self._judge = house.rules.judge
        self._enter = house.enter
        self._heads = house.heads
        self._loop = asyncio.get_running_loop()
        self._parser = httptools.HttpRequestParser(self)
        self._transport: asyncio.Transport | None = None
        self._peer = ""
        self._grant: str = ""  # that the last request on it has shown
        self._coming: HttpRequest | None = None  # being read
        self._waiting: collections.deque[HttpRequest] = collections.deque()  # whole
        self._waiting_bytes = 0
        self._answering = Answering(house.handler, self._served, self._loop)
        self._read: HttpRequest | None = None  # the last one that was whole
        self._last = False  # the client has said that no request follows
        self._in_body = False
        self._head_bytes = 0
        self._deaf = False  # nothing that comes now is looked at
        self._lingering = False
        self._curt = False  # it ends without waiting for the other side
        self._deadline = self._loop.time() + self._bounds.header_seconds_max
        self._put_bytes = 0
        self._taken_bytes = 0  # of those, when the deadline of writing was set
        self._write_deadline = 0.0  # counts while `drained` is set
        self.drained: asyncio.Future[None] | None = None  # set while the client is slow

    # What asyncio calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # A cast, because the transports of uvloop do not derive from asyncio's.
        self._transport = cast(asyncio.Transport, transport)
        self._peer = peer_of(transport.get_extra_info("peername"))
        self._house.joined(self)
        if self._house.closing:
            self.abort()
        elif not self._house.occupancy.enter(self, self._peer):
            self.make_room()

    def data_received(self, data: bytes) -> None:
        if self._deaf:
            return
        between = self._coming is None and not self._last
        if between:
            request = self._heads.request(data, self._peer)
            if request is not None:
                self._let_in(request)
                return
        read = self._feed(data)
        if between and read is not None:
            self._heads.keep(data, read)

    def _feed(self, data: bytes) -> HttpRequest | None:
        """Have the parser read on; the request that ended with this, where nothing was wrong."""
        self._read = None
        body_of = self._coming if self._in_body else None
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError as problem:
            if not self._deaf:
                self._refuse(Refused(code="http", reason=f"not HTTP/1.1: {problem}"))
            return None
        except httptools.HttpParserUpgrade:
            self._refuse(_NO_UPGRADE)
            return None
        coming = self._coming
        if coming is None or self._deaf:
            return None if self._deaf else self._read
        if not self._in_body:
            self._head_bytes += len(data)
            if self._head_bytes > self._bounds.header_bytes_max:
                self._refuse(Refused(code="headers", reason="too long", http_status=431))
        elif coming is body_of:
            coming.wire_bytes += len(data)
            if coming.wire_bytes > 2 * coming.received_bytes + _WASTE_BYTES_MAX:
                self._refuse(Refused(code="http", reason="the body's chunks are too small"))
        return None

    def eof_received(self) -> bool:
        return False

    def pause_writing(self) -> None:
        self.drained = self._loop.create_future()
        self._taken_bytes = self._taken()
        self._write_deadline = self._loop.time() + self._bounds.stalled_write_seconds_max

    def resume_writing(self) -> None:
        drained, self.drained = self.drained, None
        if drained is not None and not drained.done():
            drained.set_result(None)
        if self._answering.request is None and self._waiting:
            self._next()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002  # asyncio's form
        self._deaf = True
        self._coming = None
        self._waiting.clear()
        self._house.occupancy.leave(self)
        self._house.left(self)
        self.resume_writing()
        self._answering.client_gone()

    # What the parser calls.

    def on_message_begin(self) -> None:
        if self._deaf:
            return
        self._coming = HttpRequest(self._peer)
        self._in_body = False
        self._head_bytes = 0
        self._deadline = self._loop.time() + self._bounds.header_seconds_max

    def on_url(self, url: bytes) -> None:
        if self._coming is not None:
            self._coming.target += url

    def on_header(self, name: bytes, value: bytes) -> None:
        request = self._coming
        if request is None:
            return
        if self._in_body:
            self._refuse(Refused(code="http", reason="a body has no trailers here"))
            return
        request.add_header(name, value)
        if request.header_count > self._header_count_max:
            self._refuse(Refused(code="headers", reason="too many headers", http_status=431))

    def on_headers_complete(self) -> None:
        request = self._coming
        if request is None:
            return
        request.method = self._parser.get_method()
        request.close = self._last = not self._parser.should_keep_alive()
        if self._parser.should_upgrade():
            refused: Refused | None = _NO_UPGRADE
        else:
            version = self._parser.get_http_version()
            refused = self._judge(request, version) or self._at_door(request)
        if refused is not None:
            self._refuse(refused)
            return
        self._in_body = True
        self._deadline = self._loop.time() + self._bounds.body_seconds_max
        if b"expect" in request.headers and self._answering.request is None:
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
        if self._waiting and self._waiting_bytes + request.received_bytes > (
            self._bounds.body_bytes_max
        ):
            self._refuse(_TOO_MUCH_AHEAD)

    def on_message_complete(self) -> None:
        request, self._coming = self._coming, None
        if request is None:
            return
        chunks = request.chunks
        request.body = chunks[0] if len(chunks) == 1 else b"".join(chunks)
        request.chunks = []
        self._read = request
        self._take(request)

    # Requests, one after the other.

    def _let_in(self, request: HttpRequest) -> None:
        """A whole request with a head that is known: what is asked of each one is asked."""
        refused = self._at_door(request)
        if refused is None and self._waiting:
            ahead = self._waiting_bytes + len(request.body)
            if ahead > self._bounds.body_bytes_max:
                refused = _TOO_MUCH_AHEAD
        if refused is not None:
            self._coming = request
            self._refuse(refused)
            return
        self._take(request)

    def _at_door(self, request: HttpRequest) -> Refused | None:
        """What is wrong with whoever sends it; else the connection is theirs."""
        refused = self._enter(request)
        caller = request.caller
        if refused is None and caller is not None and caller.grant != self._grant:
            refused = self._house.occupancy.prove(self, caller.grant)
            self._grant = caller.grant if refused is None else ""
        return refused

    def _take(self, request: HttpRequest) -> None:
        self._submit(request)
        if len(self._waiting) > self._bounds.pipelined_max:
            self._refuse(Refused(code="pipelining", reason="too many requests sent ahead"))

    def _refuse(self, refused: Refused) -> None:
        """Answer what was being read with a refusal, and read nothing more."""
        request = self._coming or HttpRequest(self._peer)
        self._coming = None
        self._deaf = True
        request.refused = refused
        request.close = True
        request.chunks = []
        self._submit(request)

    def _submit(self, request: HttpRequest) -> None:
        if self._answering.request is None and self.drained is None:
            self._answering.begin(request, self)
        else:
            self._waiting.append(request)
            self._waiting_bytes += len(request.body)

    def _served(self, request: HttpRequest, reply: HttpReply) -> None:
        if self._transport is None or self._transport.is_closing():
            return
        if not reply.ended:
            self._transport.abort()  # a body that broke off must not look whole
        elif request.close:
            self._close()
        elif self._waiting:
            if self.drained is None:
                self._next()
        elif self._house.closing:
            self._close()
        else:
            self._deadline = self._loop.time() + self._patience()

    def _next(self) -> None:
        request = self._waiting.popleft()
        self._waiting_bytes -= len(request.body)
        self._answering.begin(request, self)

    def _patience(self) -> float:
        """How long the next bytes may take."""
        bounds = self._bounds
        if self._coming is not None:
            return bounds.body_seconds_max
        if self._grant:
            return bounds.idle_seconds_max
        return min(bounds.idle_seconds_max, bounds.header_seconds_max)

    def _close(self) -> None:
        """End the connection so that the last answer arrives even where input lies unread."""
        assert self._transport is not None
        if self._deaf and not self._curt and self._transport.can_write_eof():
            self._lingering = True
            self._deadline = self._loop.time() + self._bounds.linger_seconds_max
            self._transport.write_eof()
        else:
            self._deaf = True
            self._deadline = self._loop.time() + self._bounds.stalled_write_seconds_max
            self._transport.close()

    # For the reply, the listener and those who need the room.

    @property
    def date(self) -> bytes:
        return self._house.date

    def put(self, data: bytes) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._put_bytes += len(data)
            self._transport.write(data)

    def make_room(self) -> None:
        if self._answering.request is None and not self._deaf:
            self._curt = self._house.crowded
            self._refuse(HOUSE_FULL)
        else:
            self.abort()

    def sweep(self, now: float) -> None:
        """End what has waited too long."""
        if self._transport is None:
            return
        if self.drained is not None and now >= self._write_deadline:
            self._look_whether_taken(now)
        elif now < self._deadline:
            return
        elif self._lingering or self._transport.is_closing():
            self._transport.abort()
        elif self._answering.request is not None or self._waiting:
            return
        elif self._coming is not None:
            what = "body" if self._in_body else "headers"
            self._refuse(Refused(code="slow", reason=f"the {what} took too long", http_status=408))
        else:
            self._deaf = True
            self._close()

    def _look_whether_taken(self, now: float) -> None:
        """Give a slow client more time, unless it took next to nothing in what it had."""
        taken = self._taken()
        if taken - self._taken_bytes < _TAKEN_BYTES_MIN:
            self.abort()
            return
        self._taken_bytes = taken
        self._write_deadline = now + self._bounds.stalled_write_seconds_max

    def _taken(self) -> int:
        assert self._transport is not None
        return self._put_bytes - self._transport.get_write_buffer_size()

    def finish(self) -> asyncio.Future[None] | None:
        """Close when nothing is being answered, else say what to wait for."""
        if self._answering.request is not None:
            return self._answering.over()
        if self._transport is not None:
            self._deaf = True
            self._transport.close()
        return None

    def give_up(self) -> None:
        """Answer no further what is being answered."""
        self._answering.give_up()

    def abort(self) -> None:
        if self._transport is not None:
            self._transport.abort()
