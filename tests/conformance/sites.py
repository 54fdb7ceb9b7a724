"""Processes for the tests: the server with everything, and the enforcer before it."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Final, Self

from mcp.client.stdio import StdioServerParameters

from toolreeve.proxy.shapes import is_object

REPOSITORY: Final = Path(__file__).resolve().parents[2]
TOOLREEVE: Final = Path(sys.executable).with_name("toolreeve")
READY_SECONDS_MAX: Final = 30.0

_EVERYTHING: Final = (sys.executable, "-m", "tests.conformance.everything")
EVERYTHING_STDIO: Final[tuple[str, ...]] = (*_EVERYTHING, "stdio")
_JOIN: Final = REPOSITORY / "tests" / "conformance" / "everything" / "join.py"

Command = tuple[str, ...]
Environment = Mapping[str, str]


class Served:
    """A process that serves, and says one line when it does. Ends with its context."""

    def __init__(self, command: Command, environment: Environment | None = None) -> None:
        self._process = subprocess.Popen(
            command,
            cwd=REPOSITORY,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env={**os.environ, **(environment or {})},
        )
        self._command = command

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.kill()
        assert self._process.stdout is not None
        self._process.stdout.close()

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()

    @cached_property
    def said(self) -> str:
        """Its line; waits for it."""
        assert self._process.stdout is not None
        said = self._process.stdout.readline().strip()
        assert said, f"{self._command} has ended"
        return said

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{int(self.said)}/mcp"


def everything_http(environment: Environment | None = None) -> Served:
    """A server of its own that offers everything; its line is its port."""
    return Served((*_EVERYTHING, "http"), environment)


def everything_warm(socket: Path) -> tuple[Served, Command]:
    """The same on stdio, as a command that starts in no time while the process runs."""
    served = Served((*_EVERYTHING, "warm", str(socket)))
    return served, (sys.executable, "-S", str(_JOIN), str(socket))


@contextmanager
def gateway(folder: Path, upstreams: Mapping[str, Mapping[str, object]]) -> Generator[str]:
    """The address of a gateway that allows everything, before these upstreams."""
    folder.mkdir(parents=True, exist_ok=True)
    config, ready = folder / "gateway.toml", folder / "ready.json"
    lines = [
        'enforcer = "gw-test"',
        'listen = "127.0.0.1:0"',
        'data = "data"',
        'ready_file = "ready.json"',
        f'policy = "{allow_all(folder)}"',
    ]
    for name, upstream in upstreams.items():
        lines.append(f"[upstreams.{name}]")
        lines += [f"{key} = {_toml(value)}" for key, value in upstream.items()]
    config.write_text("\n".join(lines))
    with (folder / "log").open("ab") as log:
        process = subprocess.Popen([str(TOOLREEVE), "gateway", "--config", str(config)], stderr=log)
    try:
        yield str(_facts(ready, process, folder / "log")["url"])
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _toml(value: object) -> str:
    if is_object(value):
        return "{ " + ", ".join(f"{key} = {_toml(one)}" for key, one in value.items()) + " }"
    return json.dumps(value)


def _facts(ready: Path, process: "subprocess.Popen[bytes]", log: Path) -> dict[str, object]:
    deadline = time.monotonic() + READY_SECONDS_MAX
    while not ready.exists():
        assert process.poll() is None, f"the gateway has ended: {log.read_text()[-2000:]}"
        assert time.monotonic() < deadline, "the gateway is not ready"
        time.sleep(0.01)
    facts: dict[str, object] = json.loads(ready.read_text())
    return facts


def stdio_upstream(command: Command, environment: Environment | None = None) -> dict[str, object]:
    """A command as a gateway's upstream."""
    upstream: dict[str, object] = {"command": list(command), "directory": str(REPOSITORY)}
    if environment:
        upstream["environment"] = environment
    return upstream


def direct(environment: dict[str, str] | None = None) -> StdioServerParameters:
    """The server on stdio, for the SDK's client."""
    program: str = EVERYTHING_STDIO[0]
    arguments: list[str] = [*EVERYTHING_STDIO[1:]]
    return StdioServerParameters(command=program, args=arguments, cwd=REPOSITORY, env=environment)


def wrapped(folder: Path, environment: dict[str, str] | None = None) -> StdioServerParameters:
    """The same behind `toolreeve wrap`."""
    folder.mkdir(parents=True, exist_ok=True)
    return StdioServerParameters(
        command=str(TOOLREEVE),
        args=[
            *("wrap", "--policy", str(allow_all(folder)), "--data", str(folder / "data")),
            *("--server", "everything", "--", *EVERYTHING_STDIO),
        ],
        cwd=REPOSITORY,
        env=environment,
    )


def allow_all(folder: Path) -> Path:
    path = folder / "allow-all.json"
    path.write_text('{"version": "1", "default": "allow"}')
    return path
