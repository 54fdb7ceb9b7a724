"""What an enforcer makes of what it hears: the record always comes first."""

import json

from toolreeve.audit import (
    Completed,
    Decided,
    Event,
    Hold,
    HoldPlaced,
    HoldReleased,
    Outcome,
    PolicyApplied,
    Redaction,
)
from toolreeve.decision import SECOND, Counters, Effect, Instant
from toolreeve.enforcement import (
    Accept,
    Action,
    Announce,
    Answer,
    Append,
    ArrivedCall,
    CallArrived,
    Enforcer,
    Forward,
    HoldOrdered,
    HoldsReplaced,
    PolicyOffered,
    PolicyUnfit,
    Recovery,
    Reject,
    refusal,
)
from toolreeve.policy import Policy, parse

AT = Instant(100 * SECOND)


def policy(**members: object) -> Policy:
    return parse(json.dumps({"version": "1", "default": "deny", **members}), source="test")


LIMITED = policy(
    tools={
        "vm_restart": {"limits": [{"counter": "c", "window": "minute", "max": 2, "scope": "grant"}]}
    },
    dispatch={"truenas": {"name": "/action", "arguments": "/params", "group": "/category"}},
)


def enforcer(offered: Policy | None = LIMITED) -> Enforcer:
    made = Enforcer(
        redaction=Redaction(keep=("/id",), key=bytes(32)), counters=Counters(), stopwatch=lambda: 0
    )
    if offered is not None:
        made.receive(PolicyOffered(server="s", policy=offered, origin="file"), AT)
    return made


def arrived(tool: str = "vm_restart", **arguments: object) -> CallArrived:
    call = ArrivedCall(
        server="s", grant="g", agent="a", request_id="1", wire_tool=tool, arguments=arguments
    )
    return CallArrived(call)


def decided(actions: list[Action]) -> Decided:
    first = actions[0]
    assert isinstance(first, Append)
    assert isinstance(first.draft.body, Decided)
    return first.draft.body


def test_an_allowed_call_is_recorded_then_forwarded() -> None:
    actions = enforcer().receive(arrived(id=7), AT)
    assert decided(actions).effect is Effect.ALLOW
    assert actions[1:] == [Forward()]


def test_a_refused_call_is_recorded_then_answered() -> None:
    actions = enforcer().receive(arrived("vm_delete"), AT)
    assert decided(actions).code == "default_denied"
    assert isinstance(actions[1], Answer)


def test_a_cap_fires_through_dispatch_and_the_record_keeps_both_names() -> None:
    made = enforcer()
    call = arrived("truenas", category="vm", action="vm_restart", params={"id": 7})
    seen = [decided(made.receive(call, AT)) for _ in range(3)]
    assert [one.code for one in seen] == ["allowed", "allowed", "limited"]
    assert {(one.tool, one.wire_tool, one.tool_group) for one in seen} == {
        ("vm_restart", "truenas", "vm")
    }
    assert seen[0].arguments.kept[0].value_json == "7"


def test_flat_and_dispatched_calls_of_one_tool_share_their_counter() -> None:
    made = enforcer()
    made.receive(arrived(id=1), AT)
    made.receive(arrived("truenas", action="vm_restart"), AT)
    assert decided(made.receive(arrived(id=1), AT)).code == "limited"


def test_without_a_policy_everything_is_refused_and_nothing_is_shown() -> None:
    made = enforcer(None)
    assert decided(made.receive(arrived(), AT)).code == "no_policy"
    assert made.visible("s", [{"name": "vm_list"}]) == []
    assert made.method_allowed("s", "tools/list")
    assert not made.method_allowed("s", "resources/read")


def test_a_policy_change_keeps_the_counters() -> None:
    made = enforcer()
    made.receive(arrived(), AT)
    made.receive(arrived(), AT)
    edited = policy(tools={"vm_list": {}, **json.loads(LIMITED.canonical)["tools"]})
    made.receive(PolicyOffered(server="s", policy=edited, origin="file"), AT)
    assert decided(made.receive(arrived(), AT)).code == "limited"


def test_a_policy_from_the_control_plane_is_recorded_then_acknowledged() -> None:
    made = enforcer(None)
    offered = PolicyOffered(server="s", policy=LIMITED, origin="control", manifest_sequence=4)
    record, announce, accept = made.receive(offered, AT)
    assert isinstance(record, Append)
    assert isinstance(record.draft.body, PolicyApplied)
    assert announce == Announce("s")
    assert accept == Accept(server="s", policy="", revision=LIMITED.revision, manifest_sequence=4)
    assert made.receive(offered, AT) == [accept]


def test_an_unfit_policy_changes_nothing_and_is_told() -> None:
    made = enforcer()
    unfit = PolicyUnfit(server="s", code="invalid", reason="bad", origin="control")
    record, reject = made.receive(unfit, AT)
    assert isinstance(record, Append)
    assert isinstance(reject, Reject)
    assert decided(made.receive(arrived(), AT)).policy_revision == LIMITED.revision


def test_a_hold_stops_calls_until_it_is_gone_and_both_are_recorded_once() -> None:
    made = enforcer()
    hold = Hold(hold_id="h", tool="vm_restart", actor="operator", reason="Burst.")
    (placed,) = made.receive(HoldOrdered(hold), AT)
    assert isinstance(placed, Append)
    assert placed.draft.body == HoldPlaced(hold=hold)
    assert made.receive(HoldOrdered(hold), AT) == []
    assert decided(made.receive(arrived(), AT)).code == "held"
    (released,) = made.receive(HoldsReplaced(()), AT)
    assert isinstance(released, Append)
    assert isinstance(released.draft.body, HoldReleased)
    assert decided(made.receive(arrived(), AT)).code == "allowed"


def test_the_list_shows_what_may_be_called_with_all_its_fields() -> None:
    made = enforcer(policy(hide=["vm_secret"], tools={"vm_list": {}, "vm_secret": {}, "x": {}}))
    shown = {"name": "vm_list", "x-unknown": {"kept": True}}
    others: list[object] = [{"name": "vm_secret"}, {"name": "vm_delete"}, {}, 3, {"name": 4}]
    assert made.visible("s", [shown, *others]) == [shown]


def test_a_meta_tool_is_shown_unless_it_is_denied_or_hidden_by_name() -> None:
    dispatch = {"truenas": {"name": "/action"}}
    listed: list[object] = [{"name": "truenas"}]
    assert enforcer(policy(dispatch=dispatch)).visible("s", listed) == listed
    denied = policy(dispatch=dispatch, tools={"truenas": {"action": "deny"}})
    assert enforcer(denied).visible("s", listed) == []
    assert enforcer(policy(dispatch=dispatch, hide=["true*"])).visible("s", listed) == []


def test_a_refusal_says_why_to_people_and_to_programs() -> None:
    made = enforcer()
    for _ in range(2):
        made.receive(arrived(), AT)
    answer = made.receive(arrived(), Instant(AT + SECOND))[1]
    assert isinstance(answer, Answer)
    result = refusal(answer, decision_id="gw:1:3", protocol_version="2026-07-28")
    assert result == {
        "content": [
            {
                "type": "text",
                "text": "[POLICY DENIED] At most 2 calls a minute per grant. Try again in 59 s.",
            }
        ],
        "isError": True,
        "_meta": {
            "io.toolreeve/decision": {
                "code": "limited",
                "id": "gw:1:3",
                "rule": "/tools/vm_restart/limits/0",
                "revision": LIMITED.revision,
                "retryable": True,
                "retry_after_ms": 59_000,
            }
        },
        "resultType": "complete",
    }
    assert "resultType" not in refusal(answer, decision_id="x", protocol_version="2025-11-25")


def test_under_default_deny_a_hidden_tool_answers_like_one_that_nobody_wrote_down() -> None:
    made = enforcer(policy(hide=["vm_secret"]))
    told: list[dict[str, object]] = []
    for tool in ("vm_secret", "vm_absent"):
        answer = made.receive(arrived(tool), AT)[1]
        assert isinstance(answer, Answer)
        said = refusal(answer, decision_id="x", protocol_version="")
        told.append(json.loads(json.dumps(said).replace(tool, "TOOL")))
    assert told[0] == told[1]
    assert decided(made.receive(arrived("vm_secret"), AT)).code == "hidden"


def test_a_hidden_tool_answers_like_one_that_does_not_exist() -> None:
    made = enforcer(policy(default="allow", hide=["vm_secret"]))
    answer = made.receive(arrived("vm_secret"), AT)[1]
    assert isinstance(answer, Answer)
    result = refusal(answer, decision_id="x", protocol_version="")
    content = [{"type": "text", "text": "Unknown tool: vm_secret"}]
    assert result == {"content": content, "isError": True}


def test_a_restart_counts_what_was_admitted_and_settles_what_had_no_outcome() -> None:
    before = enforcer()
    bodies = [decided(before.receive(arrived(), AT)) for _ in range(3)]
    counters = Counters()
    recovery = Recovery(counters)
    for sequence, body in enumerate(bodies, start=1):
        recovery.read(Event(enforcer="gw", epoch=1, sequence=sequence, at=AT, body=body))
    ended = Completed(decision_id="gw:1:1", outcome=Outcome.SUCCESS)
    recovery.read(Event(enforcer="gw", epoch=1, sequence=4, at=Instant(AT + 5), body=ended))
    recovered = recovery.finish()
    assert [one.decision_id for one in recovered.unknown] == ["gw:1:2"]
    assert recovered.unknown[0].outcome is Outcome.UNKNOWN
    assert recovered.latest_at == AT + 5
    after = Enforcer(
        redaction=Redaction(keep=(), key=bytes(32)), counters=counters, stopwatch=lambda: 0
    )
    after.receive(PolicyOffered(server="s", policy=LIMITED, origin="disk"), AT)
    assert decided(after.receive(arrived(), Instant(AT + SECOND))).code == "limited"
    assert decided(after.receive(arrived(), Instant(AT + 60 * SECOND))).code == "allowed"
