"""`audit`: whether a call waits for its own record, on a disk that has no more room."""

import asyncio
import resource
import time
from collections.abc import Callable
from typing import Any

import pytest
from mcp import Client
from tests.integration.gateway.test_gateway import code_of, recorded

from toolreeve.audit import Completed, Decided, EnforcerStopped, HeadSealed

POLICY: dict[str, object] = {
    "version": "1",
    "default": "deny",
    "tools": {"vm_status": {}},
}


def codes(url: str, calls: int) -> list[str]:
    async def story() -> list[str]:
        async with Client(url) as client:
            return [code_of(await client.call_tool("vm_status", {"id": 1})) for _ in range(calls)]

    return asyncio.run(story())


def test_observed_calls_leave_the_same_record(gateway: Callable[..., Any]) -> None:
    running = gateway(POLICY, 'audit = "observe"')
    assert codes(running.server("flat"), 20) == ["allowed"] * 20
    assert running.stop() == 0
    bodies = recorded(running)
    assert len([body for body in bodies if isinstance(body, Decided)]) == 20
    outcomes = [body for body in bodies if isinstance(body, Completed)]
    assert len({outcome.decision_id for outcome in outcomes}) == 20


@pytest.mark.parametrize(
    ("audit", "expected"), [("required", "not_recorded"), ("observe", "allowed")]
)
def test_on_a_disk_without_room_only_observed_calls_go_through(
    gateway: Callable[..., Any], audit: str, expected: str
) -> None:
    running = gateway(POLICY, f'audit = "{audit}"\nlog_level = "info"')
    url = running.server("flat")
    assert codes(url, 1) == ["allowed"]
    pid = running.process.pid
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (4096, resource.RLIM_INFINITY))
    assert codes(url, 3) == [expected] * 3
    assert "record.failed" in running.log
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    deadline = time.monotonic() + 10
    while codes(url, 1) != ["allowed"] or "record.works_again" not in running.log:
        assert time.monotonic() < deadline, running.log
        time.sleep(0.05)
    assert running.stop() == 0
    stopped, sealed = recorded(running)[-2:]
    assert isinstance(stopped, EnforcerStopped)
    assert isinstance(sealed, HeadSealed)
