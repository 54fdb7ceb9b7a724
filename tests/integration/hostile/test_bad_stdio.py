"""Everything in the corpus of bad input over stdio: refused, recorded, survived, never passed on.

The lines of its own data file, and every message of the HTTP corpus that can be a line: there is
one parser. One `toolreeve wrap` meets all of them; the wrapped server is a process of its own that
writes down what it reads.
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from msgspec import Struct
from tests.integration.hostile.cases import (
    TOKENS,
    Case,
    Line,
    body_bytes,
    plain_call,
    read_cases,
)
from tests.integration.hostile.conftest import HERE, POLICY

from toolreeve.audit import Body, Decided, RequestRefused
from toolreeve.outbox import Outbox
from toolreeve.wire import pack, read_event, unpack

LINES_MIN = 60
SPREAD = "a good call with other line ends in a string"
SETTINGS = """
enforcer = "gw-test"
data = "data"

[refusals]
per_second = 100000
burst = 100000
"""


def lines_of_messages() -> Iterator[Line]:
    """The cases of the HTTP corpus whose body is what is bad, and can be one line."""
    for case in (*read_cases("http_json.jsonl", Case), *read_cases("http_message.jsonl", Case)):
        body = body_bytes(case, "session")
        plain = case.era == "session" and case.raw is None and not case.headers
        if plain and body.strip() and not any(end in body for end in (b"\n", b"\r")):
            yield Line(
                name=case.name,
                message=case.message,
                change=case.change,
                rpc=case.rpc,
                code=case.code,
                events=case.events,
            )


OWN: list[Line] = read_cases("stdio.jsonl", Line)
CASES = {case.name: case for case in (*OWN, *lines_of_messages())}


class Seen(Struct):
    """What was seen of one case: its answer, and that of the good call behind it."""

    answer: dict[str, Any]
    after: dict[str, Any]
    records: list[Body]


class Run(Struct):
    """What was seen of all of them."""

    cases: dict[str, Seen]
    raw: bytes
    reached: list[dict[str, Any]]
    exit_code: int
    log: str


@pytest.fixture(scope="module")
def run(folder: Path) -> Run:
    """The whole corpus, sent once."""
    (folder / "wrap.toml").write_text(SETTINGS)
    (folder / "policy.json").write_text(json.dumps(POLICY))
    server = [sys.executable, str(HERE / "witness_stdio.py")]
    files = ["--config", str(folder / "wrap.toml"), "--policy", str(folder / "policy.json")]
    command = [sys.executable, "-m", "toolreeve.cli", "wrap", "--server", "flat", *files, "--"]
    environ = {**os.environ, "SEEN_FILE": str(folder / "seen")}
    with (
        (folder / "log").open("wb") as log,
        subprocess.Popen(
            [*command, *server],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            env=environ,
        ) as process,
    ):
        cases = {name: ask(process, case) for name, case in CASES.items()}
        assert process.stdin is not None
        assert process.stdout is not None
        spread = plain_call("session", SPREAD).replace('{"id":1}', '{"x":"a\u0085\u2028\u2029b"}')
        process.stdin.write(spread.encode() + b"\n")
        process.stdin.flush()
        assert json.loads(process.stdout.readline())["id"] == SPREAD
        process.stdin.close()
        exit_code = process.wait(20)
    for name, records in by_case(recorded(folder)).items():
        cases[name].records = records
    raw = (folder / "seen").read_bytes()
    reached = [json.loads(line) for line in raw.split(b"\n") if line]
    return Run(cases, raw, reached, exit_code, (folder / "log").read_text())


def ask(process: subprocess.Popen[bytes], case: Line) -> Seen:
    """Send a case, then a good call that is named after it, and read both answers."""
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(body_bytes(case, "session") + b"\n")
    process.stdin.flush()
    answer = json.loads(process.stdout.readline())
    process.stdin.write(plain_call("session", case.name).encode() + b"\n")
    process.stdin.flush()
    return Seen(answer, json.loads(process.stdout.readline()), [])


def recorded(folder: Path) -> list[Body]:
    path = folder / "data" / "wrap" / "flat" / "0" / "outbox"
    outbox = Outbox[Any].open(path, owner="gw-test-flat-0", pack=pack("gw-test-flat-0"))
    bodies = [
        read_event(raw).body for group in outbox.groups() for raw in unpack(group.payload).raws
    ]
    asyncio.run(outbox.close())
    return bodies


def by_case(records: list[Body]) -> dict[str, list[Body]]:
    """The refusals before each good call."""
    found: dict[str, list[Body]] = {}
    pending: list[Body] = []
    for record in records:
        if isinstance(record, Decided):
            found[json.loads(record.request_id)] = pending
            pending = []
        elif isinstance(record, RequestRefused):
            pending.append(record)
    return {name: found[name] for name in CASES}


def test_the_corpus_is_as_large_as_it_is_said_to_be() -> None:
    assert len(OWN) >= LINES_MIN // 2
    assert len(CASES) >= LINES_MIN


@pytest.mark.parametrize("name", CASES)
def test_a_bad_line_is_refused_and_recorded_and_the_next_one_passes(run: Run, name: str) -> None:
    case, seen = CASES[name], run.cases[name]
    assert seen.answer["error"]["code"] == case.rpc, seen.answer
    assert seen.after["id"] == name
    assert seen.after["result"]["isError"] is False
    refusals = [record for record in seen.records if isinstance(record, RequestRefused)]
    assert [record.code for record in refusals] == [case.code] * case.events
    said = {(one.transport, one.http_status, one.rpc_error_code) for one in refusals}
    assert said == {("stdio", 0, case.rpc)}
    assert {one.server for one in refusals} == {"flat"}


def test_only_the_good_calls_reached_the_server(run: Run) -> None:
    assert [message["id"] for message in run.reached] == [*CASES, SPREAD]


def test_a_message_is_one_line_to_every_reader(run: Run) -> None:
    ends = "\u0085\u2028\u2029"
    (message,) = (one for one in run.reached if one["id"] == SPREAD)
    assert message["params"]["arguments"] == {"x": f"a{ends}b"}
    assert not any(end.encode() in run.raw for end in ends)


def test_the_wrapper_went_on_to_its_orderly_end(run: Run) -> None:
    assert run.exit_code == 0
    assert "Traceback" not in run.log
    assert not any(token in run.log for token in TOKENS.values())
