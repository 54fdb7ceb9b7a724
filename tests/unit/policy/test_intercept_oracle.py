"""Conditions of Intercept, judged as Intercept judges them, against what an import makes of them.

The oracle was written from Intercept's documentation and from reading how it compares: numbers as
64-bit floats, everything else by how Go prints it, null as missing for `exists`, a missing path as
a refusal.
"""

import json
from importlib import import_module
from itertools import repeat
from typing import Any, cast

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from toolreeve.decision.conditions import Kind, Truth, compile_clauses
from toolreeve.policy import parse
from toolreeve.policy.dialects import Imported, import_policy
from toolreeve.policy.dialects.intercept_conditions import printed_number

RE2: Any = import_module("re2")  # has no types; Go's patterns are the same language
MISSING: Any = object()


def number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def printed(value: Any, *, read_from_json: bool) -> str:
    """A value as Go's %v prints it. In arguments every number was a float."""
    if isinstance(value, list):
        items: list[Any] = value  # pyright: ignore[reportUnknownVariableType]
        return "[" + " ".join(printed(one, read_from_json=read_from_json) for one in items) + "]"
    if isinstance(value, dict):
        members: dict[str, Any] = value  # pyright: ignore[reportUnknownVariableType]
        pairs = (
            f"{key}:{printed(one, read_from_json=read_from_json)}" for key, one in members.items()
        )
        return "map[" + " ".join(sorted(pairs)) + "]"
    if value is None:
        return "<nil>"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) or (isinstance(value, int) and read_from_json):
        return printed_number(float(value))
    return str(value)


def equal(actual: Any, expected: Any) -> bool:
    if number(actual) and number(expected):
        return float(actual) == float(expected)
    return printed(actual, read_from_json=True) == printed(expected, read_from_json=False)


def found(arguments: Any, path: str) -> Any:
    inside: Any = arguments
    for part in path.removeprefix("args.").split("."):
        if not isinstance(inside, dict) or part not in inside:
            return MISSING
        inside = cast("dict[str, Any]", inside)[part]
    return inside


def passes_there(condition: Any, arguments: Any) -> bool:
    """Whether Intercept lets a call pass this condition."""
    op, wanted = condition["op"], condition["value"]
    value = found(arguments, condition["path"])
    if op == "exists":
        return bool((value is not MISSING and value is not None) == wanted)
    if value is MISSING:
        return False
    ordered: dict[str, Any] = {
        "lt": float.__lt__, "lte": float.__le__, "gt": float.__gt__, "gte": float.__ge__,
    }  # fmt: skip
    match op:
        case "eq":
            return equal(value, wanted)
        case "neq":
            return not equal(value, wanted)
        case "in":
            return any(equal(value, choice) for choice in wanted)
        case "not_in":
            return not any(equal(value, choice) for choice in wanted)
        case "regex":
            return isinstance(value, str) and RE2.search(wanted, value) is not None
        case "contains" if isinstance(value, str):
            return isinstance(wanted, str) and wanted in str(value)
        case "contains":
            return isinstance(value, list) and any(map(equal, value, repeat(wanted)))  # pyright: ignore[reportUnknownArgumentType]
        case _:
            return number(value) and bool(ordered[op](float(value), float(wanted)))


def imported(conditions: list[Any]) -> Imported:
    rule = {"name": "r", "conditions": conditions}
    document = {"version": "1", "tools": {"t": {"rules": [rule]}}}
    return import_policy(json.dumps(document), "p.yaml", "intercept")


def passes_here(policy: Imported, arguments: Any) -> bool:
    (rule,) = parse(policy.canonical_text, source="p").tools
    clauses = compile_clauses(rule.require, Kind.REQUIRE)
    return all(clause.truth(arguments)[0] is Truth.HOLDS for clause in clauses)


WORDS = ["", "a", "b", "ab", "5", "05", "1.5", "1e+06", "1000000", "true", "false", "<nil>", "[5]",
         "[]", "map[]", "a\n", "A"]  # fmt: skip
SCALARS: st.SearchStrategy[Any] = st.sampled_from(
    [None, True, False, 0, 1, 5, -5, 1.5, 5.0, 1_000_000, 0.0001, *WORDS]
)
VALUES = (
    SCALARS | st.lists(SCALARS, max_size=2) | st.dictionaries(st.just("k"), SCALARS, max_size=1)
)
NONE: dict[str, Any] = {}
ARGUMENTS: st.SearchStrategy[Any] = st.fixed_dictionaries(
    {"a": VALUES | st.dictionaries(st.sampled_from(["c", "0"]), VALUES, max_size=2)},
    optional={"b": VALUES, "x y": VALUES},
) | st.just(NONE)
PATHS = st.sampled_from(
    [*["args.a"] * 9, "args.b", "args.x y", "args.a.c", "args.a.0", "args.none"]
)


OPS = ["eq", "neq", "in", "not_in", "lt", "lte", "gt", "gte", "regex", "contains", "exists"]


@st.composite
def conditions(draw: st.DrawFn) -> dict[str, Any]:
    op = draw(st.sampled_from(OPS))
    values: dict[str, st.SearchStrategy[Any]] = {
        "in": st.lists(VALUES, max_size=3),
        "not_in": st.lists(VALUES, max_size=3),
        "exists": st.booleans(),
        "regex": st.sampled_from(
            ["a", "^a", "a$", "^a$", "^a|b$", "", "(?i)A", r"^\$", r"\\$", "^$", "a.", "[ab]+$"]
        ),
    }
    ordered: st.SearchStrategy[Any] = st.sampled_from([0, 1, 5, -1, 1.5, 1_000_000])
    fallback = ordered if op in {"lt", "lte", "gt", "gte"} else VALUES
    return {"path": draw(PATHS), "op": op, "value": draw(values.get(op, fallback))}


RULES = st.lists(conditions(), min_size=1, max_size=1) | st.lists(
    conditions(), max_size=3, min_size=2
)


@settings(max_examples=400, deadline=None)
@given(RULES, ARGUMENTS)
@example([{"path": "args.a", "op": "regex", "value": "b"}], {"a": "abc"})
@example([{"path": "args.a", "op": "regex", "value": "^a|c$"}], {"a": "abc"})
@example([{"path": "args.a", "op": "eq", "value": 5}], {"a": "5"})
@example([{"path": "args.a", "op": "contains", "value": "5"}], {"a": [5]})
@example([{"path": "args.a", "op": "in", "value": ["1e+06"]}], {"a": 1_000_000})
@example([{"path": "args.a", "op": "neq", "value": 5}], {"a": "5"})
@example([{"path": "args.a", "op": "not_in", "value": ["true"]}], {"a": True})
@example([{"path": "args.a", "op": "neq", "value": "<nil>"}], {"a": None})
@example([{"path": "args.a", "op": "exists", "value": True}], {"a": None})
@example([{"path": "args.a", "op": "in", "value": []}], {"a": 1})
@example([{"path": "args.a.0", "op": "eq", "value": "x"}], {"a": ["x"]})
def test_a_call_is_judged_as_it_was_there_or_the_difference_is_said(
    rule: list[Any], arguments: Any
) -> None:
    policy = imported(rule)
    there = all(passes_there(condition, arguments) for condition in rule)
    if passes_here(policy, arguments) != there:
        assert policy.differences, "decided otherwise, and nothing was said"


@settings(max_examples=400, deadline=None)
@given(RULES, ARGUMENTS)
@example([{"path": "args.a", "op": "eq", "value": [1_000_000]}], {"a": [1_000_000]})
@example([{"path": "args.a", "op": "in", "value": [{"k": 1_000_000}]}], {"a": {"k": 1_000_000}})
def test_nothing_more_passes_but_through_lists_that_are_compared_as_text(
    rule: list[Any], arguments: Any
) -> None:
    policy = imported(rule)
    there = all(passes_there(condition, arguments) for condition in rule)
    if passes_here(policy, arguments) and not there:
        said = {one.what for one in policy.differences}
        assert said & {
            "a text that shows a list or an object is never equal to one",
            "a number in a path also names a place in a list",
        }


@pytest.mark.parametrize(
    ("value", "shown"),
    [(0.0, "0"), (5.0, "5"), (123456.0, "123456"), (1e6, "1e+06"), (1234567.0, "1.234567e+06"),
     (0.0001, "0.0001"), (0.00001, "1e-05"), (-2.5, "-2.5"), (1e21, "1e+21"), (1e100, "1e+100")],
)  # fmt: skip
def test_numbers_are_printed_as_go_prints_them(value: float, shown: str) -> None:
    assert printed_number(value) == shown
