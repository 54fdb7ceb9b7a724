"""On the wire, a hidden tool answers like one that does not exist: byte for byte, and as fast."""

import http.client
import json
import random
import re
import statistics
import time
from collections.abc import Callable
from contextlib import closing
from typing import Any
from urllib.parse import urlsplit

import pytest

Start = Callable[[dict[str, object]], Any]
HIDDEN, UNKNOWN = "vm_delete", "vm_remove"
POLICY: dict[str, object] = {
    "version": "1",
    "default": "deny",
    "hide": [HIDDEN],
    "tools": {"vm_list": {}, HIDDEN: {}},
}
ENVELOPE: dict[str, object] = {
    "io.modelcontextprotocol/protocolVersion": "2026-07-28",
    "io.modelcontextprotocol/clientCapabilities": {},
}
PAIRS = 700
ROUNDS_MAX = 3
APART_US_MAX = 80.0


class Caller:
    """An HTTP client on one connection; gives each answer's bytes and how long they took."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        assert parts.hostname is not None
        self._path = parts.path
        self._connection = http.client.HTTPConnection(parts.hostname, parts.port)

    def close(self) -> None:
        self._connection.close()

    def call(self, tool: str) -> tuple[bytes, int]:
        params: dict[str, object] = {"name": tool, "arguments": {"id": 7}, "_meta": ENVELOPE}
        message = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}
        body = json.dumps(message, separators=(",", ":")).encode()
        began = time.perf_counter_ns()
        self._connection.request(
            "POST",
            self._path,
            body,
            {
                "Content-Type": "application/json",
                "Accept": "application/json, text/event-stream",
                "MCP-Protocol-Version": "2026-07-28",
                "Mcp-Method": "tools/call",
                "Mcp-Name": tool,
            },
        )
        answer = self._connection.getresponse()
        raw = answer.read()
        took = time.perf_counter_ns() - began
        return b"%d %b\n%b" % (answer.status, _kept(answer.getheaders()), raw), took


def _kept(headers: list[tuple[str, str]]) -> bytes:
    return json.dumps([header for header in headers if header[0] != "date"]).encode()


def unnamed(answer: bytes) -> bytes:
    """An answer without the name the client sent and without the decision's own id."""
    answer = answer.replace(HIDDEN.encode(), b"TOOL").replace(UNKNOWN.encode(), b"TOOL")
    return re.sub(rb'("id":"[^":]+:\d+:)\d+"', rb'\g<1>N"', answer)


def quartile(times: list[int]) -> float:
    """The time that the faster quarter stays below: what others do to the machine is above it."""
    return statistics.quantiles(times, n=4)[0]


@pytest.mark.parametrize("server", ["flat", "meta"])
def test_a_hidden_tool_and_an_unknown_one_are_not_told_apart(gateway: Start, server: str) -> None:
    """Both are called in disorder. A real difference shows in every round, a busy machine not."""
    with closing(Caller(gateway(POLICY).server(server))) as client:
        differences = apart(client)
    assert min(differences) < APART_US_MAX, f"microseconds apart: {differences}"


def apart(client: Caller) -> list[float]:
    """How far apart they were in each round, in microseconds; ends with the first round that is
    near enough."""
    chance = random.Random(7)
    differences: list[float] = []
    for _ in range(ROUNDS_MAX):
        times: dict[str, list[int]] = {HIDDEN: [], UNKNOWN: []}
        answers: set[bytes] = set()
        for _ in range(PAIRS):
            for tool in chance.sample((HIDDEN, UNKNOWN), 2):
                answer, took = client.call(tool)
                answers.add(re.sub(rb'"content-length", "\d+"', b"", unnamed(answer)))
                times[tool].append(took)
        assert len(answers) == 1
        assert b"[POLICY DENIED] No rule allows TOOL." in answers.pop()
        differences.append(abs(quartile(times[HIDDEN]) - quartile(times[UNKNOWN])) / 1_000)
        if differences[-1] < APART_US_MAX:
            break
    return differences
