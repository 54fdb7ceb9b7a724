"""Floods: the disk does not fill, honest agents go on, and every request is still counted."""

from __future__ import annotations

import contextlib
import itertools
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from tests.integration.hostile.cases import TOKENS, TOOL, good_request, plain_call
from tests.integration.hostile.conftest import (
    HERE,
    Gateway,
    exchange,
    read_answer,
    resident_mb,
    running_gateway,
    running_witness,
)

from toolreeve.audit import Decided, Effect, RequestRefused

KNOCKS = 1_500
FEW_FILES = ("sh", "-c", 'ulimit -n 400; exec "$0" "$@"')
SETTINGS = "[http]\nlinger_seconds_max = 0.2\n[refusals]\nsummary_seconds = 0.5\n"
DENIES: dict[str, object] = {
    "version": "1",
    "default": "allow",
    "tools": {"vm_delete": {"action": "deny"}},
}


@pytest.fixture
def gateway(tmp_path: Path) -> Iterator[Gateway]:
    with (
        running_witness() as witness,
        running_gateway(tmp_path, {"flat": {"url": witness.url}}, settings=SETTINGS) as running,
    ):
        yield running


def knock(port: int, times: int) -> int:
    """Call so many times without a credential; how many were answered with 401."""
    request = good_request("x", token="nobody")
    return sum(exchange(port, request).status == 401 for _ in range(times))


def rubbish(port: int, times: int) -> int:
    """Send so many malformed messages under a grant on one connection; how many got a 400."""
    body = b'{"jsonrpc":"2.0","id":1,"id":2}'
    head = good_request("x").partition(b"Connection")[0]
    request = head + b"Content-Length: %d\r\n\r\n" % len(body) + body
    answered = 0
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        for _ in range(times):
            connection.sendall(request)
            answered += read_answer(connection).status == 400
    return answered


def refusals(gateway: Gateway, code: str) -> list[RequestRefused]:
    return [
        body
        for body in gateway.recorded()
        if isinstance(body, RequestRefused) and body.code == code
    ]


@pytest.mark.parametrize(
    ("flood", "code"), [(knock, "unauthenticated"), (rubbish, "duplicate_key")]
)
def test_of_a_flood_few_requests_are_events_and_all_are_counted(
    gateway: Gateway, flood: object, code: str
) -> None:
    assert callable(flood)
    began = time.monotonic()
    assert flood(gateway.port, KNOCKS) == KNOCKS
    seconds = time.monotonic() - began
    assert gateway.stop() == 0
    events = refusals(gateway, code)
    assert sum(event.count for event in events) == KNOCKS
    single = [event for event in events if event.count == 1]
    assert 100 <= len(single) <= 100 + 5 * (seconds + 1) + 1
    summaries = [event for event in events if event.count > 1]
    assert 1 <= len(summaries) <= seconds / 0.5 + 2
    sender = "127.0.0.1" if flood is knock else "one"
    assert all(event.reason.endswith(f"from {sender})") for event in summaries)


def denied(port: int, times: int) -> tuple[int, int]:
    """Call a tool that is not allowed so many times: how many were refused, how many with an id."""
    body = plain_call("legacy").replace(TOOL, "vm_delete").encode()
    head = good_request("x").partition(b"Connection")[0]
    request = head + b"Content-Length: %d\r\n\r\n" % len(body) + body
    refused = named = 0
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        for _ in range(times):
            connection.sendall(request)
            answer = read_answer(connection)
            refused += b"[POLICY DENIED]" in answer.body
            named += b'"id":"gw-test:' in answer.body
    return refused, named


def test_denied_calls_cannot_fill_the_disk(tmp_path: Path) -> None:
    settings = SETTINGS + "denied_burst = 50\ndenied_per_second = 5\n"
    with (
        running_witness() as witness,
        running_gateway(
            tmp_path, {"flat": {"url": witness.url}}, settings=settings, policy=DENIES
        ) as gateway,
    ):
        began = time.monotonic()
        refused, named = denied(gateway.port, KNOCKS)
        assert refused == KNOCKS, "the agent is told the same"
        assert gateway.good_call("honest").status == 200
        seconds = time.monotonic() - began
        assert gateway.stop() == 0
        bodies = gateway.recorded()
        recorded = [one for one in bodies if isinstance(one, Decided) and one.effect is Effect.DENY]
        assert 50 <= len(recorded) == named <= 50 + 5 * (seconds + 1)
        counted = sum(one.count for one in refusals(gateway, "denied_often"))
        assert len(recorded) + counted == KNOCKS
        allowed = [one for one in bodies if isinstance(one, Decided) and one.effect is Effect.ALLOW]
        assert len(allowed) == 1


def test_honest_calls_pass_while_others_flood(gateway: Gateway) -> None:
    with ThreadPoolExecutor(4) as pool:
        floods = [pool.submit(knock, gateway.port, KNOCKS // 3) for _ in range(3)]
        calls = 0
        while not all(flood.done() for flood in floods):
            assert gateway.good_call(f"honest-{calls}").status == 200
            calls += 1
    assert calls > 10
    assert gateway.stop() == 0
    decided = [body for body in gateway.recorded() if isinstance(body, Decided)]
    assert len(decided) == calls


def test_a_thousand_silent_connections_are_in_nobody_s_way(gateway: Gateway) -> None:
    with contextlib.ExitStack() as held:
        for number in range(1_500):
            connection = socket.create_connection(("127.0.0.1", gateway.port), timeout=10)
            held.enter_context(connection)
            if number % 2:
                connection.sendall(b"POST /flat/mcp HTTP/1.1\r\nHost: local")
        for number in range(5):
            assert gateway.good_call(f"honest-{number}").status == 200
        assert gateway.resident_mb < 150
    assert gateway.stop() == 0
    pushed = sum(event.count for event in refusals(gateway, "connections"))
    assert pushed >= 1_500 - 1_024


def test_where_few_files_can_be_opened_there_are_fewer_connections_and_still_a_record(
    tmp_path: Path,
) -> None:
    with (
        running_witness() as witness,
        running_gateway(tmp_path, {"flat": {"url": witness.url}}, prefix=FEW_FILES) as gateway,
    ):
        assert "connections.bounded" in gateway.log
        body = plain_call("session").encode()
        call = good_request("held").partition(b"Connection")[0]
        call += b"Content-Length: %d\r\n\r\n" % len(body) + body
        statuses: list[int] = []
        with contextlib.ExitStack() as held:
            for _ in range(300):
                connection = socket.create_connection(("127.0.0.1", gateway.port), timeout=10)
                held.enter_context(connection)
                with contextlib.suppress(OSError):
                    connection.sendall(call)
                statuses.append(read_answer(connection).status)
        passed = statuses.count(200)
        assert 50 <= passed <= 100
        assert set(statuses[passed:]) <= {503, 0}
        deadline = time.monotonic() + 5
        while gateway.good_call("after", TOKENS["two"]).status != 200:
            assert time.monotonic() < deadline
        assert gateway.stop() == 0
        assert "Traceback" not in gateway.log
        assert "record.failed" not in gateway.log
        decided = [one for one in gateway.recorded() if isinstance(one, Decided)]
        assert len(decided) == passed + 1


def test_a_client_that_writes_rubbish_and_reads_nothing_is_not_read_on(tmp_path: Path) -> None:
    (tmp_path / "policy.json").write_text('{"version": "1", "default": "allow"}')
    options = ["--data", str(tmp_path / "data"), "--policy", str(tmp_path / "policy.json")]
    command = [sys.executable, "-m", "toolreeve.cli", "wrap", "--server", "flat", *options, "--"]
    server = [sys.executable, str(HERE / "witness_stdio.py")]
    rubbish = b"{}\n" * 20_000
    with (
        (tmp_path / "log").open("wb") as log,
        subprocess.Popen(
            [*command, *server],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            env={**os.environ, "SEEN_FILE": str(tmp_path / "seen")},
        ) as process,
    ):
        assert process.stdin is not None
        assert process.stdout is not None
        os.set_blocking(process.stdin.fileno(), False)
        written = write_until_stuck(process.stdin.fileno(), rubbish)
        assert written < len(rubbish) * 50, "it was read without an end"
        assert resident_mb(process.pid) < 120
        whole_lines = written // 3
        answers = sum(1 for _ in itertools.islice(process.stdout, whole_lines))
        assert answers == whole_lines
        process.stdin.close()
        assert process.wait(20) == 0


def write_until_stuck(fd: int, data: bytes) -> int:
    """Write again and again until nothing is taken for a second; how many bytes were."""
    written, deadline = 0, time.monotonic() + 1
    while time.monotonic() < deadline and written < len(data) * 50:
        with contextlib.suppress(BlockingIOError):
            written += os.write(fd, data[written % 3 :])
            deadline = time.monotonic() + 1
        time.sleep(0.001)
    return written
