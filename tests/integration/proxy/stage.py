"""Both ends of a conversation through the proxy, played by hand.

A `Stage` has a client and a server, each of which says messages and hears what arrives. The same
play runs over Streamable HTTP (`http`), over HTTP to a server on stdio (`bridge`), and over stdio
to stdio (`wrap`). What belongs to no request goes over the GET stream where there is one.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import AsyncGenerator, Callable, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from tests.integration.proxy.actors import (
    HttpClient,
    HttpServer,
    Message,
    PuppetServer,
    StdioClient,
)

from toolreeve.proxy.child import ChildBounds
from toolreeve.proxy.wrap import wrap

if TYPE_CHECKING:
    from tests.integration.proxy.conftest import OpenSite, Recorder

PUPPET = [sys.executable, str(Path(__file__).with_name("puppet.py"))]
CHANGED = {"jsonrpc": "2.0", "method": "notifications/tools/list_changed"}


class Server(Protocol):
    """The server's end."""

    heard: asyncio.Queue[Message]

    async def say(self, raw: bytes, *, on: object = None) -> None:
        """Say a message on the stream of the request `on`, or on the one that belongs to none."""
        ...


class Client(Protocol):
    """The client's end. `heard` holds messages as they arrived, byte for byte."""

    heard: asyncio.Queue[bytes]

    async def say(self, message: Message) -> None: ...


class Openers(NamedTuple):
    """The fixtures that a stage is made of."""

    to_url: OpenSite
    to_command: OpenSite
    recorder: Callable[[], Recorder]


class Stage:
    """A client, a server and the gate between them."""

    def __init__(self, client: Client, server: Server, gate: Recorder) -> None:
        self.client = client
        self.server = server
        self.gate = gate

    async def client_hears(self) -> Message:
        message: Message = json.loads(await self.client.heard.get())
        return message


async def in_turn(stage: Stage) -> None:
    """Whatever the client was to hear before this has been heard."""
    await stage.client.say({"jsonrpc": "2.0", "id": "turn", "method": "ping"})
    heard = await stage.server.heard.get()
    pong: Message = {"jsonrpc": "2.0", "id": heard["id"], "result": {}}
    await stage.server.say(json.dumps(pong).encode())
    assert (await stage.client_hears())["id"] == "turn"


@asynccontextmanager
async def set_stage(
    way: str,
    era: str,
    openers: Openers,
    child_bounds: ChildBounds | None = None,
) -> AsyncGenerator[Stage]:
    """A stage on which nothing has been said yet."""
    server = HttpServer() if way == "http" else PuppetServer()
    tasks: set[asyncio.Task[None]] = set()

    def spawn(work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(work)
        tasks.add(task)
        return task

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        await server.serve(reader, writer)

    listening = await asyncio.start_server(serve, "127.0.0.1", 0, limit=1 << 28)
    port = listening.sockets[0].getsockname()[1]
    try:
        if way == "wrap":
            async with _wrapped(port, server, openers.recorder(), spawn, child_bounds) as stage:
                yield stage
        else:
            site = (
                openers.to_url(f"http://127.0.0.1:{port}/mcp")
                if way == "http"
                else openers.to_command([*PUPPET, str(port)])
            )
            async with site as here:
                yield Stage(HttpClient(here.port, era, spawn), server, here.gate)
                for task in tasks:
                    task.cancel()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        listening.close()


@asynccontextmanager
async def _wrapped(
    port: int,
    server: Server,
    gate: Recorder,
    spawn: Callable[[Coroutine[Any, Any, None]], object],
    bounds: ChildBounds | None,
) -> AsyncGenerator[Stage]:
    inner_read, to = os.pipe()
    back, inner_write = os.pipe()
    client = StdioClient(to, back)
    running = asyncio.create_task(
        wrap(
            [*PUPPET, str(port)],
            gate,
            "flat",
            environ=dict(os.environ),
            stdin_fd=inner_read,
            stdout_fd=inner_write,
            bounds=bounds or ChildBounds(stop_seconds_max=1.0, last_answers_seconds_max=1.0),
        )
    )
    spawn(client.read())
    try:
        yield Stage(client, server, gate)
    finally:
        os.close(to)
        await running
        for fd in (inner_read, inner_write):
            os.close(fd)
