"""What a bridge answers when its server does not."""

from typing import Final

from toolreeve.proxy.exchange import Exchange
from toolreeve.proxy.mcp_headers import Era
from toolreeve.proxy.own_answers import CANCELLED_BY_CLIENT, broken_off, say, tell, timed_out
from toolreeve.proxy.screen import Screen
from toolreeve.proxy.seen import Finding
from toolreeve.proxy.strictjson import Refused

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


async def unsent(screen: Screen, exchange: Exchange, refused: Refused) -> None:
    """The server never saw the request."""
    if exchange.flight is not None:
        exchange.flight.end("not_sent", detail=refused.reason)
    await say(screen, exchange, refused)


async def unanswered(screen: Screen, exchange: Exchange, why: str) -> None:
    """The server saw the request, and no answer will come."""
    if exchange.flight is not None:
        exchange.flight.end("unknown", detail=why)
    if why == CANCELLED_BY_CLIENT:
        await tell(exchange, 200, REQUEST_CANCELLED, f"no answer: {why}")
    else:
        await say(screen, exchange, broken_off(f"no answer: {why}"))


async def late(screen: Screen, exchange: Exchange) -> None:
    """The server has said nothing for too long."""
    if exchange.flight is not None:
        exchange.flight.end("timeout", detail="no answer in time")
    await say(screen, exchange, timed_out("the upstream did not answer in time"))
