"""One installation as separate processes that can be killed, paused, cut off and started again."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import grpc
import pytest
from tests.conftest import nats_server_binary
from tests.nemesis.proxy import Proxy

from toolreeve.runtime.keyfile import load_or_create
from toolreeve.v1 import operator_pb2 as operator
from toolreeve.v1 import query_pb2 as pb
from toolreeve.v1.operator_pb2_grpc import OperatorServiceStub
from toolreeve.v1.query_pb2_grpc import QueryServiceStub

ENFORCER = "edge-1"
SERVER = "flat"
RESTARTS_MAX = 50
READY_SECONDS_MAX = 30.0
NAMES = ("nats", "upstream", "control", "worker", "gateway")

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


def wait_until(what: str, holds: Callable[[], object], seconds: float = 60.0) -> None:
    """Return when it holds; fail the test where it does not in time."""
    deadline = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > deadline:
            pytest.fail(f"not within {seconds:g} s: {what}")
        time.sleep(0.05)


def free_port() -> int:
    """A port that nobody listens on now, below those that outgoing connections are given."""
    for port in range(20_000 + os.getpid() % 8_000, 32_000):
        with contextlib.suppress(OSError), socket.create_server(("127.0.0.1", port)):
            return port
    pytest.fail("no free port")


def listens(port: int) -> bool:
    """Whether something takes connections there."""
    with socket.socket() as attempt:
        attempt.settimeout(1.0)
        return attempt.connect_ex(("127.0.0.1", port)) == 0


class Part:
    """A process with a fixed command, that listens on a port of its own when it is ready."""

    def __init__(self, name: str, command: Sequence[str], port: int, log: Path) -> None:
        self.name = name
        self.port = port
        self._command = command
        self._log = log
        self.process: subprocess.Popen[bytes] | None = None

    def start(self, *, wait: bool = True) -> None:
        assert self.process is None, f"{self.name} runs"
        with self._log.open("ab") as log:
            self.process = subprocess.Popen(self._command, stdout=log, stderr=log)
        if wait:
            self.wait()

    def wait(self) -> None:
        """Return when it listens."""
        process = self.process
        assert process is not None

        def ready() -> bool:
            if process.poll() is not None:
                pytest.fail(f"{self.name} ended by itself:\n{self.log[-3000:]}")
            return listens(self.port)

        wait_until(f"{self.name} listens\n{self.log[-2000:]}", ready, READY_SECONDS_MAX)

    def kill(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None

    def restart(self) -> None:
        self.kill()
        self.start()

    def pause(self) -> None:
        assert self.process is not None
        self.process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        assert self.process is not None
        self.process.send_signal(signal.SIGCONT)

    @property
    def ended(self) -> bool:
        """Whether it has ended by itself."""
        return self.process is not None and self.process.poll() is not None

    @property
    def pid(self) -> int:
        assert self.process is not None
        return self.process.pid

    @property
    def log(self) -> str:
        return self._log.read_text(errors="replace") if self._log.exists() else ""


class Rig:
    """nats-server, an upstream, a control plane, a worker and a gateway.

    The gateway reaches NATS by a proxy. Its policy comes from the control plane, and through it the
    worker hears how the outbox stands and asks again for what is missing.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.seen = folder / "seen.txt"
        self.data = folder / "gateway"
        self.worker_data = folder / "worker"
        self.store = folder / "nats"
        self._published = False
        ports = self._ports()
        self.nats_url = f"nats://127.0.0.1:{ports['nats']}"
        self.proxy = Proxy(ports["nats"])
        self.parts = {
            name: Part(name, command, ports[name], folder / f"{name}.log")
            for name, command in self._commands(ports).items()
        }

    def __getitem__(self, name: str) -> Part:
        return self.parts[name]

    def start(self, order: Sequence[str] = NAMES) -> None:
        """Start what does not run, in this order, without waiting in between."""
        for name in order:
            if self.parts[name].process is None:
                self.parts[name].start(wait=False)
        for part in self.parts.values():
            part.wait()
        if not self._published:
            self._publish()

    def _publish(self) -> None:
        """Bring the policy to the gateway, once: it keeps it from then on."""
        command = operator.Command(command_id="begin", actor="nemesis", reason="to begin with")
        request = operator.PublishPolicyRequest(
            command=command, server=SERVER, text=json.dumps(POLICY).encode(), source="policy.json"
        )
        with grpc.insecure_channel(f"127.0.0.1:{self.parts['control'].port}") as channel:
            OperatorServiceStub(channel).PublishPolicy(request, timeout=30)
        wait_until("the gateway has its policy", lambda: "policy.taken" in self["gateway"].log)
        self._published = True

    def kill(self) -> None:
        """Everything at once."""
        for part in self.parts.values():
            if part.process is not None:
                part.process.send_signal(signal.SIGKILL)
        for part in self.parts.values():
            part.kill()

    def close(self) -> None:
        self.kill()
        self.proxy.close()

    def rows(self, sql: str) -> list[list[Any]]:
        """Ask the worker by SQL."""
        with grpc.insecure_channel(f"127.0.0.1:{self.parts['worker'].port}") as channel:
            answer = QueryServiceStub(channel).RunQuery(pb.RunQueryRequest(sql=sql), timeout=30)
            return [row for part in answer for row in json.loads(part.rows.rows_json or b"[]")]

    def toolreeve(self, *words: str) -> "subprocess.CompletedProcess[str]":
        """Run one of our commands to its end."""
        return subprocess.run(own(*words), capture_output=True, text=True, check=False, timeout=60)

    def _ports(self) -> dict[str, int]:
        first = free_port()
        return {name: first + place for place, name in enumerate(NAMES)}

    def _commands(self, ports: Mapping[str, int]) -> dict[str, Sequence[str]]:
        config = self.folder / "nats.conf"
        config.write_text(
            f"listen: 127.0.0.1:{ports['nats']}\n"
            f"jetstream {{ store_dir: {json.dumps(str(self.store))}, sync_interval: always }}\n"
        )
        key, _ = load_or_create(self.folder / "control" / "signing-key.pem")
        (self.folder / "gateway.toml").write_text(
            f'enforcer = "{ENFORCER}"\nlisten = "127.0.0.1:{ports["gateway"]}"\n'
            f"data = {json.dumps(str(self.data))}\nstatus_seconds = 0.5\n"
            f'[control]\naddress = "127.0.0.1:{ports["control"]}"\nplaintext = true\n'
            f'keys = ["{key.public.text}"]\n'
            f'[bus]\nurl = "{self.proxy.url}"\n'
            f'[upstreams.{SERVER}]\nurl = "http://127.0.0.1:{ports["upstream"]}/mcp"\n'
        )
        (self.folder / "worker.toml").write_text(
            f'listen = "127.0.0.1:{ports["worker"]}"\nnats_url = "{self.nats_url}"\n'
            f"data = {json.dumps(str(self.worker_data))}\n"
            f'control = "127.0.0.1:{ports["control"]}"\ncontrol_plaintext = true\n'
            "[checkpoints]\nseconds = 0.3\n[reconcile]\nseconds = 0.5\n"
        )
        (self.folder / "control.toml").write_text(
            f'listen = "127.0.0.1:{ports["control"]}"\nplaintext = true\n'
            f'nats_url = "{self.nats_url}"\ndata = {json.dumps(str(self.folder / "control"))}\n'
            "durable_seconds = 0.5\nstop_seconds_max = 0.2\n"
        )
        upstream = ["-m", "tests.nemesis.upstream", str(ports["upstream"]), str(self.seen)]
        return {
            "nats": [nats_server_binary(), "-c", str(config)],
            "upstream": [sys.executable, *upstream],
            "control": own("control", "--config", str(self.folder / "control.toml")),
            "worker": own("worker", "--config", str(self.folder / "worker.toml")),
            "gateway": own("gateway", "--config", str(self.folder / "gateway.toml")),
        }


def own(*words: str) -> list[str]:
    """The command line of one of our own commands."""
    return [sys.executable, "-m", "toolreeve.cli", *words]
