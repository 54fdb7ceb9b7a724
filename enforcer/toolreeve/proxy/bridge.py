"""An upstream on stdio, served over Streamable HTTP.

In the era of sessions each session has a server process of its own, as it would have had on
stdio; in the stateless era all requests share one. A request is answered with JSON when its answer
is the first thing the server says to it, and with a stream of events when something else is.
"""

import asyncio
import secrets
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final

import msgspec
import structlog

from toolreeve.proxy.answers import (
    BUSY,
    INTERNAL_ERROR,
    NO_SESSION,
    SSE_HEADERS,
    UNREACHABLE,
    error_answer,
)
from toolreeve.proxy.bridge_faults import late, status_of, unanswered, unsent
from toolreeve.proxy.channel import Channel, Line, Mailbox
from toolreeve.proxy.child import Child, ChildBounds, ChildError
from toolreeve.proxy.exchange import Exchange
from toolreeve.proxy.gate import Caller, Gate
from toolreeve.proxy.listing import filter_listing
from toolreeve.proxy.mcp_headers import SESSION_HEADER, Era, ParamHeaders
from toolreeve.proxy.message import INITIALIZE, SUBSCRIBE, Kind, Message
from toolreeve.proxy.seen import Seen, finding
from toolreeve.proxy.sessions import Session, Sessions
from toolreeve.proxy.sse import message_event
from toolreeve.proxy.strictjson import Refused

log = structlog.get_logger()

_JSON_TYPE: Final = (b"content-type", b"application/json")
PING: Final = Line(b": ping\n\n", Seen())  # a comment, to keep a silent stream open


class BridgeBounds(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How many processes one upstream may have, and how long they may do nothing."""

    sessions_max: int = 64
    idle_seconds_max: float = 1800.0
    silence_seconds_max: float = 300.0  # until an answer, or the next sign of life before it
    ping_seconds: float = 15.0


class Bridge:
    """One upstream command. `close` it in the end: that ends every process."""

    def __init__(
        self,
        server: str,
        command: Sequence[str],
        gate: Gate,
        *,
        environ: Mapping[str, str],
        cwd: Path | None = None,
        bounds: BridgeBounds | None = None,
        child_bounds: ChildBounds | None = None,
    ) -> None:
        self._server = server
        self._command = tuple(command)
        self._environ = dict(environ)
        self._cwd = cwd
        self._gate = gate
        self._bounds = bounds or BridgeBounds()
        self._child_bounds = child_bounds
        self._sessions = Sessions()
        self._channels: dict[str, Channel] = {}
        self._shared: Channel | None = None
        self._sweeper: asyncio.TimerHandle | None = None
        self._stopping: set[asyncio.Task[None]] = set()
        self.params = ParamHeaders()

    @property
    def processes(self) -> int:
        """How many are kept for requests to come."""
        return len(self._channels) + (self._shared is not None)

    def session(self, session_id: str, caller: Caller) -> Session | None:
        return self._sessions.find(session_id, caller)

    async def close(self) -> None:
        if self._sweeper is not None:
            self._sweeper.cancel()
        for session_id in tuple(self._channels):
            self._end_session(session_id, "enforcer stopped")
        if self._shared is not None:
            self._stop(self._shared)
        await asyncio.gather(*self._stopping)

    async def post(self, exchange: Exchange) -> None:
        message = exchange.message
        assert message is not None
        if exchange.era is Era.STATELESS:
            await self._post_stateless(exchange, message)
        elif message.method == INITIALIZE and exchange.session is None:
            await self._open_session(exchange, message)
        elif exchange.session is None:
            unsent(exchange, 400, NO_SESSION, "a session begins with initialize")
        else:
            await self._post_in_session(exchange, message, exchange.session)

    async def get(self, exchange: Exchange) -> None:
        session = exchange.session
        channel = self._channels.get(session.session_id) if session is not None else None
        if channel is None:
            exchange.fail(400, NO_SESSION, "a stream belongs to a session")
            return
        mailbox = channel.listen()
        if mailbox is None:
            exchange.fail(409, BUSY, "this session's stream is open already")
            return
        reply = exchange.reply
        reply.start(200, SSE_HEADERS)
        try:
            await reply.write(PING.raw)
            while (line := await self._next(mailbox)) is not None:
                await reply.write(line.raw if line is PING else message_event(line.raw))
        finally:
            channel.stop_listening()
        reply.end()

    async def delete(self, exchange: Exchange) -> None:
        if exchange.session is None:
            exchange.fail(400, NO_SESSION, "there is no session to end")
            return
        self._end_session(exchange.session.session_id, "session ended")
        exchange.reply.send(200, ())

    # The two eras.

    async def _post_stateless(self, exchange: Exchange, message: Message) -> None:
        if message.kind is not Kind.REQUEST:
            exchange.reply.send(202, ())  # this era has no such notifications: taken and dropped
            return
        channel = self._shared
        if channel is None or not channel.child.running:
            channel = self._shared = self._start(exchange, shared=True)
        if channel is not None:
            await self._converse(exchange, message, channel)

    async def _open_session(self, exchange: Exchange, message: Message) -> None:
        if len(self._channels) >= self._bounds.sessions_max:
            exchange.fail(503, BUSY, "too many sessions are open")
            return
        channel = self._start(exchange, shared=False)
        if channel is None:
            return
        session_id = secrets.token_urlsafe(24)
        self._channels[session_id] = channel
        session = self._sessions.open(session_id, exchange.caller)
        session.begin(exchange.key)
        exchange.session = session
        opened = False
        try:
            opened = await self._converse(exchange, message, channel)
        finally:
            if not opened:
                self._end_session(session_id, "not opened")

    async def _post_in_session(
        self, exchange: Exchange, message: Message, session: Session
    ) -> None:
        channel = self._channels.get(session.session_id)
        if channel is None or not channel.child.running:
            self._end_session(session.session_id, "the server ended")
            unsent(exchange, 404, NO_SESSION, "the server of this session has ended")
        elif message.kind is Kind.REQUEST:
            await self._converse(exchange, message, channel)
        elif not channel.send(message.raw):
            exchange.fail(503, BUSY, "the server does not read")
        else:
            if message.method == "notifications/cancelled":
                channel.cancelled_by_client(str(message.params.get("requestId")))
            exchange.reply.send(202, ())

    # One request and its answer.

    async def _converse(self, exchange: Exchange, message: Message, channel: Channel) -> bool:
        """Ask and answer; says whether the answer was a result."""
        asked = channel.ask(message.value, message.raw, exchange.caller.grant)
        if asked is None:
            unsent(exchange, 503, BUSY, "the server does not read")
            return False
        key, mailbox = asked
        waiting = True
        try:
            line = await self._until_answered(exchange, mailbox)
            waiting = False
            if line is not None:
                return await self._answer(exchange, line)
            await unanswered(exchange, mailbox.closed or "no answer")
        except TimeoutError:
            waiting = False
            channel.cancel(key, "it took too long")
            await late(exchange)
        finally:
            # In the era of sessions a client that leaves does not mean to cancel by it.
            if waiting and exchange.era is Era.STATELESS:
                channel.cancel(key, "the client went away")
            channel.forget(key)
        return False

    async def _until_answered(self, exchange: Exchange, mailbox: Mailbox) -> Line | None:
        """Pass on what comes before the answer, and return that. Raises TimeoutError."""
        message, reply = exchange.message, exchange.reply
        endless = message is not None and message.method == SUBSCRIBE
        silent = 0.0
        while True:
            line = await self._next(mailbox)
            silent = silent + self._bounds.ping_seconds if line is PING else 0.0
            if line is None or line.seen.is_response:
                return line
            if silent >= self._bounds.silence_seconds_max and not endless:
                raise TimeoutError
            if not reply.started:
                reply.start(200, self._headers(exchange, SSE_HEADERS))
            await reply.write(line.raw if line is PING else message_event(line.raw))

    async def _next(self, mailbox: Mailbox) -> Line | None:
        """The next line, or PING when there is none for a while."""
        try:
            return await mailbox.get(self._bounds.ping_seconds)
        except TimeoutError:
            return PING

    async def _answer(self, exchange: Exchange, line: Line) -> bool:
        found = finding(line.seen)
        raw = line.raw
        if exchange.lists_tools and found.outcome == "success":
            raw = self._shown(exchange, raw)
        if exchange.flight is not None:
            exchange.flight.answered(line.seen, len(line.raw))
            raw = exchange.flight.told(raw)
        if exchange.reply.started:
            await exchange.reply.write(message_event(raw))
            exchange.reply.end()
        else:
            headers = self._headers(exchange, (_JSON_TYPE,))
            exchange.reply.send(status_of(exchange, found), headers, raw)
        return found.outcome != "rpc_error"

    def _headers(
        self, exchange: Exchange, headers: Sequence[tuple[bytes, bytes]]
    ) -> Sequence[tuple[bytes, bytes]]:
        session = exchange.session
        message = exchange.message
        if session is None or message is None or message.method != INITIALIZE:
            return headers
        return (*headers, (SESSION_HEADER, session.session_id.encode()))

    def _shown(self, exchange: Exchange, raw: bytes) -> bytes:
        listing = filter_listing(
            raw,
            lambda tools: self._gate.visible(self._server, exchange.caller, tools),
            stateless=exchange.era is Era.STATELESS,
        )
        if isinstance(listing, Refused):
            log.warning("tool_list.unreadable", server=self._server, reason=listing.reason)
            assert exchange.message is not None
            text = f"the upstream's list of tools cannot be shown: {listing.reason}"
            return error_answer(exchange.message.id_json, INTERNAL_ERROR, text)
        self.params.learn(listing.tools)
        return listing.raw

    # Processes.

    def _start(self, exchange: Exchange, *, shared: bool) -> Channel | None:
        def start(on_line: Callable[[bytes], None], on_end: Callable[[], None]) -> Child:
            return Child(
                self._command,
                self._environ,
                server=self._server,
                on_line=on_line,
                on_end=on_end,
                cwd=self._cwd,
                bounds=self._child_bounds,
            )

        try:
            channel = Channel(start, server=self._server, shared=shared)
        except ChildError as problem:
            log.error("upstream.not_started", server=self._server, reason=str(problem))
            unsent(exchange, 502, UNREACHABLE, str(problem))
            return None
        if self._sweeper is None:
            self._sweep()
        return channel

    def _end_session(self, session_id: str, detail: str) -> None:
        self._sessions.drop(session_id, detail)
        channel = self._channels.pop(session_id, None)
        if channel is not None:
            self._stop(channel)

    def _stop(self, channel: Channel) -> None:
        task = asyncio.get_running_loop().create_task(channel.stop())
        self._stopping.add(task)
        task.add_done_callback(self._stopping.discard)

    def _sweep(self) -> None:
        """End processes that nobody has used for long."""
        loop = asyncio.get_running_loop()
        idle_max = self._bounds.idle_seconds_max
        before = loop.time() - idle_max
        for session_id, channel in tuple(self._channels.items()):
            if not channel.child.running or (channel.idle and channel.used_at <= before):
                self._end_session(session_id, "session idle")
        shared = self._shared
        if shared is not None and shared.idle and shared.used_at <= before:
            self._shared = None
            self._stop(shared)
        self._sweeper = loop.call_later(min(idle_max / 4, 30.0), self._sweep)
