"""Conditions: they hold, do not hold, or are an error, and an error denies."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from toolreeve.decision import Call, Code, Counters, Holds, Instant, compile_policy, decide
from toolreeve.policy import parse


def code(rule: dict[str, Any], arguments: dict[str, Any], **policy: Any) -> Code:
    document = {"version": "1", "default": "deny", "tools": {"t": rule}, **policy}
    compiled = compile_policy(parse(json.dumps(document), source="test"))
    asked = Call(server="s", grant="g", tool="t", arguments=arguments)
    return decide(compiled, Holds(), Counters(), asked, Instant(1)).code


def require(path: str, op: str, value: object, **more: object) -> dict[str, Any]:
    return {"require": [{"conditions": [{"path": path, "op": op, "value": value, **more}]}]}


def deny_if(path: str, op: str, value: object, **more: object) -> dict[str, Any]:
    return {"deny_if": [{"conditions": [{"path": path, "op": op, "value": value, **more}]}]}


HOLDS = [
    ("eq", 1, 1),
    ("eq", 1, 1.0),
    ("eq", "a", "a"),
    ("eq", None, None),
    ("eq", [1, {"a": "b"}], [1, {"a": "b"}]),
    ("neq", 1, 2),
    ("neq", "1", 1),
    ("neq", True, 1),
    ("in", 1, [2, 1]),
    ("not_in", "1", [1, 2]),
    ("lt", 1, 2),
    ("lte", 2, 2),
    ("gt", 2, 1.5),
    ("gte", 2, 2),
    ("gt", 2**53 + 1, 2**53),
    ("eq", 2**53 + 1, 2**53 + 1),
    ("regex", "vm-12", "vm-[0-9]+"),
    ("contains", "a/b", "/"),
    ("contains", [1, "x"], "x"),
    ("exists", 0, True),
    ("exists", None, True),
]
FAILS = [
    ("eq", True, 1),
    ("eq", 1, True),
    ("eq", "1", 1),
    ("eq", 0, False),
    ("eq", None, False),
    ("eq", [1], [True]),
    ("eq", {"a": 1}, {"a": True}),
    ("eq", 2**53 + 1, 2**53),
    ("in", True, [1]),
    ("lt", 2, 2),
    ("regex", "vm-12\n", "vm-[0-9]+"),
    ("regex", "vm-12\n", "vm-[0-9]+$"),
    ("regex", "xvm-1", "vm-[0-9]+"),
    ("contains", [1], True),
    ("exists", 1, False),
]
ERRORS = [
    ("gt", "500", 100),
    ("gt", True, 0),
    ("gt", None, 100),
    ("lt", [1], 100),
    ("regex", 12, "[0-9]+"),
    ("contains", 12, "1"),
    ("contains", "12", 1),
    ("contains", {"a": 1}, "a"),
]


@pytest.mark.parametrize(("op", "value", "wanted"), HOLDS)
def test_what_holds_is_let_through_by_require_and_denied_by_deny_if(
    op: str, value: object, wanted: object
) -> None:
    assert code(require("args.x", op, wanted), {"x": value}) is Code.ALLOWED
    assert code(deny_if("args.x", op, wanted), {"x": value}) is Code.DENY_IF_HELD


@pytest.mark.parametrize(("op", "value", "wanted"), FAILS)
def test_what_does_not_hold_is_denied_by_require_and_let_through_by_deny_if(
    op: str, value: object, wanted: object
) -> None:
    assert code(require("args.x", op, wanted), {"x": value}) is Code.REQUIRE_FAILED
    assert code(deny_if("args.x", op, wanted), {"x": value}) is Code.ALLOWED


@pytest.mark.parametrize(("op", "value", "wanted"), ERRORS)
def test_what_cannot_be_compared_denies_in_both(op: str, value: object, wanted: object) -> None:
    assert code(require("args.x", op, wanted), {"x": value}) is Code.CONDITION_ERROR
    assert code(deny_if("args.x", op, wanted), {"x": value}) is Code.CONDITION_ERROR


def test_a_missing_path_fails_require_and_denies_in_deny_if_unless_it_is_ignored() -> None:
    missing: list[dict[str, Any]] = [{}, {"x": {}}, {"x": []}, {"x": "y"}, {"X": {"y": 1}}]
    for arguments in missing:
        assert code(require("args.x.y", "eq", 1), arguments) is Code.REQUIRE_FAILED
        assert code(deny_if("args.x.y", "gt", 1), arguments) is Code.CONDITION_ERROR
        ignoring = deny_if("args.x.y", "gt", 1, on_missing="ignore")
        assert code(ignoring, arguments) is Code.ALLOWED
        assert code(deny_if("args.x.y", "exists", True), arguments) is Code.ALLOWED
        assert code(deny_if("args.x.y", "exists", False), arguments) is Code.DENY_IF_HELD


@pytest.mark.parametrize("key", ["__class__", "__proto__", "keys", "constructor", "length", "0"])
def test_plain_keys_are_plain_keys(key: str) -> None:
    path = f"args.{key}"
    assert code(require(path, "eq", 1), {key: 1}) is Code.ALLOWED
    assert code(require(path, "exists", True), {}) is Code.REQUIRE_FAILED


def test_keys_that_hold_dots_are_named_by_a_pointer() -> None:
    assert code(require("/a.b~1c", "eq", 1), {"a.b/c": 1}) is Code.ALLOWED
    assert code(require("args.a.b", "eq", 1), {"a.b": 1}) is Code.REQUIRE_FAILED


def test_every_element_is_looked_at() -> None:
    items = {"items": [{"usd": 5}, {"usd": 500}]}
    assert code(deny_if("args.items[*].usd", "gt", 100), items) is Code.DENY_IF_HELD
    assert code(require("args.items[*].usd", "lte", 100), items) is Code.REQUIRE_FAILED
    assert code(require("args.items[*].usd", "lte", 500), items) is Code.ALLOWED
    assert code(deny_if("args.items[1].usd", "gt", 100), items) is Code.DENY_IF_HELD
    for odd in ({"items": [{"usd": 5}, {"usd": "500"}]}, {"items": [{"usd": 5}, {}]}):
        assert code(deny_if("args.items[*].usd", "gt", 100), odd) is Code.CONDITION_ERROR
    assert code(deny_if("args.items[*].usd", "gt", 100), {"items": 5}) is Code.CONDITION_ERROR
    assert code(deny_if("args.items[*].usd", "gt", 100), {"items": []}) is Code.ALLOWED


def test_conditions_of_a_clause_are_looked_at_in_order_and_the_first_that_fails_ends_it() -> None:
    clause = {
        "conditions": [
            {"path": "args.usd", "op": "exists", "value": True},
            {"path": "args.usd", "op": "gt", "value": 100},
        ]
    }
    rule = {"deny_if": [clause]}
    assert code(rule, {}) is Code.ALLOWED
    assert code(rule, {"usd": 101}) is Code.DENY_IF_HELD
    assert code(rule, {"usd": "101"}) is Code.CONDITION_ERROR


def test_all_of_require_must_hold_and_any_of_deny_if_denies() -> None:
    rule = {
        **require("args.a", "eq", 1),
        "deny_if": [
            {"conditions": [{"path": "args.b", "op": "eq", "value": 1}]},
            {"conditions": [{"path": "args.c", "op": "eq", "value": 1}]},
        ],
    }
    assert code(rule, {"a": 1, "b": 0, "c": 0}) is Code.ALLOWED
    assert code(rule, {"a": 0, "b": 0, "c": 0}) is Code.REQUIRE_FAILED
    assert code(rule, {"a": 1, "b": 0, "c": 1}) is Code.DENY_IF_HELD


def test_all_tools_speaks_before_a_tools_own_rule() -> None:
    everywhere = {"all_tools": deny_if("args.force", "eq", True, on_missing="ignore")}
    assert code({}, {"force": True}, **everywhere) is Code.DENY_IF_HELD
    assert code({}, {}, **everywhere) is Code.ALLOWED


@pytest.mark.parametrize(
    ("arguments", "fits"),
    [
        ({"id": 1}, True),
        ({"id": "1/../../../system/reboot#"}, False),
        ({"id": True}, False),
        ({}, False),
        ({"id": 1, "x": 1}, False),
    ],
)
def test_arguments_are_held_to_their_schema(arguments: dict[str, Any], fits: bool) -> None:
    schema = {
        "type": "object",
        "required": ["id"],
        "properties": {"id": {"type": "integer"}},
        "additionalProperties": False,
    }
    found = code({"arguments": schema}, arguments)
    assert found is (Code.ALLOWED if fits else Code.BAD_ARGUMENTS)


@pytest.mark.parametrize("mode", ["warn", "shadow"])
def test_a_mode_on_trial_lets_through_and_says_what_would_have_been(mode: str) -> None:
    document = {
        "version": "1",
        "default": "deny",
        "mode": mode,
        "hide": ["secret"],
        "tools": {"t": {"action": "deny"}, "strict": {"action": "deny", "mode": "enforce"}},
    }
    compiled = compile_policy(parse(json.dumps(document), source="test"))
    seen: dict[str, tuple[str, str]] = {}
    for tool in ("t", "secret", "absent", "strict"):
        asked = Call(server="s", grant="g", tool=tool, arguments={})
        verdict = decide(compiled, Holds(), Counters(), asked, Instant(1))
        seen[tool] = (verdict.effect.value, verdict.code.value)
    assert seen == {
        "t": ("allow", "denied"),
        "secret": ("allow", "hidden"),
        "absent": ("allow", "default_denied"),
        "strict": ("deny", "denied"),
    }


def test_a_tool_that_needs_an_approval_is_refused_until_there_are_any() -> None:
    assert code({"action": "require_approval"}, {}) is Code.APPROVAL_REQUIRED


def test_a_risk_class_speaks_of_tools_that_nothing_else_names() -> None:
    tools = {"class:destructive": {"action": "deny"}, "vm_delete": {}}
    document = {"version": "1", "default": "allow", "tools": tools}
    compiled = compile_policy(parse(json.dumps(document), source="test"))
    codes = {
        tool: decide(
            compiled,
            Holds(),
            Counters(),
            Call(server="s", grant="g", tool=tool, arguments={}),
            Instant(1),
        ).code
        for tool in ("vm_delete", "dataset_delete", "vm_list")
    }
    assert codes == {
        "vm_delete": Code.ALLOWED,
        "dataset_delete": Code.DENIED,
        "vm_list": Code.ALLOWED,
    }


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=2), inner),
    max_leaves=6,
)


@given(
    path=st.sampled_from(["args.a", "args.a.b", "args.a[0]", "args.a[*]", "args.a[*].b", "/a/0"]),
    comparison=st.sampled_from([*HOLDS, *FAILS, *ERRORS]),
    arguments=st.dictionaries(st.sampled_from(["a", "b"]), values),
)
def test_a_condition_never_holds_in_both_readings(
    path: str, comparison: tuple[str, object, object], arguments: dict[str, Any]
) -> None:
    op, _, wanted = comparison
    required = code(require(path, op, wanted), arguments)
    denied = code(deny_if(path, op, wanted), arguments)
    assert required in {Code.ALLOWED, Code.REQUIRE_FAILED, Code.CONDITION_ERROR}
    assert denied in {Code.ALLOWED, Code.DENY_IF_HELD, Code.CONDITION_ERROR}
    if required is Code.CONDITION_ERROR:
        assert denied is Code.CONDITION_ERROR
