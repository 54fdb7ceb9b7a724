"""A call that goes on after more input is one call: limits count it once, and only that one."""

import json

import pytest
from msgspec.structs import replace

from toolreeve.audit import Completed, Decided, Hold, Outcome, Redaction
from toolreeve.decision import SECOND, Counters, Instant
from toolreeve.enforcement import (
    Action,
    Append,
    ArrivedCall,
    CallArrived,
    CallEnded,
    Enforcer,
    Forward,
    HoldOrdered,
    PolicyOffered,
    Question,
)
from toolreeve.enforcement.continuations import ROUNDS_MAX, WAITING_NS_MAX, Continuations
from toolreeve.policy import parse

AT = Instant(100 * SECOND)
CALL = ArrivedCall(
    server="s", grant="g", agent="a", request_id="1", wire_tool="vm_restart", arguments={"id": 7}
)
LIMITED = {
    "version": "1",
    "default": "deny",
    "tools": {
        "vm_restart": {"limits": [{"counter": "c", "window": "hour", "max": 1, "scope": "server"}]},
        "vm_stop": {"limits": [{"counter": "d", "window": "hour", "max": 1, "scope": "server"}]},
    },
}


def enforcer() -> Enforcer:
    made = Enforcer(
        redaction=Redaction(keep=(), key=bytes(32)), counters=Counters(), stopwatch=lambda: 0
    )
    policy = parse(json.dumps(LIMITED), source="test")
    made.receive(PolicyOffered(server="s", policy=policy, origin="file"), AT)
    return made


def code(actions: list[Action]) -> str:
    record = actions[0]
    assert isinstance(record, Append)
    assert isinstance(record.draft.body, Decided)
    return record.draft.body.code


def asked(made: Enforcer, call: ArrivedCall = CALL, state: str = "s", at: Instant = AT) -> None:
    """The call is let through, and its server answers with a question."""
    *_, forward = made.receive(CallArrived(call), at)
    assert isinstance(forward, Forward)
    completed = Completed(decision_id="d", outcome=Outcome.INPUT_REQUIRED)
    made.receive(
        CallEnded(completed, forward.reservations, Question(call, state, forward.rounds)), at
    )


def going_on(state: str = "s", **changed: object) -> CallArrived:
    return CallArrived(replace(CALL, request_id="2", goes_on_with=state, **changed))


def test_it_counts_once_with_its_first_request() -> None:
    made = enforcer()
    asked(made)
    actions = made.receive(going_on(), AT)
    assert actions[1:] == [Forward(rounds=1)]
    record = actions[0]
    assert isinstance(record, Append)
    assert isinstance(record.draft.body, Decided)
    assert record.draft.body.reservations == (), "so a restart counts it once too"
    assert code(made.receive(CallArrived(CALL), AT)) == "limited"


OTHERS: dict[str, dict[str, object]] = {
    "another grant": {"grant": "h"},
    "another session": {"session": "t"},
    "other arguments": {"arguments": {"id": 8}},
    "arguments of another type": {"arguments": {"id": "7"}},
    "another state": {"goes_on_with": "t"},
    "no state": {"goes_on_with": ""},
}


@pytest.mark.parametrize("name", OTHERS)
def test_whatever_is_not_the_same_call_counts_for_itself(name: str) -> None:
    made = enforcer()
    asked(made)
    other = replace(CALL, goes_on_with="s")
    assert code(made.receive(CallArrived(replace(other, **OTHERS[name])), AT)) == "limited"
    assert code(made.receive(going_on(), AT)) == "allowed", "and takes nothing from it"


def test_a_state_of_one_tool_is_none_of_another() -> None:
    made = enforcer()
    asked(made)
    asked(made, replace(CALL, wire_tool="vm_stop"), "t")
    assert code(made.receive(going_on("t"), AT)) == "limited"
    assert code(made.receive(going_on("t", wire_tool="vm_stop"), AT)) == "allowed"


def test_a_state_is_good_once_and_not_for_ever() -> None:
    made = enforcer()
    asked(made)
    assert code(made.receive(going_on(), AT)) == "allowed"
    assert code(made.receive(going_on(), AT)) == "limited"
    late = Instant(AT + 3_600 * SECOND)
    asked(made, at=late)
    assert code(made.receive(going_on(), Instant(late + WAITING_NS_MAX))) == "allowed"
    asked(made, at=Instant(2 * late))
    assert code(made.receive(going_on(), Instant(2 * late + WAITING_NS_MAX + 1))) == "limited"


def test_a_server_that_gives_no_state_is_gone_on_with_all_the_same() -> None:
    made = enforcer()
    asked(made, state="")
    assert code(made.receive(going_on(""), AT)) == "allowed"


def test_a_server_that_asks_for_ever_is_counted_again() -> None:
    """Or a server and an agent that are in league would have as many calls as they like."""
    made = enforcer()
    asked(made)
    codes = [code(made.receive(going_on(), AT))]
    for rounds in range(1, 2 * ROUNDS_MAX):
        completed = Completed(decision_id="d", outcome=Outcome.INPUT_REQUIRED)
        made.receive(CallEnded(completed, (), Question(CALL, "s", rounds)), AT)
        codes.append(code(made.receive(going_on(), AT)))
    assert codes == ["allowed"] * (ROUNDS_MAX - 1) + ["limited"] * (ROUNDS_MAX + 1)


def test_policy_and_holds_are_looked_at_again() -> None:
    made = enforcer()
    asked(made)
    hold = Hold(hold_id="h", tool="vm_restart", actor="x", reason="y")
    made.receive(HoldOrdered(hold), AT)
    assert code(made.receive(going_on(), AT)) == "held"


def test_no_more_are_remembered_than_the_bound_and_a_forgotten_one_counts() -> None:
    waiting = Continuations(waiting_max=2)
    for state in ("a", "b", "c"):
        waiting.wait(Question(CALL, state, 0), AT)
    rounds = [waiting.go_on(replace(CALL, goes_on_with=state), AT)[0] for state in ("a", "b", "c")]
    assert rounds == [0, 1, 1]
