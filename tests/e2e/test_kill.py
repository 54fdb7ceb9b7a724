"""kill -9 of the worker, the gateway and nats-server in the middle of ten thousand calls.

The promise: every call that an agent got an answer to is in `decisions` exactly once, and nothing
reached the upstream without an allowed decision. The upstream keeps its own list of what it saw,
in another process.
"""

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

CALLS = 10_000
AGENTS = 8
RESTARTS_MAX = 50
SECONDS_MAX = 60.0
VERSION = "2026-07-28"
KILLS = (
    (1_500, ("worker",)),
    (3_000, ("gateway",)),
    (4_500, ("nats-server",)),
    (6_000, ("worker", "gateway")),
    (7_500, ("nats-server", "worker", "gateway")),
)
POLICY = {
    "version": "1",
    "default": "deny",
    "tools": {
        "vm_status": {},
        "vm_restart": {
            "limits": [{"counter": "c", "window": "hour", "max": RESTARTS_MAX, "scope": "grant"}]
        },
    },
}


def wait_until(what: str, holds: Callable[[], object], seconds_max: float = SECONDS_MAX) -> None:
    deadline = time.monotonic() + seconds_max
    while not holds():
        assert time.monotonic() < deadline, f"not within {seconds_max} s: {what}"
        time.sleep(0.05)


class Installation:
    """`toolreeve up` with one upstream, and its children."""

    def __init__(self, folder: Path) -> None:
        self.data = folder / "data"
        self.data.mkdir()
        self.seen = folder / "seen.jsonl"
        server = [sys.executable, "-m", "toolreeve.cli.demo.flat", "--http", "--calls"]
        ready = folder / "flat.json"
        self._flat = subprocess.Popen([*server, str(self.seen), "--ready-file", str(ready)])
        wait_until("the upstream", ready.exists)
        url = json.loads(ready.read_text())["url"]
        (self.data / "gateway.toml").write_text(f'[upstreams.flat]\nurl = "{url}"\n')
        self._log = (folder / "up.log").open("wb")
        command = [*self.command("up"), "--data", str(self.data), "--port", "0"]
        self._up = subprocess.Popen(command, stdout=self._log, stderr=self._log)
        wait_until("up.json", (self.data / "up.json").exists)
        self.facts: dict[str, str] = json.loads((self.data / "up.json").read_text())

    @staticmethod
    def command(*words: str) -> list[str]:
        return [str(Path(sys.executable).with_name("toolreeve")), *words]

    def run(self, *words: str) -> str:
        done = subprocess.run(
            self.command(*words, "--data", str(self.data)),
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def rows(self, sql: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = json.loads(self.run("audit", "query", sql, "--json"))
        return found

    def kill(self, name: str) -> None:
        """kill -9 the child whose command line has `name` in it."""
        children = Path(f"/proc/{self._up.pid}/task/{self._up.pid}/children").read_text().split()
        for pid in map(int, children):
            try:
                words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
            except FileNotFoundError:  # it has ended just now
                continue
            if any(word.decode().endswith(name) for word in words):
                os.kill(pid, signal.SIGKILL)
                return
        pytest.fail(f"no child {name}")

    def close(self) -> None:
        self._up.terminate()
        self._up.wait(30)
        self._flat.terminate()
        self._flat.wait(10)
        self._log.close()


@pytest.fixture
def installation(tmp_path: Path) -> Iterator[Installation]:
    made = Installation(tmp_path)
    try:
        yield made
    finally:
        made.close()


def served(installation: Installation) -> bool:
    (enforcer,) = json.loads(installation.run("fleet", "status", "--json"))
    return any(one["running"] for one in enforcer["served"])


def listens(address: str) -> bool:
    """Whether something takes connections at HOST:PORT."""
    host, _, port = address.rpartition(":")
    with socket.socket() as attempt:
        return attempt.connect_ex((host, int(port))) == 0


class Agents:
    """Callers that give every call a name of its own and never say one twice."""

    def __init__(self, gateway_url: str) -> None:
        self._address = gateway_url.removeprefix("http://")
        self._lock = threading.Lock()
        self._next = 0
        self.answered: dict[str, str] = {}

    def work(self) -> None:
        connection = http.client.HTTPConnection(self._address, timeout=10)
        while (number := self._take()) is not None:
            name = f"call-{number}"
            tool = "vm_restart" if number % 10 == 0 else "vm_status"
            try:
                connection.request("POST", "/flat/mcp", body(number, tool, name), headers(tool))
                answer = connection.getresponse()
                text = answer.read().decode()
            except (OSError, http.client.HTTPException):
                connection.close()
                wait_until("the gateway is back", lambda: listens(self._address))
                continue
            if answer.status == 200:
                self.answered[name] = "deny" if "[POLICY DENIED]" in text else "allow"
        connection.close()

    def _take(self) -> int | None:
        with self._lock:
            if self._next == CALLS:
                return None
            self._next += 1
            return self._next

    def reached(self, number: int) -> bool:
        return self._next >= number


def body(number: int, tool: str, name: str) -> bytes:
    meta = {
        "io.modelcontextprotocol/protocolVersion": VERSION,
        "io.modelcontextprotocol/clientInfo": {"name": "test", "version": "1"},
        "io.modelcontextprotocol/clientCapabilities": {},
    }
    params = {"name": tool, "arguments": {"id": 1, "name": name}, "_meta": meta}
    said = {"jsonrpc": "2.0", "id": number, "method": "tools/call", "params": params}
    return json.dumps(said).encode()


def headers(tool: str) -> dict[str, str]:
    return {
        "Content-Type": "application/json",
        "Accept": "application/json, text/event-stream",
        "MCP-Protocol-Version": VERSION,
        "Mcp-Method": "tools/call",
        "Mcp-Name": tool,
    }


@pytest.mark.timeout(240)
def test_every_answered_call_is_in_decisions_exactly_once(
    installation: Installation, tmp_path: Path
) -> None:
    policy = tmp_path / "policy.json"
    policy.write_text(json.dumps(POLICY))
    installation.run("policy", "publish", str(policy), "--server", "flat")
    wait_until("the policy is in force", lambda: served(installation))
    agents = Agents(installation.facts["gateway_url"])
    threads = [threading.Thread(target=agents.work) for _ in range(AGENTS)]
    for thread in threads:
        thread.start()
    for number, parts in KILLS:
        wait_until(f"{number} calls", partial(agents.reached, number))
        for part in parts:
            installation.kill(part)
    for thread in threads:
        thread.join()

    name = "arguments['/name']::VARCHAR"
    count = f"SELECT count(DISTINCT {name}) AS n FROM decisions"
    wait_until(
        "the warehouse has every answered call",
        lambda: (
            listens(installation.facts["query"])
            and installation.rows(count)[0]["n"] >= len(agents.answered)
        ),
    )
    rows = installation.rows(f"SELECT {name} AS name, effect FROM decisions")
    recorded = Counter(row["name"] for row in rows)
    effects = {row["name"]: row["effect"] for row in rows}

    assert len(agents.answered) > CALLS * 0.95
    assert [one for one in agents.answered if recorded[one] != 1] == []
    assert [one for one, times in recorded.items() if times != 1] == []
    assert [one for one, effect in agents.answered.items() if effects[one] != effect] == []
    lines = installation.seen.read_text().splitlines()
    forwarded: list[str] = [json.loads(line)["arguments"]["name"] for line in lines]
    assert [one for one in forwarded if effects.get(one) != "allow"] == []
    restarts = [one for one in forwarded if int(one.removeprefix("call-")) % 10 == 0]
    assert len(restarts) == RESTARTS_MAX

    # Whoever compares accounts all the while finds that some are late, and none that differ.
    differs = "SELECT rule, summary FROM alerts WHERE rule LIKE 'audit-%'"
    assert installation.rows(f"{differs} AND rule <> 'audit-behind'") == []
