"""The gateway as a process: restarts, policy files, and what reaches its outbox."""

import asyncio
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import pytest
from mcp import Client

from toolreeve.audit import Body, Completed, Decided, EnforcerStarted, Outcome, PolicyRefused
from toolreeve.outbox import Outbox
from toolreeve.wire import pack, read_event, unpack

LIMITED: dict[str, object] = {
    "version": "1",
    "default": "deny",
    "tools": {
        "vm_status": {},
        "vm_restart": {
            "limits": [{"counter": "c", "window": "minute", "max": 3, "scope": "grant"}]
        },
    },
}

Start = Callable[[dict[str, object]], Any]


def code_of(result: Any) -> str:
    meta: dict[str, Any] = result.meta or {}
    decision: dict[str, Any] = meta.get("io.toolreeve/decision", {})
    return str(decision.get("code", "allowed"))


def call(url: str, tool: str, times: int, mode: str = "auto") -> list[str]:
    async def calls() -> list[str]:
        async with Client(url, mode=mode) as client:
            return [code_of(await client.call_tool(tool, {"id": 1})) for _ in range(times)]

    return asyncio.run(calls())


def recorded(running: Any) -> list[Body]:
    """All events in the outbox of a gateway that has ended."""
    outbox = Outbox[Any].open(running.folder / "data" / "outbox", owner="gw-test", pack=pack("x"))
    bodies = [
        read_event(raw).body for group in outbox.groups() for raw in unpack(group.payload).raws
    ]
    asyncio.run(outbox.close())
    return bodies


def wait_for_log(running: Any, text: str) -> None:
    deadline = time.monotonic() + 10
    while text not in running.log:
        assert time.monotonic() < deadline, running.log
        time.sleep(0.02)


def test_a_limit_survives_kill_and_every_answer_was_recorded(gateway: Start) -> None:
    running = gateway(LIMITED)
    assert call(running.server("flat"), "vm_restart", 2) == ["allowed", "allowed"]
    running.kill()
    running.start()
    assert call(running.server("flat"), "vm_restart", 2, "legacy") == ["allowed", "limited"]
    assert running.stop() == 0
    bodies = recorded(running)
    decided = [body for body in bodies if isinstance(body, Decided)]
    assert [body.code for body in decided] == ["allowed", "allowed", "allowed", "limited"]
    completed = [body for body in bodies if isinstance(body, Completed)]
    assert len(completed) == 3
    assert {body.outcome for body in completed} <= {Outcome.SUCCESS, Outcome.UNKNOWN}
    assert len([body for body in bodies if isinstance(body, EnforcerStarted)]) == 2


def test_an_edited_policy_takes_effect_and_a_broken_one_keeps_the_old(gateway: Start) -> None:
    running = gateway(LIMITED)
    url = running.server("flat")
    assert call(url, "vm_stop", 1) == ["default_denied"]
    running.policy.write_text('{"version": "1", "default": "allow"}')
    wait_for_log(running, "policy.read")
    assert call(url, "vm_status", 1) == ["allowed"]
    running.policy.write_text('{"version": "1", "default": "allow",}')
    wait_for_log(running, "policy.refused")
    assert "policy.json:1:36: not JSON" in running.log
    assert call(url, "vm_status", 1) == ["allowed"]
    running.stop()
    (refused,) = [body for body in recorded(running) if isinstance(body, PolicyRefused)][:1]
    assert refused.code == "invalid"


@pytest.mark.parametrize("mode", ["auto", "legacy"])
@pytest.mark.parametrize("server", ["flat", "meta"])
def test_both_eras_list_and_call_through_both_transports(
    gateway: Start, server: str, mode: str
) -> None:
    running = gateway({"version": "1", "default": "allow"})

    async def story() -> None:
        async with Client(running.server(server), mode=mode) as client:
            names = {tool.name for tool in (await client.list_tools()).tools}
            if server == "flat":
                assert "vm_restart" in names
                result = await client.call_tool("vm_list", {})
            else:
                assert names == {"truenas"}
                asked: dict[str, Any] = {"category": "vm", "action": "vm_list", "params": {}}
                result = await client.call_tool("truenas", asked)
            assert not result.is_error
            assert "web-1" in str(result.content)

    asyncio.run(story())


def test_sixty_calls_at_once_are_answered_each_with_its_own(gateway: Start) -> None:
    running = gateway({"version": "1", "default": "allow"})

    async def story() -> None:
        async with Client(running.server("flat")) as client:
            results = await asyncio.gather(
                *(client.call_tool("vm_status", {"id": 1 + index % 3}) for index in range(60))
            )
            texts = {str(result.content) for result in results[0::3]}
            assert len(texts) == 1
            assert not any(result.is_error for result in results)

    asyncio.run(story())


def test_a_gateway_without_a_policy_shows_nothing_and_denies_everything(gateway: Start) -> None:
    running = gateway(LIMITED)
    running.stop()
    running.config.write_text(running.config.read_text().replace('policy = "policy.json"\n', ""))
    running.start()
    url = running.server("flat")

    async def story() -> None:
        async with Client(url) as client:
            assert (await client.list_tools()).tools == []
            assert code_of(await client.call_tool("vm_status", {"id": 1})) == "no_policy"

    asyncio.run(story())


def test_a_second_gateway_on_the_same_data_refuses_to_start(gateway: Start) -> None:
    running = gateway(LIMITED)
    command = [sys.executable, "-m", "toolreeve.cli", "gateway", "--config", str(running.config)]
    second = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)
    assert second.returncode == 1
    assert "outbox" in second.stderr
    assert "Traceback" not in second.stderr
