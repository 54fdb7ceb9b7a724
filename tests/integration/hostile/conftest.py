"""A gateway process with grants and a real outbox, and upstreams in processes of their own."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import re
import socket
import subprocess
import sys
import time
from collections.abc import Generator, Iterable
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import pytest
from msgspec import Struct
from tests.integration.hostile.cases import TOKENS, good_request

from toolreeve.audit import Body
from toolreeve.outbox import Outbox
from toolreeve.wire import pack, read_event, unpack

HERE = Path(__file__).parent
REPOSITORY = HERE.parents[2]
SECONDS_MAX = 20.0
UPSTREAM_SECRET = "the-upstreams-own-key"
POLICY: dict[str, Any] = {
    "version": "1",
    "default": "allow",
    "hide": ["vm_delete"],
    "methods": {"secrets/read": "deny"},
}


class Said(Struct, frozen=True):
    """An answer to bytes; `status` is 0 where none came."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def value(self) -> Any:
        return json.loads(self.body)

    @property
    def rpc(self) -> int | None:
        """The code of the JSON-RPC error in it, if one is."""
        try:
            error = self.value.get("error")
        except (ValueError, AttributeError):
            return None
        return int(cast(dict[str, Any], error)["code"]) if isinstance(error, dict) else None

    @property
    def last_error(self) -> int | None:
        """The code of the JSON-RPC error a client gets, also as the last event of a stream."""
        if "text/event-stream" not in self.headers.get("content-type", ""):
            return self.rpc
        found = re.findall(rb'"error":\{"code":(-?\d+)', self.body)
        return int(found[-1]) if found else None


def exchange(port: int, data: bytes, *, seconds: float = 8.0, body: bool = True) -> Said:
    """Send bytes on a new connection and read one answer, to its end."""
    with socket.create_connection(("127.0.0.1", port), timeout=seconds) as connection:
        with contextlib.suppress(OSError):  # refused before all of it was read
            connection.sendall(data)
        return read_answer(connection, body=body)


def read_answer(connection: socket.socket, *, body: bool = True) -> Said:
    got = b""
    while b"\r\n\r\n" not in got:
        try:
            more = connection.recv(65536)
        except ConnectionResetError:
            more = b""
        if not more:
            return Said(0, {}, got)
        got += more
    head, _, found = got.partition(b"\r\n\r\n")
    lines = head.decode("latin-1").split("\r\n")
    pairs = (line.partition(": ") for line in lines[1:])
    headers = {name.lower(): value for name, _, value in pairs}
    length = int(headers["content-length"]) if "content-length" in headers else None
    while body and (length is None or len(found) < length):
        try:
            more = connection.recv(1 << 20)
        except ConnectionResetError:
            more = b""
        if not more:
            break
        found += more
        if length is None and found.endswith(b"0\r\n\r\n"):
            break
    return Said(int(lines[0].split(" ")[1]), headers, found)


def resident_mb(process: int) -> float:
    """How much memory a process holds."""
    status = Path(f"/proc/{process}/status").read_text()
    (line,) = [line for line in status.splitlines() if line.startswith("VmRSS")]
    return int(line.split()[1]) / 1024


class Witness(Struct):
    """The upstream that keeps a list."""

    port: int

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/mcp"

    def seen(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = exchange(self.port, b"GET /seen HTTP/1.1\r\n\r\n").value
        return found


class Gateway(Struct):
    """A running gateway and its folder."""

    folder: Path
    process: subprocess.Popen[bytes]
    port: int

    def good_call(self, number: str, token: str = TOKENS["one"]) -> Said:
        return exchange(self.port, good_request(number, token))

    def send(self, data: bytes, *, seconds: float = 8.0, body: bool = True) -> Said:
        return exchange(self.port, data, seconds=seconds, body=body)

    @property
    def log(self) -> str:
        return (self.folder / "log").read_text(encoding="utf-8", errors="replace")

    @property
    def resident_mb(self) -> float:
        return resident_mb(self.process.pid)

    def stop(self) -> int:
        self.process.terminate()
        return self.process.wait(SECONDS_MAX)

    def recorded(self) -> list[Body]:
        """All events, once it has ended."""
        outbox = Outbox[Any].open(
            self.folder / "data" / "outbox", owner="gw-test", pack=pack("gw-test")
        )
        bodies = [
            read_event(raw).body for group in outbox.groups() for raw in unpack(group.payload).raws
        ]
        asyncio.run(outbox.close())
        return bodies


@contextmanager
def running_witness() -> Generator[Witness]:
    """A witness of a test's own."""
    command = [sys.executable, str(HERE / "witness.py")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield Witness(int(process.stdout.readline()))
        finally:
            process.kill()


@contextmanager
def running_gateway(
    folder: Path,
    upstreams: dict[str, dict[str, Any]],
    *,
    settings: str = "",
    policy: dict[str, Any] | None = None,
    prefix: tuple[str, ...] = (),
) -> Generator[Gateway]:
    """A gateway before `upstreams`. `settings` is TOML; `prefix` goes before its command."""
    config, ready = folder / "gateway.toml", folder / "ready.json"
    (folder / "policy.json").write_text(json.dumps(POLICY if policy is None else policy))
    keys, mark, tables = settings.partition("[")
    config.write_text(
        'enforcer = "gw-test"\nlisten = "127.0.0.1:0"\ndata = "data"\npolicy = "policy.json"\n'
        f'ready_file = "ready.json"\n{keys}\n'
        f"{_grants(upstreams)}\n{_upstreams(upstreams)}\n{mark}{tables}\n"
    )
    command = [*prefix, sys.executable, "-m", "toolreeve.cli", "gateway", "--config", str(config)]
    with (folder / "log").open("ab") as log, subprocess.Popen(command, stderr=log) as process:
        try:
            deadline = time.monotonic() + SECONDS_MAX
            while not ready.exists():
                assert process.poll() is None, (folder / "log").read_text()
                assert time.monotonic() < deadline, "the gateway did not get ready"
                time.sleep(0.01)
            port = int(json.loads(ready.read_text())["address"].rpartition(":")[2])
            yield Gateway(folder, process, port)
        finally:
            if process.poll() is None:
                process.kill()


def _grants(upstreams: Iterable[str]) -> str:
    tables: list[str] = []
    for name, token in TOKENS.items():
        if name == "elsewhere" and "other" not in upstreams:
            continue
        digest = hashlib.sha256(token.encode()).hexdigest()
        servers = '["other"]' if name == "elsewhere" else "[]"
        tables.append(
            f'[[grants]]\ngrant = "{name}"\nagent = "agent-{name}"\n'
            f'token_sha256 = "{digest}"\nservers = {servers}\n'
        )
    return "".join(tables)


def _upstreams(upstreams: dict[str, dict[str, Any]]) -> str:
    tables: list[str] = []
    for name, members in upstreams.items():
        tables.append(f"[upstreams.{name}]\n")
        for key, value in members.items():
            tables.append(f"{key} = {_toml(value)}\n")
    return "".join(tables)


def _toml(value: object) -> str:
    if not isinstance(value, dict):
        return json.dumps(value)
    members = cast(dict[str, object], value)
    return "{" + ", ".join(f"{json.dumps(k)} = {_toml(v)}" for k, v in members.items()) + "}"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for one gateway."""
    return tmp_path_factory.mktemp("hostile")
