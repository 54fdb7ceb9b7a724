"""A long message is known for what it is, however its bytes are cut and whatever stands in it."""

import itertools
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from toolreeve.proxy.shapes import is_object
from toolreeve.proxy.skim import Skim

TEXTS = st.one_of(
    st.text(max_size=12), st.sampled_from(['"', "\\", '\\"', "}{][", "a\\", "\u0000"])
)
VALUES = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False), TEXTS),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(TEXTS, inner, max_size=3)),
    max_leaves=12,
)
KNOWN = ("jsonrpc", "id", "result", "error", "method", "params")
IDS = st.one_of(st.integers(-9, 9), st.text(max_size=5), st.none())
RESULTS = st.dictionaries(
    st.one_of(st.sampled_from(["isError", "resultType", "inputRequests", "tools"]), TEXTS), VALUES
)
INDENTS = st.sampled_from([None, 1])
MESSAGES = st.dictionaries(st.one_of(st.sampled_from(KNOWN), TEXTS), VALUES, max_size=6)


def skimmed(raw: bytes, cuts: list[int]) -> Skim:
    skim = Skim()
    edges = [0, *sorted(cut % (len(raw) + 1) for cut in cuts), len(raw)]
    for start, end in itertools.pairwise(edges):
        skim.feed(raw[start:end])
    return skim


@st.composite
def written(draw: st.DrawFn) -> tuple[dict[str, Any], bytes]:
    """A message, and one of the ways to write it down."""
    message = {**draw(MESSAGES), "id": draw(IDS)}
    result = draw(st.one_of(st.none(), RESULTS))
    if result is not None:
        message["result"] = result
    text = json.dumps(message, ensure_ascii=draw(st.booleans()), indent=draw(INDENTS))
    return message, text.encode("utf-8", "surrogatepass")


@given(drawn=written(), cuts=st.lists(st.integers(0, 1_000), max_size=12))
def test_it_sees_what_a_parser_sees(drawn: tuple[dict[str, Any], bytes], cuts: list[int]) -> None:
    message, raw = drawn
    skim = skimmed(raw, cuts)
    assert skim.ended
    assert skim.keys == {key.casefold() for key in message}
    result = message.get("result")
    if is_object(result):
        assert skim.result_keys == {key.casefold() for key in result}
    if not skim.strange:
        number = message["id"]
        assert skim.key == (str(number) if isinstance(number, int | str) else None)
        answers = bool({"result", "error"} & skim.keys)
        assert skim.is_answer == ("method" not in skim.keys and answers)


@given(message=MESSAGES, cut=st.integers(0, 1_000))
def test_it_takes_nothing_back_that_it_has_seen(message: dict[str, Any], cut: int) -> None:
    raw = json.dumps(message).encode()
    skim = Skim()
    skim.feed(raw[: cut % (len(raw) + 1)])
    keys, strange = set(skim.keys), skim.strange
    skim.feed(raw[cut % (len(raw) + 1) :])
    assert keys <= skim.keys
    assert skim.strange >= strange


STRANGE = {
    "an array": b'[{"id":1,"result":{}}]',
    "two ids": b'{"id":1,"result":{},"id":2}',
    "two ids by their case": b'{"id":1,"result":{},"ID":2}',
    "two of what decides": b'{"id":1,"result":{"isError":false,"iserror":true}}',
    "another message behind it": b'{"id":1,"result":{}}{"id":1,"method":"x"}',
    "a key that is none": b'{"id":1,"\\q":1,"result":{}}',
}


@pytest.mark.parametrize("name", STRANGE)
def test_what_is_read_differently_by_different_readers_is_strange(name: str) -> None:
    raw = STRANGE[name]
    for cut in range(len(raw)):
        skim = skimmed(raw, [cut])
        assert skim.strange
        assert not skim.is_answer


def test_escaped_names_and_other_cases_are_known() -> None:
    skim = skimmed(b'{"id":1,"RESULT":{"R\\u0065sultType":"input\\u005frequired"},"x":1}', [])
    assert skim.is_answer
    assert skim.asks_its_client
    assert not skimmed(b'{"id":1,"result":{},"m\\u0045thod":"x"}', []).is_answer


def test_what_stands_deeper_than_it_looks_is_nothing_to_it() -> None:
    inner = b'{"method":"x","id":9,"result":{"isError":true}}'
    skim = skimmed(
        b'{"id":1,"result":{"content":[%b],"structuredContent":%b}}' % (inner, inner), []
    )
    assert (skim.key, skim.is_answer, skim.values) == ("1", True, {"id": 1})
