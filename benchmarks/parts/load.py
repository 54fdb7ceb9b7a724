"""Agents over HTTP: each opens a session where there are such, calls, waits, calls again.

What is timed is a call from its first byte out to its last byte back, and each answer is looked
at: it must hold the note of its own call. `async with crowd(...)` has the agents connected and
their sessions open; only then does `call` begin to count.
"""

import asyncio
import itertools
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from math import ceil

from msgspec import Struct

from parts.calls import (
    FIRST_ID,
    INITIALIZED,
    SESSIONS,
    STATELESS,
    CallForm,
    initialize,
    list_tools,
    looks_wrong,
)
from parts.http_wire import BrokenConnectionError, HttpWire, header

OPENING_AT_ONCE = 16
OPENING_SECONDS_MAX = 30.0
LATE_SECONDS_MAX = 20.0
ACCEPT = "application/json, text/event-stream"


class LoadError(Exception):
    """A way did not do what was asked of it; the text says what was seen."""


class Target(Struct, frozen=True, kw_only=True):
    """Where calls go."""

    port: int
    path: str = "/mcp"
    stateless: bool = False
    headers: tuple[tuple[str, str], ...] = ()
    tool: str = "truenas"
    inside: str = ""
    """The tool that the call goes through, where it does not stand on the list itself."""


class Load(Struct, frozen=True, kw_only=True):
    """What was seen. `in_time` calls had ended when `seconds` were over; all in `seconds_all`."""

    latencies_ns: tuple[int, ...]
    in_time: int
    seconds: float
    seconds_all: float
    agents: int

    @property
    def calls_per_second(self) -> float:
        """By the calls that ended in time; by all of them where each agent had only a few."""
        if self.in_time >= 4 * self.agents:
            return self.in_time / self.seconds
        return len(self.latencies_ns) / self.seconds_all

    def percentile_us(self, percent: float) -> float:
        """The latency that `percent` of the calls do not exceed, in microseconds."""
        ordered = sorted(self.latencies_ns)
        return ordered[max(0, ceil(len(ordered) * percent / 100) - 1)] / 1_000


class Agent:
    """One agent on one connection."""

    def __init__(self, target: Target, form: CallForm, ids: "itertools.count[int]") -> None:
        self.target = target
        self.form = form
        self._ids = ids
        self.wire = HttpWire()
        self.session: str | None = None
        self._version = STATELESS if target.stateless else SESSIONS
        self._call_id = 0
        self._began = 0
        self._until = 0
        self._calls_left = 0
        self.latencies: list[int] = []
        self.in_time = 0
        self._done: asyncio.Future[None] | None = None
        self._call_head = b""

    async def open(self) -> None:
        """Connect, and open a session where the era has them. Raises LoadError."""
        loop = asyncio.get_running_loop()
        try:
            await loop.create_connection(lambda: self.wire, "127.0.0.1", self.target.port)
            if not self.target.stateless:
                await self._open_session()
        except (BrokenConnectionError, OSError) as error:
            raise LoadError(str(error)) from error
        length = len(self.form.body(FIRST_ID))
        self._call_head = self.head("POST", length, ("tools/call", self.form.tool))

    async def _open_session(self) -> None:
        body = initialize(1)
        status, head, answer = await self.wire.ask(self.head("POST", len(body)) + body)
        if status != 200 or b'"protocolVersion"' not in answer:
            raise LoadError(f"initialize: HTTP {status} {answer[:300]!r}")
        self.session = header(head, b"mcp-session-id")
        for version in (SESSIONS, "2025-06-18", "2025-03-26", "2024-11-05"):
            if version.encode() in answer:
                self._version = version
                break
        head_bytes = self.head("POST", len(INITIALIZED))
        status, _, answer = await self.wire.ask(head_bytes + INITIALIZED)
        if status not in (200, 202, 204):
            raise LoadError(f"notifications/initialized: HTTP {status} {answer[:300]!r}")

    async def list_tools(self) -> tuple[int, int]:
        """How long the list took in nanoseconds, and how many tools it holds."""
        body = list_tools(next(self._ids), stateless=self.target.stateless)
        head = self.head("POST", len(body), ("tools/list", ""))
        began = time.perf_counter_ns()
        try:
            status, _, answer = await self.wire.ask(head + body)
        except BrokenConnectionError as error:
            raise LoadError(str(error)) from error
        taken = time.perf_counter_ns() - began
        count = answer.count(b'"inputSchema"')
        if status != 200 or not count:
            raise LoadError(f"tools/list: HTTP {status} {answer[:300]!r}")
        return taken, count

    async def leave(self) -> None:
        """End the session, as a well-behaved client does, and close the connection."""
        if self.session is not None and self.wire.open and self._done is None:
            try:
                async with asyncio.timeout(5):
                    await self.wire.ask(self.head("DELETE", 0))
            except (BrokenConnectionError, TimeoutError):
                pass
        if self.wire.open:
            self.wire.close()

    def begin(self, until_ns: int, calls_max: int) -> "asyncio.Future[None]":
        """Call again and again; the future is done after the last answer, or failed."""
        self._until = until_ns
        self._calls_left = calls_max
        done = self._done = asyncio.get_running_loop().create_future()
        self.wire.heard, self.wire.lost = self._answered, self._fail
        self._call()
        return done

    def _call(self) -> None:
        self._call_id = next(self._ids)
        request = self._call_head + self.form.body(self._call_id)
        self._began = time.perf_counter_ns()
        self.wire.write(request)

    def _answered(self, status: int, head: bytes, body: bytes) -> None:
        del head
        now = time.perf_counter_ns()
        if status != 200:
            self._fail(f"HTTP {status} {body[:300]!r}")
            return
        wrong = looks_wrong(body, self._call_id)
        if wrong is not None:
            self._fail(wrong)
            return
        self.latencies.append(now - self._began)
        if now <= self._until:
            self.in_time += 1
        self._calls_left -= 1
        if self._calls_left <= 0 or now >= self._until:
            if self._done is not None and not self._done.done():
                self._done.set_result(None)
            self._done = None
            return
        self._call()

    def _fail(self, why: str) -> None:
        if self._done is not None and not self._done.done():
            self._done.set_exception(LoadError(why))
            self._done = None

    def head(self, method: str, length: int, mcp: tuple[str, str] = ("", "")) -> bytes:
        target = self.target
        lines = [
            f"{method} {target.path} HTTP/1.1",
            f"Host: 127.0.0.1:{target.port}",
            f"Accept: {ACCEPT}",
            f"MCP-Protocol-Version: {self._version}",
            *(f"{name}: {value}" for name, value in target.headers),
        ]
        if method == "POST":
            lines += ["Content-Type: application/json", f"Content-Length: {length}"]
        if self.session is not None:
            lines.append(f"Mcp-Session-Id: {self.session}")
        if target.stateless and mcp[0]:
            lines.append(f"Mcp-Method: {mcp[0]}")
            if mcp[1]:
                lines.append(f"Mcp-Name: {mcp[1]}")
        return ("\r\n".join(lines) + "\r\n\r\n").encode()


class Crowd:
    """Agents that are connected."""

    def __init__(self, agents: list[Agent]) -> None:
        self.agents = agents

    async def call(self, seconds: float, calls_max: int = 1_000_000) -> Load:
        """Let every agent call for so long, at most `calls_max` times each.

        Raises LoadError for the first answer that is wrong, and where answers do not come.
        """
        began = time.perf_counter_ns()
        until = began + int(seconds * 1e9)
        waiting = [agent.begin(until, calls_max) for agent in self.agents]
        done, pending = await asyncio.wait(
            waiting, timeout=seconds + LATE_SECONDS_MAX, return_when=asyncio.FIRST_EXCEPTION
        )
        for one in done:
            error = one.exception()
            if error is not None:
                for other in done - {one}:
                    other.exception()
                raise error
        if pending:
            count = len(pending)
            raise LoadError(f"{count} agents had no answer {LATE_SECONDS_MAX:.0f} s after the end")
        ended = time.perf_counter_ns()
        return Load(
            latencies_ns=tuple(taken for agent in self.agents for taken in agent.latencies),
            in_time=sum(agent.in_time for agent in self.agents),
            seconds=min(ended - began, int(seconds * 1e9)) / 1e9,
            seconds_all=(ended - began) / 1e9,
            agents=len(self.agents),
        )


@asynccontextmanager
async def crowd(
    target: Target, *, agents: int, padding: int, opening_seconds_max: float = OPENING_SECONDS_MAX
) -> AsyncGenerator[Crowd]:
    """So many agents, connected and with their sessions open. Raises LoadError."""
    form = CallForm(padding, stateless=target.stateless, tool=target.tool, inside=target.inside)
    ids = itertools.count(FIRST_ID)
    them = [Agent(target, form, ids) for _ in range(agents)]
    gate = asyncio.Semaphore(OPENING_AT_ONCE)
    opened = 0

    async def opening(agent: Agent) -> None:
        nonlocal opened
        async with gate:
            await agent.open()
            opened += 1

    try:
        try:
            async with asyncio.timeout(opening_seconds_max):
                await asyncio.gather(*(opening(agent) for agent in them))
        except TimeoutError:
            raise LoadError(
                f"{opened} of {agents} agents were connected after {opening_seconds_max:.0f} s"
            ) from None
        yield Crowd(them)
    finally:
        for begin in range(0, len(them), OPENING_AT_ONCE):
            group = them[begin : begin + OPENING_AT_ONCE]
            await asyncio.gather(*(agent.leave() for agent in group if agent.wire.open))
