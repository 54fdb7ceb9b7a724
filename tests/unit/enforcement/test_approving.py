"""A person's word changes one thing about a call, and nothing else."""

from typing import Any

import pytest
from msgspec.structs import replace

from toolreeve.audit import Completed, Decided, Hold, Outcome, Redaction
from toolreeve.decision import SECOND, Code, Counters, Instant
from toolreeve.decision.approval import ApprovalState, Permit
from toolreeve.enforcement import (
    Action,
    Answer,
    Append,
    ArrivedCall,
    CallArrived,
    CallEnded,
    Enforcer,
    Forward,
    HoldOrdered,
    PolicyOffered,
    Question,
    refusal,
)
from toolreeve.enforcement.answers import META_KEY, Asking
from toolreeve.policy import canonical_json, parse

AT = Instant(100 * SECOND)
CALL = ArrivedCall(
    server="s",
    grant="g",
    agent="a",
    request_id="1",
    wire_tool="vm_delete",
    arguments={"id": 7, "secret": "x"},
)
POLICY: dict[str, Any] = {
    "version": "1",
    "default": "deny",
    "tools": {
        "vm_delete": {
            "action": "require_approval",
            "reason": "Gone is gone.",
            "approval": {"timeout": "5m", "approvers": ["ann", "bo"], "count": 2},
            "deny_if": [{"conditions": [{"path": "args.force", "op": "exists", "value": True}]}],
            "limits": [{"counter": "c", "window": "hour", "max": 1, "scope": "server"}],
        }
    },
}


def enforcer(policy: dict[str, Any] = POLICY) -> Enforcer:
    made = Enforcer(
        redaction=Redaction(keep=("/id",), key=b"k" * 32),
        counters=Counters(b"c" * 32),
        stopwatch=lambda: 0,
    )
    offer(made, policy)
    return made


def offer(made: Enforcer, policy: dict[str, Any]) -> None:
    parsed = parse(canonical_json(policy), source="p")
    made.receive(PolicyOffered(server="s", policy=parsed, origin="file"), AT)


def asked(made: Enforcer, call: ArrivedCall = CALL, permit: Permit | None = None) -> list[Action]:
    return made.receive(CallArrived(call, permit=permit), AT)


def binding(made: Enforcer, call: ArrivedCall = CALL) -> bytes:
    answer = asked(made, call)[-1]
    assert isinstance(answer, Answer)
    assert answer.question is not None
    return answer.question.binding


def decided(actions: list[Action]) -> Decided:
    (body,) = [
        one.draft.body
        for one in actions
        if isinstance(one, Append) and isinstance(one.draft.body, Decided)
    ]
    return body


def test_a_call_that_needs_approval_is_refused_on_record_with_what_a_person_is_asked() -> None:
    record, answer = asked(enforcer())
    assert isinstance(record, Append)
    assert isinstance(answer, Answer)
    assert decided([record]).code == "approval_required"
    question = answer.question
    assert question is not None
    assert (question.tool, question.grant, question.agent) == ("vm_delete", "g", "a")
    assert question.argument_names == ("id", "secret")
    assert question.kept == (("/id", "7"),)
    assert (question.approvers, question.votes_needed) == (("ann", "bo"), 2)
    assert question.timeout_ns == 300 * SECOND
    assert question.reason == "Gone is gone."


def test_names_that_an_agent_chose_are_shown_as_text_of_a_bounded_length() -> None:
    names = {"a\x1b[2Jb": 1, "x" * 5_000: 2}
    answer = asked(enforcer(), replace(CALL, arguments=names))[-1]
    assert isinstance(answer, Answer)
    assert answer.question is not None
    escaped, long = answer.question.argument_names
    assert escaped == "a\ufffd[2Jb"
    assert long == "x" * 128 + "\u2026"


def test_what_would_be_refused_anyway_is_not_asked_about() -> None:
    answer = asked(enforcer(), replace(CALL, arguments={"force": True}))[-1]
    assert isinstance(answer, Answer)
    assert answer.question is None


@pytest.mark.parametrize("mode", ["warn", "shadow"])
def test_nobody_is_asked_where_the_policy_only_watches(mode: str) -> None:
    assert isinstance(asked(enforcer({**POLICY, "mode": mode}))[-1], Forward)


def test_a_claimed_permit_lets_the_call_through_and_it_counts_under_limits() -> None:
    made = enforcer()
    permit = Permit(binding(made), claimed=True)
    record, forward = asked(made, permit=permit)
    assert isinstance(forward, Forward)
    assert decided([record]).code == "allowed"
    refused = asked(made, permit=permit)
    assert decided(refused).code == "limited"


@pytest.mark.parametrize(
    "other",
    [
        replace(CALL, arguments={"id": 8, "secret": "x"}),
        replace(CALL, arguments={"id": 7, "secret": "y"}),
        replace(CALL, grant="h"),
    ],
)
def test_a_permit_is_good_for_the_call_it_was_given_for_and_for_no_other(
    other: ArrivedCall,
) -> None:
    made = enforcer()
    permit = Permit(binding(made), claimed=True)
    assert decided(asked(made, other, permit)).code == "approval_required"


def test_what_stands_beside_the_effective_arguments_is_bound_too() -> None:
    made = enforcer({**POLICY, "dispatch": {"vm": {"name": "/action", "arguments": "/params"}}})

    def through(category: str) -> ArrivedCall:
        arguments = {"action": "vm_delete", "params": {"id": 7}, "category": category}
        return replace(CALL, wire_tool="vm", arguments=arguments)

    assert binding(made, through("a")) != binding(made, through("b"))


def test_a_permit_ends_with_the_revision_it_was_given_under() -> None:
    made = enforcer()
    permit = Permit(binding(made), claimed=True)
    offer(made, {**POLICY, "name": "next"})
    assert decided(asked(made, permit=permit)).code == "approval_required"


def test_a_hold_stops_a_call_that_has_its_permit() -> None:
    made = enforcer()
    permit = Permit(binding(made), claimed=True)
    made.receive(HoldOrdered(Hold(hold_id="h", tool="vm_delete", actor="x", reason="y")), AT)
    assert decided(asked(made, permit=permit)).code == "held"
    assert made.look(CALL, permit.binding, AT).code is Code.HELD


def test_a_permit_that_is_not_claimed_lets_nothing_through_and_counts_nothing() -> None:
    made = enforcer()
    bound = binding(made)
    for _ in range(3):
        assert decided(asked(made, permit=Permit(bound, claimed=False))).code == "approval_required"
    assert made.counted() == ()
    asked(made, permit=Permit(bound, claimed=True))
    refused = asked(made, permit=Permit(bound, claimed=False))
    assert decided(refused).code == "limited"


def test_to_look_leaves_everything_as_it_was() -> None:
    made = enforcer()
    bound = binding(made)
    for _ in range(3):
        assert made.look(CALL, bound, AT).code is Code.ALLOWED
    assert made.look(CALL, b"other", AT).code is Code.APPROVAL_REQUIRED
    assert isinstance(asked(made, permit=Permit(bound, claimed=True))[-1], Forward)


def test_a_call_that_goes_on_after_more_input_needs_no_second_approval() -> None:
    made = enforcer()
    forward = asked(made, permit=Permit(binding(made), claimed=True))[-1]
    assert isinstance(forward, Forward)
    ended = Completed(decision_id="e:1:1", outcome=Outcome.INPUT_REQUIRED)
    question = Question(CALL, "state", forward.rounds, forward.permit)
    made.receive(CallEnded(ended, question=question), AT)
    going_on = replace(CALL, goes_on_with="state")
    assert isinstance(asked(made, going_on)[-1], Forward)
    assert isinstance(asked(made, going_on)[-1], Answer)  # each state once


def test_a_call_begun_without_approval_does_not_go_on_under_a_policy_that_needs_one() -> None:
    made = enforcer({"version": "1", "default": "allow"})
    forward = asked(made)[-1]
    assert isinstance(forward, Forward)
    ended = Completed(decision_id="e:1:1", outcome=Outcome.INPUT_REQUIRED)
    made.receive(CallEnded(ended, question=Question(CALL, "state", 0, forward.permit)), AT)
    offer(made, POLICY)
    assert decided(asked(made, replace(CALL, goes_on_with="state"))).code == "approval_required"


@pytest.mark.parametrize("state", [*ApprovalState, None])
def test_the_agent_reads_how_it_stands_and_programs_do_too(state: ApprovalState | None) -> None:
    answer = asked(enforcer())[-1]
    assert isinstance(answer, Answer)
    asking = Asking(
        approval_id="" if state is None else "appr-1",
        state=state,
        reason="in use",
        expires_in_ms=5,
    )
    told: Any = refusal(answer, decision_id="e:1:1", protocol_version="2026-07-28", asking=asking)
    data = told["_meta"][META_KEY]
    assert told["isError"]
    assert told["content"][0]["text"].startswith("[APPROVAL ")
    assert data["code"] == "approval_required"
    assert data["approval"]["state"] == ("not_asked" if state is None else state.value)
    assert data["retryable"] is (state is not ApprovalState.DENIED)
    assert ("retry_after_ms" in data) is data["retryable"]
