"""The demo's MCP servers as processes, called by the SDK in both protocol eras."""

import asyncio
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from mcp import Client
from mcp.client.stdio import StdioServerParameters
from mcp_types import TextContent

from toolreeve.cli.demo.serve import SeenCall, read_calls

RESTARTED = "3 db-1: running, 16384 MiB, 1 restarts"
FLAT_TOOLS = [
    "vm_list",
    "vm_status",
    "vm_start",
    "vm_stop",
    "vm_restart",
    "vm_clone",
    "vm_delete",
    "start_vm",
]


@pytest.fixture
def calls(tmp_path: Path) -> Path:
    return tmp_path / "calls.jsonl"


@pytest.fixture
def flat_url(tmp_path: Path, calls: Path) -> Iterator[str]:
    ready = tmp_path / "ready.json"
    where = ("--ready-file", str(ready), "--calls", str(calls))
    command = [sys.executable, "-m", "toolreeve.cli.demo.flat", "--http", *where]
    with subprocess.Popen(command) as server:
        try:
            deadline = time.monotonic() + 30
            while not ready.exists():
                assert server.poll() is None, "the server has ended"
                assert time.monotonic() < deadline, "the server is not ready"
                time.sleep(0.02)
            yield json.loads(ready.read_text())["url"]
        finally:
            server.terminate()


@pytest.mark.parametrize(("mode", "version"), [("auto", "2026-07-28"), ("legacy", "2025-11-25")])
def test_the_flat_server_speaks_both_eras_and_writes_down_what_reached_it(
    flat_url: str, calls: Path, mode: str, version: str
) -> None:
    async def main() -> None:
        async with asyncio.timeout(20), Client(flat_url, mode=mode) as client:
            assert client.protocol_version == version
            assert [tool.name for tool in (await client.list_tools()).tools] == FLAT_TOOLS
            done = await client.call_tool("vm_restart", {"id": 3})
            assert done.content == [TextContent(type="text", text=RESTARTED)]
            failed = await client.call_tool("vm_restart", {"id": "x"})
            assert failed.is_error

    asyncio.run(main())
    assert read_calls(calls) == [
        SeenCall("vm_restart", {"id": 3}),
        SeenCall("vm_restart", {"id": "x"}),
    ]


def test_the_meta_server_has_one_tool_and_believes_its_params(calls: Path) -> None:
    command = StdioServerParameters(
        command=sys.executable,
        args=["-m", "toolreeve.cli.demo.meta", "--stdio", "--calls", str(calls)],
    )
    arguments = {"category": "vm", "action": "vm_restart", "params": {"id": "3/../4"}}

    async def main() -> None:
        async with asyncio.timeout(20), Client(command) as client:
            assert [tool.name for tool in (await client.list_tools()).tools] == ["truenas"]
            assert (await client.call_tool("truenas", arguments)).is_error

    asyncio.run(main())
    assert read_calls(calls) == [SeenCall("truenas", arguments)]
