"""A worker as a process of its own, enforcers that publish to it, and a receiver of its alerts."""

import asyncio
import json
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from http.server import BaseHTTPRequestHandler, HTTPServer
from itertools import count
from pathlib import Path
from typing import Any

import grpc
import pytest

from toolreeve.audit import (
    GENESIS,
    Arguments,
    Completed,
    Decided,
    Draft,
    Effect,
    KeptArgument,
    Outcome,
    Position,
)
from toolreeve.bus import Publisher, Subjects, connect, ensure_stream, message_id
from toolreeve.decision import Instant
from toolreeve.v1 import query_pb2 as pb
from toolreeve.v1.query_pb2_grpc import QueryServiceStub
from toolreeve.wire import pack

WORKER = (sys.executable, "-m", "toolreeve.cli", "worker")
READY_SECONDS_MAX = 20.0


class Worker:
    """One worker's process. It keeps its data over `kill` and `start`."""

    def __init__(self, folder: Path, settings: dict[str, Any]) -> None:
        self._folder = folder
        self._settings = settings
        self._process: subprocess.Popen[bytes] | None = None
        self.address = ""
        self.starts = 0

    @property
    def log(self) -> str:
        return (self._folder / "worker.log").read_text(errors="replace")

    def start(self) -> None:
        assert self._process is None
        ready = self._folder / "ready.json"
        ready.unlink(missing_ok=True)
        config = self._folder / "worker.toml"
        config.write_text(_toml(self._settings))
        with (self._folder / "worker.log").open("ab") as log:
            self._process = subprocess.Popen(
                [*WORKER, "--config", str(config), "--ready-file", str(ready)],
                stderr=log,
            )
        self.starts += 1
        deadline = time.monotonic() + READY_SECONDS_MAX
        while not ready.exists():
            if self._process.poll() is not None or time.monotonic() > deadline:
                pytest.fail(f"the worker is not ready: {self.log[-3000:]}")
            time.sleep(0.01)
        self.address = json.loads(ready.read_text())["query"]

    def kill(self) -> None:
        assert self._process is not None
        self._process.kill()
        self._process.wait()
        self._process = None

    def stop(self) -> int:
        if self._process is None:
            return 0
        self._process.send_signal(signal.SIGTERM)
        try:
            code = self._process.wait(10)
        except subprocess.TimeoutExpired:
            self.kill()
            pytest.fail(f"the worker did not end: {self.log[-3000:]}")
        self._process = None
        return code

    def rows(self, sql: str) -> list[list[Any]]:
        """Ask by SQL."""
        with grpc.insecure_channel(self.address) as channel:
            parts = QueryServiceStub(channel).RunQuery(pb.RunQueryRequest(sql=sql), timeout=20)
            return [row for part in parts for row in json.loads(part.rows.rows_json or b"[]")]

    def wait_for(self, sql: str, wanted: list[list[Any]], seconds: float = 20.0) -> None:
        """Ask until the answer is `wanted`."""
        deadline = time.monotonic() + seconds
        while (found := self.rows(sql)) != wanted:
            if time.monotonic() > deadline:
                pytest.fail(f"{sql}\n  gave {found}\n  not {wanted}\n{self.log[-3000:]}")
            time.sleep(0.05)


def _toml(settings: dict[str, Any]) -> str:
    lines: list[str] = []
    tables: list[str] = []
    for key, value in settings.items():
        if isinstance(value, dict):
            tables += [f"[{key}]", *_lines(value)]  # pyright: ignore[reportUnknownArgumentType]
        elif isinstance(value, list):
            for table in value:  # pyright: ignore[reportUnknownVariableType]
                tables += [f"[[{key}]]", *_lines(table)]  # pyright: ignore[reportUnknownArgumentType]
        else:
            lines.append(f"{key} = {json.dumps(value)}")
    return "\n".join([*lines, *tables]) + "\n"


def _lines(table: dict[str, Any]) -> list[str]:
    return [f"{name} = {json.dumps(value)}" for name, value in table.items()]


class Fleet:
    """Enforcers that publish what they are told to."""

    def __init__(self, url: str, prefix: str) -> None:
        self._url = url
        self._prefix = prefix
        self._ends: dict[str, tuple[int, bytes]] = {}
        self._ids = count(1)

    def calls(
        self,
        enforcer: str,
        calls: int,
        *,
        at: Instant,
        step_ns: int = 1_000_000,
        tool: str = "vm_list",
        vm: str = "",
        grant: str = "g-1",
        admitted: int | None = None,
    ) -> list[bytes]:
        """Groups of one decision each, and its outcome where it was admitted."""
        groups: list[bytes] = []
        for number in range(calls):
            allowed = admitted is None or number < admitted
            decided = Decided(
                server="truenas",
                grant=grant,
                agent="agent-a",
                request_id=str(number),
                tool=tool,
                wire_tool=tool,
                effect=Effect.ALLOW if allowed else Effect.DENY,
                code="allowed" if allowed else "limited",
                arguments=Arguments(kept=(KeptArgument("/id", json.dumps(vm)),) if vm else ()),
            )
            when = Instant(at + number * step_ns)
            _, last = self._where(enforcer)
            drafts = [Draft(when, decided)]
            if allowed:
                ended = Completed(
                    decision_id=f"{enforcer}:1:{last + 1}",
                    outcome=Outcome.SUCCESS,
                    duration_ns=2_000_000,
                )
                drafts.append(Draft(Instant(when + 2_000_000), ended))
            groups.append(self.seal(enforcer, drafts))
        return groups

    def seal(self, enforcer: str, drafts: list[Draft]) -> bytes:
        head, last = self._where(enforcer)
        payload, head = pack(enforcer)(Position(1, last + 1), head, drafts)
        self._ends[enforcer] = (last + len(drafts), head)
        return payload

    def publish(self, enforcer: str, groups: list[bytes]) -> None:
        asyncio.run(self._publish(enforcer, groups))

    def _where(self, enforcer: str) -> tuple[bytes, int]:
        last, head = self._ends.get(enforcer, (0, GENESIS))
        return head, last

    async def _publish(self, enforcer: str, groups: list[bytes]) -> None:
        subjects = Subjects(self._prefix)
        async with asyncio.timeout(30), connect(self._url, name=enforcer) as connection:
            await ensure_stream(connection, subjects.audit_stream, [subjects.audit_all])
            publisher = Publisher(
                connection, subjects.audit(enforcer), stream=subjects.audit_stream
            )
            async with publisher.outlet() as outlet:
                acks = [
                    await outlet.send(group, message_id(enforcer, 1, next(self._ids)))
                    for group in groups
                ]
                for ack in acks:
                    await ack


class Receiver:
    """An HTTP server that takes webhooks; answers with the codes it is given, then with 200."""

    def __init__(self) -> None:
        self.bodies: list[dict[str, Any]] = []
        self.answers: list[int] = []
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                code = receiver.answers.pop(0) if receiver.answers else 200
                if code == 200:
                    receiver.bodies.append(json.loads(body))
                self.send_response(code)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002
                pass

        self._server = HTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}/alerts"
        self._thread = threading.Thread(target=self._server.serve_forever)
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def wait_for(self, count: int, seconds: float = 15.0) -> list[dict[str, Any]]:
        deadline = time.monotonic() + seconds
        while len(self.bodies) < count:
            assert time.monotonic() < deadline, f"{len(self.bodies)} of {count} came"
            time.sleep(0.02)
        return self.bodies


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    receiver = Receiver()
    try:
        yield receiver
    finally:
        receiver.close()


@pytest.fixture
def fleet(nats_url: str, prefix: str) -> Fleet:
    return Fleet(nats_url, prefix)


@pytest.fixture
def make_fleet(prefix: str) -> Callable[[str], Fleet]:
    return lambda url: Fleet(url, prefix)


@pytest.fixture
def start_worker(nats_url: str, prefix: str, tmp_path: Path) -> Iterator[Callable[..., Worker]]:
    """Gives a running worker over the test's own stream; the settings may be added to."""

    def start(**more: object) -> Worker:
        settings: dict[str, Any] = {
            "data": str(tmp_path / "data"),
            "nats_url": nats_url,
            "prefix": prefix,
            "listen": "127.0.0.1:0",
            **more,
        }
        worker = Worker(tmp_path, settings)
        ends.callback(worker.stop)
        worker.start()
        return worker

    with ExitStack() as ends:
        yield start


@pytest.fixture
def now() -> Instant:
    return Instant(time.time_ns())
