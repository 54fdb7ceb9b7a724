"""One request to a server on stdio, and what comes of it on the client's HTTP exchange."""

import asyncio
from collections.abc import Sequence
from typing import Final

import msgspec

from toolreeve.proxy.announcing import (
    ACKNOWLEDGED,
    acknowledgement,
    asks_for_tools,
    tools_changed,
    with_tools_granted,
)
from toolreeve.proxy.answers import SSE_HEADERS, error_answer
from toolreeve.proxy.bridge_faults import late, status_of, unanswered, unsent
from toolreeve.proxy.channel import CANCELLED_BY_SERVER, Channel
from toolreeve.proxy.exchange import Exchange
from toolreeve.proxy.mailbox import Line, Mailbox
from toolreeve.proxy.mcp_headers import SESSION_HEADER, Era
from toolreeve.proxy.message import INITIALIZE, SUBSCRIBE, Message
from toolreeve.proxy.own_answers import busy
from toolreeve.proxy.own_stream import PING as PING_BYTES
from toolreeve.proxy.own_stream import keep_stream
from toolreeve.proxy.screen import Asker, Screen
from toolreeve.proxy.seen import Finding, Seen, finding, negotiated_version
from toolreeve.proxy.sse import message_event
from toolreeve.proxy.strictjson import METHOD_NOT_FOUND, Refused
from toolreeve.proxy.subscription import Subscription

_JSON_TYPE: Final = (b"content-type", b"application/json")
PING: Final = Line(PING_BYTES, Seen())


class Patience(msgspec.Struct, frozen=True, kw_only=True):
    """How long a client is kept waiting at all and in silence, and how often it is told so."""

    answer_seconds_max: float
    silence_seconds_max: float
    ping_seconds: float


class Conversation:
    """A request under way. `hold` it once."""

    def __init__(
        self, screen: Screen, exchange: Exchange, message: Message, patience: Patience
    ) -> None:
        self._screen = screen
        self._exchange = exchange
        self._message = message
        self._patience = patience
        self._stateless = exchange.era is Era.STATELESS
        self._subscription: Subscription | None = None

    async def hold(self, channel: Channel) -> bool:
        """Ask and answer; says whether the answer was a result."""
        exchange, message, screen = self._exchange, self._message, self._screen
        asked = channel.ask(message.value, message.raw, exchange.caller.grant)
        if asked is None:
            await unsent(screen, exchange, busy("the server does not read"))
            return False
        key, mailbox = asked
        if asks_for_tools(message):
            self._subscription = Subscription(
                screen.audience, message.id_json, lambda raw: mailbox.put(Line(raw, Seen()))
            )
        waiting = True
        try:
            line = await self._until_answered(mailbox)
            waiting = False
            if line is not None:
                return await self._answer(line)
            if mailbox.closed == CANCELLED_BY_SERVER and exchange.reply.started:
                exchange.reply.end()
            else:
                await unanswered(screen, exchange, mailbox.closed or "no answer")
        except TimeoutError:
            waiting = False
            channel.give_up(key, "it took too long")
            await late(screen, exchange)
        finally:
            # In the era of sessions a client that leaves does not mean to cancel by it.
            if waiting and self._stateless:
                channel.cancel(key, "the client went away")
            channel.forget(key)
            if self._subscription is not None:
                self._subscription.close()
        return False

    async def _until_answered(self, mailbox: Mailbox) -> Line | None:
        """Pass on what comes before the answer, and return that. Raises TimeoutError."""
        reply, patience = self._exchange.reply, self._patience
        endless = self._message.method == SUBSCRIBE
        silent = 0.0
        now = asyncio.get_running_loop().time
        ends_at = now() + patience.answer_seconds_max
        while True:
            line = await next_line(mailbox, patience.ping_seconds)
            silent = silent + patience.ping_seconds if line is PING else 0.0
            if line is None or line.seen.is_response:
                return line
            too_long = silent >= patience.silence_seconds_max or now() >= ends_at
            if too_long and not endless:
                raise TimeoutError
            if not reply.started:
                reply.start(200, self._headers(SSE_HEADERS))
            await reply.write(PING_BYTES if line is PING else message_event(self._passed(line)))

    def _passed(self, line: Line) -> bytes:
        subscription = self._subscription
        if subscription is None or line.seen.method != ACKNOWLEDGED:
            return line.raw
        subscription.acknowledged()
        return with_tools_granted(line.raw)

    async def _answer(self, line: Line) -> bool:
        exchange, reply = self._exchange, self._exchange.reply
        found = finding(line.seen)
        if self._not_served(found):
            begins = message_event(acknowledgement(self._message.id_json))
            announcement = tools_changed(self._message.id_json)
            await keep_stream(
                self._screen,
                exchange,
                announcement,
                begins=begins,
                ping_seconds=self._patience.ping_seconds,
            )
            return True
        raw = self._shown(line, found)
        if reply.started:
            await reply.write(message_event(raw))
            reply.end()
        else:
            reply.send(status_of(exchange, found), self._headers((_JSON_TYPE,)), raw)
        return found.outcome != "rpc_error"

    def _not_served(self, found: Finding) -> bool:
        """Whether the server knows no subscriptions, so that this one is for us to keep up."""
        return (
            self._subscription is not None
            and not self._exchange.reply.started
            and found.rpc_error_code == METHOD_NOT_FOUND
        )

    def _shown(self, line: Line, found: Finding) -> bytes:
        """What the client gets of the answer. How a call ended is told before."""
        exchange, message, screen = self._exchange, self._message, self._screen
        if exchange.lists_tools and found.outcome == "success":
            shown = screen.listing(
                exchange.caller, line.raw, stateless=self._stateless, session=exchange.lists_for
            )
            if isinstance(shown, Refused):
                return error_answer(message.id_json, shown.rpc_code, shown.reason)
            return shown
        flight = exchange.flight
        if flight is not None:
            flight.answered(found, len(line.raw))
        if message.method == INITIALIZE and exchange.session is not None:
            exchange.session.version = negotiated_version(line.seen)
        asker = Asker(message.method, message.id_json, message.is_call, self._stateless)
        raw = screen.answer(exchange.caller, line.raw, found, asker)
        return raw if flight is None else flight.told(raw)

    def _headers(self, headers: Sequence[tuple[bytes, bytes]]) -> Sequence[tuple[bytes, bytes]]:
        session = self._exchange.session
        if session is None or self._message.method != INITIALIZE:
            return headers
        return (*headers, (SESSION_HEADER, session.session_id.encode()))


async def next_line(mailbox: Mailbox, ping_seconds: float) -> Line | None:
    """The next line, or PING when there is none for a while; None when there will be none."""
    try:
        return await mailbox.get(ping_seconds)
    except TimeoutError:
        return PING
