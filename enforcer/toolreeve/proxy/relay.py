"""An upstream that speaks Streamable HTTP: what was let through goes to it, its answer comes back.

Bodies are passed on as they are. A call's answer is looked at just far enough to say how the call
ended, and the outcome is told before the client hears it; a list of tools is filtered on the way.
An answer longer than `INSPECT_BYTES_MAX` streams through, followed but not held, except where it
would be a list, which is then not shown.
"""

import ssl
from collections.abc import Mapping, Sequence
from typing import Final

import structlog

from toolreeve.proxy.announcing import acknowledgement, asks_for_tools, tools_changed
from toolreeve.proxy.answers import INTERNAL_ERROR, UNREACHABLE
from toolreeve.proxy.exchange import Exchange, Route
from toolreeve.proxy.gate import Caller, Gate, Outcome
from toolreeve.proxy.http_client import (
    HttpResponse,
    UpstreamBounds,
    UpstreamError,
)
from toolreeve.proxy.http_pool import HttpPool
from toolreeve.proxy.long_answer import LongAnswer
from toolreeve.proxy.mcp_headers import SESSION_HEADER, Era, ParamHeaders
from toolreeve.proxy.message import CANCELLED, INITIALIZE, SUBSCRIBE
from toolreeve.proxy.own_answers import say, tell, unreachable
from toolreeve.proxy.own_stream import keep_stream
from toolreeve.proxy.relay_answer import Judged, judge, refuses_method
from toolreeve.proxy.relay_faults import broke_off, unreached
from toolreeve.proxy.relay_headers import answering_back, returned, sent_on
from toolreeve.proxy.relay_stream import HELD_BYTES_MAX, INSPECT_BYTES_MAX, EventStream
from toolreeve.proxy.screen import Screen
from toolreeve.proxy.sessions import SESSION_ID_MAX, Session, Sessions
from toolreeve.proxy.sse import message_event
from toolreeve.proxy.upstream_address import UpstreamAddress

log = structlog.get_logger()

_JSON: Final = b"application/json"
_STREAM: Final = b"text/event-stream"
_NO_STREAM_HERE: Final = 405
_BACK_BYTES_MAX: Final = 64 * 1024


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
        self._screen = Screen(server, gate)
        self._pool = HttpPool(UpstreamAddress.parse(url, headers), bounds, tls)
        self._sessions = Sessions()
        self._of_sessions, self._of_stateless = (self, False), (self, True)

    @property
    def params(self) -> ParamHeaders:
        return self._screen.params

    def session(self, session_id: str, caller: Caller) -> Session | None:
        return self._sessions.find_or_adopt(session_id, caller)

    def route(self, exchange: Exchange) -> Route:  # noqa: ARG002  (others look at it)
        return self

    async def close(self) -> None:
        self._sessions.close()
        await self._pool.close()

    async def post(self, exchange: Exchange) -> None:
        message = exchange.message
        assert message is not None
        if message.method == CANCELLED and exchange.session is not None:
            exchange.session.cancel(str(message.params.get("requestId")))
        exchange.changes_seen = self._screen.audience.changes
        response = await self._ask(
            exchange,
            b"POST",
            message.raw,
            repeatable=not message.is_call,
            events=message.method == SUBSCRIBE,
        )
        if response is not None:
            await self._relay(exchange, response)

    # A call that is sent and answered without a task.

    def send(self, exchange: Exchange) -> HttpResponse | None:
        request, message = exchange.request, exchange.message
        assert message is not None
        exchange.changes_seen = self._screen.audience.changes
        era = exchange.era
        by = self._of_stateless if era is Era.STATELESS else self._of_sessions
        head = request.onward.get(by)
        if head is None:
            head = request.onward[by] = self._pool.head(b"POST", sent_on(request, era))
        return self._pool.send(head, message.raw)

    def answer(self, exchange: Exchange, response: HttpResponse) -> bool:
        headers = response.headers
        if (
            response.status != 200
            or headers.get(b"content-type") != _JSON
            or b"content-encoding" in headers
        ):
            return False
        body = response.whole_already(INSPECT_BYTES_MAX)
        if body is None:
            return False
        judged = judge(self._screen, exchange, 200, body, json=True)
        response.release()
        if judged.withheld:
            exchange.fail(502, judged.rpc_code, judged.withheld)
        else:
            exchange.reply.send_written(_written_back(response, exchange.era), judged.body)
        return True

    async def go_on(self, exchange: Exchange, response: HttpResponse) -> None:
        try:
            await response.head()
        except UpstreamError as problem:
            response.release()
            await unreached(self._screen, exchange, problem)
            return
        except BaseException:
            response.release()
            raise
        await self._relay(exchange, response)

    async def get(self, exchange: Exchange) -> None:
        response = await self._ask(exchange, b"GET", repeatable=True, events=True)
        if response is None:
            return
        if response.status != _NO_STREAM_HERE:
            await self._relay(exchange, response)
            return
        response.release()
        await keep_stream(self._screen, exchange, tools_changed())

    async def delete(self, exchange: Exchange) -> None:
        response = await self._ask(exchange, b"DELETE", repeatable=True)
        if response is None:
            return
        if response.status < 300 and exchange.session is not None:
            session = self._sessions.drop(exchange.session.session_id, "session ended")
            if session is not None:
                self._screen.audience.ended(session)
        await self._relay(exchange, response)

    async def _ask(
        self,
        exchange: Exchange,
        method: bytes,
        body: bytes | None = None,
        *,
        repeatable: bool,
        events: bool = False,
    ) -> HttpResponse | None:
        """The upstream's answer, as soon as its head is here; None when the client has ours."""
        headers = sent_on(exchange.request, exchange.era)
        try:
            return await self._pool.request(
                method, headers, body, repeatable=repeatable, events=events
            )
        except UpstreamError as problem:
            await unreached(self._screen, exchange, problem)
            return None

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
                await say(self._screen, exchange, unreachable(unusable))
                return
            self._note_session(exchange, response)
            media = response.headers.get(b"content-type", b"").partition(b";")[0].strip().lower()
            if media == _STREAM and response.status == 200:
                await self._stream(exchange, response)
            else:
                await self._body(exchange, response, json=media == b"application/json")
        except UpstreamError as problem:
            await broke_off(self._screen, exchange, problem)
        finally:
            response.release()

    def _note_session(self, exchange: Exchange, response: HttpResponse) -> None:
        message = exchange.message
        given = response.headers.get(SESSION_HEADER)
        if (
            given
            and len(given) <= SESSION_ID_MAX
            and message is not None
            and message.method == INITIALIZE
            and response.status < 300
            and exchange.era is Era.SESSION
        ):
            exchange.session = self._sessions.open(
                given.decode("latin-1"), exchange.caller, self._screen.audience.changes
            )

    async def _stream(self, exchange: Exchange, response: HttpResponse) -> None:
        async def answer_back(error: bytes) -> None:
            await self._answer_back(exchange, error)

        stream = EventStream(self._screen, exchange, answer_back, exchange.changes_seen)
        await stream.relay(response)

    async def _answer_back(self, exchange: Exchange, error: bytes) -> None:
        """Tell the upstream that the client will not be asked."""
        try:
            response = await self._pool.request(
                b"POST", answering_back(exchange.request, exchange.era), error
            )
            try:
                await response.whole(_BACK_BYTES_MAX)
            finally:
                response.release()
        except UpstreamError as problem:
            log.warning("upstream.not_answered", server=self._screen.server, reason=problem.detail)

    # An answer with one body.

    async def _body(self, exchange: Exchange, response: HttpResponse, *, json: bool) -> None:
        body = await response.whole(HELD_BYTES_MAX if exchange.lists_tools else INSPECT_BYTES_MAX)
        headers = returned(response.headers, exchange.era)
        if body is None:
            await self._long_body(exchange, response, headers, json=json)
            return
        message = exchange.message
        if message is None or not exchange.asks:
            exchange.reply.send(response.status, headers, body)
        elif asks_for_tools(message) and refuses_method(body):
            response.release()
            begins = message_event(acknowledgement(message.id_json))
            announcement = tools_changed(message.id_json)
            await keep_stream(self._screen, exchange, announcement, begins=begins)
        else:
            judged = judge(self._screen, exchange, response.status, body, json=json)
            await self._answer(exchange, response.status, headers, judged)

    async def _answer(
        self,
        exchange: Exchange,
        status: int,
        headers: Sequence[tuple[bytes, bytes]],
        judged: Judged,
    ) -> None:
        if judged.withheld:
            await tell(exchange, 502, judged.rpc_code, judged.withheld)
        else:
            exchange.reply.send(status, headers, judged.body)

    async def _long_body(
        self,
        exchange: Exchange,
        response: HttpResponse,
        headers: Sequence[tuple[bytes, bytes]],
        *,
        json: bool,
    ) -> None:
        screen = self._screen
        if exchange.lists_tools:
            reason = "the upstream's list of tools is too long to be read"
            screen.withhold("tool_list", reason, HELD_BYTES_MAX, exchange.caller)
            await tell(exchange, 502, INTERNAL_ERROR, reason)
        elif json and exchange.asks:
            await self._long_answer(exchange, response, headers)
        else:
            await self._unread(exchange, response, headers)

    async def _long_answer(
        self,
        exchange: Exchange,
        response: HttpResponse,
        headers: Sequence[tuple[bytes, bytes]],
    ) -> None:
        """Pass a long answer on, one piece behind: how it ended is told before the last one."""
        screen, reply = self._screen, exchange.reply
        may_ask = screen.may_ask(exchange.caller)
        long = LongAnswer(exchange.key, exchange.flight, may_ask=may_ask)
        length = response.headers.get(b"content-length")
        held: list[bytes] = []
        async for part in response.parts():
            long.feed(part)
            if long.is_other or (not long.is_answer and long.size > INSPECT_BYTES_MAX):
                break
            if long.is_answer:
                if not reply.started:
                    reply.start(
                        response.status, headers, int(length) if length is not None else None
                    )
                await reply.write(b"".join(held))
                held.clear()
            held.append(part)
        if response.at_end and long.end():
            await reply.write(b"".join(held))
            reply.end()
            return
        reason = "a long answer of the upstream's turned out to be none"
        screen.withhold("unreadable", reason, long.size, exchange.caller)
        if exchange.flight is not None:
            exchange.flight.end("unknown", response_bytes=long.size, detail=reason)
        if not reply.started:
            await tell(exchange, 502, UNREACHABLE, reason)

    async def _unread(
        self,
        exchange: Exchange,
        response: HttpResponse,
        headers: Sequence[tuple[bytes, bytes]],
    ) -> None:
        """Pass on a long body that is no JSON and so no message."""
        reply = exchange.reply
        length = response.headers.get(b"content-length")
        reply.start(response.status, headers, int(length) if length is not None else None)
        if exchange.flight is not None:
            outcome: Outcome = "rpc_error" if response.status >= 400 else "unknown"
            exchange.flight.end(outcome, detail=f"HTTP {response.status} without an answer")
        async for part in response.parts():
            await reply.write(part)
        reply.end()


def _written_back(response: HttpResponse, era: Era) -> bytes:
    """The upstream's headers as they come back to the client, written out."""
    known = response.known
    written = None if known is None else known.back.get(era is Era.STATELESS)
    if written is None:
        headers = returned(response.headers, era)
        written = b"".join([b"%b: %b\r\n" % header for header in headers])
        if known is not None:
            known.back[era is Era.STATELESS] = written
    return written


def _unusable(response: HttpResponse) -> str | None:
    """Why an answer is not for the client: it would lead it past us, or cannot be looked into."""
    if not 200 <= response.status < 600:
        return "the upstream answered with a status that does not exist"
    if 300 <= response.status < 400:
        return "the upstream answered with a redirect, which is not followed"
    if response.status in (401, 403):
        return "the upstream did not accept this enforcer's credentials"
    encoding = response.headers.get(b"content-encoding", b"identity")
    if encoding.lower() not in (b"identity", b""):
        return "the upstream compressed its answer though it was asked not to"
    return None
