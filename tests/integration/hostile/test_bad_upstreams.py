"""Everything in the corpus of hostile upstreams over HTTP: bounded, recorded, told as it was.

One gateway process, and one upstream process that answers as the case says. After each case a good
call must pass, and what was kept in memory must have been let go.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from msgspec import Struct
from tests.integration.hostile.cases import TOKENS, Answer, read_cases
from tests.integration.hostile.conftest import (
    REPOSITORY,
    UPSTREAM_SECRET,
    Gateway,
    Said,
    running_gateway,
)

from toolreeve.audit import Body, Completed, Decided, RequestRefused

CASES: dict[str, Answer] = {case.name: case for case in read_cases("upstream_http.jsonl", Answer)}
MORE_MB_MAX = 150
SETTINGS = """
call_seconds_max = 0.5

[answers]
bytes_max = 4194304
seconds_max = 1.5
silence_seconds_max = 0.5

[refusals]
per_second = 100000
burst = 100000
"""
POLICY: dict[str, Any] = {
    "version": "1",
    "default": "allow",
    "methods": {"sampling/createMessage": "deny"},
}


class Seen(Struct):
    """What was seen of one case."""

    said: Said
    after: Said
    records: list[Body]


class Run(Struct):
    """What was seen of all of them."""

    cases: dict[str, Seen]
    log: str
    started_mb: float
    ended_mb: float
    exit_code: int


@contextmanager
def hostile_upstream() -> Generator[str]:
    """The address of an upstream that answers as the corpus says."""
    command = [sys.executable, "-m", "tests.integration.hostile.hostile_upstream", "http"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=REPOSITORY) as process:
        assert process.stdout is not None
        try:
            yield f"http://127.0.0.1:{int(process.stdout.readline())}/mcp"
        finally:
            process.kill()


@pytest.fixture(scope="module")
def run(folder: Path) -> Iterator[Run]:
    """The whole corpus, met once."""
    with hostile_upstream() as url:
        upstream = {"url": url, "headers": {"X-Key": UPSTREAM_SECRET}}
        with running_gateway(
            folder, {"flat": upstream}, settings=SETTINGS, policy=POLICY
        ) as gateway:
            started_mb = gateway.resident_mb
            cases: dict[str, Seen] = {}
            for name, case in CASES.items():
                said = gateway.send(request(case))
                cases[name] = Seen(said, gateway.good_call(f"after {name}"), [])
            ended_mb = gateway.resident_mb
            exit_code = gateway.stop()
            for name, records in by_case(gateway).items():
                cases[name].records = records
            yield Run(cases, gateway.log, started_mb, ended_mb, exit_code)


def request(case: Answer) -> bytes:
    params: dict[str, Any] = {}
    if case.asked == "tools/call":
        params = {"name": "vm_list", "arguments": {}}
    message: dict[str, Any] = {
        "jsonrpc": "2.0",
        "id": case.name,
        "method": case.asked,
        "params": params,
    }
    body = json.dumps(message).encode()
    lines = [
        "POST /flat/mcp HTTP/1.1",
        "Host: localhost",
        "Content-Type: application/json",
        "Accept: application/json, text/event-stream",
        f"Authorization: Bearer {TOKENS['one']}",
        f"X-Case: {case.name}",
        "Connection: close",
        f"Content-Length: {len(body)}",
    ]
    return "\r\n".join([*lines, "", ""]).encode() + body


def by_case(gateway: Gateway) -> dict[str, list[Body]]:
    """The records before each good call; its own decision and outcome are left out."""
    found: dict[str, list[Body]] = {}
    pending: list[Body] = []
    for record in gateway.recorded():
        if isinstance(record, Decided):
            number = json.loads(record.request_id)
            if number.startswith("after "):
                found[number.removeprefix("after ")] = pending
                pending = []
        elif isinstance(record, Completed | RequestRefused):
            pending.append(record)
    return {name: found[name] for name in CASES}


@pytest.mark.parametrize("name", CASES)
def test_what_a_hostile_upstream_says_is_bounded_and_recorded(run: Run, name: str) -> None:
    case, seen = CASES[name], run.cases[name]
    assert seen.said.status == case.status, seen.said
    assert seen.said.last_error == case.rpc
    body = seen.said.body.decode("utf-8", "replace") + str(seen.said.headers)
    assert case.holds in body
    assert not case.lacks or case.lacks not in body
    withheld = [record for record in seen.records if isinstance(record, RequestRefused)]
    assert {record.code for record in withheld} == ({case.code} if case.code else set())
    assert {record.transport for record in withheld} <= {"upstream"}
    ends = [record for record in seen.records if isinstance(record, Completed)]
    mine = [end for end in ends if end.outcome.value != "success" or case.outcome == "success"]
    if case.asked == "tools/call":
        assert mine[-1].outcome.value == case.outcome
        assert case.detail in mine[-1].detail
    else:
        assert withheld, "what is no call and is not passed on is recorded all the same"


@pytest.mark.parametrize("name", CASES)
def test_the_next_call_passes(run: Run, name: str) -> None:
    assert run.cases[name].after.status == 200
    assert run.cases[name].after.value["result"]["isError"] is False


def test_nothing_of_it_stays_in_memory(run: Run) -> None:
    assert run.ended_mb - run.started_mb < MORE_MB_MAX


def test_the_gateway_went_on_to_its_orderly_end(run: Run) -> None:
    assert run.exit_code == 0
    assert "Traceback" not in run.log
    assert UPSTREAM_SECRET not in run.log
    assert not any(token in run.log for token in TOKENS.values())
