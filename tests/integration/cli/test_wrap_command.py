"""`toolreeve wrap` between an SDK client and a server it has spawned; no service is needed."""

import asyncio
import json
import sys
from pathlib import Path

import pytest
from mcp import Client
from mcp.client.stdio import StdioServerParameters
from mcp_types import TextContent

from toolreeve.cli.demo.serve import SeenCall, read_calls

COMMAND = str(Path(sys.executable).with_name("toolreeve"))
POLICIES = Path(__file__).parents[2] / "fixtures" / "policies"
FLAT = [sys.executable, "-m", "toolreeve.cli.demo.flat", "--stdio"]


@pytest.mark.parametrize(("mode", "version"), [("auto", "2026-07-28"), ("legacy", "2025-11-25")])
def test_a_wrapped_server_shows_and_does_what_the_policy_file_allows(
    tmp_path: Path, mode: str, version: str
) -> None:
    calls = tmp_path / "calls.jsonl"
    options = ["--policy", str(POLICIES / "vm_restart.json"), "--no-bus", "--data", str(tmp_path)]
    wrapped = StdioServerParameters(
        command=COMMAND, args=["wrap", *options, "--", *FLAT, "--calls", str(calls)]
    )

    async def main() -> None:
        async with asyncio.timeout(60), Client(wrapped, mode=mode) as client:
            assert client.protocol_version == version
            assert [tool.name for tool in (await client.list_tools()).tools] == ["vm_restart"]
            answers = [await client.call_tool("vm_restart", {"id": 3}) for _ in range(11)]
            assert [answer.is_error for answer in answers] == [False] * 10 + [True]
            refused = answers[-1].content[0]
            assert isinstance(refused, TextContent)
            assert refused.text.startswith("[POLICY DENIED] ")
            assert (await client.call_tool("vm_stop", {"id": 3})).is_error

    asyncio.run(main())
    assert read_calls(calls) == [SeenCall("vm_restart", {"id": 3})] * 10


def test_a_broken_policy_file_ends_it_with_the_complaint(tmp_path: Path) -> None:
    broken = tmp_path / "broken.json"
    broken.write_text(json.dumps({"version": "1", "default": "maybe"}))

    async def main() -> tuple[int | None, str]:
        command = ["wrap", "--policy", str(broken), "--no-bus", "--data", str(tmp_path)]
        process = await asyncio.create_subprocess_exec(
            COMMAND, *command, "--", *FLAT, stdin=-3, stdout=-3, stderr=-1
        )
        async with asyncio.timeout(30):
            _, said = await process.communicate()
        return process.returncode, said.decode()

    code, said = asyncio.run(main())
    assert code == 2
    assert f"{broken}:1:" in said
