"""Servers that change their tools behind the gateway's back, and the command that approves."""

import asyncio
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from mcp import Client

from toolreeve.audit import Body
from toolreeve.outbox import Outbox
from toolreeve.wire import pack, read_event, unpack

SECONDS_MAX = 60.0
SERVER = Path(__file__).with_name("rug_server.py")
TOOLREEVE = (sys.executable, "-m", "toolreeve.cli")


def tool(name: str, description: str = "Does it.", **more: Any) -> dict[str, Any]:
    return {"name": name, "description": description, "inputSchema": {"type": "object"}, **more}


class Rug:
    """A gateway over one server that is reached as `http` and as `pipe`, and everything around."""

    def __init__(self, folder: Path, ends: ExitStack) -> None:
        self.folder = folder
        self._ends = ends
        self.process: subprocess.Popen[bytes] | None = None
        self.url = ""
        (folder / "calls.txt").touch()
        environment = {"TOOLS_FILE": str(folder / "tools.json")}
        self.environment = {**environment, "CALLS_FILE": str(folder / "calls.txt")}
        self.command = [sys.executable, str(SERVER), "stdio"]
        self.server = subprocess.Popen(
            [sys.executable, str(SERVER), "http"],
            stdout=subprocess.PIPE,
            env={**os.environ, **self.environment},
        )
        ends.callback(self._end_server)
        assert self.server.stdout is not None
        self.server_url = f"http://127.0.0.1:{int(self.server.stdout.readline())}/mcp"

    def offer(self, *pages: Sequence[dict[str, Any]]) -> None:
        """From now on the server answers tools/list with these pages."""
        partial = self.folder / "tools.part"
        partial.write_text(json.dumps(pages))
        partial.replace(self.folder / "tools.json")

    def start(self, **policy: Any) -> None:
        """Run the gateway under a policy, with what it had in its folder before."""
        config, ready = self.folder / "gateway.toml", self.folder / "ready.json"
        ready.unlink(missing_ok=True)
        policy = {"version": "1", "default": "allow", **policy}
        (self.folder / "policy.json").write_text(json.dumps(policy))
        environment = "\n".join(f'{key} = "{value}"' for key, value in self.environment.items())
        config.write_text(
            'enforcer = "gw"\nlisten = "127.0.0.1:0"\ndata = "data"\n'
            'ready_file = "ready.json"\npolicy = "policy.json"\n'
            f'[upstreams.http]\nurl = "{self.server_url}"\n'
            f"[upstreams.pipe]\ncommand = {json.dumps(self.command)}\n"
            f"[upstreams.pipe.environment]\n{environment}\n"
        )
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(
                [*TOOLREEVE, "gateway", "--config", str(config)], stderr=log
            )
        self._ends.callback(self.kill)
        deadline = time.monotonic() + SECONDS_MAX
        while not ready.exists():
            assert self.process.poll() is None, self.log
            assert time.monotonic() < deadline, self.log
            time.sleep(0.01)
        self.url = json.loads(ready.read_text())["url"]

    def kill(self) -> None:
        """kill -9, where it runs."""
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait()

    def stop(self) -> None:
        assert self.process is not None
        self.process.terminate()
        assert self.process.wait(SECONDS_MAX) == 0

    @property
    def log(self) -> str:
        return (self.folder / "log").read_text()

    @property
    def calls(self) -> list[str]:
        """What reached the server."""
        return (self.folder / "calls.txt").read_text().split()

    @property
    def data(self) -> Path:
        return self.folder / "data"

    def through(self, server: str, mode: str, work: Callable[[Client], Any]) -> Any:
        """Do something with a client of the gateway's."""

        async def story() -> Any:
            async with (
                asyncio.timeout(SECONDS_MAX),
                Client(f"{self.url}/{server}/mcp", mode=mode, cache=None) as client,
            ):
                return await work(client)

        return asyncio.run(story())

    def listed(self, server: str = "http", mode: str = "auto") -> list[str]:
        """The names of the tools that a client is shown, from all pages."""
        return list(self.through(server, mode, names))

    def call(self, name: str, server: str = "http", mode: str = "auto") -> tuple[str, str]:
        """The code of the decision, and what the agent reads; without listing anything before."""

        async def ask(client: Client) -> tuple[str, str]:
            result: Any = await client.session.call_tool(name, {})
            meta: dict[str, Any] = result.meta or {}
            decision: dict[str, Any] = meta.get("io.toolreeve/decision", {})
            return str(decision.get("code", "")), str(result.content[-1].text)

        found: tuple[str, str] = self.through(server, mode, ask)
        return found

    def until(self, seen: Callable[[], bool]) -> None:
        """Wait for something to be so."""
        deadline = time.monotonic() + SECONDS_MAX
        while not seen():
            assert time.monotonic() < deadline, self.log
            time.sleep(0.05)

    def tools(self, *arguments: str) -> "subprocess.CompletedProcess[str]":
        """Run `toolreeve tools` on the gateway's folder."""
        command = [*TOOLREEVE, "tools", *arguments]
        if "--data" not in arguments:
            command += ["--data", str(self.data)]
        environment = {**os.environ, **self.environment, "NO_COLOR": "1"}
        return subprocess.run(
            command, capture_output=True, text=True, timeout=60, check=False, env=environment
        )

    def history(self, *kinds: type[Body]) -> list[Any]:
        """What of these kinds is in the outbox of the gateway, which has ended."""
        outbox = Outbox[Any].open(self.data / "outbox", owner="gw", pack=pack("gw"))
        bodies = [
            read_event(raw).body for group in outbox.groups() for raw in unpack(group.payload).raws
        ]
        asyncio.run(outbox.close())
        return [body for body in bodies if isinstance(body, kinds)]

    def _end_server(self) -> None:
        self.server.terminate()
        self.server.wait()
        if self.server.stdout is not None:
            self.server.stdout.close()


async def names(client: Client) -> list[str]:
    found: list[str] = []
    cursor: str | None = None
    while True:
        page = await client.list_tools(cursor=cursor)
        found += [one.name for one in page.tools]
        cursor = page.next_cursor
        if cursor is None:
            return found


@pytest.fixture
def rug(tmp_path: Path) -> Iterator[Rug]:
    with ExitStack() as ends:
        yield Rug(tmp_path, ends)


@pytest.fixture
def make_tool() -> Callable[..., dict[str, Any]]:
    return tool
