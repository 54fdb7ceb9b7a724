"""A call whose server wants to know more is several requests, and counts once."""

import asyncio
import json
import sys
from pathlib import Path

import pytest
from mcp import Client, StdioServerParameters
from mcp_types import ElicitResult
from tests.e2e.test_up import COMMAND
from tests.e2e.test_wrap import history, text

from toolreeve.audit import Completed, Decided, Outcome

SERVER = [sys.executable, str(Path(__file__).with_name("asking_server.py"))]
LIMIT = {"counter": "c", "window": "hour", "max": 2, "scope": "grant"}


@pytest.mark.parametrize("allowed", [True, False])
def test_a_call_in_two_requests_counts_once_where_the_server_may_ask_at_all(
    tmp_path: Path, allowed: bool
) -> None:
    policy = {
        "version": "1",
        "default": "deny",
        "methods": {"elicitation/create": "allow" if allowed else "deny"},
        "tools": {"vm_restart": {"limits": [LIMIT]}},
    }
    (tmp_path / "policy.json").write_text(json.dumps(policy))
    wrapped = StdioServerParameters(
        command=COMMAND,
        args=[
            *("wrap", "--policy", str(tmp_path / "policy.json"), "--data", str(tmp_path / "data")),
            *("--server", "asking", "--", *SERVER),
        ],
    )

    async def sure(context: object, params: object) -> ElicitResult:
        return ElicitResult(action="accept", content={})

    async def story() -> list[str]:
        async with asyncio.timeout(30), Client(wrapped, elicitation_callback=sure) as client:
            return [text(await client.call_tool("vm_restart", {"id": 1})) for _ in range(3)]

    said = asyncio.run(story())
    bodies = history(tmp_path / "data" / "wrap" / "asking" / "0")
    decided = [body for body in bodies if isinstance(body, Decided)]
    outcomes = [body.outcome for body in bodies if isinstance(body, Completed)]
    assert said[2].startswith("[POLICY DENIED] At most 2 calls a hour")
    if allowed:
        assert said[:2] == ["accept", "accept"]
        assert [one.code for one in decided] == ["allowed"] * 4 + ["limited"]
        assert [len(one.reservations) for one in decided] == [1, 0, 1, 0, 0]
        assert outcomes == [Outcome.INPUT_REQUIRED, Outcome.SUCCESS] * 2
    else:
        assert "the server asks its client for elicitation/create" in said[0]
        assert [one.code for one in decided] == ["allowed", "allowed", "limited"]
        assert outcomes == [Outcome.INPUT_REQUIRED] * 2
