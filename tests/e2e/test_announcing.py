"""A policy that comes into force is heard of by the clients of its server, and by nobody else."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncGenerator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from mcp import Client, StdioServerParameters
from mcp.client.subscriptions import Subscription
from mcp_types import ToolListChangedNotification
from tests.e2e.test_up import (
    COMMAND,
    START_SECONDS_MAX,
    processes_of,
    record_of,
    running_up,
    toolreeve,
    wait_until,
)

pytestmark = pytest.mark.timeout(240)
SERVER = [sys.executable, "-m", "toolreeve.cli.demo.flat", "--stdio"]


def policy(*tools: str) -> str:
    return json.dumps(
        {"version": "1", "name": "p", "default": "deny", "tools": {tool: {} for tool in tools}}
    )


class Listener:
    """A client that hears, in either era, and counts what it hears."""

    def __init__(self, client: Client) -> None:
        self.client = client
        self.heard = 0
        self._more = asyncio.Event()

    def note(self) -> None:
        self.heard += 1
        self._more.set()

    async def until(self, times: int) -> None:
        while self.heard < times:
            self._more.clear()
            await self._more.wait()

    async def tools(self) -> set[str]:
        return {tool.name for tool in (await self.client.list_tools()).tools}


@asynccontextmanager
async def listening(server: str | StdioServerParameters, mode: str) -> AsyncGenerator[Listener]:
    made: list[Listener] = []

    async def note(message: object) -> None:
        if isinstance(message, ToolListChangedNotification) and made:
            made[0].note()

    async def follow(listener: Listener, events: Subscription) -> None:
        async for _ in events:
            listener.note()

    async with Client(server, mode=mode, message_handler=note) as client:
        listener = Listener(client)
        if mode == "legacy":
            made.append(listener)
            yield listener
            return
        async with client.listen(tools_list_changed=True) as events:
            following = asyncio.create_task(follow(listener, events))
            yield listener
            following.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await following


@pytest.fixture
def data(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "data"
    folder.mkdir()
    command = json.dumps(SERVER)
    servers = "".join(f"[upstreams.{name}]\ncommand = {command}\n" for name in ("one", "two"))
    (folder / "gateway.toml").write_text(servers)
    yield folder
    for process_id in processes_of(folder):
        with contextlib.suppress(ProcessLookupError):
            os.kill(process_id, signal.SIGKILL)


def test_a_published_revision_is_heard_of_at_its_own_server_in_both_eras(data: Path) -> None:
    file = data.with_name("policy.json")

    def publish(*tools: str) -> None:
        file.write_text(policy(*tools))
        done = toolreeve("policy", "publish", str(file), "--server", "one", "--data", str(data))
        assert done.returncode == 0, done.stderr

    async def story(urls: dict[str, str]) -> None:
        async with (
            asyncio.timeout(60),
            listening(urls["one"], "auto") as new,
            listening(urls["one"], "legacy") as old,
            listening(urls["two"], "auto") as other,
            listening(urls["two"], "legacy") as other_old,
        ):
            assert await new.tools() == await old.tools() == set()
            await asyncio.to_thread(publish, "vm_status", "vm_list")
            for client in (new, old):
                await client.until(1)
                assert await client.tools() == {"vm_status", "vm_list"}
            held = await asyncio.to_thread(
                toolreeve, "hold", "place", "--server", "one", "--reason", "x", "--data", str(data)
            )
            assert held.returncode == 0, held.stderr
            await asyncio.to_thread(publish, "vm_status", "vm_list")  # the same revision
            await asyncio.to_thread(publish, "vm_status")
            for client in (new, old):
                await client.until(2)
                assert await client.tools() == {"vm_status"}
                assert client.heard == 2, "neither a hold nor the same revision changes a list"
            assert (other.heard, other_old.heard) == (0, 0)

    with running_up(data):
        asyncio.run(story(record_of(data)["servers"]))


@pytest.mark.parametrize("mode", ["auto", "legacy"])
def test_a_policy_file_that_is_edited_is_heard_of_through_a_wrapper(
    tmp_path: Path, mode: str
) -> None:
    file = tmp_path / "policy.json"
    file.write_text(policy("vm_status"))
    wrapped = StdioServerParameters(
        command=COMMAND,
        args=[
            *("wrap", "--policy", str(file), "--data", str(tmp_path / "data")),
            *("--server", "flat", "--", *SERVER),
        ],
    )

    async def story() -> None:
        async with asyncio.timeout(30), listening(wrapped, mode) as here:
            assert await here.tools() == {"vm_status"}
            file.write_text(policy("vm_list"))
            await here.until(1)
            assert await here.tools() == {"vm_list"}
            assert here.heard == 1

    asyncio.run(story())


@pytest.mark.parametrize("mode", ["auto", "legacy"])
def test_a_policy_file_that_is_edited_is_heard_of_through_a_gateway(
    tmp_path: Path, mode: str
) -> None:
    file = tmp_path / "policy.json"
    file.write_text(policy("vm_status"))
    config = tmp_path / "gateway.toml"
    ready = tmp_path / "ready.json"
    config.write_text(
        f'listen = "127.0.0.1:0"\ndata = "data"\nready_file = "{ready}"\npolicy = "policy.json"\n'
        f"[upstreams.flat]\ncommand = {json.dumps(SERVER)}\n"
    )

    async def story(url: str) -> None:
        async with asyncio.timeout(30), listening(f"{url}/flat/mcp", mode) as here:
            assert await here.tools() == {"vm_status"}
            file.write_text(policy("vm_list"))
            await here.until(1)
            assert await here.tools() == {"vm_list"}

    command = [COMMAND, "gateway", "--config", str(config)]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as gateway:
        try:
            wait_until(ready.exists, START_SECONDS_MAX, "the gateway does not start")
            asyncio.run(story(json.loads(ready.read_text())["url"]))
        finally:
            gateway.terminate()
