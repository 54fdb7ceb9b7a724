"""Many calls at once against one limit: exactly its maximum is admitted, over real connections."""

import asyncio
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
from mcp import Client

Start = Callable[[dict[str, object]], Any]
MOST = 10


def code(result: Any) -> str:
    meta: dict[str, Any] = result.meta or {}
    decision: dict[str, Any] = meta.get("io.toolreeve/decision", {})
    return str(decision.get("code", "allowed"))


@pytest.mark.parametrize("align", ["sliding", "calendar"])
@pytest.mark.parametrize("scope", ["grant", "server"])
def test_sixty_calls_of_four_clients_at_once_admit_exactly_the_maximum(
    gateway: Start, scope: str, align: str
) -> None:
    limit = {"counter": "c", "window": "day", "max": MOST, "scope": scope, "align": align}
    running = gateway(
        {"version": "1", "default": "deny", "tools": {"vm_list": {"limits": [limit]}}}
    )

    async def one_client() -> list[str]:
        async with Client(running.server("flat")) as client:
            calls = (client.call_tool("vm_list", {}) for _ in range(15))
            return [code(result) for result in await asyncio.gather(*calls)]

    async def story() -> Counter[str]:
        async with asyncio.timeout(60):
            clients = await asyncio.gather(*(one_client() for _ in range(4)))
        return Counter(one for codes in clients for one in codes)

    assert asyncio.run(story()) == {"allowed": MOST, "limited": 60 - MOST}


def test_two_servers_behind_one_enforcer_share_a_limit_of_the_enforcer(gateway: Start) -> None:
    limit = {"counter": "c", "window": "hour", "max": MOST, "scope": "enforcer"}
    rule = {"limits": [limit]}
    running = gateway(
        {
            "version": "1",
            "default": "deny",
            "dispatch": {"truenas": {"name": "/action", "arguments": "/params"}},
            "tools": {"vm_list": rule},
        }
    )

    async def story() -> Counter[str]:
        async with (
            asyncio.timeout(60),
            Client(running.server("flat")) as flat,
            Client(running.server("meta")) as meta,
        ):
            asked = {"category": "vm", "action": "vm_list"}
            calls = [flat.call_tool("vm_list", {}) for _ in range(10)]
            calls += [meta.call_tool("truenas", asked) for _ in range(10)]
            return Counter(code(result) for result in await asyncio.gather(*calls))

    assert asyncio.run(story()) == {"allowed": MOST, "limited": 10}
