"""Connections to one upstream, kept between requests and never more than allowed."""

import asyncio
import collections
import ssl
from collections.abc import Sequence
from typing import Final

from toolreeve.proxy.http_client import (
    NEVER,
    HttpResponse,
    UpstreamBounds,
    UpstreamConnection,
    UpstreamError,
)
from toolreeve.proxy.known_heads import KnownAnswers
from toolreeve.proxy.upstream_address import UpstreamAddress

_SWEEP_SECONDS: Final = 0.25


class HttpPool:
    """Connections to one upstream. `close` it in the end."""

    def __init__(
        self,
        address: UpstreamAddress,
        bounds: UpstreamBounds | None = None,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self.address = address
        self.bounds = bounds or UpstreamBounds()
        self.answers = KnownAnswers(self.bounds.header_bytes_max)
        self._tls = (tls or ssl.create_default_context()) if address.tls else None
        self._idle: list[UpstreamConnection] = []
        self._all: set[UpstreamConnection] = set()
        self._opening = 0
        self._waiters: collections.deque[asyncio.Future[None]] = collections.deque()
        self._sweeper: asyncio.TimerHandle | None = None
        self._injected = {name for name, _ in address.headers}
        self._static = b"".join(
            (
                f"host: {address.authority}\r\naccept-encoding: identity\r\n".encode(),
                *(b"%b: %b\r\n" % header for header in address.headers),
            )
        )

    async def request(
        self,
        method: bytes,
        headers: Sequence[tuple[bytes, bytes]],
        body: bytes | None = None,
        *,
        repeatable: bool = False,
        events: bool = False,
    ) -> HttpResponse:
        """Send, and return when the head of the answer is there. Raises UpstreamError.

        `repeatable` allows a second try where a kept connection turns out to be dead. With
        `events` the body may be silent for ever.
        """
        request = self.head(method, headers)
        if body is None:
            request += b"\r\n"
        else:
            request = b"%bcontent-length: %d\r\n\r\n%b" % (request, len(body), body)
        silence = NEVER if events else self.bounds.silence_seconds_max
        while True:
            connection = await self._take()
            reused = connection.used
            response = connection.send(request, self.bounds.head_seconds_max, silence)
            try:
                await response.head()
            except UpstreamError as problem:
                response.release()
                if repeatable and reused and not connection.heard and not problem.timed_out:
                    repeatable = False
                    continue
                raise
            except BaseException:
                response.release()
                raise
            return response

    def head(self, method: bytes, headers: Sequence[tuple[bytes, bytes]]) -> bytes:
        """The beginning of a request, as far as it does not depend on its body."""
        head = [b"%b %b HTTP/1.1\r\n" % (method, self.address.path.encode()), self._static]
        head += [b"%b: %b\r\n" % header for header in headers if header[0] not in self._injected]
        return b"".join(head)

    def send(self, head: bytes, body: bytes) -> HttpResponse | None:
        """Send on a connection that is free, if there is one, and wait for nothing."""
        connection = self._free()
        if connection is None:
            return None
        request = b"%bcontent-length: %d\r\n\r\n%b" % (head, len(body), body)
        bounds = self.bounds
        return connection.send(request, bounds.head_seconds_max, bounds.silence_seconds_max)

    def _free(self) -> UpstreamConnection | None:
        while self._idle:
            connection = self._idle.pop()
            if connection.open:
                return connection
        return None

    async def close(self) -> None:
        if self._sweeper is not None:
            self._sweeper.cancel()
            self._sweeper = None
        for connection in tuple(self._all):
            connection.close()
        while self._all:
            await self._emptied()

    @property
    def connections(self) -> int:
        return len(self._all)

    async def _take(self) -> UpstreamConnection:
        while True:
            connection = self._free()
            if connection is not None:
                return connection
            if len(self._all) + self._opening < self.bounds.connections_max:
                return await self._connect()
            await self._wait_for_one()

    async def _wait_for_one(self) -> None:
        waiter = asyncio.get_running_loop().create_future()
        self._waiters.append(waiter)
        try:
            async with asyncio.timeout(self.bounds.wait_seconds_max):
                await waiter
        except TimeoutError:
            if waiter.done() and not waiter.cancelled():
                self._wake_one()
            raise UpstreamError("all connections to the upstream are busy", sent=False) from None
        except asyncio.CancelledError:
            if waiter.done() and not waiter.cancelled():
                self._wake_one()
            raise

    async def _connect(self) -> UpstreamConnection:
        self._opening += 1
        loop = asyncio.get_running_loop()
        address = self.address
        try:
            async with asyncio.timeout(self.bounds.connect_seconds_max):
                _, connection = await loop.create_connection(
                    lambda: UpstreamConnection(self), address.host, address.port, ssl=self._tls
                )
        except TimeoutError:
            raise UpstreamError("connecting to the upstream took too long", sent=False) from None
        except (OSError, ssl.SSLError) as problem:
            detail = problem.strerror or type(problem).__name__
            raise UpstreamError(f"no connection to the upstream: {detail}", sent=False) from problem
        finally:
            self._opening -= 1
            self._wake_one()
        self._all.add(connection)
        if self._sweeper is None:
            self._sweeper = loop.call_later(_SWEEP_SECONDS, self._sweep)
        return connection

    async def _emptied(self) -> None:
        """Wait until the loop has told one connection that it is lost."""
        waiter = asyncio.get_running_loop().create_future()
        self._waiters.appendleft(waiter)
        await waiter

    def _sweep(self) -> None:
        loop = asyncio.get_running_loop()
        now = loop.time()
        for connection in tuple(self._all):
            connection.sweep(now)
        self._sweeper = loop.call_later(_SWEEP_SECONDS, self._sweep) if self._all else None

    def _wake_one(self) -> None:
        while self._waiters:
            waiter = self._waiters.popleft()
            if not waiter.done():
                waiter.set_result(None)
                return

    # For the connections.

    def given_back(self, connection: UpstreamConnection) -> None:
        self._idle.append(connection)
        self._wake_one()

    def lost(self, connection: UpstreamConnection) -> None:
        self._all.discard(connection)
        if connection in self._idle:
            self._idle.remove(connection)
        self._wake_one()
