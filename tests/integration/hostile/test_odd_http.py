"""Odd input that is taken: what the upstream gets is what was decided, and nothing beside it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.integration.hostile.cases import STATELESS, TOKENS, Accepted, read_cases, request_bytes
from tests.integration.hostile.conftest import Gateway, Witness, running_gateway, running_witness

CASES: dict[str, Accepted] = {
    case.name: case for case in read_cases("http_accepted.jsonl", Accepted)
}


@pytest.fixture(scope="module")
def witness() -> Iterator[Witness]:
    with running_witness() as running:
        yield running


@pytest.fixture(scope="module")
def gateway(folder: Path, witness: Witness) -> Iterator[Gateway]:
    upstreams: dict[str, dict[str, Any]] = {"flat": {"url": witness.url}}
    with running_gateway(folder, upstreams) as running:
        yield running


@pytest.mark.parametrize("name", CASES)
def test_odd_input_reaches_the_upstream_as_it_was_decided(
    gateway: Gateway, witness: Witness, name: str
) -> None:
    case = CASES[name]
    known = len(witness.seen())
    said = gateway.send(request_bytes(case))
    assert said.status == 200, said
    assert said.value["result"]["isError"] is False
    arrived = [one for one in witness.seen()[known:] if '"tools/call"' in one["body"]]
    (call,) = arrived
    assert f'"arguments":{case.arguments}' in call["body"]
    message = json.loads(call["body"])
    assert json.dumps(message, separators=(",", ":"), ensure_ascii=False) == call["body"]
    assert set(case.absent).isdisjoint(call["headers"])
    assert not any(token in str(call) for token in TOKENS.values())
    assert call["headers"]["accept-encoding"] == "identity"
    if case.era == "stateless":
        assert call["headers"]["mcp-protocol-version"] == STATELESS
