"""What an explanation tells is what decides."""

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from toolreeve.decision import (
    SECOND,
    Call,
    Code,
    Counters,
    Hold,
    Holds,
    Instant,
    NamelessCall,
    Verdict,
    compile_policy,
    decide,
    effective_tool,
)
from toolreeve.decision.compile import CompiledPolicy
from toolreeve.decision.explain import Asked, Explanation, explain, settled_by
from toolreeve.decision.look import Stage
from toolreeve.decision.open_counters import OpenCounters
from toolreeve.policy import parse

NOON = Instant(1_768_000_000 * SECOND)
RESTARTS = {
    "default": "deny",
    "hide": ["vm_delete"],
    "dispatch": {"meta": {"name": "/action", "arguments": "/params"}},
    "tools": {
        "vm_*": {},
        "vm_restart": {
            "arguments": {"type": "object", "properties": {"id": {"type": "integer"}}},
            "require": [{"conditions": [{"path": "args.id", "op": "lt", "value": 100}]}],
            "deny_if": [
                {
                    "conditions": [
                        {"path": "args.id", "op": "eq", "value": 7, "on_missing": "ignore"},
                        {"path": "args.force", "op": "exists", "value": True},
                    ],
                    "on_deny": "Not that one by force.",
                }
            ],
            "limits": [{"counter": "restarts", "window": "minute", "max": 2}],
        },
    },
}


def compiled(document: dict[str, Any]) -> CompiledPolicy:
    return compile_policy(parse(json.dumps({"version": "1", **document}), source="test"))


def ask(
    document: dict[str, Any],
    tool: str,
    arguments: dict[str, Any] | None = None,
    *,
    holds: Holds | None = None,
    counters: OpenCounters | None = None,
) -> Explanation:
    asked = Asked(tool=tool, arguments=arguments or {})
    policy = compiled(document)
    return explain(policy, holds or Holds(), counters or OpenCounters(), asked, NOON)


def told(explanation: Explanation, stage: Stage) -> list[str]:
    return [look.finding for look in explanation.looks if look.stage is stage]


def test_everything_that_was_looked_at_stands_in_its_order() -> None:
    explained = ask(RESTARTS, "meta", {"action": "vm_restart", "params": {"id": 7}})
    assert [(look.stage, look.pointer) for look in explained.looks] == [
        (Stage.DISPATCH, "/dispatch/meta"),
        (Stage.HIDE, "/hide"),
        (Stage.RULE, "/tools/vm_restart"),
        (Stage.RULE, "/tools/vm_*"),
        (Stage.ARGUMENTS, "/tools/vm_restart/arguments"),
        (Stage.REQUIRE, "/tools/vm_restart/require/0/conditions/0"),
        (Stage.DENY_IF, "/tools/vm_restart/deny_if/0/conditions/0"),
        (Stage.DENY_IF, "/tools/vm_restart/deny_if/0/conditions/1"),
        (Stage.LIMIT, "/tools/vm_restart/limits/0"),
        (Stage.MODE, "/mode"),
    ]
    assert explained.verdict.code is Code.ALLOWED


def test_what_settles_a_refusal_is_looked_at_last() -> None:
    explained = ask(RESTARTS, "vm_restart", {"id": 7, "force": 1})
    assert explained.looks[-2].code is Code.DENY_IF_HELD
    assert told(explained, Stage.LIMIT) == []
    assert explained.verdict.reason == "Not that one by force."


def test_each_misfit_of_the_arguments_is_named_with_its_place() -> None:
    schema = {
        "type": "object",
        "required": ["name"],
        "properties": {"id": {"type": "integer"}},
        "additionalProperties": False,
    }
    document = {"default": "deny", "tools": {"t": {"arguments": schema}}}
    explained = ask(document, "t", {"id": "1/../2", "x": 1})
    (finding,) = told(explained, Stage.ARGUMENTS)
    assert "/id breaks type" in finding
    assert "breaks required" in finding
    assert "breaks additionalProperties" in finding
    assert "1/../2" not in finding


def test_a_limit_tells_its_count_its_room_and_when_there_is_some() -> None:
    counters = OpenCounters()
    for _ in range(2):
        ask(RESTARTS, "vm_restart", {"id": 1}, counters=counters)
    explained = ask(RESTARTS, "vm_restart", {"id": 1}, counters=counters)
    (finding,) = told(explained, Stage.LIMIT)
    assert finding == (
        "restarts: 2 of 2 a minute for this grant, room for 0; room for this call in 60000 ms"
    )
    assert explained.verdict.retry_after_ms == 60_000


def test_a_limit_with_room_tells_how_much() -> None:
    (finding,) = told(ask(RESTARTS, "vm_restart", {"id": 1}), Stage.LIMIT)
    assert finding == "restarts: 0 of 2 a minute for this grant, room for 2"


def test_a_hold_stops_everything_else() -> None:
    hold = Hold(hold_id="h-1", tool="vm_restart", actor="ops", reason="Ticket 4711.")
    explained = ask(RESTARTS, "vm_restart", {"id": 1}, holds=Holds().place(hold))
    assert [look.stage for look in explained.looks] == [Stage.DISPATCH, Stage.HOLD]
    assert explained.verdict.code is Code.HELD


def test_a_rule_that_is_beaten_by_a_denial_says_so() -> None:
    tools = {"vm_*": {"action": "deny"}, "vm_restart": {}}
    explained = ask({"default": "allow", "tools": tools}, "vm_restart")
    assert told(explained, Stage.RULE) == [
        "names vm_restart; a denial beats it",
        "matches vm_restart and holds: deny",
    ]


def test_a_mode_that_lets_through_says_so() -> None:
    explained = ask({"default": "deny", "mode": "shadow"}, "t")
    assert told(explained, Stage.MODE) == ["shadow: the call is let through all the same"]


def test_an_operation_that_cannot_be_read_is_told() -> None:
    explained = ask(RESTARTS, "meta", {"action": 3})
    assert explained.verdict.code is Code.BAD_OPERATION
    assert told(explained, Stage.DISPATCH) == ["/action is not a string"]


def plain_verdict(
    policy: CompiledPolicy, holds: Holds, counters: Counters, asked: Asked, at: Instant
) -> Verdict | None:
    """What an enforcer makes of the call; None where it cannot read the operation."""
    found = effective_tool(policy.dispatch_of(asked.tool), asked.tool, asked.arguments)
    if isinstance(found, NamelessCall):
        return None
    call = Call(
        server=asked.server,
        grant=asked.grant,
        session=asked.session,
        tool=found.name,
        arguments=found.arguments,
    )
    return decide(policy, holds, counters, call, at)


def test_a_pinned_definition_is_taken_for_approved_and_that_is_said() -> None:
    told = explain(
        compiled({"default": "allow", "pin": "enforce"}),
        Holds(),
        OpenCounters(),
        Asked(tool="vm_list", arguments={}),
        NOON,
    )
    (look,) = [one for one in told.looks if one.stage is Stage.PIN]
    assert look.finding == "enforce: the tool's definition is taken for approved here"
    assert told.verdict.code is Code.ALLOWED


@given(data=st.data())
def test_an_explanation_always_comes_to_the_verdict_of_the_enforcer(
    drawn: Any, data: st.DataObject
) -> None:
    policy = compiled(data.draw(drawn.policies))
    holds: Holds = data.draw(drawn.holds)
    calls: list[tuple[str, dict[str, Any], int, str]] = data.draw(drawn.calls)
    told_by, decided_by = OpenCounters(), Counters()
    at = NOON
    for tool, arguments, seconds, session in calls:
        at = Instant(at + seconds * SECOND)
        asked = Asked(tool=tool, arguments=arguments, session=session)
        explained = explain(policy, holds, told_by, asked, at)
        verdict = plain_verdict(policy, holds, decided_by, asked, at)
        if verdict is None:
            assert explained.verdict.code is Code.BAD_OPERATION
        else:
            assert explained.verdict == verdict
        settled = settled_by(explained)
        if settled is None:
            assert explained.verdict.code is Code.ALLOWED
        else:
            assert settled.code is explained.verdict.code
            assert settled.pointer.startswith(explained.verdict.rule)
        behind = [look for look in explained.looks if look.stage is not Stage.MODE]
        assert settled is None or behind[-1] is settled
