"""An upstream on stdio, served over Streamable HTTP.

In the era of sessions each session has a server process of its own, as it would have had on
stdio; in the stateless era all requests share one. A request is answered with JSON when its answer
is the first thing the server says to it, and with a stream of events when something else is.
"""

import asyncio
import secrets
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import msgspec
import structlog

from toolreeve.proxy.announcing import tools_changed
from toolreeve.proxy.answers import SSE_HEADERS
from toolreeve.proxy.audience import Ear
from toolreeve.proxy.bridge_faults import unsent
from toolreeve.proxy.channel import Channel
from toolreeve.proxy.child import Child, ChildBounds, ChildError
from toolreeve.proxy.conversation import PING, Conversation, Patience, next_line
from toolreeve.proxy.exchange import Exchange, Route
from toolreeve.proxy.gate import Caller, Gate
from toolreeve.proxy.mailbox import Line
from toolreeve.proxy.mcp_headers import Era, ParamHeaders
from toolreeve.proxy.message import CANCELLED, INITIALIZE, Kind, Message
from toolreeve.proxy.own_answers import busy, no_session, say, unreachable
from toolreeve.proxy.screen import Screen
from toolreeve.proxy.seen import Seen
from toolreeve.proxy.sessions import Session, Sessions
from toolreeve.proxy.sse import message_event
from toolreeve.proxy.strictjson import METHOD_NOT_FOUND, Refused

log = structlog.get_logger()


class BridgeBounds(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How many processes one upstream may have, and how long they may do nothing."""

    sessions_max: int = 64
    sessions_per_grant_max: int = 48  # so that one agent cannot keep all others out
    idle_seconds_max: float = 1800.0
    answer_seconds_max: float = 3600.0  # however much is said before it
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
        self._screen = Screen(server, gate)
        self._command = tuple(command)
        self._environ = dict(environ)
        self._cwd = cwd
        self._bounds = bounds or BridgeBounds()
        self._patience = Patience(
            answer_seconds_max=self._bounds.answer_seconds_max,
            silence_seconds_max=self._bounds.silence_seconds_max,
            ping_seconds=self._bounds.ping_seconds,
        )
        self._child_bounds = child_bounds
        self._sessions = Sessions()
        self._channels: dict[str, Channel] = {}
        self._shared: Channel | None = None
        self._sweeper: asyncio.TimerHandle | None = None
        self._stopping: set[asyncio.Task[None]] = set()

    @property
    def params(self) -> ParamHeaders:
        return self._screen.params

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

    def route(self, exchange: Exchange) -> Route | None:
        del exchange  # its answer comes on the child's one pipe, in whatever order
        return None

    async def post(self, exchange: Exchange) -> None:
        message = exchange.message
        assert message is not None
        if exchange.era is Era.STATELESS:
            await self._post_stateless(exchange, message)
        elif message.method == INITIALIZE and exchange.session is None:
            await self._open_session(exchange, message)
        elif exchange.session is None:
            refused = no_session("a session begins with initialize", 400)
            await unsent(self._screen, exchange, refused)
        else:
            await self._post_in_session(exchange, message, exchange.session)

    async def get(self, exchange: Exchange) -> None:
        session = exchange.session
        channel = self._channels.get(session.session_id) if session is not None else None
        if channel is None:
            await say(self._screen, exchange, no_session("a stream belongs to a session", 400))
            return
        mailbox = channel.listen()
        if mailbox is None:
            refused = busy("this session's stream is open already", 409)
            await say(self._screen, exchange, refused)
            return
        changed = Line(tools_changed(), Seen())
        ear = Ear(lambda: mailbox.put(changed), session)
        self._screen.audience.join(ear)
        reply = exchange.reply
        reply.start(200, SSE_HEADERS)
        try:
            await reply.write(PING.raw)
            while (line := await next_line(mailbox, self._bounds.ping_seconds)) is not None:
                await reply.write(line.raw if line is PING else message_event(line.raw))
        finally:
            self._screen.audience.leave(ear)
            channel.stop_listening()
        reply.end()

    async def delete(self, exchange: Exchange) -> None:
        if exchange.session is None:
            await say(self._screen, exchange, no_session("there is no session to end", 400))
            return
        self._end_session(exchange.session.session_id, "session ended")
        exchange.reply.send(200, ())

    # The two eras.

    async def _post_stateless(self, exchange: Exchange, message: Message) -> None:
        if message.kind is not Kind.REQUEST:
            exchange.reply.send(202, ())  # this era has no such notifications: taken and dropped
            return
        if message.method == INITIALIZE:  # it would turn the process that all share to one client
            refused = Refused(
                code="method",
                reason="this protocol version has no initialize",
                http_status=404,
                rpc_code=METHOD_NOT_FOUND,
            )
            await say(self._screen, exchange, refused)
            return
        channel = self._shared
        if channel is None or not channel.child.running:
            channel = self._shared = await self._start(exchange, None)
        if channel is not None:
            await self._converse(exchange, message, channel)

    async def _open_session(self, exchange: Exchange, message: Message) -> None:
        bounds, grant = self._bounds, exchange.caller.grant
        of_grant = sum(1 for one in self._channels.values() if one.grant == grant)
        if len(self._channels) >= bounds.sessions_max or of_grant >= bounds.sessions_per_grant_max:
            await say(self._screen, exchange, busy("too many sessions are open"))
            return
        channel = await self._start(exchange, exchange.caller)
        if channel is None:
            return
        session_id = secrets.token_urlsafe(24)
        self._channels[session_id] = channel
        session = self._sessions.open(session_id, exchange.caller, self._screen.audience.changes)
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
            refused = no_session("the server of this session has ended", 404)
            await unsent(self._screen, exchange, refused)
        elif message.kind is Kind.REQUEST:
            await self._converse(exchange, message, channel)
        elif not channel.send(message.raw):
            await say(self._screen, exchange, busy("the server does not read"))
        else:
            if message.method == CANCELLED:
                channel.cancelled_by_client(str(message.params.get("requestId")))
            exchange.reply.send(202, ())

    async def _converse(self, exchange: Exchange, message: Message, channel: Channel) -> bool:
        conversation = Conversation(self._screen, exchange, message, self._patience)
        return await conversation.hold(channel)

    # Processes.

    async def _start(self, exchange: Exchange, caller: Caller | None) -> Channel | None:
        """A process for one client's session, or without `caller` for all; None if none starts."""

        def start(on_line: Callable[[bytes], None], on_end: Callable[[], None]) -> Child:
            return Child(
                self._command,
                self._environ,
                server=self._screen.server,
                on_line=on_line,
                on_end=on_end,
                on_bad=self._screen.withhold,
                cwd=self._cwd,
                bounds=self._child_bounds,
            )

        try:
            channel = Channel(start, screen=self._screen, caller=caller)
        except ChildError as problem:
            log.error("upstream.not_started", server=self._screen.server, reason=str(problem))
            await unsent(self._screen, exchange, unreachable(str(problem)))
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
