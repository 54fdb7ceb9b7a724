"""Grants of the fleet as operators and agents meet them, on a whole `toolreeve up`."""

import json
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from msgspec import Struct

COMMAND = str(Path(sys.executable).with_name("toolreeve"))
SECONDS_MAX = 60.0
LIST = {"jsonrpc": "2.0", "id": 1, "method": "tools/list"}
POLICY: dict[str, object] = {"version": "1", "default": "deny", "tools": {"vm_status": {}}}
HEADERS = {
    "Content-Type": "application/json",
    "Accept": "application/json, text/event-stream",
    "MCP-Protocol-Version": "2026-07-28",
    "Mcp-Method": "tools/list",
}
META = {
    "_meta": {
        "io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientCapabilities": {},
        "io.modelcontextprotocol/clientInfo": {"name": "test", "version": "1"},
    }
}

pytestmark = pytest.mark.timeout(240)


class Installation(Struct):
    """A running `toolreeve up` whose gateway lets in whom the control plane says."""

    data: Path
    record: dict[str, Any]

    def run(self, *arguments: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            [COMMAND, *arguments, "--data", str(self.data)],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    def done(self, *arguments: str) -> Any:
        ran = self.run(*arguments, "--json")
        assert ran.returncode == 0, ran.stderr
        return json.loads(ran.stdout)

    def request(self, server: str, token: str | None) -> tuple[int, dict[str, Any]]:
        headers = {**HEADERS, **({} if token is None else {"Authorization": f"Bearer {token}"})}
        body = json.dumps({**LIST, "params": META}).encode()
        url = self.record["servers"][server]
        asked = urllib.request.Request(url, data=body, headers=headers)
        try:
            with urllib.request.urlopen(asked, timeout=20) as answer:
                return answer.status, {}
        except urllib.error.HTTPError as error:
            return error.code, json.load(error)

    def until(self, server: str, token: str, status: int, seconds_max: float) -> float:
        """How many seconds it took until a request was answered with `status`."""
        began = time.monotonic()
        while True:
            seen, _ = self.request(server, token)
            took = time.monotonic() - began
            if seen == status:
                return took
            assert took < seconds_max, f"still {seen} after {took:.1f} s"


@pytest.fixture(scope="module")
def installation(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    data = tmp_path_factory.mktemp("up") / "data"
    data.mkdir(mode=0o700)
    command = json.dumps([sys.executable, "-m", "toolreeve.cli.demo.meta", "--stdio"])
    (data / "gateway.toml").write_text(
        'grants_from = "control"\n'
        f"[upstreams.lab]\ncommand = {command}\n[upstreams.attic]\ncommand = {command}\n"
    )
    with subprocess.Popen(
        [COMMAND, "up", "--data", str(data), "--port", "0"], stdout=subprocess.DEVNULL
    ) as up:
        try:
            deadline = time.monotonic() + SECONDS_MAX
            while not (data / "up.json").exists():
                assert up.poll() is None, "it has ended"
                assert time.monotonic() < deadline, "no up.json came"
                time.sleep(0.05)
            made = Installation(data, json.loads((data / "up.json").read_text()))
            policy = data / "lab.json"
            policy.write_text(json.dumps(POLICY))
            for server in ("lab", "attic"):
                made.done("policy", "publish", str(policy), "--server", server, "--reason", "test")
            yield made
        finally:
            up.terminate()
            up.wait(30)


def test_without_a_grant_nobody_is_let_in(installation: Installation) -> None:
    status, answer = installation.request("lab", None)
    assert (status, answer["error"]["code"]) == (401, -32001)
    assert "present a grant" in answer["error"]["message"]
    assert installation.request("lab", "trg_guess")[0] == 401


def test_a_token_opens_the_servers_of_its_grant_until_the_grant_is_revoked(
    installation: Installation,
) -> None:
    made = installation.done("grant", "create", "night", "--agent", "a7", "--server", "lab")
    assert (made["grant"], made["agent"], made["servers"]) == ("night", "a7", ["lab"])
    assert installation.until("lab", made["token"], 200, 5) < 5
    assert installation.request("attic", made["token"])[0] == 401
    listed = installation.done("grant", "list")
    assert [(one["grant"], one["state"], one["tokens"]) for one in listed] == [
        ("night", "in force", 1)
    ]
    assert made["token"] not in json.dumps(listed)

    installation.done("grant", "revoke", "night", "--reason", "left the team")
    assert installation.until("lab", made["token"], 401, 5) < 5
    _, answer = installation.request("lab", made["token"])
    assert answer["error"]["message"] == "grant 'night' was revoked"
    assert "night" not in [one["grant"] for one in installation.done("grant", "list")]
    (revoked,) = [
        one for one in installation.done("grant", "list", "--all") if one["grant"] == "night"
    ]
    assert (revoked["state"], revoked["reason"]) == ("revoked", "left the team")


def test_a_rotated_grant_is_opened_by_both_tokens_or_by_the_new_one_alone(
    installation: Installation,
) -> None:
    first = installation.done("grant", "create", "day", "--agent", "a8", "--all-servers")["token"]
    assert installation.until("attic", first, 200, 5) < 5
    second = installation.done("grant", "rotate", "day", "--overlap", "1h")["token"]
    assert installation.until("attic", second, 200, 5) < 5
    assert installation.request("attic", first)[0] == 200
    third = installation.done("grant", "rotate", "day", "--overlap", "0s")["token"]
    assert installation.until("attic", third, 200, 5) < 5
    status, answer = installation.request("attic", second)
    assert (status, answer["error"]["code"]) == (401, -32001)


def test_a_stream_of_a_grant_that_is_revoked_ends(installation: Installation) -> None:
    token = installation.done("grant", "create", "ear", "--agent", "a9", "--server", "lab")["token"]
    assert installation.until("lab", token, 200, 5) < 5
    listen = {
        "jsonrpc": "2.0",
        "id": 7,
        "method": "subscriptions/listen",
        "params": {**META, "notifications": {"toolsListChanged": True}},
    }
    headers = {
        **HEADERS,
        "Mcp-Method": "subscriptions/listen",
        "Authorization": f"Bearer {token}",
    }
    asked = urllib.request.Request(
        installation.record["servers"]["lab"], data=json.dumps(listen).encode(), headers=headers
    )
    with urllib.request.urlopen(asked, timeout=20) as stream:
        assert stream.status == 200
        installation.done("grant", "revoke", "ear", "--reason", "enough heard")
        began = time.monotonic()
        try:
            while stream.readline():
                pass
        except (ConnectionError, OSError):
            pass
        assert time.monotonic() - began < 10


def test_what_cannot_be_done_is_said_with_a_remedy(installation: Installation) -> None:
    again = ("grant", "create", "twice", "--agent", "a", "--all-servers")
    assert installation.run(*again).returncode == 0
    second = installation.run(*again)
    assert second.returncode == 1
    assert "a name is used once: choose another" in second.stderr
    assert installation.run("grant", "revoke", "nobody", "--reason", "x").returncode == 1
    assert installation.run("grant", "create", "x", "--agent", "a").returncode == 2


def test_every_change_is_in_the_audit_history_with_who_and_why(installation: Installation) -> None:
    sql = (
        'SELECT "grant", agent, tokens, revoked, reason FROM grant_changes'
        " WHERE \"grant\" = 'night' ORDER BY time"
    )
    deadline = time.monotonic() + 20
    while True:
        rows = installation.done("audit", "query", sql)
        if len(rows) == 2:
            break
        assert time.monotonic() < deadline, rows
        time.sleep(0.2)
    assert [(row["tokens"], row["revoked"]) for row in rows] == [(1, False), (0, True)]
    assert rows[1]["reason"] == "left the team"
    refused = installation.done(
        "audit", "query", "SELECT DISTINCT code FROM refused_requests ORDER BY code"
    )
    assert {"grant_revoked", "unauthenticated"} <= {row["code"] for row in refused}
