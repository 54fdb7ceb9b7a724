"""An upstream's stream of events on its way to one client: each event looked at, few changed.

Events are passed on verbatim, ids and priming events too. Answers tell how their requests ended,
lists of tools are filtered, what the server asks of the client is asked about first, and between
two events the client may be told that its tools are others now.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

import msgspec

from toolreeve.proxy.announcing import (
    ACKNOWLEDGED,
    asks_for_tools,
    tools_changed,
    with_tools_granted,
)
from toolreeve.proxy.answers import error_answer
from toolreeve.proxy.audience import Ear
from toolreeve.proxy.exchange import Exchange
from toolreeve.proxy.http_client import HttpResponse, UpstreamError, too_long
from toolreeve.proxy.long_answer import LongAnswer, answered_id
from toolreeve.proxy.mcp_headers import Era
from toolreeve.proxy.message import INITIALIZE
from toolreeve.proxy.pace import Pace
from toolreeve.proxy.relay_faults import no_answer_came, park
from toolreeve.proxy.relay_headers import returned
from toolreeve.proxy.screen import Asker, Screen, refusal_of_request
from toolreeve.proxy.seen import Flight, Seen, finding, look, negotiated_version
from toolreeve.proxy.sse import SseEvent, SseParser, message_event
from toolreeve.proxy.strictjson import Refused

INSPECT_BYTES_MAX: Final = 1024 * 1024
HELD_BYTES_MAX: Final = 16 * 1024 * 1024

AnswerBack = Callable[[bytes], Awaitable[None]]
"""Gives the upstream our answer to what it asked on the stream."""


class _NotWhatItSeemedError(Exception):
    """Half of a message has been passed on, and the rest must not be."""


class EventStream:
    """One stream. `relay` it once.

    `changes_seen` says how often the tools had changed when the stream was asked for.
    """

    def __init__(
        self, screen: Screen, exchange: Exchange, answer_back: AnswerBack, changes_seen: int
    ) -> None:
        self._screen = screen
        self._exchange = exchange
        self._answer_back = answer_back
        self._stateless = exchange.era is Era.STATELESS
        self._parser = SseParser(
            INSPECT_BYTES_MAX, whole_bytes_max=HELD_BYTES_MAX, in_pieces=self._in_pieces
        )
        self._long: LongAnswer | None = None  # the event in pieces that is under way
        self._piece_bytes = 0  # of it and of one that is lost in pieces, so far
        self._owed: list[bytes] = []  # what the upstream has yet to be answered
        self._resumable = False
        message = exchange.message
        self._subscribes = message is not None and asks_for_tools(message)
        self._listens = message is None or self._subscribes
        self._announcement = message_event(
            tools_changed(message.id_json if message is not None else "")
        )
        self._may_tell = message is None  # a subscription first waits for its acknowledgement
        self._due = self._subscribes and changes_seen != screen.audience.changes

    async def relay(self, response: HttpResponse) -> None:
        """Pass the stream on to its end. Raises UpstreamError when it breaks off."""
        exchange, audience = self._exchange, self._screen.audience
        exchange.reply.start(200, returned(response.headers, exchange.era))
        resumed = b"last-event-id" in exchange.request.headers
        ear = Ear(self._tell, exchange.session, resumed=resumed)
        if self._listens:
            audience.join(ear)
        try:
            await self._relay(response)
        finally:
            audience.leave(ear)

    async def _relay(self, response: HttpResponse) -> None:
        exchange, reply = self._exchange, self._exchange.reply
        problem: UpstreamError | None = None
        loop = asyncio.get_running_loop()
        pace = Pace(response.bounds.pace, loop.time())
        try:
            async for part in response.parts():
                events = self._parser.feed(part)
                await reply.write(b"".join([self._event(one) for one in events]))
                self._measure(len(part), response.bounds.answer_bytes_max)
                wait = pace.spend(len(events), loop.time())
                if wait:
                    await asyncio.sleep(wait)
                if self._due:
                    self._tell()
                while self._owed:
                    await self._answer_back(self._owed.pop(0))
        except UpstreamError as broken:
            problem = broken
        except _NotWhatItSeemedError:
            return  # without an end: the client throws away what it has of it
        except BaseException:
            park(exchange, "client gone", resumable=self._resumable)
            raise
        if exchange.asks and not exchange.answered:
            detail = "the stream ended without an answer" if problem is None else problem.detail
            if not park(exchange, detail, resumable=self._resumable):
                await no_answer_came(self._screen, exchange, detail, problem)
                return
        if problem is not None:
            raise problem
        reply.end()

    def _measure(self, part_bytes: int, event_bytes_max: int) -> None:
        """End a stream of which one event has become too long."""
        self._piece_bytes = self._piece_bytes + part_bytes if self._parser.in_pieces else 0
        if self._piece_bytes <= event_bytes_max:
            return
        problem = too_long(event_bytes_max)
        if self._long is None:
            raise problem
        if self._long.flight is not None:
            self._long.flight.end("unknown", response_bytes=self._long.size, detail=problem.detail)
        raise _NotWhatItSeemedError

    def _tell(self) -> None:
        """Announce between two events; later, where this is not the moment."""
        self._due = not self._may_tell or self._long is not None
        if not self._due and not self._exchange.answered:
            self._exchange.reply.insert(self._announcement)

    def _event(self, event: SseEvent) -> bytes:
        """What the client gets of one event; empty where it gets nothing."""
        self._resumable = self._resumable or event.has_id
        if event.partial:
            return self._piece(event)
        if not event.data:
            return event.raw
        seen = look(event.data)
        if seen is None:
            self._screen.withhold("unreadable", "no message can be read", len(event.data))
            return event.without_data()
        if seen.is_response:
            return self._answer(event, event.data, seen)
        return self._unasked(event, event.data, seen)

    def _unasked(self, event: SseEvent, data: bytes, seen: Seen) -> bytes:
        shown = self._screen.unasked(self._exchange.caller, data, seen, stateless=self._stateless)
        if isinstance(shown, Refused):
            error = None if self._stateless else refusal_of_request(seen, shown)
            if error is not None:
                self._owed.append(error)
            return event.without_data()
        if self._subscribes and seen.method == ACKNOWLEDGED:
            shown = with_tools_granted(shown)
            self._may_tell = True  # what is returned here is written before anything is told
        return event.raw if shown is data else event.with_data(shown).raw

    # Answers.

    def _answer(self, event: SseEvent, data: bytes, seen: Seen) -> bytes:
        exchange = self._exchange
        key = seen.key
        mine = exchange.asks and key in (exchange.key, None)
        if mine and exchange.answered:
            self._screen.withhold("stray_answer", "the request has been answered", len(data))
            return event.without_data()
        session = exchange.session
        flight = exchange.flight if mine else None
        if not mine and session is not None and key is not None:
            flight = session.flights.get(key)
        if not mine and exchange.asks and flight is None:
            self._screen.withhold("stray_answer", "no such request is under way", len(data))
            return event.without_data()
        # On a stream that is not its own request's, a list is known by its look alone.
        if exchange.lists_tools if mine else seen.holds_tools:
            shown = self._listing(data, seen)
        else:
            shown = self._other_answer(data, seen, flight, mine=mine)
        exchange.answered = exchange.answered or mine
        if not mine and session is not None and key is not None:
            session.end(key)
        return event.raw if shown is data else event.with_data(shown).raw

    def _listing(self, data: bytes, seen: Seen) -> bytes:
        exchange = self._exchange
        shown = self._screen.listing(
            exchange.caller, data, stateless=self._stateless, session=exchange.lists_for
        )
        if isinstance(shown, Refused):
            return error_answer(_id_json(seen), shown.rpc_code, shown.reason)
        return shown

    def _other_answer(self, data: bytes, seen: Seen, flight: Flight | None, *, mine: bool) -> bytes:
        exchange, message = self._exchange, self._exchange.message
        found = finding(seen)
        if flight is not None:
            flight.answered(found, len(data))
        method = message.method if mine and message is not None else ""
        if method == INITIALIZE and exchange.session is not None:
            exchange.session.version = negotiated_version(seen)
        asker = Asker(method, _id_json(seen), flight is not None, self._stateless)
        shown = self._screen.answer(exchange.caller, data, found, asker)
        return shown if flight is None else flight.told(shown)

    # Answers too long to be held.

    def _in_pieces(self, beginning: bytes) -> bool:
        """Whether an event with this beginning may pass before its end is there."""
        exchange, session = self._exchange, self._exchange.session
        key = answered_id(beginning)
        if key is None:
            return False
        flight: Flight | None = None
        if exchange.asks and key in ("", exchange.key):
            if exchange.lists_tools:
                return False
            key, flight = exchange.key, exchange.flight
        elif session is not None:
            flight = session.flights.get(key)
            if flight is None:
                return False
        else:
            return False
        may_ask = self._screen.may_ask(exchange.caller)
        self._long = LongAnswer(key, flight, may_ask=may_ask, framed=True)
        return True

    def _piece(self, event: SseEvent) -> bytes:
        long = self._long
        if long is None:
            if event.last:
                self._screen.withhold(
                    "too_long", f"a message has at most {HELD_BYTES_MAX} bytes", HELD_BYTES_MAX
                )
            return b""
        long.feed(event.raw)
        if not long.is_answer or (event.last and not long.end()):
            reason = "a long answer of the upstream's turned out to be none"
            self._screen.withhold("unreadable", reason, long.size, self._exchange.caller)
            if long.flight is not None:
                long.flight.end("unknown", response_bytes=long.size, detail=reason)
            raise _NotWhatItSeemedError
        if event.last:
            self._long = None
            mine = self._exchange.asks and long.key == self._exchange.key
            self._exchange.answered = self._exchange.answered or mine
            if not mine and self._exchange.session is not None:
                self._exchange.session.end(long.key)
        return event.raw


def _id_json(seen: Seen) -> str:
    return msgspec.json.encode(seen.id).decode()
