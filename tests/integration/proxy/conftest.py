"""A gate that decides by name, real upstreams in processes of their own, and the proxy between."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from tests.integration.proxy.stage import Openers, Stage, set_stage

from toolreeve.proxy.bridge import Bridge, BridgeBounds
from toolreeve.proxy.child import ChildBounds
from toolreeve.proxy.endpoint import Endpoint
from toolreeve.proxy.exchange import Upstream
from toolreeve.proxy.gate import (
    BadAnswer,
    BadRequest,
    Caller,
    Ending,
    Forward,
    Refusal,
    Stranger,
    ToolCall,
)
from toolreeve.proxy.http_client import UpstreamBounds
from toolreeve.proxy.http_request import HeadRules, HttpBounds
from toolreeve.proxy.http_server import HttpListener
from toolreeve.proxy.relay import HttpUpstream

FLAT_SERVER = Path(__file__).with_name("flat_server.py")


class Decision(NamedTuple):
    """What was decided, and what it waits for."""

    decided: Forward | Refusal
    written: asyncio.Future[Any] | None = None

    @property
    def held(self) -> None:
        return None

    def verdict(self) -> Forward | Refusal:
        return self.decided


class Recorder:
    """A gate that refuses and hides by name, and keeps what it was told."""

    def __init__(self) -> None:
        self.denied: set[str] = {"fails_by_raising"}
        self.hidden: set[str] = {"fails_by_raising"}
        self.methods_denied: set[str] = set()
        self.tokens: dict[str, Caller] | None = None
        self.calls: list[ToolCall] = []
        self.endings: list[tuple[object, Ending]] = []
        self.refusals: list[BadRequest] = []
        self.unheard: list[BadAnswer] = []
        self.fails = False
        self.hold: asyncio.Event | None = None  # admission waits for it
        self._watchers: list[Callable[[], None]] = []
        self._changed = asyncio.Event()

    def authenticate(self, server: str, authorization: str | None) -> Caller | Stranger:
        if self.tokens is None:
            return Caller("local", "test")
        token = (authorization or "").removeprefix("Bearer ")
        return self.tokens.get(token) or Stranger("unauthenticated", "present a grant")

    def may_stay(self, server: str, caller: Caller) -> bool:
        return self.tokens is None or caller in self.tokens.values()

    def decide(self, call: ToolCall) -> Decision:
        if self.fails:
            raise RuntimeError("the disk is gone")
        self.calls.append(call)
        self._changed.set()
        held = None if self.hold is None else asyncio.ensure_future(self.hold.wait())
        return Decision(self._verdict(call, len(self.calls)), held)

    def _verdict(self, call: ToolCall, token: int) -> Forward | Refusal:
        if call.wire_name in self.denied:
            text = f"[POLICY DENIED] {call.wire_name}"
            result: dict[str, object] = {
                "content": [{"type": "text", "text": text}],
                "isError": True,
            }
            if call.protocol_version >= "2026":
                result["resultType"] = "complete"
            return Refusal(result)
        return Forward(token)

    def ended(self, token: object, ending: Ending) -> None:
        self.endings.append((token, ending))
        self._changed.set()

    async def refused(self, bad: BadRequest) -> None:
        self.refusals.append(bad)
        self._changed.set()

    def withheld(self, bad: BadAnswer) -> None:
        self.unheard.append(bad)
        self._changed.set()

    def visible(
        self, server: str, caller: Caller, tools: list[object], *, more: bool
    ) -> list[object]:
        return [
            tool for tool in tools if not (isinstance(tool, dict) and tool["name"] in self.hidden)
        ]

    def watch_tools(self, server: str, changed: Callable[[], None]) -> None:
        self._watchers.append(changed)

    def tools_change(self) -> None:
        """As if the server's policy had changed."""
        for changed in self._watchers:
            changed()

    def method_allowed(self, server: str, caller: Caller, method: str) -> bool:
        return method not in self.methods_denied

    @property
    def outcomes(self) -> list[str]:
        return [ending.outcome for _, ending in self.endings]

    @property
    def last(self) -> Ending:
        return self.endings[-1][1]

    async def until(self, seen: Callable[[], bool]) -> None:
        """Wait until something recorded makes `seen` true."""
        while not seen():
            self._changed.clear()
            await self._changed.wait()

    def every_call_ended_once(self) -> bool:
        forwarded = len([call for call in self.calls if call.wire_name not in self.denied])
        tokens = [token for token, _ in self.endings]
        return len(tokens) == len(set(tokens)) == forwarded


class Site:
    """A listener of ours with one server `flat` behind it."""

    def __init__(
        self, port: int, gate: Recorder, upstream: Upstream, listener: HttpListener
    ) -> None:
        self.port = port
        self.gate = gate
        self.upstream = upstream
        self.listener = listener
        self.writers: list[asyncio.StreamWriter] = []
        self.url = f"http://127.0.0.1:{port}/flat/mcp"

    async def raw(self, data: bytes, *, until: bytes = b"") -> bytes:
        """Send bytes as they are and read until the connection ends, or `until` has come."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        try:
            writer.write(data)
            if until:
                return await reader.readuntil(until)
            return await reader.read()
        finally:
            writer.close()

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """A connection that is closed with the site at the latest."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        self.writers.append(writer)
        return reader, writer

    async def until(self, seen: Callable[[], bool]) -> None:
        """Let the loop go on until `seen` is true."""
        loop = asyncio.get_running_loop()
        while not seen():
            turn = loop.create_future()
            loop.call_later(0.005, turn.set_result, None)
            await turn


OpenSite = Callable[..., AbstractAsyncContextManager[Site]]


@asynccontextmanager
async def _site(
    make: Callable[[Recorder], Upstream], bounds: HttpBounds | None = None
) -> AsyncGenerator[Site]:
    gate = Recorder()
    bounds = bounds or HttpBounds()
    upstream = make(gate)
    endpoint = Endpoint(
        gate, {"flat": upstream}, streams_per_grant_max=bounds.streams_per_grant_max
    )
    listener = HttpListener(endpoint, HeadRules(bounds), bounds)
    port = await listener.listen("127.0.0.1", 0)
    site = Site(port, gate, upstream, listener)
    try:
        yield site
    finally:
        for writer in site.writers:
            writer.close()
        await listener.close(grace_seconds=0.1)
        await upstream.close()


@pytest.fixture
def recorder() -> Callable[[], Recorder]:
    """Makes a fresh gate."""
    return Recorder


@pytest.fixture
def to_url() -> OpenSite:
    """Opens a site before an HTTP upstream: `async with to_url(url) as site`."""

    def open_site(
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        bounds: HttpBounds | None = None,
        upstream_bounds: UpstreamBounds | None = None,
    ) -> AbstractAsyncContextManager[Site]:
        return _site(
            lambda gate: HttpUpstream("flat", url, gate, headers=headers, bounds=upstream_bounds),
            bounds,
        )

    return open_site


@pytest.fixture
def to_command(witness: Path) -> OpenSite:
    """Opens a site before a command on stdio, by default the flat server."""

    def open_site(
        command: list[str] | None = None, *, bridge_bounds: BridgeBounds | None = None
    ) -> AbstractAsyncContextManager[Site]:
        command = command or [sys.executable, str(FLAT_SERVER), "stdio"]
        environ = {**os.environ, "SEEN_FILE": str(witness)}
        return _site(
            lambda gate: Bridge("flat", command, gate, environ=environ, bounds=bridge_bounds)
        )

    return open_site


@pytest.fixture(scope="session")
def witness(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file in which the flat servers write down the calls that reach them."""
    path = tmp_path_factory.mktemp("flat") / "seen.txt"
    path.touch()
    return path


@pytest.fixture(scope="session")
def flat_url(witness: Path) -> Iterator[Callable[[str], str]]:
    """The address of a flat server that answers with "sse" or "json", started when asked for."""
    running: dict[str, tuple[subprocess.Popen[str], str]] = {}

    def url(form: str) -> str:
        if form not in running:
            server = subprocess.Popen(
                [sys.executable, str(FLAT_SERVER), "http", form],
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                text=True,
                env={**os.environ, "SEEN_FILE": str(witness)},
            )
            assert server.stdout is not None
            running[form] = (server, f"http://127.0.0.1:{int(server.stdout.readline())}/mcp")
        return running[form][1]

    yield url
    for server, _ in running.values():
        server.terminate()
        server.wait()
        if server.stdout is not None:
            server.stdout.close()


OpenStage = Callable[..., AbstractAsyncContextManager[Stage]]


@pytest.fixture
def open_stage(
    to_url: OpenSite, to_command: OpenSite, recorder: Callable[[], Recorder]
) -> OpenStage:
    """Opens a stage: `async with open_stage(way, era) as stage`."""

    def open_one(
        way: str, era: str, child_bounds: ChildBounds | None = None
    ) -> AbstractAsyncContextManager[Stage]:
        return set_stage(way, era, Openers(to_url, to_command, recorder), child_bounds)

    return open_one


class Arrived(NamedTuple):
    """A request as it reached a hand-made upstream."""

    head: bytes
    body: bytes

    @property
    def headers(self) -> dict[str, str]:
        lines = self.head.decode("latin-1").split("\r\n")[1:]
        pairs = (line.partition(": ") for line in lines if line)
        return {name.lower(): value for name, _, value in pairs}


class Ends(NamedTuple):
    """How a hand-made upstream talks to one connection."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter


Answer = Callable[[Arrived, Ends], Awaitable[None]]
OpenUpstream = Callable[[Answer], AbstractAsyncContextManager[tuple[str, list[Arrived]]]]


@pytest.fixture
def answering() -> OpenUpstream:
    """An upstream that answers by hand: `async with answering(answer) as (url, arrived)`."""

    @asynccontextmanager
    async def open_upstream(answer: Answer) -> AsyncGenerator[tuple[str, list[Arrived]]]:
        arrived: list[Arrived] = []
        tasks: set[asyncio.Task[None]] = set()

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = asyncio.current_task()
            assert task is not None
            tasks.add(task)
            try:
                while True:
                    head = await reader.readuntil(b"\r\n\r\n")
                    request = Arrived(head, b"")
                    length = int(request.headers.get("content-length", "0"))
                    request = Arrived(head, await reader.readexactly(length))
                    arrived.append(request)
                    await answer(request, Ends(reader, writer))
                    await writer.drain()
            except (OSError, EOFError, asyncio.CancelledError):
                pass
            finally:
                writer.close()

        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        try:
            yield f"http://127.0.0.1:{port}/mcp", arrived
        finally:
            server.close()
            for task in tuple(tasks):
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    return open_upstream
