"""Approvals over stdio: `toolreeve wrap` beside a control plane, with SDK clients of both eras."""

import asyncio
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from mcp import Client, StdioServerParameters
from msgspec import Struct

COMMAND = str(Path(sys.executable).with_name("toolreeve"))
POLICY = {
    "version": "1",
    "default": "deny",
    "tools": {"vm_status": {}, "vm_delete": {"action": "require_approval"}},
}

pytestmark = pytest.mark.timeout(240)


class Control(Struct):
    """A control plane in the clear, and where its clients keep their files."""

    home: Path
    address: str
    key: str

    def done(self, *arguments: str) -> Any:
        ran = subprocess.run(
            [COMMAND, *arguments, "--control", self.address, "--json"],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert ran.returncode == 0, ran.stderr
        return json.loads(ran.stdout)

    def wrapped(self, name: str) -> StdioServerParameters:
        settings = self.home / f"{name}.toml"
        settings.write_text(
            "approval_seconds_max = 20.0\n"
            f'data = "{self.home / name}"\n'
            f'[control]\naddress = "{self.address}"\nkeys = ["{self.key}"]\nplaintext = true\n'
        )
        server = [sys.executable, "-m", "toolreeve.cli.demo.flat", "--stdio"]
        calls = ["--calls", str(self.home / f"{name}.calls")]
        return StdioServerParameters(
            command=COMMAND,
            args=["wrap", "--config", str(settings), "--server", "lab", "--", *server, *calls],
        )

    def deleted(self, name: str) -> int:
        calls = self.home / f"{name}.calls"
        lines = calls.read_text().splitlines() if calls.exists() else []
        return sum(json.loads(line)["tool"] == "vm_delete" for line in lines)


@pytest.fixture(scope="module")
def control(nats_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Control]:
    home = tmp_path_factory.mktemp("stdio")
    ready = home / "ready.json"
    settings = home / "control.toml"
    settings.write_text(
        f'listen = "127.0.0.1:0"\nplaintext = true\nnats_url = "{nats_url}"\n'
        f'prefix = "stdio{time.time_ns()}"\ndata = "{home / "control"}"\n'
        f'ready_file = "{ready}"\n'
    )
    with subprocess.Popen([COMMAND, "control", "--config", str(settings)]) as running:
        try:
            deadline = time.monotonic() + 60
            while not ready.exists():
                assert running.poll() is None, "it has ended"
                assert time.monotonic() < deadline
                time.sleep(0.05)
            facts = json.loads(ready.read_text())
            made = Control(home, facts["address"], facts["public_key"])
            policy = home / "policy.json"
            policy.write_text(json.dumps(POLICY))
            made.done("policy", "publish", str(policy), "--server", "lab", "--reason", "test")
            yield made
        finally:
            running.terminate()
            running.wait(30)


async def _pending(control: Control) -> dict[str, Any]:
    while True:
        for one in await asyncio.to_thread(control.done, "approvals", "list"):
            return dict(one)
        await asyncio.sleep(0.1)


async def _ready(client: Client) -> None:
    refused = True
    while refused:
        refused = bool((await client.call_tool("vm_status", {"id": 1})).is_error)


@pytest.mark.parametrize("mode", ["auto", "legacy"])
def test_a_call_over_stdio_is_held_until_somebody_approves_it(control: Control, mode: str) -> None:
    heard: list[tuple[float, str | None]] = []

    async def progressed(progress: float, total: float | None, message: str | None) -> None:
        assert total is None
        heard.append((progress, message))

    async def story() -> None:
        async with asyncio.timeout(90), Client(control.wrapped(mode), mode=mode) as client:
            await _ready(client)
            calling = asyncio.create_task(
                client.call_tool("vm_delete", {"id": 1}, progress_callback=progressed)
            )
            asked = await _pending(control)
            assert not control.deleted(mode)
            assert "web-1" in (await client.call_tool("vm_status", {"id": 1})).content[0].text  # type: ignore[union-attr]  # others go on
            await asyncio.to_thread(control.done, "approvals", "approve", asked["approval"])
            result = await calling
            assert not result.is_error, result
            assert control.deleted(mode) == 1
            assert heard
            assert all(asked["approval"] in (message or "") for _, message in heard)

    asyncio.run(story())


def test_a_call_that_is_cancelled_while_it_is_held_uses_no_permit(control: Control) -> None:
    async def story() -> None:
        async with asyncio.timeout(90), Client(control.wrapped("gone"), mode="auto") as client:
            await _ready(client)
            calling = asyncio.create_task(client.call_tool("vm_delete", {"id": 2}))
            asked = await _pending(control)
            calling.cancel()
            await asyncio.sleep(0.5)
            await asyncio.to_thread(control.done, "approvals", "approve", asked["approval"])
            await asyncio.sleep(1)
            assert not control.deleted("gone")
            shown = await asyncio.to_thread(control.done, "approvals", "show", asked["approval"])
            assert shown["state"] == "approved"
            result = await client.call_tool("vm_delete", {"id": 2})  # whoever comes back finds it
            assert not result.is_error
            assert control.deleted("gone") == 1

    asyncio.run(story())
