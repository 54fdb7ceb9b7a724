"""The five recommended policies do what their pages say, flat and through dispatch.

Each page says: this one tool stays usable, at most so many calls a minute and grant; everything
else on the server is denied.
"""

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from mcp import Client

FIXTURES = Path(__file__).parents[2] / "fixtures" / "policies"
DISPATCH = {"truenas": {"name": "/action", "arguments": "/params", "group": "/category"}}
CAPS = {"vm_restart": 10, "vm_start": 10, "vm_stop": 10, "vm_clone": 30, "start_vm": 10}

Start = Callable[[dict[str, object]], Any]


def arguments(tool: str) -> dict[str, Any]:
    return {"vm_name": "web-1"} if tool == "start_vm" else {"id": 1}


def decision(result: Any) -> dict[str, Any]:
    meta: dict[str, Any] = result.meta or {}
    found: dict[str, Any] = meta.get("io.toolreeve/decision", {})
    return found


@pytest.mark.parametrize("mode", ["auto", "legacy"])
@pytest.mark.parametrize("tool", CAPS)
def test_a_flat_tool_is_capped_and_all_others_are_denied(
    gateway: Start, tool: str, mode: str
) -> None:
    running = gateway(json.loads((FIXTURES / f"{tool}.json").read_text()))

    async def story() -> None:
        async with Client(running.server("flat"), mode=mode) as client:
            listed = await client.list_tools()
            assert [one.name for one in listed.tools] == [tool]
            for _ in range(CAPS[tool]):
                assert not decision(await client.call_tool(tool, arguments(tool)))
            refused = decision(await client.call_tool(tool, arguments(tool)))
            assert refused["code"] == "limited"
            assert 0 < refused["retry_after_ms"] <= 60_000
            other = next(name for name in CAPS if name != tool)
            denied = decision(await client.call_tool(other, arguments(other)))
            assert denied["code"] == "default_denied"
            assert not denied["retryable"]

    asyncio.run(story())


@pytest.mark.parametrize("tool", CAPS)
def test_the_same_cap_fires_behind_a_meta_tool(gateway: Start, tool: str) -> None:
    policy = json.loads((FIXTURES / f"{tool}.json").read_text())
    running = gateway({**policy, "dispatch": DISPATCH})

    async def story() -> None:
        async with Client(running.server("meta")) as client:
            listed = await client.list_tools()
            assert [one.name for one in listed.tools] == ["truenas"]

            async def call(name: str) -> dict[str, Any]:
                asked = {"category": "vm", "action": name, "params": arguments(name)}
                return decision(await client.call_tool("truenas", asked))

            for _ in range(CAPS[tool]):
                assert not await call(tool)
            assert (await call(tool))["code"] == "limited"
            assert (await call("truenas_api_call"))["code"] == "default_denied"

    asyncio.run(story())
