"""Everything in the corpus of bad input over HTTP: refused, recorded, survived, never forwarded.

One gateway process meets all of it, one case after the other, with a good call behind each. The
upstream is a process of its own that lists what reaches it; the records are read from the outbox
when the gateway has ended.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from msgspec import Struct
from tests.integration.hostile.cases import TOKENS, Case, read_cases, request_bytes
from tests.integration.hostile.conftest import (
    UPSTREAM_SECRET,
    Gateway,
    Said,
    running_gateway,
    running_witness,
)

from toolreeve.audit import Body, Completed, Decided, HeadSealed, RequestRefused

FILES = (
    "http_json.jsonl",
    "http_message.jsonl",
    "http_head.jsonl",
    "http_mcp.jsonl",
    "http_identity.jsonl",
    "http_slow.jsonl",
)
CASES: dict[str, Case] = {case.name: case for file in FILES for case in read_cases(file, Case)}
CASES_MIN = 200
SETTINGS = """
[http]
body_bytes_max = 65536
header_seconds_max = 0.3
body_seconds_max = 0.3
linger_seconds_max = 0.1

[refusals]
per_second = 100000
burst = 100000
strangers_per_second = 100000
strangers_burst = 100000
"""


class Seen(Struct):
    """What was seen of one case."""

    said: Said
    after: Said
    arrived: list[dict[str, Any]]
    records: list[Body]


class Run(Struct):
    """What was seen of all of them."""

    cases: dict[str, Seen]
    log: str
    arrived: list[dict[str, Any]]
    records: list[Body]
    exit_code: int


@pytest.fixture(scope="module")
def run(folder: Path) -> Iterator[Run]:
    """The whole corpus, sent once."""
    with running_witness() as witness:
        upstream = {"url": witness.url, "headers": {"X-Key": UPSTREAM_SECRET}}
        upstreams = {"flat": upstream, "other": upstream}
        with running_gateway(folder, upstreams, settings=SETTINGS) as gateway:
            learn_the_tools(gateway)
            gateway.good_call("before")
            cases: dict[str, Seen] = {}
            known = len(witness.seen())
            for name, case in CASES.items():
                said = gateway.send(request_bytes(case), body=case.answered_with_body)
                after = gateway.good_call(name)
                seen = witness.seen()
                cases[name] = Seen(said, after, seen[known:], [])
                known = len(seen)
            arrived = witness.seen()
            exit_code = gateway.stop()
            records = gateway.recorded()
            for name, found in by_case(records).items():
                cases[name].records = found
            yield Run(cases, gateway.log, arrived, records, exit_code)


def learn_the_tools(gateway: Gateway) -> None:
    """Let the gateway see a list, so that it knows which headers the tools ask for."""
    body = b'{"jsonrpc":"2.0","id":1,"method":"tools/list"}'
    head = (
        "POST /flat/mcp HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        f"Accept: */*\r\nAuthorization: Bearer {TOKENS['one']}\r\n"
        f"Connection: close\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    assert gateway.send(head.encode() + body).status == 200


def by_case(records: list[Body]) -> dict[str, list[Body]]:
    """The records before each good call, which is named after the case before it."""
    found: dict[str, list[Body]] = {}
    pending: list[Body] = []
    for record in records:
        if isinstance(record, Decided):
            found[json.loads(record.request_id)] = pending
            pending = []
        elif not isinstance(record, Completed):
            pending.append(record)
    return {name: found[name] for name in CASES}


def test_the_corpus_is_as_large_as_it_is_said_to_be() -> None:
    assert len(CASES) == sum(len(read_cases(file, Case)) for file in FILES), "a name stands twice"
    assert len(CASES) >= CASES_MIN


@pytest.mark.parametrize("name", CASES)
def test_bad_input_is_refused_and_recorded_as_documented(run: Run, name: str) -> None:
    case, seen = CASES[name], run.cases[name]
    assert seen.said.status == case.status, seen.said
    assert seen.said.rpc == case.rpc or not case.answered_with_body
    refusals = [record for record in seen.records if isinstance(record, RequestRefused)]
    others = [record for record in seen.records if not isinstance(record, RequestRefused)]
    assert all(isinstance(record, HeadSealed) for record in others), "only seals come beside"
    assert [record.code for record in refusals] == [case.code] * case.events
    said = {(one.transport, one.http_status, one.rpc_error_code) for one in refusals}
    assert said == {("http", case.status, case.rpc)}
    assert all(record.count == 1 for record in refusals)


@pytest.mark.parametrize("name", CASES)
def test_nothing_of_it_reaches_the_upstream_and_the_next_call_passes(run: Run, name: str) -> None:
    seen = run.cases[name]
    assert seen.after.status == 200
    assert seen.after.value["result"]["isError"] is False
    (arrived,) = seen.arrived
    assert json.loads(arrived["body"])["id"] == name, "only the good call came through"


def test_the_gateway_went_on_to_its_orderly_end(run: Run) -> None:
    assert run.exit_code == 0
    assert "Traceback" not in run.log
    assert "request.failed" not in run.log


def test_no_credential_is_where_it_has_no_business(run: Run, folder: Path) -> None:
    outbox = b"".join(file.read_bytes() for file in (folder / "data" / "outbox").iterdir())
    for token in TOKENS.values():
        assert token not in run.log
        assert token.encode() not in outbox
        assert not any(token in str(arrived) for arrived in run.arrived)
    assert UPSTREAM_SECRET not in run.log
    assert UPSTREAM_SECRET.encode() not in outbox
    assert {arrived["headers"]["x-key"] for arrived in run.arrived} == {UPSTREAM_SECRET}
    answers = [seen.said for seen in run.cases.values()] + [one.after for one in run.cases.values()]
    assert not any(UPSTREAM_SECRET in str(answer) for answer in answers)


def test_refusals_name_the_grant_that_was_shown(run: Run) -> None:
    grants = {
        name: {record.grant for record in seen.records if isinstance(record, RequestRefused)}
        for name, seen in run.cases.items()
    }
    assert grants["a batch of two calls"] == {"one"}
    assert grants["a wrong token"] == {""}
    shown = set(itertools.chain.from_iterable(grants.values()))
    assert shown == {"", "one"}
