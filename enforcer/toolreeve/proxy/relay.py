"""An upstream that speaks Streamable HTTP: what was let through goes to it, its answer comes back.

Bodies are passed on as they are. A call's answer is looked at just far enough to say how the call
ended, and the outcome is told before the client hears it; a list of tools is filtered on the way.
An answer longer than `inspect_bytes_max` streams through unread, except where it would be a list,
which is then not shown.
"""

import ssl
from collections.abc import Mapping
from typing import Final

import msgspec
import structlog

from toolreeve.proxy.answers import (
    INTERNAL_ERROR,
    UNREACHABLE,
    error_answer,
)
from toolreeve.proxy.exchange import Exchange
from toolreeve.proxy.gate import Caller, Gate
from toolreeve.proxy.http_client import (
    HttpResponse,
    UpstreamAddress,
    UpstreamBounds,
    UpstreamError,
)
from toolreeve.proxy.http_pool import HttpPool
from toolreeve.proxy.listing import filter_listing
from toolreeve.proxy.mcp_headers import SESSION_HEADER, Era, ParamHeaders
from toolreeve.proxy.message import INITIALIZE, SUBSCRIBE
from toolreeve.proxy.relay_faults import answer_in_stream, broken_off, park, unreached
from toolreeve.proxy.relay_headers import returned, sent_on
from toolreeve.proxy.seen import Flight, Seen, look
from toolreeve.proxy.sessions import Session, Sessions
from toolreeve.proxy.sse import SseEvent, SseParser
from toolreeve.proxy.strictjson import Refused

log = structlog.get_logger()

INSPECT_BYTES_MAX: Final = 1024 * 1024
LISTING_BYTES_MAX: Final = 16 * 1024 * 1024
_STREAM: Final = b"text/event-stream"


class HttpUpstream:
    """One upstream over HTTP. `close` it in the end."""

    def __init__(
        self,
        server: str,
        url: str,
        gate: Gate,
        *,
        headers: Mapping[str, str] | None = None,
        bounds: UpstreamBounds | None = None,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._server = server
        self._gate = gate
        self._pool = HttpPool(UpstreamAddress.parse(url, headers), bounds, tls)
        self._sessions = Sessions()
        self.params = ParamHeaders()

    def session(self, session_id: str, caller: Caller) -> Session | None:
        return self._sessions.find_or_adopt(session_id, caller)

    async def close(self) -> None:
        self._sessions.close()
        await self._pool.close()

    async def post(self, exchange: Exchange) -> None:
        message = exchange.message
        assert message is not None
        try:
            response = await self._pool.request(
                b"POST",
                sent_on(exchange.request, exchange.era),
                message.raw,
                repeatable=not message.is_call,
                events=message.method == SUBSCRIBE,
            )
        except UpstreamError as problem:
            unreached(exchange, problem)
            return
        await self._relay(exchange, response)

    async def get(self, exchange: Exchange) -> None:
        try:
            response = await self._pool.request(
                b"GET", sent_on(exchange.request, exchange.era), repeatable=True, events=True
            )
        except UpstreamError as problem:
            unreached(exchange, problem)
            return
        await self._relay(exchange, response)

    async def delete(self, exchange: Exchange) -> None:
        try:
            response = await self._pool.request(
                b"DELETE", sent_on(exchange.request, exchange.era), repeatable=True
            )
        except UpstreamError as problem:
            unreached(exchange, problem)
            return
        if response.status < 300 and exchange.session is not None:
            self._sessions.drop(exchange.session.session_id, "session ended")
        await self._relay(exchange, response)

    async def _relay(self, exchange: Exchange, response: HttpResponse) -> None:
        try:
            unusable = _unusable(response)
            if unusable is not None:
                if exchange.flight is not None:
                    told_off = response.status in (401, 403)
                    exchange.flight.end(
                        "rpc_error" if told_off else "unknown",
                        detail=f"HTTP {response.status}: {unusable}",
                    )
                exchange.fail(502, UNREACHABLE, unusable)
                return
            self._note_session(exchange, response)
            media = response.headers.get(b"content-type", b"").partition(b";")[0].strip().lower()
            if media == _STREAM and response.status == 200:
                await self._stream(exchange, response)
            else:
                await self._body(exchange, response, json=media == b"application/json")
        except UpstreamError as problem:
            broken_off(exchange, problem)
        finally:
            response.release()

    def _note_session(self, exchange: Exchange, response: HttpResponse) -> None:
        message = exchange.message
        given = response.headers.get(SESSION_HEADER)
        if (
            given
            and message is not None
            and message.method == INITIALIZE
            and response.status < 300
            and exchange.era is Era.SESSION
        ):
            self._sessions.open(given.decode("latin-1"), exchange.caller)

    # An answer with one body.

    async def _body(self, exchange: Exchange, response: HttpResponse, *, json: bool) -> None:
        bytes_max = LISTING_BYTES_MAX if exchange.lists_tools else INSPECT_BYTES_MAX
        body = await response.whole(bytes_max)
        headers = returned(response.headers, exchange.era)
        if body is None:
            if exchange.lists_tools:
                exchange.fail(502, INTERNAL_ERROR, "the list of tools is too long to be read")
            else:
                await self._unread(exchange, response)
            return
        if exchange.asks:
            if exchange.lists_tools and (response.status < 300 or _may_list(body)):
                shown = self._shown(exchange, body)
                if isinstance(shown, Refused):
                    exchange.fail(502, shown.rpc_code, shown.reason)
                    return
                body = shown
            if exchange.flight is not None:
                _judge(exchange.flight, response, body, json=json)
                body = exchange.flight.told(body)
        exchange.reply.send(response.status, headers, body)

    async def _unread(self, exchange: Exchange, response: HttpResponse) -> None:
        """Pass a long body on, one piece behind: the outcome is told before the last one."""
        reply = exchange.reply
        length = response.headers.get(b"content-length")
        reply.start(
            response.status,
            returned(response.headers, exchange.era),
            int(length) if length is not None else None,
        )
        total = 0
        last = b""
        async for part in response.parts():
            await reply.write(last)
            total += len(part)
            last = part
        if exchange.flight is not None:
            exchange.flight.end("success", response_bytes=total, detail="not inspected")
        await reply.write(last)
        reply.end()

    # An answer that is a stream of events.

    async def _stream(self, exchange: Exchange, response: HttpResponse) -> None:
        reply = exchange.reply
        reply.start(200, returned(response.headers, exchange.era))
        may_list = exchange.lists_tools or exchange.message is None
        parser = SseParser(LISTING_BYTES_MAX if may_list else INSPECT_BYTES_MAX)
        resumable = False
        problem: UpstreamError | None = None
        try:
            async for part in response.parts():
                events = parser.feed(part)
                resumable = resumable or any(event.has_id for event in events)
                passed = [self._event(exchange, event) for event in events]
                await reply.write(b"".join(passed))
        except UpstreamError as broken:
            problem = broken
        except BaseException:
            park(exchange, "client gone", resumable=resumable)
            raise
        if exchange.asks and not exchange.answered:
            detail = "the stream ended without an answer" if problem is None else problem.detail
            if not park(exchange, detail, resumable=resumable):
                await answer_in_stream(exchange, detail, problem)
                return
        if problem is not None:
            raise problem
        reply.end()

    def _event(self, exchange: Exchange, event: SseEvent) -> bytes:
        """What the client gets of one event; empty where it gets nothing."""
        if event.partial:
            return self._piece(exchange, event)
        if not event.data:
            return event.raw
        seen = look(event.data)
        if seen is None:
            log.warning("upstream.unreadable", server=self._server, size=len(event.data))
            return b""
        if not seen.is_response:
            return event.raw
        return self._response_event(exchange, event, event.data, seen)

    def _piece(self, exchange: Exchange, event: SseEvent) -> bytes:
        """A piece of an event too long to be looked at: passed on where it can be no list."""
        if exchange.message is None or exchange.lists_tools:
            if event.last:
                log.warning("upstream.too_long", server=self._server)
            return b""
        if event.last and exchange.flight is not None:
            exchange.answered = True
            exchange.flight.end("success", detail="not inspected")
        return event.raw

    def _response_event(
        self, exchange: Exchange, event: SseEvent, data: bytes, seen: Seen
    ) -> bytes:
        key = seen.key
        mine = exchange.asks and (key == exchange.key or key is None)
        session = exchange.session
        flight = exchange.flight if mine else None
        if not mine and session is not None and key is not None:
            flight = session.flights.get(key)
        if not mine and exchange.asks and flight is None:
            log.warning("upstream.stray_answer", server=self._server)
            return b""
        raw = event.raw
        # On a stream that is not its own request's, a list is known by its look alone.
        if exchange.lists_tools if mine else seen.holds_tools:
            shown = self._shown(exchange, data)
            if isinstance(shown, Refused):
                id_json = msgspec.json.encode(seen.id).decode()
                shown = error_answer(id_json, shown.rpc_code, shown.reason)
            raw = event.with_data(shown).raw
        exchange.answered = exchange.answered or mine
        if flight is not None:
            flight.answered(seen, len(data))
            told = flight.told(data)
            raw = raw if told is data else event.with_data(told).raw
        if not mine and session is not None and key is not None:
            session.end(key)
        return raw

    def _shown(self, exchange: Exchange, raw: bytes) -> bytes | Refused:
        listing = filter_listing(
            raw,
            lambda tools: self._gate.visible(self._server, exchange.caller, tools),
            stateless=exchange.era is Era.STATELESS,
        )
        if isinstance(listing, Refused):
            log.warning("tool_list.unreadable", server=self._server, reason=listing.reason)
            return Refused(
                code="tool_list",
                reason=f"the upstream's list of tools cannot be shown: {listing.reason}",
                rpc_code=INTERNAL_ERROR,
            )
        self.params.learn(listing.tools)
        return listing.raw


def _may_list(body: bytes) -> bool:
    seen = look(body)
    return seen is not None and seen.holds_tools


def _unusable(response: HttpResponse) -> str | None:
    """Why an answer is not for the client: it would lead it past us, or cannot be looked into."""
    if 300 <= response.status < 400:
        return "the upstream answered with a redirect, which is not followed"
    if response.status in (401, 403):
        return "the upstream did not accept this enforcer's credentials"
    encoding = response.headers.get(b"content-encoding", b"identity")
    if encoding.lower() not in (b"identity", b""):
        return "the upstream compressed its answer though it was asked not to"
    return None


def _judge(flight: Flight, response: HttpResponse, body: bytes, *, json: bool) -> None:
    seen = look(body) if json else None
    if seen is not None and seen.is_response:
        flight.answered(seen, len(body))
    elif response.status >= 400:
        flight.end("rpc_error", response_bytes=len(body), detail=f"HTTP {response.status}")
    else:
        detail = f"HTTP {response.status} without an answer"
        flight.end("unknown", response_bytes=len(body), detail=detail)
