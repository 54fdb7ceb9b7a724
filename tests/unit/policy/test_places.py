"""Where a complaint says that something stands, in texts that nobody writes by hand."""

import json
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from toolreeve.policy import PolicyTextError, parse
from toolreeve.policy import text as texts

HEAD = '{"version": "1", "default": "deny",'


def complaints(text: str) -> list[tuple[int, int, str, str]]:
    with pytest.raises(PolicyTextError) as refused:
        parse(text, source="p.json")
    return [(one.line, one.column, one.pointer, one.problem) for one in refused.value.complaints]


@pytest.mark.parametrize(
    "odd",
    [
        '"name": "\x7f", ',
        '"name": "\x85\u2028\u2029\ufeff\uffff",',
        f'"description": "{"k" * 900}", "name": "k",',
        '"name": "\\"{[\\\\", ',
        '"name"\t:\t"k",',
    ],
)
def test_what_yaml_cannot_read_or_breaks_lines_at_moves_no_place_in_json(odd: str) -> None:
    places = [found[:3] for found in complaints(f'{HEAD}{odd}\n "tools": {{"a": 1}}}}')]
    assert (2, 17, "/tools/a") in places
    assert not any("YAML" in found[3] for found in complaints(f"{HEAD}{odd}\n 1}}"))


def test_a_key_may_be_long_and_stand_on_another_line_than_its_value() -> None:
    key = "k" * 2_000
    ((line, column, pointer, problem),) = complaints(f'{HEAD}\n\n  "{key}"\n : 1}}')
    assert (line, column, pointer) == (3, 3, f"/{key}")
    assert problem.endswith("is not known here")


@pytest.mark.parametrize(
    ("later", "problem"),
    [
        ('"y": abc', "not JSON: expecting value"),
        ("y: 1", "not JSON: expecting property name enclosed in double quotes"),
        ('"y": "\\x41"', "not JSON: invalid \\escape"),
        ('"y": 01', "not JSON: expecting ',' delimiter"),
        (f'"y": {"9" * 5_000}', "a number has too many digits"),
        ('"y": NaN', "NaN is not JSON"),
        ('"y": "\\ud800"', "a string holds half of a surrogate pair"),
    ],
)
def test_what_is_no_json_after_a_doubled_key_is_complained_of(later: str, problem: str) -> None:
    ((_, _, _, said),) = complaints(f'{{"x": {{"a": 1, "a": 2}}, {later}}}')
    assert said.startswith(problem)


def test_the_first_of_doubled_keys_is_where_its_complaints_stand() -> None:
    found = complaints(f'{HEAD} "tools": {{"a": 1,\n "a": {{}}}}}}')
    assert {one[:3] for one in found} == {(1, 52, "/tools/a"), (2, 2, "/tools/a")}


def test_an_anchor_that_stands_twice_is_complained_of_and_not_warned_about() -> None:
    problems = [one[3] for one in complaints("name: &a x\ndefault: &a deny\nversion: *a\n")]
    assert problems.count("anchors and aliases are not part of a policy") == 3


def test_time_grows_with_the_text_however_much_is_wrong_with_it() -> None:
    def seconds(count: int) -> float:
        document = {"version": "1", "default": "deny", **{f"key_{n}": 1 for n in range(count)}}
        text = json.dumps(document)
        begun = time.process_time()
        assert len(complaints(text)) == count
        return time.process_time() - begun

    # Eight times the text took 64 times as long when each place was looked for from the start.
    assert seconds(8_000) < 24 * max(seconds(1_000), 0.05)


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.text(max_size=6),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner),
    max_leaves=12,
)


@given(VALUES, st.sampled_from([None, 0, 1, 3, "\t"]), st.booleans())
def test_every_value_of_a_json_text_is_found_where_it_stands(
    value: object, indent: int | str | None, escaped: bool
) -> None:
    text = json.dumps({"a": value}, indent=indent, ensure_ascii=escaped)
    try:
        text.encode()
    except UnicodeEncodeError:
        return
    place = texts.places(texts.read(text, "p"))
    starts = [0]
    for at, sign in enumerate(text):
        if sign == "\n" or (sign == "\r" and text[at + 1 : at + 2] != "\n"):
            starts.append(at + 1)

    def look(inside: Any, path: tuple[str | int, ...]) -> None:
        line, column = place(path, False)
        found, _ = json.JSONDecoder().raw_decode(text, starts[line - 1] + column - 1)
        assert found == inside
        if isinstance(inside, dict):
            for key, item in inside.items():  # pyright: ignore[reportUnknownVariableType]
                look(item, (*path, key))  # pyright: ignore[reportUnknownArgumentType]
        elif isinstance(inside, list):
            for index, item in enumerate(inside):  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]
                look(item, (*path, index))

    look({"a": value}, ())
