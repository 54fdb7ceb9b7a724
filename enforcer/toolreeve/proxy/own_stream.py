"""A stream of events that we keep up ourselves, because the server behind us has none.

A client that listens for changes of the tools hears of them whether or not its server ever sends
any; so where the server refuses such a stream, it is opened here. It carries nothing else.
"""

import asyncio
from typing import Final

from toolreeve.proxy.answers import SSE_HEADERS
from toolreeve.proxy.audience import Ear
from toolreeve.proxy.exchange import Exchange
from toolreeve.proxy.screen import Screen
from toolreeve.proxy.sse import message_event

PING: Final = b": ping\n\n"  # a comment, to keep a silent stream open
PING_SECONDS: Final = 15.0


async def keep_stream(
    screen: Screen,
    exchange: Exchange,
    announcement: bytes,
    *,
    begins: bytes = PING,
    ping_seconds: float = PING_SECONDS,
) -> None:
    """Answer with a stream of `announcement`s until the client leaves or its session ends."""
    reply = exchange.reply
    reply.start(200, SSE_HEADERS)
    await reply.write(begins)
    woken = asyncio.Event()
    due = ended = False

    def tell() -> None:
        nonlocal due
        due = True
        woken.set()

    def end() -> None:
        nonlocal ended
        ended = True
        woken.set()

    ear = Ear(tell, exchange.session, end=end)
    screen.audience.join(ear)
    try:
        while not ended:
            try:
                async with asyncio.timeout(ping_seconds):
                    await woken.wait()
            except TimeoutError:
                await reply.write(PING)
                continue
            woken.clear()
            if due:
                due = False
                await reply.write(message_event(announcement))
    finally:
        screen.audience.leave(ear)
    reply.end()
