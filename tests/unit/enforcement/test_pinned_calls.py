"""What pins do to calls and listings: in which order, in which mode, and what is told of it."""

import json
from typing import Any

import pytest

from toolreeve.audit import Decided, Redaction, ToolChanged, ToolPinned
from toolreeve.decision import SECOND, Counters, Hold, Instant
from toolreeve.enforcement import (
    Action,
    Announce,
    Answer,
    Append,
    ArrivedCall,
    CallArrived,
    Enforcer,
    Forward,
    HoldOrdered,
    KeepPins,
    PinsRead,
    PolicyOffered,
    ToolsListed,
    refusal,
)
from toolreeve.policy import parse

AT = Instant(100 * SECOND)
TOOLS = ("vm_list", "vm_stop", "vm_delete", "truenas")


def tool(name: str, description: str = "Does it.") -> dict[str, object]:
    return {"name": name, "description": description}


def enforcer(*listed: str, **policy: object) -> Enforcer:
    made = Enforcer(
        redaction=Redaction(keep=(), key=bytes(32)), counters=Counters(), stopwatch=lambda: 0
    )
    offer(made, **policy)
    if listed:
        hear(made, *(tool(name) for name in listed))
    return made


def offer(made: Enforcer, **policy: object) -> None:
    text = json.dumps({"version": "1", "default": "allow", "pin": "enforce", **policy})
    made.receive(PolicyOffered(server="s", policy=parse(text, source="p"), origin="file"), AT)


def hear(made: Enforcer, *tools: object, more: bool = False) -> list[Action]:
    return made.receive(ToolsListed(server="s", tools=tools, more=more), AT)


def call(made: Enforcer, name: str, **arguments: object) -> tuple[Decided, Action]:
    arrived = ArrivedCall(
        server="s", grant="g", agent="a", request_id="1", wire_tool=name, arguments=arguments
    )
    actions = made.receive(CallArrived(arrived), AT)
    assert isinstance(actions[0], Append)
    assert isinstance(actions[0].draft.body, Decided)
    return actions[0].draft.body, actions[-1]


def code(made: Enforcer, name: str, **arguments: object) -> str:
    return call(made, name, **arguments)[0].code


def said(action: Action) -> dict[str, Any]:
    assert isinstance(action, Answer)
    return refusal(action, decision_id="d", protocol_version="2025-11-25")


def test_pins_are_kept_before_what_they_show_is_recorded() -> None:
    keep, *records = hear(enforcer(), tool("vm_list"), tool("vm_stop"))
    assert isinstance(keep, KeepPins)
    assert set(keep.pins.tools) == {"vm_list", "vm_stop"}
    bodies = [one.draft.body for one in records if isinstance(one, Append)]
    assert [type(body) for body in bodies] == [ToolPinned, ToolPinned]
    made = enforcer("vm_list")
    assert hear(made, tool("vm_list")) == []


@pytest.mark.parametrize("pin", ["off", "observe"])
def test_only_enforce_keeps_a_changed_tool_from_anybody(pin: str) -> None:
    made = enforcer("vm_stop", pin=pin)
    hear(made, tool("vm_stop", "other"))
    assert code(made, "vm_stop") == "allowed"
    assert made.visible("s", [tool("vm_stop", "other")])


def test_a_changed_tool_is_neither_listed_nor_called() -> None:
    made = enforcer("vm_list", "vm_stop")
    actions = hear(made, tool("vm_list"), tool("vm_stop", "other"))
    assert isinstance(actions[1], Append)
    assert isinstance(actions[1].draft.body, ToolChanged)
    assert made.visible("s", [tool("vm_list"), tool("vm_stop", "other")]) == [tool("vm_list")]
    decided, answer = call(made, "vm_stop")
    assert (decided.code, decided.rule) == ("unapproved_definition", "/pin")
    meta = said(answer)["_meta"]["io.toolreeve/decision"]
    assert (meta["code"], meta["rule"], meta["retryable"]) == (
        "unapproved_definition",
        "/pin",
        False,
    )


def test_without_a_policy_nothing_is_pinned() -> None:
    made = Enforcer(
        redaction=Redaction(keep=(), key=bytes(32)), counters=Counters(), stopwatch=lambda: 0
    )
    assert hear(made, tool("vm_list")) == []


def test_a_refused_definition_counts_under_no_limit_and_is_told_before_arguments() -> None:
    limit = {"counter": "c", "window": "minute", "max": 1}
    schema = {"type": "object", "required": ["id"]}
    rule = {"vm_stop": {"limits": [limit], "arguments": schema}}
    made = enforcer("vm_stop", tools=rule)
    hear(made, tool("vm_stop", "other"))
    assert [code(made, "vm_stop") for _ in range(3)] == ["unapproved_definition"] * 3
    hear(made, tool("vm_stop"))
    assert [code(made, "vm_stop", id=1) for _ in range(2)] == ["allowed", "limited"]


def test_holds_hidden_names_and_denials_are_told_first() -> None:
    made = enforcer(hide=["vm_list"], tools={"vm_stop": {"action": "deny"}})
    assert code(made, "vm_list") == "hidden"
    assert code(made, "vm_stop") == "denied"
    hold = Hold(hold_id="h", fleet=True, actor="a", reason="r")
    made.receive(HoldOrdered(hold), AT)
    assert code(made, "vm_delete") == "held"


@pytest.mark.parametrize("default", ["allow", "deny"])
def test_hidden_tools_and_tools_nobody_heard_of_answer_alike(default: str) -> None:
    made = enforcer("vm_list", "vm_delete", default=default, hide=["vm_delete"])
    hidden, unknown = (said(call(made, name)[1]) for name in ("vm_delete", "vm_delite"))
    assert json.dumps(hidden).replace("vm_delete", "NAME") == (
        json.dumps(unknown).replace("vm_delite", "NAME")
    )


def test_a_tool_with_a_rule_is_told_that_its_definition_is_not_known_yet() -> None:
    made = enforcer(default="deny", tools={"vm_stop": {}})
    decided, answer = call(made, "vm_stop")
    assert decided.code == "unapproved_definition"
    assert said(answer)["content"][0]["text"] == (
        "[POLICY DENIED] The definition of vm_stop is not known here yet: list the tools first."
    )


def test_the_operations_of_a_meta_tool_stand_and_fall_with_its_definition() -> None:
    dispatch = {"truenas": {"name": "/action", "arguments": "/params"}}
    made = enforcer("truenas", dispatch=dispatch, tools={"vm_restart": {}})
    assert code(made, "truenas", action="vm_restart") == "allowed"
    hear(made, tool("truenas", "other"))
    decided, _ = call(made, "truenas", action="vm_restart")
    assert (decided.code, decided.tool) == ("unapproved_definition", "vm_restart")
    assert made.visible("s", [tool("truenas", "other")]) == []


@pytest.mark.parametrize("mode", ["warn", "shadow"])
def test_a_policy_on_trial_refuses_nothing_and_records_what_it_would(mode: str) -> None:
    made = enforcer("vm_stop", mode=mode)
    hear(made, tool("vm_stop", "other"))
    decided, action = call(made, "vm_stop")
    assert (decided.code, decided.mode) == ("unapproved_definition", mode)
    assert isinstance(action, Forward)
    assert bool(action.warning) == (mode == "warn")
    assert made.visible("s", [tool("vm_stop", "other")])


def test_a_single_tool_on_trial_is_listed_and_called() -> None:
    made = enforcer("vm_stop", "vm_list", tools={"vm_stop": {"mode": "shadow"}})
    changed = [tool("vm_stop", "other"), tool("vm_list", "other")]
    hear(made, *changed)
    assert made.visible("s", changed) == changed[:1]
    assert isinstance(call(made, "vm_stop")[1], Forward)
    assert code(made, "vm_list") == "unapproved_definition"
    assert isinstance(call(made, "vm_list")[1], Answer)


def test_an_approval_from_elsewhere_is_announced_and_a_mere_reading_is_not() -> None:
    made = enforcer("vm_stop")
    hear(made, tool("vm_stop", "other"))
    pins = made.pins_of("s")
    assert pins is not None
    assert made.receive(PinsRead("s", pins), AT) == []
    offered = pins.tools["vm_stop"].definition_offered
    approved, _ = pins.approve("s", offered, actor="a", reason="r", at=AT)
    assert made.receive(PinsRead("s", approved), AT) == [Announce("s")]
    assert code(made, "vm_stop") == "allowed"


def test_damaged_pins_let_no_tool_through_and_pin_nothing() -> None:
    made = enforcer("vm_list", tools={"vm_list": {}})
    assert made.receive(PinsRead("s", None), AT) == [Announce("s")]
    assert hear(made, tool("vm_list")) == []
    assert made.visible("s", [tool("vm_list")]) == []
    decided, _ = call(made, "vm_list")
    assert decided.reason == "The approved definitions of this server's tools cannot be read."
    offer(made, pin="observe")
    assert code(made, "vm_list") == "allowed"
    assert made.visible("s", [tool("vm_list")])
