"""What a relay does when its upstream does not answer, and what the client is told."""

from toolreeve.proxy.answers import BROKEN_OFF, TIMED_OUT, UNREACHABLE, error_answer
from toolreeve.proxy.exchange import Exchange
from toolreeve.proxy.http_client import UpstreamError
from toolreeve.proxy.sse import message_event


def park(exchange: Exchange, detail: str, *, resumable: bool) -> bool:
    """Whether the answer to a broken stream may still come on another one, and is waited for."""
    session = exchange.session
    if not resumable or exchange.answered or session is None or exchange.flight is None:
        return False
    exchange.parked = True
    session.park(exchange.key, detail)
    return True


async def answer_in_stream(exchange: Exchange, detail: str, problem: UpstreamError | None) -> None:
    """A stream is over, its answer never came and never will: say so on it."""
    timed_out = problem is not None and problem.timed_out
    if exchange.flight is not None:
        exchange.flight.end("timeout" if timed_out else "unknown", detail=detail)
    assert exchange.message is not None
    code = TIMED_OUT if timed_out else BROKEN_OFF
    error = error_answer(exchange.message.id_json, code, detail)
    await exchange.reply.write(message_event(error))
    exchange.reply.end()


def unreached(exchange: Exchange, problem: UpstreamError) -> None:
    if exchange.flight is not None:
        if not problem.sent:
            exchange.flight.end("not_sent", detail=problem.detail)
        elif problem.timed_out:
            exchange.flight.end("timeout", detail=problem.detail)
        else:
            exchange.flight.end("unknown", detail=problem.detail)
    if problem.timed_out:
        exchange.fail(504, TIMED_OUT, problem.detail)
    else:
        exchange.fail(502, BROKEN_OFF if problem.sent else UNREACHABLE, problem.detail)


def broken_off(exchange: Exchange, problem: UpstreamError) -> None:
    """The body broke off: say so where that can still be said, else break off too."""
    if exchange.flight is not None:
        exchange.flight.end("timeout" if problem.timed_out else "unknown", detail=problem.detail)
    if not exchange.reply.started:
        exchange.fail(504 if problem.timed_out else 502, BROKEN_OFF, problem.detail)
