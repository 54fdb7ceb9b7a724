"""`toolreeve wrap` as a client spawns it: real SDK clients of both eras over stdio."""

import asyncio
import sys
from pathlib import Path
from typing import Any

import pytest
from mcp import Client, StdioServerParameters

from toolreeve.audit import Decided, EnforcerStarted, EnforcerStopped, HeadSealed
from toolreeve.outbox import Outbox
from toolreeve.wire import pack, read_event, unpack

POLICY = '{"version": "1", "default": "deny", "tools": {"vm_status": {}}}'


def wrapped(folder: Path) -> StdioServerParameters:
    (folder / "policy.json").write_text(POLICY)
    return StdioServerParameters(
        command=str(Path(sys.executable).with_name("toolreeve")),
        args=[
            "wrap",
            "--policy",
            str(folder / "policy.json"),
            "--data",
            str(folder / "data"),
            "--server",
            "flat",
            "--",
            sys.executable,
            "-m",
            "toolreeve.cli.demo.flat",
            "--stdio",
        ],
    )


def text(result: Any) -> str:
    return str(result.content[0].text)


@pytest.mark.parametrize(("mode", "version"), [("auto", "2026-07-28"), ("legacy", "2025-11-25")])
def test_a_client_lists_and_calls_through_the_wrapper(
    tmp_path: Path, mode: str, version: str
) -> None:
    async def story() -> None:
        async with asyncio.timeout(30), Client(wrapped(tmp_path), mode=mode) as client:
            assert client.protocol_version == version
            assert [tool.name for tool in (await client.list_tools()).tools] == ["vm_status"]
            assert "web-1" in text(await client.call_tool("vm_status", {"id": 1}))
            refused = await client.call_tool("vm_delete", {"id": 1})
            assert refused.is_error
            assert text(refused) == "[POLICY DENIED] No rule allows vm_delete."

    asyncio.run(story())


def test_two_wrappers_of_one_server_run_side_by_side_with_a_history_each(tmp_path: Path) -> None:
    async def story() -> None:
        async with (
            asyncio.timeout(30),
            Client(wrapped(tmp_path)) as first,
            Client(wrapped(tmp_path)) as second,
        ):
            for client in (first, second):
                assert "web-1" in text(await client.call_tool("vm_status", {"id": 1}))

    asyncio.run(story())
    slots = sorted(path for path in (tmp_path / "data" / "wrap" / "flat").iterdir())
    assert [slot.name for slot in slots] == ["0", "1"]
    for slot in slots:
        bodies = [type(body) for body in history(slot)]
        assert bodies.count(Decided) == 1
        assert bodies[0] is EnforcerStarted
        assert bodies[-2:] == [EnforcerStopped, HeadSealed], "the last seal vouches for the stop"


def history(slot: Path) -> list[object]:
    name = (slot / "name").read_text().strip()
    outbox = Outbox[Any].open(slot / "outbox", owner=name, pack=pack(name))
    bodies: list[object] = [
        read_event(raw).body for group in outbox.groups() for raw in unpack(group.payload).raws
    ]
    asyncio.run(outbox.close())
    return bodies
