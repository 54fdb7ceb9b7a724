"""Requests that the enforcer itself makes of an upstream, by the way that clients' requests go.

Translating between the protocol eras takes requests that no client has sent: to open a session, to
ask a server what it speaks, to hand on the answer to its question. They go through the same
upstream, which writes its answer into a reply of ours instead of a connection, and here that
becomes messages again, one by one.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping
from typing import Final

import msgspec

from toolreeve.proxy.answers import BROKEN_OFF, INTERNAL_ERROR, TIMED_OUT, UNREACHABLE
from toolreeve.proxy.exchange import Exchange, Upstream
from toolreeve.proxy.gate import Caller
from toolreeve.proxy.http_reply import Headers, HttpReply
from toolreeve.proxy.http_request import HttpRequest
from toolreeve.proxy.mcp_headers import SESSION_HEADER, VERSION_HEADER, Era
from toolreeve.proxy.message import Message, read
from toolreeve.proxy.seen import Flight, Seen, finding, look
from toolreeve.proxy.sessions import Session
from toolreeve.proxy.sse import SseParser

MESSAGE_BYTES_MAX: Final = 16 * 1024 * 1024  # of an answer that is translated
_WAITING_MAX: Final = 256
_OF_ERA: Final = (b"mcp-", b"last-event-id")
_OF_SENDER: Final = frozenset({b"authorization", b"cookie"})
_MEDIA: Final = {
    b"content-type": b"application/json",
    b"accept": b"application/json, text/event-stream",
}


class Said(msgspec.Struct, frozen=True):
    """One message of an upstream's."""

    raw: bytes
    seen: Seen

    @property
    def error_code(self) -> int | None:
        """Of an answer that is an error."""
        if not isinstance(self.seen.error, msgspec.Raw):
            return None
        return _code(self.seen.error)


class OwnReply(HttpReply):
    """Takes an answer as a connection would, and gives out its messages."""

    __slots__ = ("_messages", "_parser", "_room", "_whole", "headers", "status")

    def __init__(self) -> None:  # no connection stands behind it
        self.started = False
        self.ended = False
        self.status = 0
        self.headers: dict[bytes, bytes] = {}
        self._parser = SseParser(MESSAGE_BYTES_MAX)
        self._whole: bytearray | None = None  # a body that is no stream of events
        self._messages: asyncio.Queue[Said | None] = asyncio.Queue()
        self._room = asyncio.Event()

    def send(self, status: int, headers: Headers, body: bytes = b"") -> None:
        self._begin(status, headers)
        self.ended = True
        self._put(body)

    def start(self, status: int, headers: Headers, length: int | None = None) -> None:
        del length  # what is written is counted as it comes
        self._begin(status, headers)
        if not self.headers.get(b"content-type", b"").startswith(b"text/event-stream"):
            self._whole = bytearray()

    def insert(self, data: bytes) -> None:
        """Take in an event that nobody waits to have written."""
        for event in self._parser.feed(data):
            self._put(event.data or b"")

    async def write(self, data: bytes) -> None:
        if self._whole is not None:
            self._whole += data
            if len(self._whole) > MESSAGE_BYTES_MAX:
                self._whole.clear()
                raise TooLongError
            return
        for event in self._parser.feed(data):
            if event.partial:
                raise TooLongError
            self._put(event.data or b"")
        while self._messages.qsize() > _WAITING_MAX:
            self._room.clear()
            await self._room.wait()

    def end(self) -> None:
        self.ended = True
        if self._whole is not None:
            self._put(bytes(self._whole))

    def _begin(self, status: int, headers: Headers) -> None:
        self.started = True
        self.status = status
        self.headers = {name.lower(): value for name, value in headers}

    def _put(self, message: bytes) -> None:
        seen = look(message) if message else None
        if seen is not None:
            self._messages.put_nowait(Said(message, seen))

    def add(self, said: Said) -> None:
        """Put in a message that came another way and belongs to this answer."""
        self._messages.put_nowait(said)

    def over(self) -> None:
        """No more messages will come."""
        self._messages.put_nowait(None)

    async def next(self) -> Said | None:
        """The next message; None when there will be none."""
        said = await self._messages.get()
        self._room.set()
        return said

    async def messages(self) -> AsyncIterator[Said]:
        while (said := await self.next()) is not None:
            yield said


class TooLongError(Exception):
    """A message of an upstream's is too long to be translated."""


class OwnRequest:
    """One request of ours. `reply` fills while `run` runs."""

    def __init__(
        self,
        inner: Upstream,
        like: Mapping[bytes, bytes],
        caller: Caller,
        era: Era,
        *,
        version: str,
        message: Message | None = None,
        session_id: str | None = None,
        headers: Mapping[bytes, bytes] | None = None,
    ) -> None:
        """`like` are the headers of the client's request that it is made for."""
        self.reply = OwnReply()
        request = HttpRequest()
        request.headers = {
            **plain_headers(like),
            **_MEDIA,
            VERSION_HEADER: version.encode(),
            **(headers or {}),
        }
        session: Session | None = None
        if session_id is not None:
            request.headers[SESSION_HEADER] = session_id.encode()
            session = inner.session(session_id, caller)
        if message is not None:
            request.body = message.raw
        self._inner = inner
        self._exchange = Exchange(
            request, self.reply, caller, era, message=message, session=session
        )

    async def run(self) -> None:
        """Send it, and take the answer in until it is over."""
        exchange = self._exchange
        try:
            if exchange.message is None:
                await self._inner.get(exchange)
            else:
                if exchange.session is not None and exchange.asks:
                    exchange.session.begin(exchange.key)
                await self._inner.post(exchange)
        except TooLongError:
            if not self.reply.started:
                exchange.fail(502, INTERNAL_ERROR, "the answer is too long to be translated")
        finally:
            exchange.settle()
            self.reply.over()

    async def end_session(self) -> None:
        await self._inner.delete(self._exchange)

    async def answer(self, seconds: float) -> Said | None:
        """Send it and wait for its answer alone; what comes before it is not wanted."""
        try:
            async with asyncio.timeout(seconds), asyncio.TaskGroup() as tasks:
                sending = tasks.create_task(self.run(), name="own request")
                async for said in self.reply.messages():
                    if said.seen.is_response:
                        sending.cancel()
                        return said
        except TimeoutError:
            pass
        return None


def plain_headers(headers: Mapping[bytes, bytes]) -> dict[bytes, bytes]:
    """Without what belongs to one request or to its sender alone."""
    return {
        name: value
        for name, value in headers.items()
        if name not in _OF_SENDER and not name.startswith(_OF_ERA)
    }


def own_message(value: Mapping[str, object]) -> Message:
    """A message that we have written ourselves."""
    message = read(msgspec.json.encode(value))
    assert isinstance(message, Message), "we write plain messages"
    return message


def end_flight(flight: Flight, said: Said | None) -> None:
    """Tell how a call ended by what answered it; None where nothing did."""
    if said is None:
        flight.end("unknown", detail="no answer")
        return
    match said.error_code:
        case code if code == UNREACHABLE:
            flight.end("not_sent", detail="the upstream could not be reached")
        case code if code == TIMED_OUT:
            flight.end("timeout", detail="no answer in time")
        case code if code == BROKEN_OFF:
            flight.end("unknown", detail="the upstream broke off")
        case _:
            flight.answered(finding(said.seen), len(said.raw))


class _Error(msgspec.Struct):
    code: object = None


def _code(raw: msgspec.Raw) -> int | None:
    try:
        code = msgspec.json.decode(raw, type=_Error).code
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return None
    return code if isinstance(code, int) and not isinstance(code, bool) else None
