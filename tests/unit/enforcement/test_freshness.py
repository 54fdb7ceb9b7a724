"""What an enforcer makes of calls when it has not heard of its control plane for too long."""

import json

import pytest

from toolreeve.audit import Decided, Hold, Redaction
from toolreeve.decision import MINUTE, SECOND, Counters, Effect, Instant
from toolreeve.enforcement import (
    Append,
    ArrivedCall,
    CallArrived,
    Enforcer,
    HoldOrdered,
    PolicyOffered,
)
from toolreeve.policy import PolicyTextError, parse

HEARD_AT = Instant(100 * MINUTE)
TOOLS: dict[str, object] = {"vm_status": {}, "vm_delete": {}}


def enforcer(**members: object) -> Enforcer:
    made = Enforcer(
        redaction=Redaction(keep=(), key=bytes(32)), counters=Counters(), stopwatch=lambda: 0
    )
    said: dict[str, object] = {"version": "1", "default": "deny", "tools": TOOLS, **members}
    policy = parse(json.dumps(said), source="test")
    made.receive(PolicyOffered(server="s", policy=policy, origin="control"), HEARD_AT)
    return made


def call(made: Enforcer, tool: str, at: int) -> Decided:
    arrived = ArrivedCall(
        server="s", grant="g", agent="a", request_id="1", wire_tool=tool, arguments={}
    )
    record = made.receive(CallArrived(arrived), Instant(at))[0]
    assert isinstance(record, Append)
    assert isinstance(record.draft.body, Decided)
    return record.draft.body


@pytest.mark.parametrize(
    ("on_stale", "reads", "writes"),
    [
        ("keep", "allowed", "allowed"),
        ("deny_writes", "allowed", "stale"),
        ("deny_all", "stale", "stale"),
    ],
)
def test_after_too_long_it_does_what_the_policy_says_and_says_so(
    on_stale: str, reads: str, writes: str
) -> None:
    made = enforcer(max_staleness="minute", on_stale=on_stale)
    made.freshness.heard(HEARD_AT)
    fresh = call(made, "vm_delete", HEARD_AT + MINUTE)
    assert (fresh.code, fresh.stale) == ("allowed", "")
    found = [call(made, tool, HEARD_AT + MINUTE + 1) for tool in ("vm_status", "vm_delete")]
    assert [one.code for one in found] == [reads, writes]
    assert {one.stale for one in found} == {on_stale}
    made.freshness.heard(Instant(HEARD_AT + 2 * MINUTE))
    again = call(made, "vm_delete", HEARD_AT + 3 * MINUTE)
    assert (again.code, again.stale) == ("allowed", "")


def test_what_the_rules_deny_anyway_keeps_its_code() -> None:
    made = enforcer(max_staleness="minute", on_stale="deny_writes", tools={})
    made.freshness.heard(HEARD_AT)
    assert call(made, "vm_status", HEARD_AT + MINUTE + 1).code == "default_denied"


def test_a_hold_comes_first() -> None:
    made = enforcer(max_staleness="minute", on_stale="deny_all")
    made.freshness.heard(HEARD_AT)
    hold = Hold(hold_id="h", tool="vm_delete", actor="ada", reason="burst")
    made.receive(HoldOrdered(hold), HEARD_AT)
    assert call(made, "vm_delete", HEARD_AT + 2 * MINUTE).code == "held"


def test_in_a_mode_that_does_not_enforce_the_call_passes_and_says_what_would_have_been() -> None:
    made = enforcer(max_staleness="minute", on_stale="deny_all", mode="shadow")
    made.freshness.heard(HEARD_AT)
    found = call(made, "vm_delete", HEARD_AT + 2 * MINUTE)
    assert (found.effect, found.code, found.mode) == (Effect.ALLOW, "stale", "shadow")


def test_without_a_control_plane_or_a_bound_nothing_is_ever_stale() -> None:
    alone = enforcer(max_staleness=1, on_stale="deny_all")
    assert call(alone, "vm_delete", HEARD_AT + 9 * MINUTE).code == "allowed"
    unbound = enforcer()
    unbound.freshness.heard(HEARD_AT)
    assert call(unbound, "vm_delete", HEARD_AT + 9_000 * MINUTE).stale == ""


def test_an_older_word_does_not_make_it_older() -> None:
    made = enforcer(max_staleness=60, on_stale="deny_all")
    made.freshness.heard(HEARD_AT)
    made.freshness.heard(Instant(HEARD_AT - 50 * SECOND))
    assert call(made, "vm_delete", HEARD_AT + 30 * SECOND).code == "allowed"


def test_what_to_do_without_saying_when_is_no_policy() -> None:
    with pytest.raises(PolicyTextError, match="nothing says when it is stale"):
        enforcer(on_stale="deny_all")
