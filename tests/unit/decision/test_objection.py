"""What is compiled says the same as what explains, and both the same as a plain reading."""

import json
from collections.abc import Mapping, Sequence
from itertools import product
from textwrap import indent
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tests.unit.decision.plain_reading import condition_truth, verdict_of

from toolreeve.decision import Call, Code, Counters, Holds, Instant, compile_policy, decide
from toolreeve.decision import objection as objection_module
from toolreeve.decision.conditions import CompiledClause, Kind, Truth, compile_clauses
from toolreeve.decision.explain import Asked, explain, settled_by
from toolreeve.decision.objection import WRITTEN_MAX, Settle, objection, written
from toolreeve.decision.open_counters import OpenCounters
from toolreeve.policy import Clause, Condition, Op, Policy, ToolRule, parse

BIG = 2**53
Drawn = st.SearchStrategy[Any]
SCALARS: Drawn = st.sampled_from(
    [None, True, False, 0, 1, -1, 7, 7.0, 0.1, 1e300, BIG, BIG + 1, float(BIG), 10**30,
     "", "7", "a", "ab", "a\n", "é", "True"]
)  # fmt: skip
VALUES: Drawn = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["b", "0", "__class__"]), inner, max_size=2)
    ),
    max_leaves=5,
)
PATHS: Drawn = st.sampled_from(
    [*["args.a"] * 5, "args.c", "args.a.b", "args.a.b.b", "args.a[0]", "args.a[1].b", "args.a[*]",
     "args.a[*].b", "args.a[*][*]", "args.__class__", "args.a.__class__", "/a", "/a/0", "/a/00",
     "/x.y~1z", "args[0]"]
)  # fmt: skip
NAMES: Drawn = st.sampled_from(["a", "a", "a", "c", "__class__", "x.y/z", "0"])
ARGUMENTS: Drawn = st.dictionaries(NAMES, VALUES, max_size=4)
WANTED: dict[str, Drawn] = {
    "exists": st.booleans(),
    "regex": st.sampled_from(["a", "a?b*", "[a-z]+", "7|", ".", "(?s).*"]),
    "in": st.lists(VALUES, min_size=1, max_size=4),
    "not_in": st.lists(VALUES, min_size=1, max_size=4),
    **dict.fromkeys(
        ["lt", "lte", "gt", "gte"], st.sampled_from([0, 1, 7, 7.5, BIG, float(BIG), BIG + 1])
    ),
    **dict.fromkeys(["eq", "neq", "contains"], VALUES),
}


@st.composite
def conditions(draw: st.DrawFn) -> dict[str, Any]:
    op = draw(st.sampled_from(sorted(WANTED)))
    condition = {"path": draw(PATHS), "op": op, "value": draw(WANTED[op])}
    missing = draw(st.sampled_from([None, "ignore", "deny"]))
    return condition if missing is None else {**condition, "on_missing": missing}


CLAUSES: Drawn = st.lists(
    st.fixed_dictionaries({"conditions": st.lists(conditions(), min_size=1, max_size=3)}),
    max_size=3,
)
RULES: Drawn = st.fixed_dictionaries({"require": CLAUSES, "deny_if": CLAUSES})


def policy_of(rule: Mapping[str, Any]) -> Policy:
    document = {"version": "1", "default": "deny", "tools": {"t": rule}}
    return parse(json.dumps(document), source="test")


def rule_of(rule: Mapping[str, Any]) -> ToolRule:
    (found,) = policy_of(rule).tools
    return found


def clauses_of(rule: Mapping[str, Any]) -> tuple[CompiledClause, ...]:
    read = rule_of(rule)
    return (
        *compile_clauses(read.require, Kind.REQUIRE),
        *compile_clauses(read.deny_if, Kind.DENY_IF),
    )


def one(path: str, op: str, value: object, **more: object) -> dict[str, Any]:
    return {"conditions": [{"path": path, "op": op, "value": value, **more}]}


@settings(max_examples=200, deadline=None)
@given(rule=RULES, asked=st.lists(ARGUMENTS, min_size=1, max_size=6))
@example({"require": [one("args.a", "eq", 1)], "deny_if": []}, [{"a": True}, {"a": 1.0}])
@example({"require": [], "deny_if": [one("args.a", "gt", 100)]}, [{"a": "500"}, {}, {"a": None}])
@example({"require": [], "deny_if": [one("args.a", "eq", None)]}, [{}, {"a": None}, {"a": 0}])
@example({"require": [one("args.a", "eq", BIG)], "deny_if": []}, [{"a": BIG + 1}, {"a": 1.0 * BIG}])
@example({"require": [one("args.__class__", "exists", True)], "deny_if": []}, [{}, {"b": 1}])
@example({"require": [one("args.a", "in", [1, "x"])], "deny_if": []}, [{"a": True}, {"a": "x"}])
def test_what_is_compiled_what_explains_and_a_plain_reading_agree(
    rule: dict[str, Any], asked: list[dict[str, Any]]
) -> None:
    policy = compile_policy(policy_of(rule))
    for arguments in asked:
        call = Call(server="s", grant="g", tool="t", arguments=arguments)
        verdict = decide(policy, Holds(), Counters(), call, Instant(1))
        said = verdict.code.value, verdict.rule
        assert said == verdict_of(rule, arguments)
        question = Asked(tool="t", arguments=arguments)
        explanation = explain(policy, Holds(), OpenCounters(), question, Instant(1))
        settled = settled_by(explanation)
        if verdict.code is Code.ALLOWED:
            assert settled is None
        else:
            assert settled is not None
            assert settled.code is verdict.code
            assert settled.pointer.startswith(verdict.rule)


GRID_VALUES: list[Any] = [
    None, True, False, 0, 1, -1, 6, 7, 7.0, 7.5, 8, 0.1, BIG, BIG + 1, float(BIG), 10**30, 1e300,
    "", "7", "a", "ab", "b", "a\n", "é", "\ud800", [], [7], [7.0, "a"], [True], ["ab"], [[7]], {},
    {"b": 7}, {"b": True},
]  # fmt: skip
GRID_WANTED: dict[str, list[Any]] = {
    "exists": [True, False],
    "regex": ["a", "a?b*", "[a-z]+", "(?s).*"],
    "contains": GRID_VALUES,
    **dict.fromkeys(["eq", "neq"], GRID_VALUES),
    **dict.fromkeys(["in", "not_in"], [[one] for one in GRID_VALUES] + [[7, "a"], [True, "7", 1]]),
    **{op: [0, 7, 7.0, 7.5, BIG, float(BIG), BIG + 1] for op in ["lt", "lte", "gt", "gte"]},
}


@pytest.mark.parametrize("op", sorted(GRID_WANTED))
@pytest.mark.parametrize("kind", Kind)
def test_every_comparison_says_of_every_value_what_a_plain_reading_says(
    op: str, kind: Kind
) -> None:
    """One condition by itself, and the same as the first of two: then both its ends are used."""
    second = Condition(path="args.c", steps=("c",), op=Op.EQ, value=1, pointer="/1")
    for wanted, ignore in product(GRID_WANTED[op], [True, False]):
        first = Condition(
            path="args.a",
            steps=("a",),
            op=Op(op),
            value=wanted,
            ignore_missing=ignore,
            pointer="/0",
        )
        missing = "ignore" if ignore else "deny"
        plain = {"path": "args.a", "op": op, "value": wanted, "on_missing": missing}
        for conditions in ((first,), (first, second)):
            clause = Clause(conditions=conditions, pointer="/")
            passes = objection(compile_clauses([clause], kind), settle=_asked(clause, kind))
            assert passes is not None
            for arguments in ({}, *({"a": value} for value in GRID_VALUES)):
                truth = condition_truth(plain, kind.value, arguments)
                if truth is Truth.HOLDS and len(conditions) > 1:
                    truth = Truth.FAILS if kind is Kind.REQUIRE else Truth.ERROR
                right = Truth.HOLDS if kind is Kind.REQUIRE else Truth.FAILS
                assert passes(arguments) is (None if truth is right else truth), (plain, arguments)


def _asked(clause: Clause, kind: Kind) -> Settle[Truth]:
    """What the tests in `conditions` say, from one condition on; None where that lets it pass."""

    def settle(arguments: Mapping[str, object], place: int, begin: int) -> Truth | None:
        (compiled,) = compile_clauses([clause], kind)
        truth, _ = compiled.truth(arguments, begin)
        return None if truth is (Truth.HOLDS if kind is Kind.REQUIRE else Truth.FAILS) else truth

    return settle


@pytest.mark.parametrize(
    "clause",
    [
        one("args.a", "eq", "x"), one("args.a", "in", ["x", "y"]), one("args.a", "neq", "z"),
        one("args.a", "not_in", ["z", 1]), one("args.a", "regex", "[a-z]"),
        one("args.a", "contains", "x"), one("args.a", "exists", True), one("args.n", "lt", 5),
        one("args.n", "gte", 1.5), one("args.n", "in", [2, 4]), one("args.deep.b", "eq", True),
        one("args.list[1]", "eq", 2), one("args.c", "exists", False), one("args.none", "eq", None),
    ],
)  # fmt: skip
def test_what_is_common_is_proved_without_asking(clause: dict[str, Any]) -> None:
    arguments: dict[str, Any] = {
        "a": "x", "n": 2, "deep": {"b": True}, "list": [1, 2], "none": None,
    }  # fmt: skip
    denial = {"conditions": [clause["conditions"][0], {"path": "args.a", "op": "eq", "value": "z"}]}
    for rule in ({"require": [clause]}, {"deny_if": [denial]}):
        passes = objection(clauses_of(rule), settle=_nobody)
        assert passes is not None
        assert passes(arguments) is None


def _nobody(arguments: Mapping[str, object], place: int, begin: int) -> str:
    raise AssertionError(f"clause {place} was asked from condition {begin}")


def test_a_condition_that_may_be_missing_is_proved_without_asking() -> None:
    rule = {"deny_if": [one("args.force", "eq", True, on_missing="ignore")]}
    passes = objection(clauses_of(rule), settle=_nobody)
    assert passes is not None
    assert passes({}) is None
    assert passes({"force": False}) is None


def test_what_comes_before_a_doubt_is_not_asked_again() -> None:
    begun: list[tuple[int, int]] = []

    def settle(arguments: Mapping[str, object], place: int, begin: int) -> None:
        begun.append((place, begin))

    several = [one("args.a", "eq", 1)["conditions"][0], one("args.b", "eq", 2)["conditions"][0]]
    clauses = clauses_of(
        {"require": [{"conditions": several}], "deny_if": [one("args.c", "eq", 3)]}
    )
    refused = objection(clauses, settle)
    assert refused is not None
    for arguments in ({"a": 9}, {"a": 1, "b": 9}, {"a": 1, "b": 2, "c": 3}):
        refused(arguments)
    assert begun == [(0, 0), (0, 1), (1, 0)]


def test_a_doubt_that_asking_removes_hides_nothing_that_comes_after() -> None:
    rule = {
        "require": [
            {"conditions": [one("args.a", "eq", 1)["conditions"][0],
                            one("args.b", "in", ["x", True])["conditions"][0]]},
            {"conditions": [one("args.a", "eq", 2)["conditions"][0],
                            one("args.b", "eq", True)["conditions"][0]]},
        ]
    }  # fmt: skip
    policy = compile_policy(policy_of(rule))
    call = Call(server="s", grant="g", tool="t", arguments={"a": 1, "b": True})
    verdict = decide(policy, Holds(), Counters(), call, Instant(1))
    assert (verdict.code, verdict.rule) == (Code.REQUIRE_FAILED, "/tools/t/require/1")


def test_rules_of_one_form_share_their_code_and_keep_their_constants() -> None:
    def made(path: str, value: object, pattern: str) -> Any:
        rule = {"require": [one(path, "eq", value), one("args.n", "regex", pattern)]}
        return objection(clauses_of(rule), settle=_refused)

    one_rule, other = made("args.a", 1, "[a]"), made("args.b", 2, "[b]")
    assert one_rule.__code__ is other.__code__
    assert one_rule({"a": 1, "n": "a"}) is None
    assert other({"a": 1, "n": "a"}) == "refused"
    assert other({"b": 2, "n": "b"}) is None


def _refused(arguments: Mapping[str, object], place: int, begin: int) -> str:
    return "refused"


def test_nothing_of_a_policy_becomes_part_of_the_code() -> None:
    hostile = '");import os;("'
    rule = {"require": [one(f"/{hostile}", "eq", hostile), one("args.k", "in", [hostile, 4_711])]}
    function: Any = objection(clauses_of(rule), settle=_refused)
    written: Sequence[object] = (*function.__code__.co_consts, *function.__code__.co_names)
    assert all(
        type(value) is int or value is None or str(value).isidentifier() for value in written
    )
    assert hostile not in written
    assert 4_711 not in written
    assert function({hostile: hostile, "k": 4_711}) is None
    assert function({hostile: "x", "k": 4_711}) == "refused"


def test_the_text_that_the_module_shows_is_the_one_that_is_written() -> None:
    both = [
        {"path": "args.id", "op": "gte", "value": 1},
        {"path": "args.vm.name", "op": "regex", "value": "vm-[0-9]+"},
    ]
    rule = {
        "require": [{"conditions": both}],
        "deny_if": [one("args.force", "eq", True, on_missing="ignore")],
    }
    source, _ = written(clauses_of(rule))
    assert indent(source, "    ") in str(objection_module.__doc__)


def test_conditions_beyond_those_that_are_written_are_asked() -> None:
    rule = {"require": [one(f"args.a{place % 3}", "lt", place + 1) for place in range(100)]}
    rule["deny_if"] = [one("args.a0", "eq", -place, on_missing="ignore") for place in range(1, 90)]
    assert len(rule["require"]) + len(rule["deny_if"]) > WRITTEN_MAX
    asked: list[int] = []
    passes = objection(clauses_of(rule), settle=lambda _, place, __: asked.append(place))
    assert passes is not None
    passes({"a0": 0, "a1": 0, "a2": 0})
    assert asked == [WRITTEN_MAX]
    policy = compile_policy(policy_of(rule))
    for arguments in ({f"a{place}": number for place in range(3)} for number in (0, 1, -1, -88)):
        call = Call(server="s", grant="g", tool="t", arguments=arguments)
        verdict = decide(policy, Holds(), Counters(), call, Instant(1))
        assert (verdict.code.value, verdict.rule) == verdict_of(rule, arguments)
