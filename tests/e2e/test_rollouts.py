"""Rollouts as operators meet them: two control planes, three gateways, and agents that call."""

import json
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

COMMAND = str(Path(sys.executable).with_name("toolreeve"))
SECONDS_MAX = 60.0
GATEWAYS = ("gw-0", "gw-1", "gw-2")
DISPATCH = {"truenas": {"name": "/action", "arguments": "/params", "group": "/category"}}
HEADERS = {
    "Content-Type": "application/json",
    "Accept": "application/json, text/event-stream",
    "MCP-Protocol-Version": "2026-07-28",
    "Mcp-Method": "tools/call",
    "Mcp-Name": "truenas",
}
META = {
    "io.modelcontextprotocol/protocolVersion": "2026-07-28",
    "io.modelcontextprotocol/clientInfo": {"name": "test", "version": "1"},
    "io.modelcontextprotocol/clientCapabilities": {},
}

pytestmark = pytest.mark.timeout(300)


class Fleet:
    """Processes of two control planes and three gateways on one nats-server."""

    def __init__(self, folder: Path, nats_url: str, prefix: str) -> None:
        self.folder = folder
        self.ports = [_free_port(), _free_port()]
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        self.calls = 0
        self.refused = 0
        self._calling = threading.Event()
        common = f'nats_url = "{nats_url}"\nprefix = "{prefix}"\nplaintext = true\n'
        for number, port in enumerate(self.ports):
            (folder / f"control-{number}.toml").write_text(
                f'{common}listen = "127.0.0.1:{port}"\ndata = "{folder / "control"}"\n'
                f'ready_file = "{folder / f"control-{number}.json"}"\nstop_seconds_max = 0.2\n'
            )
            self.start("control", f"control-{number}")
        key = self.ready("control-0")["public_key"]
        addresses = ",".join(f"127.0.0.1:{port}" for port in self.ports)
        server = json.dumps([sys.executable, "-m", "toolreeve.cli.demo.meta", "--stdio"])
        for name in GATEWAYS:
            (folder / f"{name}.toml").write_text(
                f'enforcer = "{name}"\nlisten = "127.0.0.1:0"\ndata = "{folder / name}"\n'
                f'ready_file = "{folder / f"{name}.json"}"\nstatus_seconds = 0.5\n'
                f'[control]\naddress = "ipv4:{addresses}"\nkeys = ["{key}"]\nplaintext = true\n'
                f"[upstreams.vm]\ncommand = {server}\n"
                f'[labels]\nsite = "{name}"\n'
            )
            self.start("gateway", name)
        self.urls = [self.ready(name)["url"] + "/vm/mcp" for name in GATEWAYS]

    def start(self, kind: str, name: str) -> None:
        with (self.folder / f"{name}.log").open("ab") as log:
            self.processes[name] = subprocess.Popen(
                [COMMAND, kind, "--config", str(self.folder / f"{name}.toml")], stderr=log
            )

    def ready(self, name: str) -> dict[str, Any]:
        deadline = time.monotonic() + SECONDS_MAX
        while time.monotonic() < deadline and self.processes[name].poll() is None:
            try:
                facts: dict[str, Any] = json.loads((self.folder / f"{name}.json").read_text())
            except (FileNotFoundError, ValueError):
                time.sleep(0.02)
                continue
            return facts
        raise AssertionError((self.folder / f"{name}.log").read_text())

    def run(self, *arguments: str, replica: int = 1) -> "subprocess.CompletedProcess[str]":
        where = ["--control", f"127.0.0.1:{self.ports[replica]}"]
        return subprocess.run(
            [COMMAND, *arguments, *where], capture_output=True, text=True, timeout=60, check=False
        )

    def done(self, *arguments: str, replica: int = 1) -> Any:
        ran = self.run(*arguments, "--json", replica=replica)
        assert ran.returncode == 0, ran.stderr
        return json.loads(ran.stdout)

    def policy(self, name: str, *, top: dict[str, object] | None = None, **tools: object) -> str:
        file = self.folder / f"{name}.json"
        said = {"version": "1", "default": "deny", "dispatch": DISPATCH, "tools": tools}
        file.write_text(json.dumps({**said, **(top or {})}))
        return str(file)

    def runs(self) -> dict[str, str]:
        """What each gateway runs, as the fleet's status says."""
        fleet = self.done("fleet", "status")
        return {one["enforcer"]: one["served"][0]["running"] for one in fleet}

    def until(self, holds: Callable[[], bool], seconds_max: float = SECONDS_MAX) -> float:
        """How many seconds it took until it was true."""
        began = time.monotonic()
        while not holds():
            assert time.monotonic() - began < seconds_max, self.logs()
            time.sleep(0.05)
        return time.monotonic() - began

    def agents(self) -> None:
        """Call every gateway, again and again, until `stop_agents`."""
        self._calling.clear()
        self._agents = threading.Thread(target=self._call_for_ever, daemon=True)
        self._agents.start()

    def stop_agents(self) -> None:
        self._calling.set()
        self._agents.join(30)

    def _call_for_ever(self) -> None:
        params: dict[str, object] = {"category": "vm", "action": "vm_list", "params": {}}
        body = json.dumps(
            {
                "jsonrpc": "2.0",
                "id": 1,
                "method": "tools/call",
                "params": {"name": "truenas", "arguments": params, "_meta": META},
            }
        ).encode()
        while not self._calling.is_set():
            for url in self.urls:
                asked = urllib.request.Request(url, data=body, headers=HEADERS)
                with urllib.request.urlopen(asked, timeout=20) as answer:
                    said = answer.read().decode()
                self.calls += 1
                self.refused += "isError" in said and '"isError":true' in said.replace(" ", "")
            time.sleep(0.02)

    def logs(self) -> str:
        return "\n".join(
            f"--- {name}\n{(self.folder / f'{name}.log').read_text()[-3000:]}"
            for name in self.processes
        )

    def end(self) -> None:
        for process in self.processes.values():
            process.terminate()
        for process in self.processes.values():
            try:
                process.wait(15)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port: int = found.getsockname()[1]
        return port


@pytest.fixture
def fleet(tmp_path: Path, nats_url: str, prefix: str) -> Iterator[Fleet]:
    made = Fleet(tmp_path, nats_url, prefix)
    try:
        lab = made.policy("lab", vm_list={})
        revision = made.done("policy", "publish", lab, "--server", "vm")["revision"]
        made.until(lambda: list(made.runs().values()) == [revision] * len(GATEWAYS))
        made.agents()
        yield made
    finally:
        made.stop_agents()
        made.end()


def test_a_rollout_goes_on_to_all_although_a_control_plane_is_killed_in_its_midst(
    fleet: Fleet,
) -> None:
    wider = fleet.policy("wider", vm_list={}, vm_status={})
    begun = fleet.done(
        "rollout", "start", wider, "--server", "vm", "--stages", "1,50,100", "--soak", "2s",
        replica=0,
    )  # fmt: skip
    assert (begun["state"], begun["enforcers"]["wanted"]) == ("running", 1)
    fleet.until(lambda: fleet.done("rollout", "status", "vm")["stage"] == 1)
    fleet.processes["control-0"].send_signal(signal.SIGKILL)
    killed_at = time.monotonic()
    waited = fleet.run("rollout", "wait", "vm", "--for", "100%", "--timeout", "60s")
    assert waited.returncode == 0, waited.stderr + fleet.logs()
    assert time.monotonic() - killed_at < 2 + 3 + 3, "soak, and going on within 3 s, and the last"
    assert set(fleet.runs().values()) == {begun["revision"]}
    fleet.until(lambda: fleet.done("rollout", "status", "vm")["state"] == "done")
    found = fleet.done("rollout", "status", "vm")
    assert [step["stage"] for step in found["steps"]] == [0, 1, 2, 2]
    assert found["calls"]["decisions"] > 0
    assert found["calls"]["pairs"] == found["calls"]["decisions"]
    assert found["calls"]["tightened"] == found["calls"]["loosened"] == 0
    assert fleet.refused == 0, "no agent has noticed"
    assert [member["enforcer"] for member in found["members"]] == list(GATEWAYS)
    for member in found["members"]:
        assert member["first_decision"].startswith(f"{member['enforcer']}:"), "an event's id"
    listed = fleet.done("rollout", "list")
    assert [one["rollout"] for one in listed] == [begun["rollout"]]


def test_a_revision_that_denies_what_passed_is_taken_back_before_the_others_have_it(
    fleet: Fleet,
) -> None:
    before = set(fleet.runs().values())
    narrow = fleet.policy("narrow", vm_status={})
    begun = fleet.done(
        "rollout", "start", narrow, "--server", "vm", "--stages", "1,100", "--soak", "30s",
        "--canary", "site=gw-1", "--on-halt", "roll-back",
    )  # fmt: skip
    fleet.until(lambda: fleet.done("rollout", "status", "vm")["state"] == "rolled_back", 30)
    found = fleet.done("rollout", "status", begun["rollout"])
    assert "denied by the new revision alone" in found["reason"]
    assert found["steps"][-1]["stage"] == 0
    fleet.until(lambda: set(fleet.runs().values()) == before)
    assert 0 < fleet.refused < 60
    waited = fleet.run("rollout", "wait", "vm")
    assert waited.returncode == 1
    assert "is rolled back: " in waited.stderr


def test_operators_pause_resume_promote_and_go_past_a_rollout(fleet: Fleet) -> None:
    wider = fleet.policy("wider", vm_list={}, vm_status={})
    fleet.done("rollout", "start", wider, "--server", "vm", "--stages", "1,100", "--soak", "60s")
    refused = fleet.run("rollout", "start", wider, "--server", "vm")
    assert refused.returncode == 1
    assert "of 'vm' is running" in refused.stderr
    plain = fleet.run("policy", "publish", fleet.policy("other"), "--server", "vm")
    assert plain.returncode == 1
    assert "--break-glass" in plain.stderr
    assert fleet.done("rollout", "pause", "vm")["state"] == "paused"
    assert fleet.run("rollout", "wait", "vm").returncode == 1
    assert fleet.done("rollout", "resume", "vm")["state"] == "running"
    assert fleet.done("rollout", "promote", "vm")["stage"] == 1
    shown = fleet.run("rollout", "status", "vm")
    assert "100 %" in shown.stdout
    fleet.until(lambda: fleet.done("rollout", "status", "vm")["enforcers"]["activated"] == 3)
    back = fleet.done("rollout", "rollback", "vm", "--reason", "changed my mind")
    assert back["state"] == "rolled_back"
    fleet.done("rollout", "start", wider, "--server", "vm", "--soak", "60s")
    glass = fleet.done(
        "policy", "publish", fleet.policy("other", vm_list={}, vm_stop={}), "--server", "vm",
        "--break-glass", "--reason", "an emergency",
    )  # fmt: skip
    fleet.until(lambda: set(fleet.runs().values()) == {glass["revision"]})
    found = fleet.done("rollout", "status", "vm")
    assert (found["state"], found["reason"]) == ("aborted", "break-glass: an emergency")
    bad = fleet.run("rollout", "start", wider, "--server", "vm", "--stages", "5,1")
    assert bad.returncode == 2
    assert "do not rise to the whole fleet" in bad.stderr


def test_cut_off_for_too_long_a_gateway_does_what_its_policy_says(fleet: Fleet) -> None:
    bounded = fleet.policy("bounded", top={"max_staleness": 2, "on_stale": "deny_all"}, vm_list={})
    glass = fleet.done("policy", "publish", bounded, "--server", "vm")
    fleet.until(lambda: set(fleet.runs().values()) == {glass["revision"]})
    time.sleep(2.5)  # that it gets stale by itself would be seen
    assert fleet.refused == 0
    for replica in ("control-0", "control-1"):
        fleet.processes[replica].send_signal(signal.SIGKILL)
        fleet.processes[replica].wait()
    assert fleet.until(lambda: fleet.refused > 0, 20) > 1
    fleet.start("control", "control-1")

    def answered() -> bool:
        refused, calls = fleet.refused, fleet.calls
        time.sleep(0.5)
        return fleet.calls > calls and fleet.refused == refused

    fleet.until(answered, 30)
