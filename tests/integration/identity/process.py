"""A control plane and gateways as processes, and a user with a home of its own."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Generator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

COMMAND = str(Path(sys.executable).with_name("toolreeve"))
READY_SECONDS_MAX = 30.0
Start = Callable[[str, str], "tuple[subprocess.Popen[bytes], dict[str, str]]"]


class Site:
    """A control plane's process, and a user with a home of its own."""

    def __init__(
        self,
        folder: Path,
        facts: dict[str, str],
        start: Start,
        control: "subprocess.Popen[bytes]",
    ) -> None:
        self.control = control
        self.folder = folder
        self.address = facts["address"]
        self.members = facts["members_address"]
        self.pin = facts["authority_sha256"]
        self.authority = facts["authority"]
        self.admin_token = Path(facts["token_file"]).read_text().strip()
        self.public_key = facts["public_key"]
        self.start = start

    def run(
        self, *arguments: str, says: str | None = None, **environment: str
    ) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [COMMAND, *arguments],
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
            input=says,
            env=self.environment(**environment),
        )

    def environment(self, **more: str) -> dict[str, str]:
        plain = {key: value for key, value in os.environ.items() if "TOOLREEVE" not in key}
        home = self.folder / "home"
        folders = {"XDG_CONFIG_HOME": str(home / "config"), "XDG_DATA_HOME": str(home / "data")}
        return plain | folders | more

    def log_in(self, token: str = "") -> None:
        token = token or self.admin_token
        done = self.run(
            "operator", "login", self.address, "--pin", f"sha256:{self.pin}", TOOLREEVE_TOKEN=token
        )
        assert done.returncode == 0, done.stderr

    def json(self, *arguments: str) -> Any:
        done = self.run(*arguments, "--json")
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)


@contextmanager
def site_of(folder: Path, nats_url: str, prefix: str, more: str = "") -> Generator[Site]:
    """A control plane that speaks TLS; `more` are settings of its."""
    with ExitStack() as ends:

        def start(kind: str, settings: str) -> "tuple[subprocess.Popen[bytes], dict[str, str]]":
            ready, config = folder / f"{kind}.ready.json", folder / f"{kind}.toml"
            ready.unlink(missing_ok=True)
            config.write_text(f'ready_file = "{ready}"\n{settings}\n')
            log = ends.enter_context((folder / f"{kind}.log").open("a+"))
            process = subprocess.Popen(
                [COMMAND, kind, "--config", str(config)], stderr=log, stdout=log
            )
            ends.callback(process.wait, 20)
            ends.callback(process.terminate)
            wait_until(lambda: ready.exists() or process.poll() is not None)
            assert process.poll() is None, (folder / f"{kind}.log").read_text()
            facts: dict[str, str] = json.loads(ready.read_text())
            return process, facts

        control, facts = start(
            "control",
            f'listen = "127.0.0.1:0"\nlisten_members = "127.0.0.1:0"\nnats_url = "{nats_url}"\n'
            f'prefix = "{prefix}"\ndata = "{folder / "control"}"\nstop_seconds_max = 0.2\n{more}',
        )
        yield Site(folder, facts, start, control)


def wait_until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + READY_SECONDS_MAX
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.02)
