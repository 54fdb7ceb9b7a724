"""One limit, five gateways, two control planes, and everything that can end ends in the midst."""

import json
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from tests.conftest import NatsServer

from toolreeve.audit import Decided, Draft, Effect
from toolreeve.decision.lease import SHARE
from toolreeve.outbox import Outbox, OutboxSettings
from toolreeve.wire import pack, read_event, unpack

COMMAND = str(Path(sys.executable).with_name("toolreeve"))
SECONDS_MAX = 60.0
GATEWAYS = ("gw-0", "gw-1", "gw-2", "gw-3", "gw-4")
MOST = 12
WINDOW = 5
HEADERS = {
    "Content-Type": "application/json",
    "Accept": "application/json, text/event-stream",
    "MCP-Protocol-Version": "2026-07-28",
    "Mcp-Method": "tools/call",
    "Mcp-Name": "vm_list",
}
META = {
    "io.modelcontextprotocol/protocolVersion": "2026-07-28",
    "io.modelcontextprotocol/clientCapabilities": {},
    "io.modelcontextprotocol/clientInfo": {"name": "agent", "version": "1"},
}
LIMIT = {
    "counter": "lists",
    "window": WINDOW,
    "max": MOST,
    "scope": "fleet",
    "on_partition": "safe_share",
    "shares": MOST,
}
POLICY = {"version": "1", "default": "deny", "tools": {"vm_list": {"limits": [LIMIT]}}}

pytestmark = pytest.mark.timeout(180)


class Fleet:
    """The processes, and an agent at each gateway that calls again and again."""

    def __init__(self, folder: Path, nats: NatsServer) -> None:
        self.folder = folder
        self.nats = nats
        self.ports = {name: _free_port() for name in ("control-0", "control-1", *GATEWAYS)}
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        self.codes: dict[str, Counter[str]] = {name: Counter() for name in GATEWAYS}
        self.retries: list[float] = []
        self._ended = threading.Event()
        for name in ("control-0", "control-1"):
            (folder / f"{name}.toml").write_text(
                f'nats_url = "{nats.url}"\nplaintext = true\ndata = "{folder / "control"}"\n'
                f'listen = "127.0.0.1:{self.ports[name]}"\nstop_seconds_max = 0.2\n'
                f'ready_file = "{folder / f"{name}.json"}"\n'
            )
            self.start(name)
            self.ready(name)
        key = self.ready("control-0")["public_key"]
        addresses = ",".join(f"127.0.0.1:{self.ports[name]}" for name in ("control-0", "control-1"))
        server = json.dumps([sys.executable, "-m", "toolreeve.cli.demo.flat", "--stdio"])
        for name in GATEWAYS:
            (folder / f"{name}.toml").write_text(
                f'enforcer = "{name}"\nlisten = "127.0.0.1:{self.ports[name]}"\n'
                f'data = "{folder / name}"\nready_file = "{folder / f"{name}.json"}"\n'
                f'[control]\naddress = "ipv4:{addresses}"\nkeys = ["{key}"]\nplaintext = true\n'
                f"[upstreams.vm]\ncommand = {server}\n"
            )
            self.start(name)
        for name in GATEWAYS:
            self.ready(name)
        self._agents = [threading.Thread(target=self._call, args=[name]) for name in GATEWAYS]

    def start(self, name: str) -> None:
        kind = "control" if name.startswith("control") else "gateway"
        (self.folder / f"{name}.json").unlink(missing_ok=True)
        with (self.folder / f"{name}.log").open("ab") as log:
            self.processes[name] = subprocess.Popen(
                [COMMAND, kind, "--config", str(self.folder / f"{name}.toml")], stderr=log
            )

    def kill(self, name: str) -> None:
        self.processes[name].send_signal(signal.SIGKILL)
        self.processes[name].wait()

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

    def publish(self) -> None:
        file = self.folder / "policy.json"
        file.write_text(json.dumps(POLICY))
        where = ["--control", f"127.0.0.1:{self.ports['control-1']}"]
        done = subprocess.run(
            [COMMAND, "policy", "publish", str(file), "--server", "vm", *where],
            capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        for agent in self._agents:
            agent.start()
        self.until(
            lambda: all(codes["allowed"] + codes["limited"] for codes in self.codes.values())
        )

    def until(self, holds: Callable[[], bool]) -> None:
        deadline = time.monotonic() + SECONDS_MAX
        while not holds():
            assert time.monotonic() < deadline, (self.codes, self.logs())
            time.sleep(0.05)

    def admitted(self) -> int:
        return sum(codes["allowed"] for codes in self.codes.values())

    def go_on(self, times: int = MOST // 2) -> None:
        """Return once so many more calls have been admitted."""
        wanted = self.admitted() + times
        self.until(lambda: self.admitted() >= wanted)

    def _call(self, name: str) -> None:
        url = f"http://127.0.0.1:{self.ports[name]}/vm/mcp"
        params = {"name": "vm_list", "arguments": {}, "_meta": META}
        asks = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}
        body = json.dumps(asks).encode()
        while not self._ended.is_set():
            try:
                asked = urllib.request.Request(url, data=body, headers=HEADERS)
                with urllib.request.urlopen(asked, timeout=10) as answer:
                    said = answer.read().decode()
            except (OSError, urllib.error.URLError):
                time.sleep(0.05)
                continue
            said = said[said.index("{") :] if "{" in said else "{}"
            decision = json.loads(said).get("result", {}).get("_meta", {})
            decision = decision.get("io.toolreeve/decision", {"code": "allowed"})
            self.codes[name][decision["code"]] += 1
            time.sleep(0.02)

    def end(self) -> None:
        self._ended.set()
        for agent in self._agents:
            if agent.ident is not None:
                agent.join(20)
        for process in self.processes.values():
            process.terminate()
        for process in self.processes.values():
            try:
                process.wait(15)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def logs(self) -> str:
        return "\n".join(
            f"--- {name}\n{(self.folder / f'{name}.log').read_text()[-2000:]}"
            for name in self.processes
        )

    def history(self) -> list[Decided]:
        """All decisions of all gateways that let a call through."""
        found: list[Decided] = []
        for name in GATEWAYS:
            outbox = Outbox[Draft].open(
                self.folder / name / "outbox",
                owner=name,
                pack=pack(name, b""),
                settings=OutboxSettings(publishes=False),
            )
            for group in outbox.groups():
                bodies = [read_event(raw).body for raw in unpack(group.payload).raws]
                found += [one for one in bodies if isinstance(one, Decided)]
        return [one for one in found if one.effect is Effect.ALLOW]


def _free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port: int = found.getsockname()[1]
        return port


@pytest.fixture
def fleet(tmp_path: Path, private_nats: Callable[[], NatsServer]) -> Iterator[Fleet]:
    made = Fleet(tmp_path, private_nats())
    try:
        yield made
    finally:
        made.end()


def test_five_gateways_never_admit_more_than_one_limit_whatever_ends_in_the_midst(
    fleet: Fleet,
) -> None:
    fleet.publish()
    fleet.go_on(2 * MOST)
    fleet.nats.pause()
    time.sleep(3)
    fleet.nats.resume()
    fleet.go_on()
    fleet.kill("control-0")
    fleet.go_on()
    fleet.start("control-0")
    fleet.kill("control-1")
    fleet.kill("gw-2")
    fleet.start("gw-2")
    fleet.go_on()
    fleet.nats.kill()
    time.sleep(1)
    fleet.nats.start()
    fleet.start("control-1")
    fleet.go_on(2 * MOST)
    fleet.end()
    admitted = fleet.history()
    moments = sorted(one.reservations[0].at for one in admitted)
    assert len(moments) >= 5 * MOST
    spans = [late - first for first, late in zip(moments, moments[MOST:], strict=False)]
    assert min(spans) >= WINDOW * 10**9, (min(spans), fleet.codes)
    leases = {one.reservations[0].lease for one in admitted}
    assert all(leases)
    assert SHARE in leases, "with NATS stopped, each went on with its share"
    assert sum(codes["no_lease"] for codes in fleet.codes.values()), "and with no more"
    assert all(codes["limited"] for codes in fleet.codes.values())
    assert all(first <= late for first, late in pairwise(moments))
