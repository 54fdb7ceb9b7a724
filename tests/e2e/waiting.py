"""A whole `toolreeve up` with a policy that asks for approvals, and calls that are held."""

import contextlib
import http.client
import json
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from msgspec import Struct

COMMAND = str(Path(sys.executable).with_name("toolreeve"))
SECONDS_MAX = 60.0
HELD_SECONDS = 20.0
RULE = {"action": "require_approval", "approval": {"timeout": "1m"}}
POLICY = {
    "version": "1",
    "default": "deny",
    "tools": {
        "vm_status": {},
        "vm_delete": RULE,
        "vm_restart": {
            **RULE,
            "limits": [{"counter": "r", "window": "hour", "max": 1, "scope": "server"}],
        },
        "vm_clone": {"action": "require_approval", "approval": {"timeout": "2s"}},
        "vm_stop": {
            "action": "require_approval",
            "approval": {"timeout": "1m", "approvers": ["nobody-here"]},
        },
    },
}
META_KEY = "io.toolreeve/decision"


class Installation(Struct):
    """A running `toolreeve up`, and the calls that have reached its server."""

    data: Path
    calls: Path
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

    def reached(self, tool: str, vm: int) -> int:
        """How often a call has come through to the server."""
        lines = self.calls.read_text().splitlines() if self.calls.exists() else []
        seen = [json.loads(line) for line in lines]
        return sum(one["tool"] == tool and one["arguments"].get("id") == vm for one in seen)

    def pending(self, vm: int) -> dict[str, Any]:
        """The approval that is waited for of one VM; waits until somebody asks."""
        deadline = time.monotonic() + 20
        while True:
            for one in self.done("approvals", "list"):
                if one["kept"].get("/id") == str(vm):
                    return dict(one)
            assert time.monotonic() < deadline, "nobody asks"
            time.sleep(0.1)

    def post(
        self, tool: str, vm: int, *, progress: bool = False, more: dict[str, Any] | None = None
    ) -> Any:
        meta: dict[str, Any] = {
            "io.modelcontextprotocol/protocolVersion": "2026-07-28",
            "io.modelcontextprotocol/clientInfo": {"name": "test", "version": "1"},
            "io.modelcontextprotocol/clientCapabilities": {},
        }
        if progress:
            meta["progressToken"] = f"of {vm}"
        arguments: dict[str, Any] = {"id": vm, **(more or {})}
        params: dict[str, Any] = {"name": tool, "arguments": arguments, "_meta": meta}
        body: dict[str, Any] = {
            "jsonrpc": "2.0",
            "id": vm,
            "method": "tools/call",
            "params": params,
        }
        headers = {
            "Content-Type": "application/json",
            "Accept": "application/json, text/event-stream",
            "MCP-Protocol-Version": "2026-07-28",
            "Mcp-Method": "tools/call",
            "Mcp-Name": tool,
        }
        url = self.record["servers"]["lab"]
        asked = urllib.request.Request(url, data=json.dumps(body).encode(), headers=headers)
        try:
            return urllib.request.urlopen(asked, timeout=60)
        except urllib.error.HTTPError as error:
            raise AssertionError(f"{error.code}: {error.read().decode()}") from error

    def call(self, tool: str, vm: int, **more: Any) -> dict[str, Any]:
        with self.post(tool, vm, more=more) as answer:
            return dict(json.load(answer)["result"])


class Calling(threading.Thread):
    """A call on a thread of its own, because it is held."""

    def __init__(self, installation: Installation, tool: str, vm: int) -> None:
        super().__init__(daemon=True)
        self._call = (installation, tool, vm)
        self.result: dict[str, Any] = {}
        self.start()

    def run(self) -> None:
        installation, tool, vm = self._call
        with contextlib.suppress(OSError, http.client.HTTPException):  # where it is killed
            self.result = installation.call(tool, vm)

    def answer(self) -> dict[str, Any]:
        self.join(60)
        assert not self.is_alive(), "no answer came"
        return self.result


def told(result: dict[str, Any]) -> dict[str, Any]:
    assert result["isError"]
    return dict(result["_meta"][META_KEY])


@contextmanager
def installed(folder: Path) -> Generator[Installation]:
    """One that runs, with the policy in force."""
    data = folder / "data"
    data.mkdir(mode=0o700)
    calls = data / "calls.jsonl"
    command = json.dumps(
        [sys.executable, "-m", "toolreeve.cli.demo.flat", "--stdio", "--calls", str(calls)]
    )
    (data / "gateway.toml").write_text(
        f"approval_seconds_max = {HELD_SECONDS}\n[upstreams.lab]\ncommand = {command}\n"
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
            made = Installation(data, calls, json.loads((data / "up.json").read_text()))
            policy = data / "lab.json"
            policy.write_text(json.dumps(POLICY))
            made.done("policy", "publish", str(policy), "--server", "lab", "--reason", "test")
            while made.call("vm_status", 1).get("isError"):
                assert time.monotonic() < deadline, "the policy never came"
                time.sleep(0.1)
            yield made
        finally:
            up.terminate()
            up.wait(30)
