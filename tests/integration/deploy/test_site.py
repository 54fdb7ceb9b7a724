"""A site with the settings, the bus and the roles that are deployed."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Generator
from contextlib import ExitStack, contextmanager
from http.client import HTTPConnection
from pathlib import Path

import pytest

DEPLOY = Path(__file__).resolve().parents[3] / "deploy"
TOOLREEVE = Path(sys.executable).with_name("toolreeve")
SECONDS_MAX = 20.0

CALL = {
    "jsonrpc": "2.0",
    "id": 1,
    "method": "tools/call",
    "params": {"name": "vm_restart", "arguments": {"id": 7}},
}


@contextmanager
def process(home: Path, *command: str | Path, **settings: str) -> Generator[Callable[[str], str]]:
    """A process of the product; what it gives finds a field of its log's events."""
    environment = {f"TOOLREEVE_{key.upper()}": value for key, value in settings.items()}
    home.mkdir()
    log = home / "log"
    with (
        log.open("wb") as stderr,
        subprocess.Popen(
            [TOOLREEVE, *command],
            env=os.environ | environment | {"TOOLREEVE_DATA": str(home / "data")},
            stderr=stderr,
        ) as running,
    ):

        def field(name: str) -> str:
            deadline = time.monotonic() + SECONDS_MAX
            while time.monotonic() < deadline and running.poll() is None:
                for line in log.read_text().splitlines():
                    if (value := json.loads(line).get(name)) is not None:
                        return str(value)
                time.sleep(0.01)
            pytest.fail(f"no {name} in the log of {command[0]}:\n{log.read_text()}")

        try:
            yield field
        finally:
            running.terminate()
    assert running.returncode == 0, log.read_text()


def ask(*command: str) -> str:
    """What the command line says to an operator."""
    return subprocess.run([TOOLREEVE, *command], capture_output=True, text=True, check=False).stdout


def eventually(command: tuple[str, ...], words: str) -> None:
    """Ask again until these words are in the answer."""
    deadline = time.monotonic() + SECONDS_MAX
    answer = ""
    while time.monotonic() < deadline:
        if words in (answer := ask(*command)):
            return
    pytest.fail(f"no {words!r} in the answer to {command}:\n{answer}")


def test_a_site_as_deployed_decides_records_and_can_be_asked(
    address: Callable[[str], str], tmp_path: Path
) -> None:
    with ExitStack() as site:
        control = site.enter_context(
            process(
                tmp_path / "control",
                *("control", "--config", DEPLOY / "compose" / "control.toml"),
                nats_url=address("control"),
                listen="127.0.0.1:0",
            )
        )
        worker = site.enter_context(
            process(
                tmp_path / "worker",
                *("worker", "--config", DEPLOY / "compose" / "worker.toml"),
                nats_url=address("worker"),
                listen="127.0.0.1:0",
            )
        )
        settings = (DEPLOY / "compose" / "gateway.toml").read_text()
        settings = settings.replace("keys = []", f'keys = ["{control("public_key")}"]')
        settings = settings.replace("control:8461", control("address"))
        settings += '\n[upstreams.demo]\nurl = "http://127.0.0.1:9/mcp"\n'
        (tmp_path / "gateway.toml").write_text(settings)
        gateway = site.enter_context(
            process(
                tmp_path / "gateway",
                *("gateway", "--config", tmp_path / "gateway.toml"),
                bus_url=address("enforcer"),
                listen="127.0.0.1:0",
            )
        )
        client = HTTPConnection(gateway("address"), timeout=SECONDS_MAX)
        client.request(
            "POST",
            "/demo/mcp",
            json.dumps(CALL),
            {"Content-Type": "application/json", "Accept": "application/json, text/event-stream"},
        )
        assert "No policy is in force here." in client.getresponse().read().decode()
        client.close()

        eventually(("fleet", "status", "--control", control("address")), "gateway-1")
        sql = "SELECT tool, effect FROM decisions"
        eventually(("audit", "query", "--csv", "--query", worker("query"), sql), "vm_restart,deny")
        for kind, there in (
            ("grpc", control("address")),
            ("grpc", worker("query")),
            ("tcp", gateway("address")),
        ):
            port = there.rpartition(":")[2]
            subprocess.run([sys.executable, DEPLOY / "healthy.py", kind, port], check=True)
