"""A tool call on its straight way: decided, sent on and answered without a task of its own.

Most calls are a short message with a short answer, and all that happens between is that a decision
becomes durable and an upstream answers. A task, its context and its wake-ups cost more than what
is to be done then; so each of these two calls back, and what follows is done there and then. As
soon as anything else comes (no free connection, a stream, a long answer, a fault) a task takes the
exchange over where it stands, and goes on as for every other request.

Whose client leaves while the decision is written is told nothing and sent nowhere; later, what has
been sent on is given up, which is what tells the upstream.
"""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, Final

import structlog

from toolreeve.proxy.answers import INTERNAL_ERROR, JSON_HEADERS, error_answer, result_answer
from toolreeve.proxy.exchange import Exchange, Route, Upstream
from toolreeve.proxy.gate import Asked, Gate, Refusal
from toolreeve.proxy.http_client import HttpResponse
from toolreeve.proxy.http_reply import HttpReply
from toolreeve.proxy.http_request import HttpRequest
from toolreeve.proxy.progress import report
from toolreeve.proxy.seen import Flight
from toolreeve.proxy.sse import message_event

log = structlog.get_logger()

FAILED: Final = "the enforcer failed; the request was not answered"


class Straight:
    """One call. `begin` it; `done` is called when its client has its answer, or will have none."""

    __slots__ = (
        "_asked",
        "_done",
        "_exchange",
        "_gate",
        "_response",
        "_route",
        "_task",
        "_upstream",
    )

    def __init__(self, exchange: Exchange, upstream: Upstream, gate: Gate, asked: Asked) -> None:
        self._exchange = exchange
        self._upstream = upstream
        self._gate = gate
        self._asked = asked
        self._route: Route | None = None
        self._response: HttpResponse | None = None
        self._task: asyncio.Task[None] | None = None
        self._done: Callable[[], None] | None = None

    def begin(self, done: Callable[[], None]) -> None:
        self._done = done
        held = self._asked.held
        if held is not None:
            message, reply = self._exchange.message, self._exchange.reply
            assert message is not None
            report(held, message, lambda note: reply.tell(message_event(note)))
        written = self._asked.written
        if written is None or written.done():
            self._decided(None)
        else:
            written.add_done_callback(self._decided)

    def leave(self) -> None:
        """The client has left, or the process is to end and has waited long enough."""
        if self._task is not None:
            self._task.cancel()
        elif self._response is not None:
            self._response.news = None
            self._response.release()
            self._over()
        elif self._asked.held is not None:
            self._asked.held.leave()

    def _decided(self, _: object) -> None:
        """The decision is durable, or cannot be made so."""
        exchange = self._exchange
        try:
            verdict = self._asked.verdict()
            if isinstance(verdict, Refusal):
                assert exchange.message is not None
                exchange.answer(200, result_answer(exchange.message.id_json, verdict.result))
                self._over()
                return
            flight = exchange.flight = Flight(self._gate, verdict.token, verdict.warning)
            if exchange.session is not None:
                exchange.session.flights[exchange.key] = flight
            if exchange.request.gone:
                flight.end("not_sent", detail="client gone")
                self._over()
                return
            route = self._route = self._upstream.route(exchange)
            response = None if route is None else route.send(exchange)
        except Exception:  # noqa: BLE001  (`failed` logs it)
            self._failed()
            return
        if response is None:
            self._hand_over(self._upstream.post(exchange))
        else:
            self._response = response
            response.news = self._heard

    def _heard(self) -> None:
        """Something of the answer has come, or will never come."""
        response, route = self._response, self._route
        assert response is not None
        assert route is not None
        response.news = None  # nothing here holds itself
        try:
            if response.complete and route.answer(self._exchange, response):
                self._over()
                return
        except Exception:  # noqa: BLE001  (`failed` logs it)
            response.release()
            self._failed()
            return
        self._hand_over(route.go_on(self._exchange, response))

    def _hand_over(self, work: Coroutine[Any, Any, None]) -> None:
        loop = asyncio.get_running_loop()
        self._task = loop.create_task(self._go_on(work))
        self._task.add_done_callback(lambda _: self._ended(work))

    async def _go_on(self, work: Coroutine[Any, Any, None]) -> None:
        try:
            await work
        except Exception:  # noqa: BLE001  (`failed` logs it)
            failed(self._exchange.request, self._exchange.reply)

    def _ended(self, work: Coroutine[Any, Any, None]) -> None:
        work.close()  # where it was cancelled before it began, this is all that it comes to
        if self._response is not None:
            self._response.release()
        self._over()

    def _failed(self) -> None:
        failed(self._exchange.request, self._exchange.reply)
        self._over()

    def _over(self) -> None:
        done, self._done = self._done, None
        if done is not None:
            self._exchange.settle()
            done()


def failed(request: HttpRequest, reply: HttpReply) -> None:
    """Say that it was our own fault; for the `except` that has caught it."""
    log.exception("request.failed", target=request.target[:256].decode("latin-1"))
    if not reply.started and not request.gone:
        request.close = True
        reply.send(500, JSON_HEADERS, error_answer("null", INTERNAL_ERROR, FAILED))
