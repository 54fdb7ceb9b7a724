"""What a call gives back when it ends, what is recorded on trial, and what hiding gives away."""

import json
from statistics import median
from time import perf_counter_ns
from typing import Any

import pytest

from toolreeve.audit import Completed, Decided, Outcome, Redaction
from toolreeve.decision import SECOND, Counters, Instant
from toolreeve.enforcement import (
    Action,
    Answer,
    Append,
    ArrivedCall,
    CallArrived,
    CallEnded,
    Enforcer,
    Forward,
    PolicyOffered,
    refusal,
)
from toolreeve.policy import parse

AT = Instant(100 * SECOND)
FAILURES = {
    Outcome.NOT_SENT: "not_sent",
    Outcome.RPC_ERROR: "rpc_error",
    Outcome.TOOL_ERROR: "tool_error",
}


def enforcer(**document: Any) -> Enforcer:
    text = json.dumps({"version": "1", "default": "deny", **document})
    made = Enforcer(
        redaction=Redaction(keep=(), key=bytes(32)), counters=Counters(), stopwatch=lambda: 0
    )
    offered = PolicyOffered(server="s", policy=parse(text, source="test"), origin="file")
    made.receive(offered, AT)
    return made


def call(made: Enforcer, tool: str = "t", at: Instant = AT) -> list[Action]:
    arrived = ArrivedCall(
        server="s", grant="g", agent="a", request_id="1", wire_tool=tool, arguments={}
    )
    return made.receive(CallArrived(arrived), at)


def decided(actions: list[Action]) -> Decided:
    first = actions[0]
    assert isinstance(first, Append)
    assert isinstance(first.draft.body, Decided)
    return first.draft.body


def ended(made: Enforcer, actions: list[Action], outcome: Outcome, at: Instant) -> Completed:
    forward = actions[1]
    assert isinstance(forward, Forward)
    completed = Completed(decision_id="gw:1:1", outcome=outcome)
    (record,) = made.receive(CallEnded(completed, forward.reservations), at)
    assert isinstance(record, Append)
    assert isinstance(record.draft.body, Completed)
    return record.draft.body


def limited(*refund_on: str) -> dict[str, Any]:
    limit = {"counter": "c", "window": "minute", "max": 1, "refund_on": list(refund_on)}
    return {"tools": {"t": {"limits": [limit]}}}


@pytest.mark.parametrize("outcome", Outcome)
def test_no_ending_gives_anything_back_unless_the_limit_says_so(outcome: Outcome) -> None:
    made = enforcer(**limited())
    assert ended(made, call(made), outcome, AT).refunded == ()
    assert decided(call(made)).code == "limited"


@pytest.mark.parametrize("outcome", Outcome)
def test_an_ending_gives_back_exactly_where_the_limit_names_it(outcome: Outcome) -> None:
    named = FAILURES.get(outcome)
    for refund_on in FAILURES.values():
        made = enforcer(**limited(refund_on))
        completed = ended(made, call(made), outcome, Instant(AT + SECOND))
        gives_back = named == refund_on
        assert completed.refunded == (("c",) if gives_back else ())
        assert decided(call(made)).code == ("allowed" if gives_back else "limited")


def test_a_call_gives_back_once_though_its_ending_were_told_twice() -> None:
    made = enforcer(**limited("tool_error"))
    first = call(made)
    assert ended(made, first, Outcome.TOOL_ERROR, Instant(AT + 1)).refunded == ("c",)
    assert decided(call(made, at=Instant(AT + 2))).code == "allowed"
    assert ended(made, first, Outcome.TOOL_ERROR, Instant(AT + 3)).refunded == ()
    assert decided(call(made, at=Instant(AT + 4))).code == "limited"


def test_a_call_that_outlasts_the_window_gives_nothing_back() -> None:
    made = enforcer(**limited("tool_error"))
    slow = call(made)
    later = Instant(AT + 60 * SECOND)
    assert decided(call(made, at=later)).code == "allowed"
    assert ended(made, slow, Outcome.TOOL_ERROR, later).refunded == ()
    assert decided(call(made, at=later)).code == "limited"


@pytest.mark.parametrize("mode", ["enforce", "warn", "shadow"])
@pytest.mark.parametrize(
    ("rule", "code"),
    [
        ({"action": "deny", "reason": "No."}, "denied"),
        ({"action": "require_approval"}, "approval_required"),
        ({"arguments": {"required": ["id"]}}, "bad_arguments"),
        ({"limits": [{"counter": "c", "window": "minute", "max": 0}]}, "limited"),
    ],
)
def test_the_would_be_decision_is_recorded_in_every_mode(
    mode: str, rule: dict[str, Any], code: str
) -> None:
    for document in (
        {"mode": mode, "tools": {"t": rule}},
        {"tools": {"t": {**rule, "mode": mode}}},
    ):
        actions = call(enforcer(**document))
        record = decided(actions)
        assert (record.code, record.mode) == (code, "" if mode == "enforce" else mode)
        assert record.effect.value == ("deny" if mode == "enforce" else "allow")
        if mode == "enforce":
            assert isinstance(actions[1], Answer)
        else:
            assert isinstance(actions[1], Forward)
            told = actions[1].warning.startswith("[POLICY WARNING] This call would be refused: ")
            assert told == (mode == "warn")
            assert (actions[1].warning == "") == (mode == "shadow")


def answers(made: Enforcer, tool: str) -> str:
    """All that the agent gets, with the tool's name taken out."""
    answer = call(made, tool)[1]
    assert isinstance(answer, Answer)
    said = refusal(answer, decision_id="x", protocol_version="2026-07-28")
    return json.dumps(said).replace(tool, "TOOL")


def test_a_hidden_tool_and_an_unknown_one_take_the_same_time() -> None:
    """Under default deny. In turns, many times: the machine's moods hit both alike."""
    made = enforcer(hide=["vm_secret", "pool_*"], tools={f"vm_{n}": {} for n in range(300)})
    tools = {"hidden": "vm_secret", "hidden by a glob": "pool_secret", "unknown": "vm_unheard"}
    took: dict[str, list[int]] = {kind: [] for kind in tools}
    for _ in range(400):
        for kind, tool in tools.items():
            began = perf_counter_ns()
            answers(made, tool)
            took[kind].append(perf_counter_ns() - began)
    typical = {kind: median(times) for kind, times in took.items()}
    assert max(typical.values()) < 1.5 * min(typical.values()), typical
    assert len({answers(made, tool) for tool in tools.values()}) == 1
