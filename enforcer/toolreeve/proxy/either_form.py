"""An answer of our own that is one body, or a stream of events once something came before it."""

from typing import Final

from toolreeve.proxy.answers import JSON_HEADERS, SSE_HEADERS
from toolreeve.proxy.exchange import Exchange
from toolreeve.proxy.sse import message_event

PING: Final = b": ping\n\n"  # a comment, to keep a silent stream open
PING_SECONDS: Final = 15.0


async def show_life(exchange: Exchange) -> None:
    """Let the client know that somebody is there; its answer is a stream from now on."""
    await _write(exchange, PING)


async def say_before(exchange: Exchange, message: bytes) -> None:
    """Send a message that comes before the answer."""
    await _write(exchange, message_event(message))


async def finish(exchange: Exchange, message: bytes, status: int = 200) -> None:
    """Send the answer; `status` is that of a body of its own."""
    if exchange.reply.started:
        await _write(exchange, message_event(message))
        exchange.reply.end()
    else:
        exchange.reply.send(status, JSON_HEADERS, message)


async def _write(exchange: Exchange, event: bytes) -> None:
    if not exchange.reply.started:
        exchange.reply.start(200, SSE_HEADERS)
    await exchange.reply.write(event)
