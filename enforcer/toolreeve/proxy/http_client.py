"""The HTTP client towards upstreams: one connection, one request on it, one response.

It follows no redirect, asks for no compression and sends exactly the headers it is given. A
response is at hand as soon as its head is; its body is taken whole when it is small, or piece by
piece, and the upstream is read no faster than the client takes it. A response that is released
before it is complete takes its connection with it, which is what tells the upstream that nobody
waits any more.
"""

import asyncio
import collections
import sys
from collections.abc import AsyncIterator, Callable
from typing import Final, Protocol, cast

import httptools
import msgspec

from toolreeve.proxy.known_heads import KnownAnswer, KnownAnswers
from toolreeve.proxy.pace import PaceBounds

_LOW_WATER: Final = 64 * 1024
NEVER: Final = float("inf")
_VERSIONS: Final = ("1.0", "1.1")


class UpstreamBounds(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How long and how much one upstream may take.

    `idle_seconds_max` is how long a connection is kept without use; it stays below the five
    seconds after which common servers close theirs. `silence_seconds_max` counts while a body is
    being read; streams that wait for events have none. `whole_seconds_max` is for an answer that is
    taken whole, however steadily it drips; `answer_seconds_max` for any answer that is no endless
    stream, and `answer_bytes_max` for one body, or one event.
    """

    connect_seconds_max: float = 5.0
    head_seconds_max: float = 300.0
    silence_seconds_max: float = 300.0
    whole_seconds_max: float = 300.0
    answer_seconds_max: float = 3600.0
    idle_seconds_max: float = 4.0
    connections_max: int = 1024
    wait_seconds_max: float = 10.0
    header_bytes_max: int = 64 * 1024
    answer_bytes_max: int = 256 * 1024 * 1024
    pace: PaceBounds = PaceBounds()


class UpstreamError(Exception):
    """The upstream did not answer. `sent` says whether it may have seen the request."""

    def __init__(self, detail: str, *, sent: bool, timed_out: bool = False) -> None:
        super().__init__(detail)
        self.detail = detail
        self.sent = sent
        self.timed_out = timed_out


class HttpResponse:
    """An upstream's answer. Whoever holds it calls `release` in the end, whatever happens."""

    def __init__(self, connection: "UpstreamConnection") -> None:
        self._connection = connection
        self._chunks: collections.deque[bytes] = collections.deque()
        self._buffered = 0
        self._high_water = _LOW_WATER
        self._waiter: asyncio.Future[None] | None = None
        self.status = 0
        self.headers: dict[bytes, bytes] = {}  # names in lower case; the first of equal ones
        self.known: KnownAnswer | None = None  # where its head was known
        self.head_complete = False
        self.complete = False
        self.error: UpstreamError | None = None
        self.news: Callable[[], None] | None = None
        """Called when the head is there, again with all that follows, and when it breaks off."""

    async def whole(self, bytes_max: int) -> bytes | None:
        """The body if it has at most `bytes_max` bytes; None leaves it to be read in `parts`.

        Raises UpstreamError when the body breaks off.
        """
        if int(self.headers.get(b"content-length", b"0")) > bytes_max:
            return None
        self._high_water = max(bytes_max + 1, _LOW_WATER)
        if not self.complete and self._buffered <= bytes_max:
            self._connection.read_on()  # the head may have come with more than a little body
            await self._until_whole(bytes_max)
        return self._take() if self._buffered <= bytes_max else None

    async def _until_whole(self, bytes_max: int) -> None:
        try:
            async with asyncio.timeout(self._connection.bounds.whole_seconds_max):
                while not self.complete and self._buffered <= bytes_max:
                    await self._changed()
        except TimeoutError:
            detail = "the upstream did not answer to the end in time"
            raise UpstreamError(detail, sent=True, timed_out=True) from None

    async def parts(self) -> AsyncIterator[bytes]:
        """The body as it comes.

        Raises UpstreamError when it breaks off or, where it is no stream of events, is longer than
        an answer may be.
        """
        self._high_water = _LOW_WATER
        bytes_max = self.bounds.answer_bytes_max
        if self.is_stream:
            bytes_max = sys.maxsize
        elif int(self.headers.get(b"content-length", b"0")) > bytes_max:
            raise too_long(bytes_max)
        total = 0
        while True:
            while not self._chunks and not self.complete:
                await self._changed()
            if not self._chunks:
                return
            part = self._chunks.popleft()
            self._buffered -= len(part)
            total += len(part)
            if total > bytes_max:
                raise too_long(bytes_max)
            if self._buffered <= _LOW_WATER:
                self._connection.read_on()
            yield part

    @property
    def bounds(self) -> UpstreamBounds:
        return self._connection.bounds

    @property
    def is_stream(self) -> bool:
        """Whether its body is a stream of events."""
        kind = self.headers.get(b"content-type", b"").partition(b";")[0]
        return kind.strip().lower() == b"text/event-stream"

    @property
    def at_end(self) -> bool:
        """Nothing is left to be read."""
        return self.complete and not self._chunks

    def release(self) -> None:
        """Give the connection back if the response is complete, else close it."""
        self._connection.released(self)

    def whole_already(self, bytes_max: int) -> bytes | None:
        """The body of a complete response, as `whole` gives it."""
        assert self.complete
        return self._take() if self._buffered <= bytes_max else None

    def _take(self) -> bytes:
        body = self._chunks[0] if len(self._chunks) == 1 else b"".join(self._chunks)
        self._chunks.clear()
        self._buffered = 0
        return body

    async def head(self) -> None:
        while not self.head_complete:
            await self._changed()

    async def _changed(self) -> None:
        if self.error is not None:
            raise self.error
        self._waiter = asyncio.get_running_loop().create_future()
        await self._waiter
        if self.error is not None:
            raise self.error

    # For the connection.

    def is_known(self, known: KnownAnswer, body: bytes) -> None:
        """All of it is here, and its head is known."""
        self.known = known
        self.status = known.status
        self.headers = known.headers
        if body:
            self._chunks.append(body)
            self._buffered = len(body)
        self.head_complete = self.complete = True
        self.wake()
        self.tell()

    def received(self, data: bytes) -> None:
        self._chunks.append(data)
        self._buffered += len(data)
        if self._buffered > self._high_water:
            self._connection.read_no_further()
        self.wake()

    def failed(self, error: UpstreamError) -> None:
        if not self.complete and self.error is None:
            self.error = error
            self.wake()
            self.tell()

    def wake(self) -> None:
        waiter = self._waiter
        if waiter is not None and not waiter.done():
            waiter.set_result(None)

    def tell(self) -> None:
        if self.news is not None:
            self.news()


def too_long(bytes_max: int) -> UpstreamError:
    return UpstreamError(f"the upstream's answer is longer than {bytes_max} bytes", sent=True)


class Keeper(Protocol):
    """Keeps connections while nobody uses them."""

    @property
    def bounds(self) -> UpstreamBounds: ...

    @property
    def answers(self) -> KnownAnswers: ...

    def given_back(self, connection: "UpstreamConnection") -> None: ...

    def lost(self, connection: "UpstreamConnection") -> None: ...


class UpstreamConnection(asyncio.Protocol):
    """One connection, with at most one request on it."""

    def __init__(self, pool: Keeper) -> None:
        self._pool = pool
        self.bounds = pool.bounds
        self._loop = asyncio.get_running_loop()
        self._parser = httptools.HttpResponseParser(self)
        self._transport: asyncio.Transport | None = None
        self._response: HttpResponse | None = None
        self._header_bytes = 0
        self._keep = True
        self._paused = False
        self._silence_seconds_max = NEVER
        self.deadline = NEVER
        self._last_deadline = NEVER  # of the whole answer, however much is heard meanwhile
        self.used = False
        self.heard = False  # something of the present answer has come

    @property
    def open(self) -> bool:
        return self._transport is not None and not self._transport.is_closing()

    def send(self, request: bytes, head_seconds: float, silence_seconds: float) -> HttpResponse:
        assert self._transport is not None
        self._response = HttpResponse(self)
        self._header_bytes = 0
        self.heard = False
        now = self._loop.time()
        self.deadline = now + head_seconds
        endless = silence_seconds == NEVER
        self._last_deadline = NEVER if endless else now + self.bounds.answer_seconds_max
        self._silence_seconds_max = silence_seconds
        self._transport.write(request)
        return self._response

    def released(self, response: HttpResponse) -> None:
        if self._response is not response:
            return
        self._response = None
        self._last_deadline = NEVER
        if response.complete and self._keep and self.open:
            self.read_on()
            self.used = True
            self.deadline = self._loop.time() + self.bounds.idle_seconds_max
            self._pool.given_back(self)
        else:
            self.close()

    def close(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    def read_on(self) -> None:
        if self._paused and self._transport is not None and self.open:
            self._paused = False
            self.deadline = self._loop.time() + self._silence_seconds_max
            self._transport.resume_reading()

    def read_no_further(self) -> None:
        if not self._paused and self._transport is not None and self.open:
            self._paused = True
            self.deadline = NEVER
            self._transport.pause_reading()

    def sweep(self, now: float) -> None:
        if now < self.deadline and now < self._last_deadline:
            return
        if self._response is not None:
            what = "while answering" if self.heard else "in time"
            self._response.failed(
                UpstreamError(f"the upstream did not answer {what}", sent=True, timed_out=True)
            )
        self.close()

    # What asyncio calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # A cast, because the transports of uvloop do not derive from asyncio's.
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        response = self._response
        if response is None or response.complete:
            self.close()  # nobody asked
            return
        self.heard = True
        begins = not self._header_bytes
        if begins and (found := self._pool.answers.find(data)) is not None:
            self._keep = True
            self.deadline = NEVER
            response.is_known(*found)
            return
        if not response.head_complete:
            self._header_bytes += len(data)
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as problem:
            self._keep = False
            if not response.complete:
                response.failed(UpstreamError(f"not an HTTP answer: {problem}", sent=True))
                self.close()
            return
        if not response.head_complete and self._header_bytes > self.bounds.header_bytes_max:
            response.failed(UpstreamError("the answer's headers are too long", sent=True))
            self.close()
            return
        if response.head_complete:
            self._went_on(response, data, begins=begins)

    def _went_on(self, response: HttpResponse, data: bytes, *, begins: bool) -> None:
        if response.complete:
            if begins and self._keep and self.open:
                self._pool.answers.keep(data, response)
        elif not self._paused:
            self.deadline = self._loop.time() + self._silence_seconds_max
        response.tell()

    def connection_lost(self, exc: Exception | None) -> None:
        self.deadline = NEVER
        self._pool.lost(self)
        response = self._response
        if response is None or response.complete:
            return
        ends_with_connection = (
            exc is None
            and response.head_complete
            and b"content-length" not in response.headers
            and b"transfer-encoding" not in response.headers
        )
        if ends_with_connection:
            self._keep = False
            response.complete = True
            response.wake()
            response.tell()
        else:
            response.failed(UpstreamError("the upstream closed the connection", sent=True))

    # What the parser calls.

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._response is not None and not self._response.head_complete:
            self._response.headers.setdefault(name.lower(), value.strip(b" \t"))

    def on_headers_complete(self) -> None:
        response = self._response
        if response is None or response.head_complete:
            self._keep = False  # one answer more than there were requests
            return
        status = self._parser.get_status_code()
        if status < 200:
            response.headers.clear()
            return
        coding = response.headers.get(b"transfer-encoding", b"chunked")
        if coding.lower() != b"chunked" or self._parser.get_http_version() not in _VERSIONS:
            response.failed(UpstreamError("not HTTP/1.1 as it is spoken here", sent=True))
            self.close()
            return
        response.status = status
        response.head_complete = True
        self._keep = self._parser.should_keep_alive()
        response.wake()

    def on_body(self, body: bytes) -> None:
        response = self._response
        if body and response is not None and response.head_complete and not response.complete:
            response.received(body)

    def on_message_complete(self) -> None:
        response = self._response
        if response is not None and response.head_complete:
            response.complete = True
            self.deadline = NEVER
            response.wake()
