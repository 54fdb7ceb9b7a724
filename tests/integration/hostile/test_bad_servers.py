"""Everything in the corpus of hostile servers on stdio: bounded, recorded, told as it was.

The server answers as the case says, behind one gateway process. Cases that end it are met by a new
one, which the gateway starts by itself.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from msgspec import Struct
from tests.integration.hostile.cases import META, STATELESS, TOKENS, Answer, read_cases
from tests.integration.hostile.conftest import REPOSITORY, Gateway, Said, running_gateway

from toolreeve.audit import Body, Completed, Decided, RequestRefused

CASES: dict[str, Answer] = {case.name: case for case in read_cases("upstream_stdio.jsonl", Answer)}
MORE_MB_MAX = 100
SETTINGS = """
call_seconds_max = 5

[answers]
bytes_max = 4194304
seconds_max = 4
silence_seconds_max = 1.5
messages_per_second = 1000
messages_burst = 5000

[refusals]
per_second = 100000
burst = 100000
"""


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


@pytest.fixture(scope="module")
def run(folder: Path) -> Iterator[Run]:
    """The whole corpus, met once."""
    command = [sys.executable, "-m", "tests.integration.hostile.hostile_upstream", "stdio"]
    upstreams = {"flat": {"command": command, "directory": str(REPOSITORY)}}
    with running_gateway(folder, upstreams, settings=SETTINGS) as gateway:
        gateway.send(request("tools/call", "before", "plain"))
        started_mb = gateway.resident_mb
        cases: dict[str, Seen] = {}
        for name, case in CASES.items():
            said = gateway.send(request(case.asked, name, name))
            after = gateway.send(request("tools/call", f"after {name}", "plain"))
            cases[name] = Seen(said, after, [])
        ended_mb = gateway.resident_mb
        exit_code = gateway.stop()
        for name, records in by_case(gateway).items():
            cases[name].records = records
        yield Run(cases, gateway.log, started_mb, ended_mb, exit_code)


def request(method: str, number: str, case: str) -> bytes:
    params: dict[str, Any] = {"_meta": META}
    params |= {"name": case, "arguments": {}} if method == "tools/call" else {"cursor": case}
    message = {"jsonrpc": "2.0", "id": number, "method": method, "params": params}
    body = json.dumps(message).encode()
    lines = [
        "POST /flat/mcp HTTP/1.1",
        "Host: localhost",
        "Content-Type: application/json",
        "Accept: application/json, text/event-stream",
        f"Authorization: Bearer {TOKENS['one']}",
        f"MCP-Protocol-Version: {STATELESS}",
        f"Mcp-Method: {method}",
        *([f"Mcp-Name: {case}"] if method == "tools/call" else []),
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
def test_what_a_hostile_server_says_is_bounded_and_recorded(run: Run, name: str) -> None:
    case, seen = CASES[name], run.cases[name]
    assert seen.said.status == case.status, seen.said
    assert seen.said.last_error == case.rpc
    body = seen.said.body.decode("utf-8", "replace")
    assert not case.lacks or case.lacks not in body
    withheld = [record for record in seen.records if isinstance(record, RequestRefused)]
    assert {record.code for record in withheld} == set(case.code.split())
    assert {record.transport for record in withheld} <= {"upstream"}
    if case.asked == "tools/call":
        ends = [record for record in seen.records if isinstance(record, Completed)]
        assert case.outcome in {end.outcome.value for end in ends}


@pytest.mark.parametrize("name", CASES)
def test_the_next_call_passes(run: Run, name: str) -> None:
    assert run.cases[name].after.status == 200
    assert run.cases[name].after.value["result"]["isError"] is False


def test_nothing_of_it_stays_in_memory(run: Run) -> None:
    assert run.ended_mb - run.started_mb < MORE_MB_MAX


def test_the_gateway_went_on_to_its_orderly_end(run: Run) -> None:
    assert run.exit_code == 0
    assert "Traceback" not in run.log
    assert len(run.log) < 100_000, "a server that floods does not flood the log"
