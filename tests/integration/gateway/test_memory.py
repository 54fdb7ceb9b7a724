"""A start that need not read the whole history, and comes to the same."""

import asyncio
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from mcp import Client
from tests.integration.gateway.test_gateway import code_of, recorded

from toolreeve.audit import Completed, EnforcerStarted

POLICY: dict[str, object] = {
    "version": "1",
    "default": "deny",
    "tools": {
        "vm_status": {},
        "vm_restart": {
            "limits": [
                {"counter": "c", "window": "hour", "max": 5, "scope": "grant", "by": ["/id"]}
            ]
        },
    },
}


def restarts(url: str, calls: int) -> list[str]:
    async def story() -> list[str]:
        async with Client(url) as client:
            return [code_of(await client.call_tool("vm_restart", {"id": 1})) for _ in range(calls)]

    return asyncio.run(story())


def history_read(running: Any) -> list[int]:
    """How many events each start has read."""
    import json

    lines = [json.loads(line) for line in running.log.splitlines() if line.startswith("{")]
    return [line["events"] for line in lines if line["event"] == "history.read"]


def test_counts_go_on_and_only_what_is_new_is_read(gateway: Callable[..., Any]) -> None:
    running = gateway(POLICY, 'log_level = "debug"')
    assert restarts(running.server("flat"), 3) == ["allowed"] * 3
    assert running.stop() == 0
    running.start()
    assert restarts(running.server("flat"), 3) == ["allowed", "allowed", "limited"]
    running.kill()
    running.start()
    assert restarts(running.server("flat"), 1) == ["limited"]
    first, second, third = history_read(running)
    assert (first, second) == (0, 0), "an orderly end leaves nothing to be read"
    assert third > 0
    assert running.stop() == 0
    outcomes = [body for body in recorded(running) if isinstance(body, Completed)]
    assert len({one.decision_id for one in outcomes}) == len(outcomes), "each outcome once"


@pytest.mark.parametrize("what", ["gone", "old", "damaged", "another's", "empty"])
def test_without_a_memory_that_can_be_used_the_history_is_read(
    gateway: Callable[..., Any], what: str
) -> None:
    running = gateway(POLICY)
    memory: Path = running.folder / "data" / "memory"
    assert restarts(running.server("flat"), 2) == ["allowed"] * 2
    assert running.stop() == 0
    old = running.folder / "old"
    shutil.copy(memory, old)
    running.start()
    assert restarts(running.server("flat"), 2) == ["allowed"] * 2
    assert running.stop() == 0
    match what:
        case "gone":
            memory.unlink()
        case "old":
            shutil.copy(old, memory)
        case "damaged":
            content = bytearray(memory.read_bytes())
            content[-1] ^= 1
            memory.write_bytes(content)
        case "another's":
            memory.write_bytes(_of_another(memory))
        case _:
            memory.write_bytes(b"")
    running.start()
    assert restarts(running.server("flat"), 2) == ["allowed", "limited"]
    assert running.stop() == 0
    starts = [body for body in recorded(running) if isinstance(body, EnforcerStarted)]
    assert len(starts) == 3


def _of_another(memory: Path) -> bytes:
    from hashlib import sha256

    text = memory.read_bytes()[32:].replace(b"gw-test", b"gw-mine")
    return sha256(text).digest() + text
