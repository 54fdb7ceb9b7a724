"""The whole language on the wire: modes, conditions, schemas, spending, approvals."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from mcp import Client

Start = Callable[[dict[str, object]], Any]
ID = {
    "type": "object",
    "required": ["id"],
    "properties": {"id": {"type": "integer"}},
    "additionalProperties": False,
}
POLICY: dict[str, object] = {
    "version": "1",
    "default": "deny",
    "all_tools": {"limits": [{"counter": "all", "window": "hour", "max": 50, "scope": "server"}]},
    "tools": {
        "vm_status": {"arguments": ID},
        "vm_stop": {
            "deny_if": [
                {
                    "conditions": [
                        {"path": "args.force", "op": "eq", "value": True, "on_missing": "ignore"}
                    ],
                    "on_deny": "Use a graceful stop.",
                }
            ]
        },
        "vm_restart": {
            "limits": [{"counter": "of_one_vm", "window": "hour", "max": 1, "by": ["/id"]}]
        },
        "vm_clone": {"action": "require_approval"},
        "class:read": {},
    },
}


def said(result: Any) -> tuple[str, str]:
    """The code of a decision, and the last text."""
    meta: dict[str, Any] = result.meta or {}
    decision: dict[str, Any] = meta.get("io.toolreeve/decision", {})
    return str(decision.get("code", "allowed")), str(result.content[-1].text)


@pytest.mark.parametrize("mode", ["auto", "legacy"])
def test_each_rule_of_the_language_decides_on_the_wire(gateway: Start, mode: str) -> None:
    running = gateway(POLICY)

    async def story() -> None:
        async with Client(running.server("flat"), mode=mode) as client:

            async def code(tool: str, **arguments: object) -> str:
                return said(await client.call_tool(tool, arguments))[0]

            assert await code("vm_status", id=1) == "allowed"
            assert await code("vm_status", id="1/../reboot#") == "bad_arguments"
            assert await code("vm_stop", id=2) == "allowed"
            assert await code("vm_stop", id=2, force=True) == "deny_if_held"
            assert await code("vm_restart", id=1) == "allowed"
            assert await code("vm_restart", id=1) == "limited"
            assert await code("vm_restart", id=3) == "allowed"
            assert await code("vm_clone", id=1) == "approval_required"
            assert await code("vm_list") == "allowed", "a reading tool, by its class"
            assert await code("vm_delete", id=1) == "default_denied"

    asyncio.run(story())
    running.kill()
    running.start()

    async def after_the_kill() -> None:
        async with Client(running.server("flat"), mode=mode) as client:
            result = await client.call_tool("vm_restart", {"id": 3})
            assert said(result)[0] == "limited", "counts by value survive"

    asyncio.run(after_the_kill())


@pytest.mark.parametrize("server", ["flat", "meta"])
@pytest.mark.parametrize("mode", ["auto", "legacy"])
def test_a_policy_that_warns_lets_through_and_tells_the_agent(
    gateway: Start, mode: str, server: str
) -> None:
    running = gateway({"version": "1", "default": "deny", "mode": "warn"})

    async def story() -> None:
        async with Client(running.server(server), mode=mode) as client:
            tool = "vm_list" if server == "flat" else "truenas"
            assert tool in {one.name for one in (await client.list_tools()).tools}
            result = await client.call_tool(tool, {})
            assert not result.is_error
            assert len(result.content) > 1
            assert said(result)[1].startswith("[POLICY WARNING] This call would be refused:")

    asyncio.run(story())


def test_a_policy_in_the_shadow_changes_nothing_that_the_agent_sees(gateway: Start) -> None:
    running = gateway({"version": "1", "default": "deny", "mode": "shadow"})

    async def story() -> None:
        async with Client(running.server("flat")) as client:
            result = await client.call_tool("vm_list", {})
            assert not result.is_error
            assert "[POLICY" not in str(result.content)

    asyncio.run(story())
