"""A hidden tool answers like one that does not exist: in text, in what is done, and in time."""

import json
import random
import statistics
import time

import pytest

from toolreeve.audit import Redaction
from toolreeve.decision import SECOND, Counters, Instant
from toolreeve.enforcement import (
    Action,
    Answer,
    ArrivedCall,
    CallArrived,
    Enforcer,
    PolicyOffered,
    refusal,
)
from toolreeve.policy import parse

AT = Instant(100 * SECOND)
HIDDEN, UNKNOWN = "vm_delete", "vm_remove"  # as long as one another
POLICIES: dict[str, dict[str, object]] = {
    "by name": {"hide": [HIDDEN], "tools": {"vm_list": {}}},
    "by a pattern": {"hide": ["*delete"], "tools": {"vm_list": {}}},
    "though a rule allows it": {"hide": [HIDDEN], "tools": {HIDDEN: {}, "vm_list": {}}},
    "though a rule needs an approval": {
        "hide": [HIDDEN],
        "tools": {HIDDEN: {"action": "require_approval"}},
    },
    "though limits hold for all": {
        "hide": [HIDDEN],
        "all_tools": {"limits": [{"counter": "c", "window": "minute", "max": 1}]},
        "tools": {"vm_list": {}},
    },
}


def enforcer(members: dict[str, object]) -> Enforcer:
    made = Enforcer(
        redaction=Redaction(keep=("/id",), key=bytes(32)), counters=Counters(), stopwatch=lambda: 0
    )
    policy = parse(json.dumps({"version": "1", "default": "deny", **members}), source="test")
    made.receive(PolicyOffered(server="s", policy=policy, origin="file"), AT)
    return made


def arrived(tool: str, dispatched: bool = False) -> CallArrived:
    arguments: dict[str, object] = {"id": 7}
    if dispatched:
        tool, arguments = "truenas", {"action": tool, "params": arguments}
    return CallArrived(
        ArrivedCall(
            server="s", grant="g", agent="a", request_id="1", wire_tool=tool, arguments=arguments
        )
    )


def heard(actions: list[Action]) -> str:
    """What the agent reads, whatever the decision's own id is."""
    said = actions[-1]
    assert isinstance(said, Answer)
    return json.dumps(refusal(said, decision_id="d", protocol_version="2026-07-28"))


@pytest.mark.parametrize("dispatched", [False, True])
@pytest.mark.parametrize("name", POLICIES)
def test_the_same_is_done_and_the_same_is_read_but_for_the_name(
    name: str, dispatched: bool
) -> None:
    dispatch = {"truenas": {"name": "/action", "arguments": "/params"}}
    made = enforcer({**POLICIES[name], "dispatch": dispatch})
    hidden = made.receive(arrived(HIDDEN, dispatched), AT)
    unknown = made.receive(arrived(UNKNOWN, dispatched), AT)
    assert [type(action) for action in hidden] == [type(action) for action in unknown]
    assert heard(hidden).replace(HIDDEN, UNKNOWN) == heard(unknown)
    assert made.visible("s", [{"name": HIDDEN}]) == made.visible("s", [{"name": UNKNOWN}]) == []


def quartile(times: list[int]) -> float:
    """The time that the faster quarter stays below: what others do to the machine is above it."""
    return statistics.quantiles(times, n=4)[0]


@pytest.mark.parametrize("name", POLICIES)
def test_deciding_takes_as_long_for_a_hidden_tool_as_for_an_unknown_one(name: str) -> None:
    """Interleaved in disorder. A real difference shows every time, a busy machine does not."""
    chance = random.Random(7)
    differences: list[float] = []
    for _ in range(3):
        made = enforcer(POLICIES[name])
        times: dict[str, list[int]] = {HIDDEN: [], UNKNOWN: []}
        calls = {tool: arrived(tool) for tool in times}
        for _ in range(1_500):
            for tool in chance.sample((HIDDEN, UNKNOWN), 2):
                began = time.perf_counter_ns()
                made.receive(calls[tool], AT)
                times[tool].append(time.perf_counter_ns() - began)
        differences.append(abs(quartile(times[HIDDEN]) - quartile(times[UNKNOWN])) / 1_000)
        if differences[-1] < 20:
            return
    pytest.fail(f"microseconds apart: {differences}")
