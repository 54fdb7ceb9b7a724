"""What a relay does when its upstream does not answer, and what the client is told."""

from toolreeve.proxy.exchange import Exchange
from toolreeve.proxy.http_client import UpstreamError
from toolreeve.proxy.own_answers import CANCELLED_BY_CLIENT, broken_off, say, timed_out, unreachable
from toolreeve.proxy.screen import Screen


def park(exchange: Exchange, detail: str, *, resumable: bool) -> bool:
    """Whether the answer to a broken stream may still come on another one, and is waited for."""
    session = exchange.session
    if not resumable or exchange.answered or session is None or exchange.flight is None:
        return False
    if session.cancelled(exchange.key):
        return False
    exchange.parked = True
    session.park(exchange.key, detail)
    return True


async def no_answer_came(
    screen: Screen, exchange: Exchange, detail: str, problem: UpstreamError | None
) -> None:
    """A stream is over, its answer never came and never will: say so on it.

    Nothing is said to a client that has cancelled the request: it waits for no answer.
    """
    late = problem is not None and problem.timed_out
    session = exchange.session
    if session is not None and session.cancelled(exchange.key):
        if exchange.flight is not None:
            exchange.flight.end("unknown", detail=CANCELLED_BY_CLIENT)
        exchange.reply.end()
        return
    if exchange.flight is not None:
        exchange.flight.end("timeout" if late else "unknown", detail=detail)
    await say(screen, exchange, timed_out(detail) if late else broken_off(detail))


async def unreached(screen: Screen, exchange: Exchange, problem: UpstreamError) -> None:
    """Not even the beginning of an answer came."""
    detail = problem.detail
    if exchange.flight is not None:
        if not problem.sent:
            exchange.flight.end("not_sent", detail=detail)
        else:
            exchange.flight.end("timeout" if problem.timed_out else "unknown", detail=detail)
    if problem.timed_out:
        await say(screen, exchange, timed_out(detail))
    else:
        await say(screen, exchange, broken_off(detail) if problem.sent else unreachable(detail))


async def broke_off(screen: Screen, exchange: Exchange, problem: UpstreamError) -> None:
    """The body broke off: say so where that can still be said, else break off too."""
    if exchange.flight is not None:
        exchange.flight.end("timeout" if problem.timed_out else "unknown", detail=problem.detail)
    if not exchange.reply.started:
        said = timed_out if problem.timed_out else broken_off
        await say(screen, exchange, said(problem.detail))
