"""A gateway process, and the two demo servers behind it: one flat over HTTP, one meta on stdio."""

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from msgspec import Struct

SECONDS_MAX = 20.0
META = "toolreeve.cli.demo.meta"


def wait_for_file(path: Path, process: "subprocess.Popen[bytes]") -> dict[str, object]:
    deadline = time.monotonic() + SECONDS_MAX
    while not path.exists():
        assert process.poll() is None, "the process has ended"
        assert time.monotonic() < deadline, f"{path.name} did not come"
        time.sleep(0.01)
    facts: dict[str, object] = json.loads(path.read_text())
    return facts


@pytest.fixture(scope="session")
def flat_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of the flat demo server."""
    ready = tmp_path_factory.mktemp("flat") / "ready.json"
    command = [
        sys.executable,
        "-m",
        "toolreeve.cli.demo.flat",
        "--http",
        "--ready-file",
        str(ready),
    ]
    with subprocess.Popen(command) as process:
        try:
            yield str(wait_for_file(ready, process)["url"])
        finally:
            process.terminate()


class GatewayProcess(Struct):
    """A running gateway, its folder, and how to end it and start it again."""

    folder: Path
    config: Path
    url: str = ""
    process: "subprocess.Popen[bytes] | None" = None

    def start(self) -> None:
        ready = self.folder / "ready.json"
        ready.unlink(missing_ok=True)
        command = [sys.executable, "-m", "toolreeve.cli", "gateway", "--config", str(self.config)]
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(command, stderr=log)
        self.url = str(wait_for_file(ready, self.process)["url"])

    def kill(self) -> None:
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    def stop(self) -> int:
        assert self.process is not None
        self.process.terminate()
        return self.process.wait(SECONDS_MAX)

    def server(self, name: str) -> str:
        return f"{self.url}/{name}/mcp"

    @property
    def policy(self) -> Path:
        return self.folder / "policy.json"

    @property
    def log(self) -> str:
        return (self.folder / "log").read_text()


@pytest.fixture
def gateway(tmp_path: Path, flat_server: str) -> Iterator[Callable[..., GatewayProcess]]:
    """Start a gateway under a policy, in front of `flat` (HTTP) and `meta` (stdio).

    `settings` are further lines of its settings.
    """
    started: list[GatewayProcess] = []

    def start(policy: dict[str, object], settings: str = "") -> GatewayProcess:
        config = tmp_path / "gateway.toml"
        command = json.dumps([sys.executable, "-m", META, "--stdio"])
        config.write_text(
            'enforcer = "gw-test"\nlisten = "127.0.0.1:0"\ndata = "data"\n'
            f'ready_file = "ready.json"\npolicy = "policy.json"\n{settings}\n'
            f'[upstreams.flat]\nurl = "{flat_server}"\n'
            f"[upstreams.meta]\ncommand = {command}\n"
        )
        made = GatewayProcess(folder=tmp_path, config=config)
        made.policy.write_text(json.dumps(policy))
        made.start()
        started.append(made)
        return made

    try:
        yield start
    finally:
        for one in started:
            if one.process is not None and one.process.poll() is None:
                one.process.kill()
                one.process.wait()
