"""A load of tool calls over plain sockets: as little of a client as can be measured with."""

import asyncio
import re
import time
from collections.abc import Sequence

from msgspec import Struct

LENGTH = re.compile(rb"content-length:\s*(\d+)", re.IGNORECASE)
STATELESS = "2026-07-28"


class Load(Struct, frozen=True, kw_only=True):
    """What was seen: every call's latency in nanoseconds, and how long all of them took."""

    latencies_ns: tuple[int, ...]
    seconds: float

    @property
    def calls_per_second(self) -> float:
        return len(self.latencies_ns) / self.seconds

    def percentile_us(self, percent: float) -> float:
        """The latency below which `percent` of the calls lie, in microseconds."""
        ordered = sorted(self.latencies_ns)
        place = min(len(ordered) - 1, int(len(ordered) * percent / 100))
        return ordered[place] / 1_000


def request(port: int, path: str, call_id: int, tool: str, padding: int) -> bytes:
    """One stateless `tools/call` as bytes; `padding` characters of argument beside the id."""
    body = (
        b'{"jsonrpc":"2.0","id":%d,"method":"tools/call","params":{"_meta":'
        b'{"io.modelcontextprotocol/protocolVersion":"%b",'
        b'"io.modelcontextprotocol/clientInfo":{"name":"bench","version":"1"},'
        b'"io.modelcontextprotocol/clientCapabilities":{}},'
        b'"name":"%b","arguments":{"id":7,"note":"%b"}}}'
    ) % (call_id, STATELESS.encode(), tool.encode(), b"x" * padding)
    head = (
        f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nContent-Type: application/json\r\n"
        f"Accept: application/json, text/event-stream\r\nMCP-Protocol-Version: {STATELESS}\r\n"
        f"Mcp-Method: tools/call\r\nMcp-Name: {tool}\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


class _Caller(asyncio.Protocol):
    """One agent: calls, waits for the whole answer, calls again."""

    def __init__(self, requests: Sequence[bytes], wanted: bytes) -> None:
        self._requests = requests
        self._wanted = wanted
        self._next = 0
        self._rest = b""
        self._began = 0
        self.latencies: list[int] = []
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._call()

    def _call(self) -> None:
        if self._next == len(self._requests):
            self.done.set_result(None)
            self._transport.close()
            return
        self._began = time.perf_counter_ns()
        self._transport.write(self._requests[self._next])
        self._next += 1

    def data_received(self, data: bytes) -> None:
        self._rest += data
        end = self._rest.find(b"\r\n\r\n")
        if end < 0:
            return
        found = LENGTH.search(self._rest, 0, end)
        if found is None or not self._rest.startswith(b"HTTP/1.1 200"):
            self._fail(f"unexpected answer: {self._rest[:300]!r}")
            return
        whole = end + 4 + int(found.group(1))
        if len(self._rest) < whole:
            return
        if self._wanted not in self._rest:
            self._fail(f"unexpected result: {self._rest[end + 4 : whole][:300]!r}")
            return
        self.latencies.append(time.perf_counter_ns() - self._began)
        self._rest = self._rest[whole:]
        self._call()

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.done.done():
            self._fail(f"the connection broke: {exc}")

    def _fail(self, reason: str) -> None:
        if not self.done.done():
            self.done.set_exception(RuntimeError(reason))
        self._transport.abort()


async def run_load(
    port: int, path: str, *, agents: int, calls: int, tool: str, padding: int, wanted: bytes
) -> Load:
    """Let `agents` make `calls` calls between them; each waits for its answer before the next.

    Every answer must be a 200 that contains `wanted`. Raises RuntimeError otherwise.
    """
    loop = asyncio.get_running_loop()
    each = max(1, calls // agents)
    began = time.perf_counter()
    callers: list[_Caller] = []
    for agent in range(agents):
        requests = [
            request(port, path, agent * each + index, tool, padding) for index in range(each)
        ]
        _, caller = await loop.create_connection(
            lambda requests=requests: _Caller(requests, wanted),  # type: ignore[misc]  # bound now
            "127.0.0.1",
            port,
        )
        callers.append(caller)
    await asyncio.gather(*(caller.done for caller in callers))
    seconds = time.perf_counter() - began
    return Load(
        latencies_ns=tuple(taken for caller in callers for taken in caller.latencies),
        seconds=seconds,
    )
