"""The HTTP server in front of agents: small, strict, and aware of every disconnect.

It is written on `asyncio.Protocol` and a parser in C because each call an agent makes passes
here. What a request may be is judged when its head is there, by the rules for heads and by whoever
stands at the door; its handler runs when the body is there too, one at a
time per connection and in the order in which the requests came.
"""

import asyncio
import time
from email.utils import formatdate
from typing import Final, Protocol

from toolreeve.proxy.answering import Handler, Work
from toolreeve.proxy.http_connection import HttpConnection
from toolreeve.proxy.http_reply import HttpReply
from toolreeve.proxy.http_request import HeadRules, HttpBounds, HttpRequest
from toolreeve.proxy.known_heads import KnownHeads
from toolreeve.proxy.occupancy import Occupancy
from toolreeve.proxy.strictjson import Refused

_SWEEP_SECONDS: Final = 0.25
_BACKLOG_MAX: Final = 1024
_ON_THEIR_WAY_OUT_MAX: Final = 64


class Door(Protocol):
    """Whoever answers requests, and says at the door which ones may come in."""

    def enter(self, request: HttpRequest) -> Refused | None:
        """Judge a request whose head is well-formed, before its body is read.

        Sets `request.caller` where a grant was shown.
        """
        ...

    def __call__(self, request: HttpRequest, reply: HttpReply) -> Work:
        """Answer a request, also one that has been refused: `request.refused` says so."""
        ...


class HttpListener:
    """Listens, and gives whole requests to `door`. Deadlines are kept to a quarter second."""

    def __init__(self, door: Door, rules: HeadRules, bounds: HttpBounds) -> None:
        self.bounds = bounds
        self.date = b""
        self.closing = False
        self.occupancy: Occupancy[HttpConnection] = Occupancy(bounds)
        self.heads = KnownHeads(
            header_bytes_max=bounds.header_bytes_max, body_bytes_max=bounds.body_bytes_max
        )
        self.handler: Handler = door
        self.enter = door.enter
        self.rules = rules
        self._connections: set[HttpConnection] = set()
        self._server: asyncio.Server | None = None
        self._sweeper: asyncio.TimerHandle | None = None

    async def listen(self, host: str, port: int, *, backlog: int = _BACKLOG_MAX) -> int:
        """Start; the answer is the port, which the system chooses when `port` is 0."""
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(
            lambda: HttpConnection(self), host, port, backlog=backlog, start_serving=False
        )
        self._sweep()
        await self._server.start_serving()
        number: int = self._server.sockets[0].getsockname()[1]
        return number

    @property
    def connections(self) -> int:
        return len(self._connections)

    @property
    def crowded(self) -> bool:
        return len(self._connections) > self.bounds.connections_max + _ON_THEIR_WAY_OUT_MAX

    async def close(self, grace_seconds: float = 5.0) -> None:
        """Take nothing new, give what is being answered its time, then cancel it."""
        self.closing = True
        if self._server is not None:
            self._server.close()
        ends = {end: one for one in tuple(self._connections) if (end := one.finish()) is not None}
        if ends:
            _, late = await asyncio.wait(ends, timeout=grace_seconds)
            for end in late:
                ends[end].give_up()
            if late:
                await asyncio.wait(late, timeout=grace_seconds)
        for connection in tuple(self._connections):
            connection.abort()
        if self._sweeper is not None:
            self._sweeper.cancel()
        if self._server is not None:
            await self._server.wait_closed()

    # For the connections.

    def joined(self, connection: HttpConnection) -> None:
        self._connections.add(connection)

    def left(self, connection: HttpConnection) -> None:
        self._connections.discard(connection)

    def _sweep(self) -> None:
        loop = asyncio.get_running_loop()
        now = loop.time()
        self.date = b"date: " + formatdate(time.time(), usegmt=True).encode() + b"\r\n"
        for connection in tuple(self._connections):
            connection.sweep(now)
        self._sweeper = loop.call_later(_SWEEP_SECONDS, self._sweep)
