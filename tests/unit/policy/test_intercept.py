"""Intercept's YAML: what becomes of each key, and that no import lets more through unsaid."""

import json
from importlib import import_module
from typing import Any

import pytest

from toolreeve.policy import PolicyTextError, parse
from toolreeve.policy.dialects import Imported, import_policy
from toolreeve.policy.pattern import Pattern

RE2: Any = import_module("re2")  # has no types; Go's patterns are the same language
REFUNDS = ["not_sent", "rpc_error", "tool_error"]


def imported(tools: Any, **top: Any) -> Imported:
    text = json.dumps({"version": "1", **top, "tools": tools})
    found = import_policy(text, "p.yaml", "intercept")
    parse(found.canonical_text, source="p.yaml")
    return found


def policy_of(tools: Any, **top: Any) -> Any:
    return imported(tools, **top).policy_document


def tool_of(*rules: Any) -> Any:
    return policy_of({"t": {"rules": list(rules)}})["tools"]["t"]


def whats(found: Imported) -> list[tuple[str, str]]:
    return [(one.pointer, one.what) for one in found.differences]


def complaints(*rules: Any, **top: Any) -> list[tuple[str, str]]:
    text = json.dumps({"version": "1", **top, "tools": {"t": {"rules": list(rules)}}})
    with pytest.raises(PolicyTextError) as refused:
        import_policy(text, "p.yaml", "intercept")
    return [(one.pointer, one.problem) for one in refused.value.complaints]


def checks(*conditions: Any, **more: Any) -> dict[str, Any]:
    return {"name": "r", "conditions": list(conditions), **more}


def condition(op: str, value: Any, path: str = "args.a") -> dict[str, Any]:
    return {"path": path, "op": op, "value": value}


def counts(op: str, value: Any, **state: Any) -> dict[str, Any]:
    state = {"counter": "c", "window": "day", **state}
    return checks(condition(op, value, "state.t.c"), state=state)


def test_a_whole_policy_of_intercept_is_imported() -> None:
    text = """\
version: "1"
description: Payments
default: deny
hide: [delete_customer]
tools:
  create_charge:
    rules:
      - name: max single charge
        conditions:
          - {path: args.amount, op: lte, value: 50000}
          - {path: args.currency, op: in, value: [usd, eur]}
        on_deny: Too much at once.
      - name: daily spend
        conditions:
          - {path: state.create_charge.daily_spend, op: lte, value: 1000000}
        on_deny: Enough for today.
        state: {counter: daily_spend, window: day, increment_from: args.amount}
  list_charges: {rules: []}
  "*":
    rules:
      - {name: pace, rate_limit: 60/minute}
"""
    found = import_policy(text, "p.yaml")
    assert found.dialect == "intercept"
    counted = {"scope": "server", "align": "calendar", "refund_on": REFUNDS}
    assert found.policy_document == {
        "version": "1",
        "description": "Payments",
        "default": "deny",
        "hide": ["delete_customer"],
        "all_tools": {
            "limits": [
                {"counter": "_global._rate_minute", "window": "minute", "max": 60, **counted}
            ]
        },
        "tools": {
            "create_charge": {
                "reason": "Enough for today.",
                "require": [
                    {
                        "conditions": [
                            {"path": "args.amount", "op": "lte", "value": 50000},
                            {"path": "args.currency", "op": "in", "value": ["usd", "eur"]},
                        ],
                        "on_deny": "Too much at once.",
                    }
                ],
                "limits": [
                    {
                        "counter": "create_charge.daily_spend",
                        "window": "day",
                        "max": 1000000,
                        "amount": "/amount",
                        **counted,
                    }
                ],
            },
            "list_charges": {},
        },
    }
    assert [one.pointer for one in found.differences] == [
        "/default",
        "/tools/create_charge/rules/1/state/increment_from",
        "/tools/*/rules/0/rate_limit",
    ]


def test_without_a_default_every_tool_passes_as_it_did_there() -> None:
    assert policy_of({})["default"] == "allow"
    assert policy_of({}, default="")["default"] == "allow"


def test_a_version_without_quotes_is_taken_as_it_was_there() -> None:
    assert import_policy("version: 1\ntools: {a: {rules: []}}\n", "p").dialect == "intercept"


def test_a_tool_with_nothing_under_it_is_listed() -> None:
    found = import_policy('version: "1"\ndefault: deny\ntools:\n  a:\n', "p", "intercept")
    assert found.policy_document == {"version": "1", "default": "deny", "tools": {"a": {}}}


@pytest.mark.parametrize("window", ["minute", "hour", "day"])
def test_a_rate_counts_in_calendar_windows_for_the_whole_server(window: str) -> None:
    (limit,) = tool_of({"name": "r", "rate_limit": f"5/{window}"})["limits"]
    assert limit == {
        "counter": f"t._rate_{window}",
        "window": window,
        "max": 5,
        "scope": "server",
        "align": "calendar",
        "refund_on": REFUNDS,
    }


def test_a_rate_that_is_none_is_complained_of() -> None:
    for rate in ("0/hour", "5/week", "5", "-1/day", "5/hour ", 5, "1.5/day"):
        ((pointer, problem),) = complaints({"rate_limit": rate})
        assert pointer == "/tools/t/rules/0/rate_limit"
        assert problem.endswith("is not a rate")
    ((_, problem),) = complaints({"rate_limit": "100001/day"})
    assert problem == "100001 calls are more than one limit counts"


@pytest.mark.parametrize(
    ("op", "value", "most"), [("lte", 5, 5), ("lt", 5, 4), ("lt", 0, 0), ("lte", 5.9, 5)]
)
def test_a_bound_of_a_counter_is_how_many_calls_it_holds(op: str, value: Any, most: int) -> None:
    (limit,) = tool_of(counts(op, value))["limits"]
    assert (limit["counter"], limit["max"], limit["window"]) == ("t.c", most, "day")


def test_a_fixed_increment_divides_the_bound() -> None:
    assert tool_of(counts("lte", 23, increment=5))["limits"][0]["max"] == 4
    assert tool_of(counts("lte", 23, increment=0))["limits"][0]["max"] == 23
    assert complaints(counts("lte", 23, increment=-1))[0][0] == "/tools/t/rules/0/state/increment"


def test_increment_from_counts_amounts_and_says_what_is_different() -> None:
    found = imported({"t": {"rules": [counts("lt", 100, increment_from="args.price.cents")]}})
    document: Any = found.policy_document
    (limit,) = document["tools"]["t"]["limits"]
    assert (limit["amount"], limit["max"]) == ("/price/cents", 99)
    assert (
        "/tools/t/rules/0/state/increment_from",
        "fractions count in full, and an amount below 0 refuses the call",
    ) in whats(found)


def test_a_state_block_without_a_bound_never_counted_and_is_left_out() -> None:
    rule = checks(condition("eq", "x"), state={"counter": "c", "window": "day"})
    found = imported({"t": {"rules": [rule]}})
    assert "limits" not in found.policy_document["tools"]["t"]  # type: ignore[index]  # a document
    assert whats(found) == [("/tools/t/rules/0/state", "the counter is left out")]


def test_a_condition_on_any_other_counter_cannot_be_said() -> None:
    for path in ("state.other.c", "state.t.d", "state._global.c"):
        rule = checks(condition("lt", 5, path), state={"counter": "c", "window": "day"})
        assert complaints(rule)[0][0] == "/tools/t/rules/0/conditions/0/path"
    assert complaints(counts("gt", 5)) == [
        ("/tools/t/rules/0/conditions/0/op", "gt is no bound of a counter")
    ]


def test_two_rules_that_count_in_one_window_are_complained_of() -> None:
    rule = {"rate_limit": "5/hour"}
    ((pointer, problem),) = complaints(rule, rule)
    assert pointer == "/tools/t/rules/1/rate_limit"
    assert problem == 'two rules of one tool count in "_rate_hour"'


def test_rules_for_every_tool_are_met_besides_the_tools_own() -> None:
    found = policy_of(
        {
            "*": {"rules": [checks(condition("exists", True, "args.ticket"), on_deny="Why?")]},
            "t": {},
        }
    )
    (clause,) = found["all_tools"]["require"]
    assert clause["on_deny"] == "Why?"
    assert found["tools"] == {"t": {}}


def test_a_denied_tool_is_denied_whatever_its_other_rules_say() -> None:
    found = imported(
        {"t": {"rules": [{"rate_limit": "5/hour"}, {"name": "block", "action": "deny"}]}}
    )
    document: Any = found.policy_document
    assert document["tools"]["t"] == {"action": "deny", "reason": 'Denied by rule "block"'}
    assert ("/tools/t", "the tool's other rules are left out") in whats(found)


def test_deny_for_every_tool_denies_those_that_are_named_as_well() -> None:
    rule = {"name": "stop", "action": "deny", "on_deny": "Frozen."}
    found = policy_of({"*": {"rules": [rule]}, "t": {"rules": []}})
    assert found["tools"]["*"] == {"action": "deny", "reason": "Frozen."}


def test_approval_for_every_tool_is_asked_for_named_ones_and_lists_no_others() -> None:
    rule = {"name": "ask", "action": "require_approval", "approval_timeout": "1h30m"}
    asks = {"action": "require_approval", "approval": {"timeout": "90m"}}
    tools: Any = {"*": {"rules": [rule]}, "t": {"rules": []}}
    assert policy_of(tools)["tools"] == {"t": asks, "*": asks}
    assert policy_of(tools, default="deny")["tools"] == {"t": asks}


@pytest.mark.parametrize(
    ("there", "here"), [("30s", "30s"), ("10m", "10m"), ("24h", "24h"), ("1m30s", "90s")]
)
def test_a_time_for_approval_is_kept(there: str, here: str) -> None:
    rule = {"name": "r", "action": "require_approval", "approval_timeout": there}
    assert tool_of(rule)["approval"] == {"timeout": here}


def test_approvals_with_conditions_or_without_a_time_are_differences() -> None:
    rule = checks(condition("gt", 100), action="require_approval", on_deny="Ask first.")
    found = imported({"t": {"rules": [rule]}}, approvals={"notify": {}})
    document: Any = found.policy_document
    assert document["tools"]["t"] == {"action": "require_approval", "reason": "Ask first."}
    assert whats(found) == [
        ("/approvals", "the block is left out"),
        ("/tools/t/rules/0", "an approval may take 10 minutes"),
        ("/tools/t/rules/0/conditions", "every call needs an approval"),
    ]


def test_texts_of_several_limits_are_left_out_and_that_is_said() -> None:
    rules = [{"rate_limit": "5/hour", "on_deny": "x"}, {"rate_limit": "9/day", "on_deny": "y"}]
    found = imported({"t": {"rules": rules}})
    assert "reason" not in found.policy_document["tools"]["t"]  # type: ignore[index]  # a document
    assert whats(found)[0][0] == "/tools/t"
    assert tool_of(rules[0])["reason"] == "x"


def test_a_text_over_several_lines_is_made_one_line() -> None:
    rule = {"name": "r", "action": "deny", "on_deny": "Not\n  by agents.\n"}
    found = imported({"t": {"rules": [rule]}})
    document: Any = found.policy_document
    assert document["tools"]["t"]["reason"] == "Not by agents."
    assert ("/tools/t/rules/0/on_deny", "the text is on one line") in whats(found)


def test_a_name_that_would_be_a_pattern_here_is_complained_of() -> None:
    with pytest.raises(PolicyTextError) as refused:
        imported({"vm_*": {}, "class:read": {}}, hide=["*", "x?"])
    assert [one.pointer for one in refused.value.complaints] == [
        "/hide/1",
        "/tools/vm_*",
        "/tools/class:read",
    ]
    assert policy_of({}, hide=["*", "a", "a"])["hide"] == ["*", "a"]


def test_paths_become_ours() -> None:
    def path_of(path: str) -> Any:
        return tool_of(checks(condition("eq", "x", path)))["require"][0]["conditions"][0]["path"]

    assert path_of("args.a.b-c.$d") == "args.a.b-c.$d"
    assert path_of("args.a b.c/d~e") == "/a b/c~1d~0e"
    assert path_of("args.a[0]") == "/a[0]"
    assert path_of("args.a..b") == "/a//b"
    assert path_of("args.") == "/"
    assert complaints(checks(condition("eq", 1, "arguments.a")))[0][0].endswith("/path")
    found = imported({"t": {"rules": [checks(condition("eq", "x", "args.list.0"))]}})
    assert whats(found) == [
        (
            "/tools/t/rules/0/conditions/0/path",
            "a number in a path also names a place in a list",
        )
    ]


@pytest.mark.parametrize(
    ("there", "here"),
    [
        ("^feat/", "feat/(?s:.*)"),
        ("^feat/.+$", "feat/.+"),
        ("secret", "(?s:.*)secret(?s:.*)"),
        (r"\.env$", r"(?s:.*)\.env"),
        (r"^\$5\$", r"\$5\$(?s:.*)"),
        (r"5\\$", r"(?s:.*)5\\"),
        ("^a|b$", "(?s:.*)(?:^a|b$)(?s:.*)"),
        ("(?i)drop", "(?s:.*)(?:(?i)drop)(?s:.*)"),
        ("", "(?s:.*)(?s:.*)"),
    ],
)
def test_a_pattern_still_matches_anywhere_unless_it_is_anchored(there: str, here: str) -> None:
    (clause,) = tool_of(checks(condition("regex", there)))["require"]
    assert clause["conditions"] == [condition("regex", here)]
    texts = ["feat/x", "my feat/x", "a secret b", ".env", ".env\n", "$5$", "5\\", "xb", "DROP", ""]
    for text in texts:
        assert Pattern(here).matches(text) == (RE2.search(there, text) is not None), text


def test_all_eleven_operators_are_imported() -> None:
    ops = {
        "eq": "x", "neq": "x", "in": ["x"], "not_in": ["x", "y"], "lt": 1, "lte": 1, "gt": 1,
        "gte": 1, "regex": "^x$", "contains": "x", "exists": False,
    }  # fmt: skip
    rules = [checks(condition(op, value)) for op, value in ops.items()]
    clauses = tool_of(*rules)["require"]
    assert [clause["conditions"][0]["op"] for clause in clauses] == list(ops)


def test_values_that_an_operator_cannot_take_are_complained_of() -> None:
    for op, value in (("lt", "5"), ("in", "x"), ("exists", "yes"), ("regex", 5), ("gt", True)):
        assert complaints(checks(condition(op, value)))[0][0].endswith("/conditions/0/value")
    assert complaints(checks(condition("<=", 5)))[0][0].endswith("/conditions/0/op")
    assert complaints(checks(condition("regex", "(?=a)")))[0][1].endswith("(?=")


def test_keys_that_cannot_stand_together_are_complained_of() -> None:
    one = condition("eq", "x")
    assert [
        complaints({"rate_limit": "5/hour", "conditions": [one]})[0],
        complaints({"rate_limit": "5/hour", "state": {"counter": "c", "window": "day"}})[0],
        complaints({"action": "deny", "conditions": [one]})[0],
        complaints({"action": "deny", "rate_limit": "5/hour"})[0],
        complaints({"name": "r"})[0],
        complaints({"name": "r", "action": "allow"})[0],
        complaints({"rate_limit": "5/hour", "approval_timeout": "5m"})[0],
        complaints({"rate_limit": "5/hour", "nam": "r"})[0],
        complaints({"rate_limit": "5/hour"}, version="2")[0],
        complaints({"rate_limit": "5/hour"}, defualt="deny")[0],
    ] == [
        ("/tools/t/rules/0/conditions", '"conditions" stands beside "rate_limit"'),
        ("/tools/t/rules/0/state", '"state" stands beside "rate_limit"'),
        ("/tools/t/rules/0/conditions", '"conditions" stands beside action: deny'),
        ("/tools/t/rules/0/rate_limit", '"rate_limit" stands beside action: deny'),
        ("/tools/t/rules/0", "the rule checks nothing"),
        ("/tools/t/rules/0/action", '"allow" is not a choice here'),
        ("/tools/t/rules/0/approval_timeout", "nothing here asks for an approval"),
        ("/tools/t/rules/0/nam", '"nam" is not known here'),
        ("/version", '"2" is not a choice here'),
        ("/defualt", '"defualt" is not known here'),
    ]
