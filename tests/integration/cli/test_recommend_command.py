"""From a scan to an enforced policy: recommend, lint and wrap, on the demo's meta-tool server."""

import asyncio
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from mcp import Client
from mcp.client.stdio import StdioServerParameters
from mcp_types import TextContent

from toolreeve.cli.demo.serve import read_calls

TOOLREEVE = [sys.executable, "-m", "toolreeve.cli"]
META = [sys.executable, "-m", "toolreeve.cli.demo.meta", "--stdio"]
HELPING = Path(__file__).with_name("helping_server.py")
FLAT = [sys.executable, "-m", "toolreeve.cli.demo.flat"]


def run(*words: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [*TOOLREEVE, *words], capture_output=True, text=True, timeout=60, check=False
    )


def test_a_recommended_policy_lints_clean_caps_restarts_and_denies_the_escape_hatch(
    tmp_path: Path,
) -> None:
    policy, listing, calls = tmp_path / "p.json", tmp_path / "t.json", tmp_path / "calls.jsonl"
    command = " ".join(META)
    scan = run(
        "policy", "recommend", "--command", command, "--output", str(policy), "--save", str(listing)
    )
    assert scan.returncode == 0, scan.stderr
    assert "truenas: called without arguments, for its help" in scan.stderr
    for source in (["--command", command], ["--tools", str(listing)]):
        linted = run("policy", "lint", str(policy), *source)
        assert (linted.returncode, linted.stdout) == (0, "")
    assert run("policy", "fmt", "--check", str(policy)).returncode == 0
    options = ["--policy", str(policy), "--no-bus", "--data", str(tmp_path / "data")]
    wrapped = StdioServerParameters(
        command=sys.executable,
        args=["-m", "toolreeve.cli", "wrap", *options, "--", *META, "--calls", str(calls)],
        env=dict(os.environ),
    )

    async def main() -> list[Any]:
        async with asyncio.timeout(60), Client(wrapped) as client:

            async def told(category: str, action: str, **params: Any) -> str:
                arguments = {"category": category, "action": action, "params": params}
                result = await client.call_tool("truenas", arguments)
                block = result.content[0]
                assert isinstance(block, TextContent)
                return block.text

            restarts = [await told("vm", "vm_restart", id=1) for _ in range(11)]
            return [
                *restarts,
                await told("api", "truenas_api_call", method="vm.delete", params={"id": 1}),
                await told("vm", "vm_status", id="1/../../x"),
                await told("vm", "vm_frobnicate"),
            ]

    texts = asyncio.run(main())
    refused = [text.startswith("[POLICY DENIED]") for text in texts]
    assert refused == [False] * 10 + [True] * 4
    assert "goes around every other rule" in texts[11]
    assert len(read_calls(calls)) == 10


def test_json_shows_every_effective_tool_with_its_class_and_the_policy(tmp_path: Path) -> None:
    listing = tmp_path / "tools.json"
    listing.write_text(json.dumps({"tools": [{"name": "vm_restart", "inputSchema": {}}]}))
    done = run("policy", "recommend", "--tools", str(listing), "--json")
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    assert said["tools"] == [
        {
            "name": "vm_restart",
            "class": "execute",
            "level": "high",
            "why": 'the name says "restart"',
        }
    ]
    assert said["policy"]["tools"]["vm_restart"]["limits"][0]["max"] == 10


def test_a_server_over_http_is_scanned_too(tmp_path: Path) -> None:
    ready = tmp_path / "ready.json"
    with subprocess.Popen([*FLAT, "--http", "--ready-file", str(ready)]) as server:
        try:
            url = asyncio.run(address(ready))
            done = run("policy", "recommend", "--url", url, "--json")
        finally:
            server.terminate()
    assert done.returncode == 0, done.stderr
    found = {tool["name"]: tool["class"] for tool in json.loads(done.stdout)["tools"]}
    assert found["start_vm"] == "execute"
    assert found["vm_delete"] == "destructive"


async def address(ready: Path) -> str:
    async with asyncio.timeout(30):
        while not ready.exists():  # noqa: ASYNC110  # another process writes it
            await asyncio.sleep(0.02)
    return str(json.loads(ready.read_text())["url"])


def test_no_calls_leaves_a_meta_tool_alone_and_denies_what_is_not_known() -> None:
    done = run("policy", "recommend", "--command", " ".join(META), "--no-calls", "--json")
    assert "called" not in done.stderr
    assert "its operations are not known" in done.stderr
    assert list(json.loads(done.stdout)["policy"]["tools"]) == ["truenas"]


def test_operations_are_found_in_json_help_behind_references_and_in_unions(tmp_path: Path) -> None:
    policy, calls = tmp_path / "p.json", tmp_path / "calls.jsonl"
    command = f"{sys.executable} {HELPING} {calls}"
    done = run("policy", "recommend", "--command", command, "--output", str(policy))
    assert done.returncode == 0, done.stderr
    assert [json.loads(line) for line in calls.read_text().splitlines()] == [
        ["backups", {}],
        ["backups", {"category": "jobs"}],
        ["backups", {"category": "vaults"}],
        ["network", {"action": "help"}],
        ["users", {}],
    ]
    assert "locked: its operations are not listed" in done.stderr
    proposed = json.loads(policy.read_text())
    assert proposed["dispatch"]["backups"] == {
        "name": "/action",
        "arguments": "/params",
        "group": "/category",
    }
    assert proposed["dispatch"]["volumes"] == {"name": "/request/action", "arguments": "/request"}
    rules = proposed["tools"]
    assert {
        *("job_list", "job_run", "vault_purge", "help", "list_networks", "remove_network"),
        *("user_list", "power_status", "power_cycle", "mount_volume", "wipe_volume"),
    } == set(rules) - {"backups", "users", "locked"}
    assert rules["job_run"]["arguments"]["required"] == ["id"]
    assert rules["job_run"]["arguments"]["additionalProperties"] is False
    for destructive in ("vault_purge", "remove_network", "wipe_volume"):
        assert rules[destructive]["action"] == "require_approval"
    assert rules["locked"]["action"] == "deny"
    linted = run("policy", "lint", str(policy), "--command", command)
    assert (linted.returncode, linted.stdout) == (0, "")


def test_findings_are_printed_with_their_place_and_exit_1(tmp_path: Path) -> None:
    policy, listing = tmp_path / "p.json", tmp_path / "t.json"
    policy.write_text('{"version": "1", "default": "deny",\n "tools": {"vm_lst": {}}}')
    listing.write_text(json.dumps({"tools": [{"name": "vm_list", "inputSchema": {}}]}))
    done = run("policy", "lint", str(policy), "--tools", str(listing))
    assert done.returncode == 1
    assert (
        f'{policy}:2:12: no tool of this server is called "vm_lst"; did you mean "vm_list"? '
        "[rule-matches-nothing]" in done.stdout
    )
    rows = json.loads(run("policy", "lint", str(policy), "--tools", str(listing), "--json").stdout)
    assert {row["code"] for row in rows} == {"rule-matches-nothing", "nothing-allowed"}


def test_bad_input_exits_2_with_a_remedy(tmp_path: Path) -> None:
    broken = tmp_path / "t.json"
    broken.write_text('{"tools": [{}]}')
    for words in (
        ["recommend"],
        ["recommend", "--tools", str(broken)],
        ["recommend", "--tools", str(tmp_path / "none")],
        ["recommend", "--url", "ftp://x"],
        ["recommend", "--preset", "truenas", "--json"],
    ):
        done = run("policy", *words)
        assert done.returncode == 2, words
        assert done.stderr.startswith("toolreeve: ")
        assert "Traceback" not in done.stderr


def test_a_server_that_does_not_speak_ends_with_a_sentence() -> None:
    done = run("policy", "recommend", "--command", f"{sys.executable} -c pass")
    assert done.returncode == 1
    assert "the server's tools cannot be listed" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_preset_is_printed(tmp_path: Path) -> None:
    done = run("policy", "recommend", "--preset", "virtualization")
    assert json.loads(done.stdout)["name"] == "virtualization"
