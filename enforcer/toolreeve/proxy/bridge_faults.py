"""What a bridge answers when its server does not."""

from typing import Final

from toolreeve.proxy.answers import BROKEN_OFF, TIMED_OUT, error_answer
from toolreeve.proxy.exchange import Exchange
from toolreeve.proxy.mcp_headers import Era
from toolreeve.proxy.seen import Finding
from toolreeve.proxy.sse import message_event

REQUEST_CANCELLED: Final = -32800
# What an error of the server means in HTTP, in the stateless era.
_STATUS_OF_ERROR: Final = {
    -32700: 400,
    -32600: 400,
    -32602: 400,
    -32020: 400,
    -32021: 400,
    -32022: 400,
    -32601: 404,
}


def status_of(exchange: Exchange, found: Finding) -> int:
    if exchange.era is Era.SESSION or found.rpc_error_code is None:
        return 200
    return _STATUS_OF_ERROR.get(found.rpc_error_code, 200)


def unsent(exchange: Exchange, status: int, code: int, text: str) -> None:
    if exchange.flight is not None:
        exchange.flight.end("not_sent", detail=text)
    exchange.fail(status, code, text)


async def unanswered(exchange: Exchange, why: str) -> None:
    if exchange.flight is not None:
        exchange.flight.end("unknown", detail=why)
    by_client = why.startswith("cancelled")
    code = REQUEST_CANCELLED if by_client else BROKEN_OFF
    await _say(exchange, 200 if by_client else 502, code, f"no answer: {why}")


async def late(exchange: Exchange) -> None:
    if exchange.flight is not None:
        exchange.flight.end("timeout", detail="no answer in time")
    await _say(exchange, 504, TIMED_OUT, "the upstream did not answer in time")


async def _say(exchange: Exchange, status: int, code: int, text: str) -> None:
    """An error of our own, in the form that the answer has taken already."""
    if not exchange.reply.started:
        exchange.fail(status, code, text)
        return
    assert exchange.message is not None
    error = error_answer(exchange.message.id_json, code, text)
    await exchange.reply.write(message_event(error))
    exchange.reply.end()
