"""Whatever the policy language can say can be tested: holds, methods, modes, approvals, pins."""

import json
from typing import Any

import pytest

from toolreeve.decision import compile_policy
from toolreeve.decision.case_parts import Part, coverage_of
from toolreeve.decision.case_run import Result, run_cases
from toolreeve.decision.cases import CaseFile, read_cases
from toolreeve.policy import Policy, PolicyTextError, parse

RESTARTS: dict[str, Any] = {
    "version": "1",
    "default": "deny",
    "tools": {
        "vm_restart": {
            "require": [{"conditions": [{"path": "args.id", "op": "lt", "value": 100}]}],
            "limits": [{"counter": "h", "window": "hour", "align": "calendar", "max": 3}],
        }
    },
}


def policy(document: dict[str, Any]) -> Policy:
    return parse(json.dumps(document), source="policy")


def cases(text: str) -> CaseFile:
    return read_cases("policy: p.json\ncases:\n" + text, source="c")


def complaints(text: str) -> list[str]:
    with pytest.raises(PolicyTextError) as wrong:
        read_cases(text, source="c")
    return str(wrong.value).splitlines()


def test_a_hold_in_force_stops_calls_until_it_ends_or_is_lifted() -> None:
    result = run_on(
        RESTARTS,
        """
- name: held
  at: "12:00"
  tool: vm_restart
  arguments: {id: 7}
  holds: [{tool: vm_restart, argument: /id, value: 7, until: "12:10", reason: A loop.}]
  expect: {code: held, message: A loop., retry_after_ms: 600000, would_be: deny}
  then:
    - {arguments: {id: "7"}, expect: condition_error}
    - {arguments: {id: 8}, expect: allow}
    - {arguments: {id: 7}, at: "12:09:59.999", expect: held}
    - {at: "12:10:00", expect: allow}
    - {holds: [{fleet: true}], after: 1m, expect: {code: held, message: held}}
    - {holds: [{server: another, grant: local}], expect: allow}
    - {holds: [{grant: local}], expect: held}
    - {holds: [], at: "13:00", expect: allow}
""",
    )
    assert result.failure is None


def test_a_hold_that_says_nothing_or_half_of_something_is_complained_of() -> None:
    said = complaints(
        "policy: p\ncases:\n- {name: a, tool: t, expect: held, holds: "
        "[{}, {argument: /id}, {fleet: 1}, {tool: t, until: noon}, {tol: t}]}"
    )
    assert [line.split(": ", 1)[1].split(";")[0] for line in said] == [
        "the hold stops nothing",
        '"argument" and "value" stand together',
        "expected true or false, found the number 1",
        "not a time",
        '"tol" is not known here',
    ]


METHODS: dict[str, Any] = {
    "version": "1",
    "default": "deny",
    "methods": {"resources/read": "allow", "prompts/get": "deny"},
    "tools": {"t": {"action": "require_approval", "approval": {"timeout": "5m"}}},
}


def run_on(document: dict[str, Any], text: str) -> Result:
    (result,), _ = run_cases(compile_policy(policy(document)), cases(text).cases)
    return result


def test_requests_that_are_no_tool_calls_can_be_tested() -> None:
    text = """
- name: methods
  method: resources/read
  expect: {effect: allow, code: allowed, rule: /methods/resources~1read}
  then:
    - {method: prompts/get, expect: {code: method_denied, rule: /methods/prompts~1get}}
    - {method: completion/complete, expect: {effect: deny, rule: /default, mode: enforce}}
    - {method: initialize, expect: {effect: allow, rule: ""}}
    - {method: prompts/list, expect: allow}
"""
    assert run_on(METHODS, text).failure is None
    on_trial = (
        "- {name: n, method: prompts/get, expect: {effect: allow, would_be: deny, mode: warn}}"
    )
    assert run_on({**METHODS, "mode": "warn"}, on_trial).failure is None
    wrong = run_on(METHODS, "- {name: n, method: prompts/get, expect: allow}").failure
    assert wrong is not None
    assert [(one.key, one.came) for one in wrong.differences] == [("effect", "deny")]
    assert [look.finding for look in wrong.looks] == ["names prompts/get: deny"]


def test_what_methods_says_is_a_part_that_cases_reach() -> None:
    text = "- {name: n, method: prompts/get, expect: deny, then: [{method: x, expect: deny}]}"
    _, reached = run_cases(compile_policy(policy(METHODS)), cases(text).cases)
    assert reached == {Part("/methods/prompts~1get", "method"), Part("/default", "default")}
    missed = coverage_of(policy(METHODS), reached).missed
    assert Part("/methods/resources~1read", "method") in missed


def test_what_only_tool_calls_have_cannot_stand_beside_a_method() -> None:
    said = complaints(
        "policy: p\ncases: [{name: a, method: m, arguments: {}, ending: not_sent, expect: deny},"
        " {name: b, method: m, tool: t, expect: deny}]"
    )
    assert [line.split(": ", 1)[1].split(";")[0] for line in said] == [
        '"arguments" is of tool calls alone',
        '"ending" is of tool calls alone',
        '"tool" and "method" exclude one another',
    ]


def test_whom_a_call_waits_for_and_how_long_can_be_expected() -> None:
    tools = {"t": {"action": "require_approval", "reason": "Ask ops."}}
    waiting = "- {name: n, tool: t, expect: {code: approval_required, message: Ask ops., "
    assert (
        run_on(
            {**METHODS, "tools": tools}, waiting + "approval: {timeout: 10m, approvers: []}}}"
        ).failure
        is None
    )
    tools["t"]["approval"] = {"timeout": "90s", "approvers": ["ops", "sre"]}  # type: ignore[assignment]
    document = {**METHODS, "tools": tools}
    right = waiting + "approval: {timeout: 90s, approvers: [sre, ops]}}}"
    assert run_on(document, right).failure is None
    wrong = run_on(document, waiting + "approval: {timeout: 10m, approvers: [ops]}}}").failure
    assert wrong is not None
    assert [(one.key, one.expected, one.came) for one in wrong.differences] == [
        ("approval.timeout", "600 s", "90 s"),
        ("approval.approvers", "ops", "ops, sre"),
    ]


def test_no_approval_is_waited_for_where_something_else_refuses() -> None:
    document = {**METHODS, "tools": {"t": {"action": "deny"}}}
    text = "- {name: n, tool: t, expect: {code: denied, approval: {timeout: 10m}}}"
    failure = run_on(document, text).failure
    assert failure is not None
    assert [(one.key, one.came) for one in failure.differences] == [("approval.timeout", "none")]


@pytest.mark.parametrize("mode", ["enforce", "warn", "shadow"])
def test_the_would_be_decision_is_the_same_in_every_mode(mode: str) -> None:
    effect = "deny" if mode == "enforce" else "allow"
    text = f"- {{name: n, tool: other, expect: {{effect: {effect}, would_be: deny, mode: {mode}}}}}"
    assert run_on({**METHODS, "mode": mode}, text).failure is None


def test_the_operation_and_category_that_a_dispatch_finds_can_be_expected() -> None:
    dispatch = {"meta": {"name": "/action", "group": "/category", "prefix": "x_"}}
    document: dict[str, Any] = {**METHODS, "dispatch": dispatch, "tools": {"x_vm_list": {}}}
    text = (
        "- {name: n, wire_tool: meta, arguments: {action: vm_list, category: vm},"
        " expect: {tool: x_vm_list, group: vm}, then: [{arguments: {action: 1},"
        " expect: {code: bad_operation, tool: meta, group: ''}}]}"
    )
    assert run_on(document, text).failure is None


def test_whether_a_tool_is_listed_can_be_expected() -> None:
    document: dict[str, Any] = {
        **METHODS,
        "hide": ["hidden_*"],
        "dispatch": {"meta": {"name": "/action"}},
        "tools": {"t": {}, "denied": {"action": "deny"}},
    }
    text = """
- name: n
  tool: t
  expect: {listed: true}
  then:
    - {tool: denied, expect: {listed: false}}
    - {tool: hidden_one, expect: {listed: false}}
    - {tool: unheard_of, expect: {listed: false}}
    - {wire_tool: meta, expect: {listed: true}}
"""
    assert run_on(document, text).failure is None
    on_trial = "- {name: n, tool: denied, expect: {listed: true}}"
    assert run_on({**document, "mode": "shadow"}, on_trial).failure is None


def test_a_definition_that_is_not_approved_is_refused_where_the_policy_pins() -> None:
    text = """
- name: n
  tool: t
  definition: unapproved
  expect: {code: CODE, listed: LISTED}
  then:
    - {definition: approved, expect: allow}
    - {definition: unapproved, expect: CODE}
    - {tool: t, expect: allow}
"""
    document: dict[str, Any] = {**METHODS, "tools": {"t": {}}}
    enforced = text.replace("CODE", "unapproved_definition").replace("LISTED", "false")
    assert run_on({**document, "pin": "enforce"}, enforced).failure is None
    observed = text.replace("CODE", "allowed").replace("LISTED", "true")
    assert run_on({**document, "pin": "observe"}, observed).failure is None


def test_null_says_that_no_wait_helps() -> None:
    limit = {"counter": "c", "window": "minute", "max": 0}
    document = {**METHODS, "tools": {"t": {"limits": [limit]}}}
    assert (
        run_on(
            document, "- {name: n, tool: t, expect: {code: limited, retry_after_ms: null}}"
        ).failure
        is None
    )
    failure = run_on(document, "- {name: n, tool: t, expect: {retry_after_ms: 1}}").failure
    assert failure is not None
    assert failure.differences[0].came == "none"
