"""Two policies compared by what they mean."""

import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from toolreeve.decision import (
    SECOND,
    Call,
    Counters,
    Holds,
    Instant,
    NamelessCall,
    compile_policy,
    decide,
    effective_tool,
)
from toolreeve.decision.compile import CompiledPolicy
from toolreeve.decision.diff import Comparison, Difference, compare
from toolreeve.policy import parse

NOON = Instant(1_768_000_000 * SECOND)
MINUTELY = {"counter": "c", "window": "minute", "max": 2}


def compiled(document: dict[str, Any]) -> CompiledPolicy:
    return compile_policy(parse(json.dumps({"version": "1", **document}), source="test"))


def compared(old: dict[str, Any], new: dict[str, Any]) -> Comparison:
    return compare(compiled(old), compiled(new), {})


def rules(one: dict[str, Any], other: dict[str, Any]) -> Comparison:
    """Two rules for one tool, compared."""
    return compared(
        {"default": "deny", "tools": {"t": one}}, {"default": "deny", "tools": {"t": other}}
    )


def only(comparison: Comparison) -> Difference:
    (difference,) = comparison.differences
    return difference


def test_a_policy_means_what_it_means() -> None:
    one = {"default": "deny", "tools": {"a*": {}, "b": {"limits": [MINUTELY]}}}
    assert compared(one, one).same


def test_words_for_people_and_the_order_of_keys_change_nothing() -> None:
    schema = {"type": "object", "properties": {"title": {"type": "string"}}}
    told = {**schema, "title": "Words", "description": "More words"}
    assert rules({"arguments": schema}, {"arguments": told, "description": "Why"}).same


def test_a_property_named_like_an_annotation_is_no_annotation() -> None:
    one = {"type": "object", "properties": {"title": {"type": "string"}}}
    other = {"type": "object", "properties": {"title": {"type": "integer"}}}
    assert not rules({"arguments": one}, {"arguments": other}).same


def test_two_ways_to_write_one_condition_mean_the_same() -> None:
    one = {"require": [{"conditions": [{"path": "args.a", "op": "eq", "value": 1}]}]}
    other = {"require": [{"conditions": [{"path": "/a", "op": "in", "value": [1]}]}]}
    assert rules(one, other).same


def test_a_bound_that_moves_is_shown_by_a_call_on_it() -> None:
    def require(op: str) -> dict[str, Any]:
        return {"require": [{"conditions": [{"path": "args.id", "op": op, "value": 100}]}]}

    difference = only(rules(require("lt"), require("lte")))
    assert (difference.kind, difference.arguments) == ("allows", {"id": 100})


def test_a_schema_that_loosens_is_shown_by_a_call() -> None:
    closed = {"type": "object", "properties": {"id": {"type": "integer", "maximum": 5}}}
    wider = {"type": "object", "properties": {"id": {"type": "integer", "maximum": 9}}}
    difference = only(rules({"arguments": closed}, {"arguments": wider}))
    assert difference.kind == "allows"
    assert 5 < int(str(difference.arguments["id"])) <= 9


def test_a_pattern_that_loosens_is_shown_by_a_call() -> None:
    def require(pattern: str) -> dict[str, Any]:
        return {"require": [{"conditions": [{"path": "args.n", "op": "regex", "value": pattern}]}]}

    difference = only(rules(require("[a-z]{3}-[0-9]+"), require("[a-z]{3}-[0-9]+|root")))
    assert difference.kind == "allows"


def test_a_higher_limit_is_shown_by_the_first_call_it_lets_through() -> None:
    difference = only(rules({"limits": [MINUTELY]}, {"limits": [{**MINUTELY, "max": 3}]}))
    assert (difference.kind, difference.turn) == ("allows", 2)


def test_another_window_scope_alignment_key_or_refund_is_shown_by_a_history() -> None:
    for change in (
        {"window": "hour"},
        {"scope": "session"},
        {"scope": "server"},
        {"scope": "enforcer"},
        {"align": "calendar"},
        {"by": ["/id"]},
        {"refund_on": ["not_sent"]},
    ):
        comparison = rules({"limits": [MINUTELY]}, {"limits": [{**MINUTELY, **change}]})
        assert comparison.differences, change
        assert not comparison.unsettled, change


def test_spending_more_at_once_is_shown() -> None:
    spend = {"counter": "usd", "window": "day", "max": 100, "amount": "/usd"}
    comparison = rules({"limits": [spend]}, {"limits": [{**spend, "max": 200}]})
    assert any(one.kind == "allows" for one in comparison.differences)


def test_a_mode_that_lets_through_is_a_difference() -> None:
    old = {"default": "deny", "tools": {"t": {"action": "deny"}}}
    new = {"default": "deny", "tools": {"t": {"action": "deny", "mode": "shadow"}}}
    assert only(compared(old, new)).after.mode == "shadow"


def test_a_tool_that_is_hidden_now_is_a_difference() -> None:
    old: dict[str, Any] = {"default": "deny", "tools": {"t": {}}}
    difference = only(compared(old, {**old, "hide": ["t"]}))
    assert (difference.kind, difference.after.code) == ("refuses", "hidden")


def test_another_default_is_told_once_for_all_tools_without_a_rule() -> None:
    comparison = compared({"default": "deny"}, {"default": "allow"})
    tools = [one for one in comparison.differences if not one.method]
    methods = [one for one in comparison.differences if one.method]
    assert len(tools) == len(methods) == 1
    assert tools[0].stands_for_others


def test_a_method_that_is_allowed_now_is_a_difference() -> None:
    old = {"default": "deny"}
    difference = only(compared(old, {**old, "methods": {"resources/read": "allow"}}))
    assert difference.method == "resources/read"


def test_a_call_on_the_wire_that_means_something_else_now_is_a_difference() -> None:
    old: dict[str, Any] = {"default": "deny", "tools": {"vm_stop": {}}}
    new = {**old, "dispatch": {"meta": {"name": "/action"}}}
    difference = only(compared(old, new))
    assert (difference.before.tool, difference.after.tool) == ("meta", "vm_stop")


def test_a_dispatch_is_told_apart_where_only_the_meta_tool_itself_has_a_rule() -> None:
    old: dict[str, Any] = {"default": "allow", "tools": {"meta": {}}}
    new = {**old, "dispatch": {"meta": {"name": "/id", "arguments": "/force"}}}
    difference = only(compared(old, new))
    assert (difference.before.tool, difference.after.tool) == ("meta", "some_action")


def test_a_dispatch_that_differs_only_in_the_category_on_record_is_unsettled() -> None:
    old: dict[str, Any] = {"default": "allow", "dispatch": {"meta": {"name": "/action"}}}
    new = {**old, "dispatch": {"meta": {"name": "/action", "group": "/category"}}}
    comparison = compared(old, new)
    assert comparison.differences == ()
    assert [(one.tool, one.what) for one in comparison.unsettled] == [("meta", "dispatch")]


def test_what_methods_says_of_a_method_that_always_passes_makes_no_difference() -> None:
    old = {"default": "allow"}
    assert compared(old, {**old, "methods": {"ping": "deny", "prompts/list": "deny"}}).same


def test_another_pin_is_named_as_unsettled() -> None:
    comparison = compared({"default": "allow"}, {"default": "allow", "pin": "enforce"})
    assert [(one.tool, one.what) for one in comparison.unsettled] == [
        ("*", "pin is enforce instead of observe, for tools whose definition is not approved")
    ]
    assert compared({"default": "allow"}, {"default": "allow", "pin": "observe"}).same


def test_a_difference_without_a_call_that_shows_it_is_named_as_unsettled() -> None:
    def limit(most: int) -> dict[str, Any]:
        return {"limits": [{"counter": "c", "window": "day", "max": most}]}

    comparison = rules(limit(90_000), limit(90_001))
    assert comparison.differences == ()
    assert [(one.tool, one.what) for one in comparison.unsettled] == [("t", "limits")]


def answers(policy: CompiledPolicy, calls: list[tuple[str, dict[str, Any], int, str]]) -> list[Any]:
    counters, at, found = Counters(), NOON, list[Any]()
    for tool, arguments, seconds, session in calls:
        at = Instant(at + seconds * SECOND)
        meant = effective_tool(policy.dispatch_of(tool), tool, arguments)
        if isinstance(meant, NamelessCall):
            found.append(meant)
            continue
        call = Call(
            server="s", grant="g", session=session, tool=meant.name, arguments=meant.arguments
        )
        verdict = decide(policy, Holds(), counters, call, at)
        found.append((meant.name, verdict.effect, verdict.code, verdict.reason, verdict.mode))
    return found


@settings(deadline=None, max_examples=60)
@given(data=st.data())
def test_what_is_called_the_same_is_never_decided_otherwise(
    drawn: Any, data: st.DataObject
) -> None:
    document: dict[str, Any] = data.draw(drawn.policies)
    other: dict[str, Any] = data.draw(drawn.policies)
    part = data.draw(st.sampled_from(["", "tools", "all_tools", "hide", "mode", "dispatch"]))
    changed = {**document, **({part: other[part]} if part in other else {})}
    old, new = compiled(document), compiled(changed)
    if compare(old, new, {}).same:
        calls = data.draw(drawn.calls)
        assert answers(old, calls) == answers(new, calls)


@settings(deadline=None, max_examples=60)
@given(data=st.data())
def test_every_example_of_a_single_call_comes_out_as_it_is_told(
    drawn: Any, data: st.DataObject
) -> None:
    old, new = compiled(data.draw(drawn.policies)), compiled(data.draw(drawn.policies))
    for one in compare(old, new, {}).differences:
        if one.history is None and not one.method and not one.wire_tool:
            call = Call(server="s", grant="g", tool=one.tool, arguments=one.arguments)
            before = decide(old, Holds(), Counters(), call, NOON)
            after = decide(new, Holds(), Counters(), call, NOON)
            assert (before.effect.value, before.code.value) == (one.before.effect, one.before.code)
            assert (after.effect.value, after.code.value) == (one.after.effect, one.after.code)
