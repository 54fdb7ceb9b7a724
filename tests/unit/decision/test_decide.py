"""Verdicts: which rule holds, and what beats what."""

import json

import pytest
from msgspec.structs import replace

from toolreeve.decision import (
    SECOND,
    Call,
    Code,
    Counters,
    Effect,
    Hold,
    Holds,
    Instant,
    Verdict,
    compile_policy,
    decide,
)
from toolreeve.policy import parse


def verdict(policy: dict[str, object] | None, tool: str, hold: Hold | None = None) -> Verdict:
    compiled = None
    if policy is not None:
        compiled = compile_policy(parse(json.dumps({"version": "1", **policy}), source="test"))
    holds = Holds() if hold is None else Holds().place(hold)
    asked = Call(server="s", grant="g", tool=tool, arguments={"id": 7})
    return decide(compiled, holds, Counters(), asked, Instant(SECOND))


def test_without_a_policy_everything_is_denied() -> None:
    assert verdict(None, "vm_list").code is Code.NO_POLICY


def test_an_unlisted_tool_gets_the_default() -> None:
    assert verdict({"default": "deny"}, "a").code is Code.DEFAULT_DENIED
    assert verdict({"default": "allow"}, "a").effect is Effect.ALLOW


def test_an_empty_rule_allows() -> None:
    allowed = verdict({"default": "deny", "tools": {"a": {}}}, "a")
    assert (allowed.effect, allowed.rule) == (Effect.ALLOW, "/tools/a")


def test_names_are_compared_exactly() -> None:
    policy: dict[str, object] = {"default": "deny", "tools": {"a": {}}}
    for other in ("A", "a ", "a\u200b", "\u0430", "aa", ""):
        assert verdict(policy, other).code is Code.DEFAULT_DENIED


def test_a_deny_carries_its_reason_and_its_pointer() -> None:
    tools = {"a/b": {"action": "deny", "reason": "Ask first."}}
    denied = verdict({"default": "allow", "tools": tools}, "a/b")
    assert (denied.code, denied.reason, denied.rule) == (Code.DENIED, "Ask first.", "/tools/a~1b")


def test_the_exact_name_wins_over_a_glob_and_the_longer_prefix_over_the_shorter() -> None:
    limit = {"counter": "c", "window": 60, "max": 0}
    tools = {"vm_*": {"limits": [limit]}, "vm_re*": {}, "vm_stop": {}}
    policy: dict[str, object] = {"default": "deny", "tools": tools}
    assert verdict(policy, "vm_stop").rule == "/tools/vm_stop"
    assert verdict(policy, "vm_restart").rule == "/tools/vm_re*"
    assert verdict(policy, "vm_clone").code is Code.LIMITED


def test_deny_beats_allow_at_any_specificity() -> None:
    tools = {"*": {"action": "deny"}, "vm_list": {}}
    assert verdict({"default": "allow", "tools": tools}, "vm_list").code is Code.DENIED


def test_what_is_hidden_is_refused_though_a_rule_allows_it() -> None:
    policy: dict[str, object] = {
        "default": "allow",
        "hide": ["vm_del*"],
        "tools": {"vm_delete": {}},
    }
    assert verdict(policy, "vm_delete").code is Code.HIDDEN
    assert verdict(policy, "vm_list").effect is Effect.ALLOW


def test_a_hold_stops_what_it_names_and_nothing_else() -> None:
    policy: dict[str, object] = {"default": "allow"}
    hold = Hold(hold_id="h", actor="operator", reason="Held.")
    one_vm = replace(hold, argument_pointer="/id", argument_value_json="7")
    for stopping in (replace(hold, tool="a"), replace(hold, server="s", grant="g"), one_vm):
        assert verdict(policy, "a", stopping).code is Code.HELD
    for passing in (
        replace(hold, tool="b"),
        replace(hold, server="s", grant="x"),
        replace(one_vm, argument_value_json='"7"'),
    ):
        assert verdict(policy, "a", passing).effect is Effect.ALLOW


def test_a_hold_on_a_number_stops_it_however_it_is_written() -> None:
    hold = Hold(hold_id="h", argument_pointer="/id", argument_value_json="7", actor="a", reason="r")
    stopped: list[object] = []
    for value in (7, 7.0, "7", True, 8, None, [7]):
        asked = Call(server="s", grant="g", tool="t", arguments={"id": value})
        stopped += [value] if hold.stops(asked, Instant(1)) else []
    assert stopped == [7, 7.0]
    asked = Call(server="s", grant="g", tool="t", arguments={"id": 10**19 + 1})
    assert replace(hold, argument_value_json=str(10**19 + 1)).stops(asked, Instant(1))
    assert not replace(hold, argument_value_json=str(10**19)).stops(asked, Instant(1))
    assert not replace(hold, argument_value_json="7 of").stops(asked, Instant(1))


def test_a_hold_that_names_nothing_stops_nothing_and_one_on_the_fleet_everything() -> None:
    asked = Call(server="s", grant="g", tool="t", arguments={})
    nothing = Hold(hold_id="n", actor="a", reason="r")
    everything = Hold(hold_id="e", fleet=True, actor="a", reason="r", expires_at=Instant(10))
    assert Holds().place(nothing).stopping(asked, Instant(1)) is None
    holds = Holds().place(everything)
    assert holds.stopping(asked, Instant(9)) == everything
    assert holds.stopping(asked, Instant(10)) is None
    assert holds.release("e").stopping(asked, Instant(9)) is None


def test_a_limited_call_says_when_one_more_is_admitted() -> None:
    limit = {"counter": "c", "window": "minute", "max": 1, "scope": "grant"}
    text = json.dumps({"version": "1", "default": "deny", "tools": {"a": {"limits": [limit]}}})
    policy = compile_policy(parse(text, source="test"))
    counters = Counters()
    asked = Call(server="s", grant="g", tool="a", arguments={})
    assert decide(policy, Holds(), counters, asked, Instant(0)).effect is Effect.ALLOW
    refused = decide(policy, Holds(), counters, asked, Instant(SECOND // 2))
    assert refused.code is Code.LIMITED
    assert refused.retry_after_ms == 59_500
    assert refused.counter == "c"
    assert refused.rule == "/tools/a/limits/0"
    assert refused.reason == "At most 1 call a minute per grant."


@pytest.mark.parametrize(
    ("rule", "code"),
    [
        ({"action": "deny"}, Code.DENIED),
        ({"action": "require_approval"}, Code.APPROVAL_REQUIRED),
        ({"arguments": {"required": ["x"]}}, Code.BAD_ARGUMENTS),
        ({"require": [{"conditions": [{"path": "/id", "op": "eq", "value": 8}]}]},
         Code.REQUIRE_FAILED),
        ({"deny_if": [{"conditions": [{"path": "/id", "op": "eq", "value": 7}]}]},
         Code.DENY_IF_HELD),
        ({"deny_if": [{"conditions": [{"path": "/x", "op": "eq", "value": 7}]}]},
         Code.CONDITION_ERROR),
        ({"limits": [{"counter": "c", "window": 60, "max": 0}]}, Code.LIMITED),
        ({"limits": [{"counter": "c", "window": 60, "max": 9, "amount": "/x"}]}, Code.BAD_AMOUNT),
    ],
)  # fmt: skip
def test_a_rule_on_trial_lets_through_whatever_it_would_refuse(
    rule: dict[str, object], code: Code
) -> None:
    for mode, effect in (("warn", Effect.ALLOW), ("enforce", Effect.DENY)):
        found = verdict({"default": "deny", "tools": {"a": {**rule, "mode": mode}}}, "a")
        assert (found.code, found.effect, found.mode.value) == (code, effect, mode)


def test_one_revision_decides_alike_whatever_the_order_of_its_keys() -> None:
    limit = {"counter": "c", "window": 60, "max": 0}
    tools: dict[str, object] = {"a*x*": {"limits": [limit]}, "a*y*": {}}
    turned = dict(reversed(tools.items()))
    one, other = (
        verdict({"default": "deny", "tools": entries}, "axy") for entries in (tools, turned)
    )
    assert one == other
