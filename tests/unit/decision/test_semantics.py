"""What a policy means, where no other test says it: sentences of the reference, one by one."""

import json
from typing import Any

import pytest

from toolreeve.decision import (
    DAY,
    HOUR,
    MINUTE,
    SECOND,
    Call,
    Code,
    Counters,
    Effect,
    EffectiveTool,
    Hold,
    Holds,
    Instant,
    Verdict,
    compile_policy,
    decide,
    effective_tool,
)
from toolreeve.policy import parse

NOON = Instant(20_000 * DAY + DAY // 2)
HELD = Holds().place(Hold(hold_id="h", fleet=True, actor="operator", reason="Stop."))


class Enforced:
    """A policy with its counters."""

    def __init__(self, **document: Any) -> None:
        text = json.dumps({"version": "1", "default": "deny", **document})
        self.policy = compile_policy(parse(text, source="test"))
        self.counters = Counters()

    def call(
        self,
        tool: str,
        arguments: dict[str, Any] | None = None,
        *,
        holds: Holds | None = None,
        at: int = 0,
        **who: str,
    ) -> Verdict:
        names = {"server": "s", "grant": "g", "session": "1", **who}
        asked = Call(
            server=names["server"],
            grant=names["grant"],
            session=names["session"],
            tool=tool,
            arguments=arguments or {},
        )
        return decide(self.policy, holds or Holds(), self.counters, asked, Instant(NOON + at))

    def code(self, tool: str, arguments: dict[str, Any] | None = None, **more: Any) -> Code:
        return self.call(tool, arguments, **more).code


def limit(**members: object) -> dict[str, Any]:
    return {"counter": "c", "window": "minute", "max": 1, **members}


def test_no_wildcard_but_a_glob_under_tools_rescues_from_default_deny() -> None:
    everything: dict[str, Any] = {
        "all_tools": {"limits": [limit(max=100)], "require": []},
        "dispatch": {"*": {"name": "/action"}},
        "methods": {"*": "allow"},
    }
    assert Enforced(**everything).code("vm_list") is Code.DEFAULT_DENIED
    assert Enforced(**everything, tools={"vm_*": {}}).code("vm_list") is Code.ALLOWED
    assert Enforced(**everything, tools={"vm_*": {}}).code("pool_list") is Code.DEFAULT_DENIED


def test_an_unlisted_tool_that_default_allows_still_meets_what_is_said_of_all_tools() -> None:
    policy = Enforced(default="allow", all_tools={"limits": [limit(max=1)]})
    assert [policy.code("a"), policy.code("b")] == [Code.ALLOWED, Code.LIMITED]


@pytest.mark.parametrize("mode", ["warn", "shadow"])
def test_a_hold_and_a_missing_policy_refuse_in_every_mode(mode: str) -> None:
    policy = Enforced(mode=mode, default="allow")
    held = policy.call("vm_list", holds=HELD)
    assert (held.effect, held.code, held.reason) == (Effect.DENY, Code.HELD, "Stop.")
    nobody = decide(
        None,
        Holds(),
        Counters(),
        Call(server="s", grant="g", tool="t", arguments={}),
        NOON,
    )
    assert (nobody.effect, nobody.code) == (Effect.DENY, Code.NO_POLICY)


@pytest.mark.parametrize("mode", ["enforce", "warn", "shadow"])
def test_on_trial_a_limit_counts_what_it_would_admit_and_nothing_else(mode: str) -> None:
    policy = Enforced(mode=mode, tools={"t": {"limits": [limit(max=2)]}})
    seen = [policy.call("t", at=second * SECOND).code for second in (0, 10, 20, 30, 60, 61)]
    allowed, limited = Code.ALLOWED, Code.LIMITED
    assert seen == [allowed, allowed, limited, limited, allowed, limited]


def test_a_tools_own_mode_goes_before_the_policys_both_ways() -> None:
    tools = {
        "strict": {"action": "deny", "mode": "enforce"},
        "lax": {"action": "deny", "mode": "shadow"},
        "plain": {"action": "deny"},
    }
    effects = {
        mode: [Enforced(mode=mode, tools=tools).call(tool).effect.value for tool in tools]
        for mode in ("enforce", "shadow")
    }
    assert effects == {"enforce": ["deny", "allow", "deny"], "shadow": ["deny", "allow", "allow"]}


def test_a_risk_class_speaks_of_the_effective_tool_and_not_of_the_name_on_the_wire() -> None:
    policy = Enforced(
        dispatch={"list_things": {"name": "/action"}},
        tools={"class:destructive": {"action": "deny", "reason": "Not by agents."}, "list_*": {}},
    )
    found = effective_tool(
        policy.policy.dispatch_of("list_things"), "list_things", {"action": "pool_delete"}
    )
    assert isinstance(found, EffectiveTool)
    assert policy.call(found.name).reason == "Not by agents."
    assert policy.code("list_things") is Code.ALLOWED


def test_a_risk_class_lies_under_any_rule_that_names_the_tool() -> None:
    tools = {"class:destructive": {"action": "deny"}, "vm_*": {}}
    policy = Enforced(tools=tools)
    assert policy.code("vm_delete") is Code.ALLOWED
    assert policy.code("pool_delete") is Code.DENIED


def test_a_rules_reason_is_what_the_agent_reads_unless_a_clause_has_words_of_its_own() -> None:
    clause: dict[str, Any] = {"conditions": [{"path": "args.x", "op": "eq", "value": 1}]}
    rule = {"reason": "Ask ops.", "deny_if": [{**clause, "on_deny": "Not one."}]}
    policy = Enforced(
        tools={
            "own": rule,
            "rule": {"reason": "Ask ops.", "require": [clause]},
            "none": {"require": [clause]},
            "limited": {"reason": "Ask ops.", "limits": [limit(max=0)]},
            "approval": {"reason": "Ask ops.", "action": "require_approval"},
            "schema": {"reason": "Ask ops.", "arguments": {"required": ["y"]}},
        }
    )
    refused_by = {"own": 1, "rule": 2, "none": 2, "limited": 2, "approval": 2, "schema": 2}
    said = {tool: policy.call(tool, {"x": x}).reason for tool, x in refused_by.items()}
    assert said == {
        "own": "Not one.",
        "rule": "Ask ops.",
        "none": "The arguments are not allowed here.",
        "limited": "Ask ops.",
        "approval": "Ask ops.",
        "schema": "Ask ops.",
    }


def test_words_for_the_agent_are_data_in_which_nothing_is_replaced() -> None:
    words = "{id} ${args.id} {{args.id}} %s %(id)s <id> \\1 $1 {0.__class__}"
    clause = {"conditions": [{"path": "/id", "op": "eq", "value": 1}], "on_deny": words}
    policy = Enforced(tools={"t": {"deny_if": [clause]}, "d": {"action": "deny", "reason": words}})
    assert policy.call("t", {"id": 1}).reason == words
    assert policy.call("d", {"id": 1}).reason == words


def test_no_refusal_tells_the_value_of_an_argument() -> None:
    secret = "hunter2-secret"
    conditions: dict[str, Any] = {"path": "/id", "op": "gt", "value": 1}
    rules: dict[str, dict[str, Any]] = {
        "schema": {"arguments": {"properties": {"id": {"type": "integer"}}}},
        "names": {"arguments": {"additionalProperties": False}},
        "require": {"require": [{"conditions": [conditions]}]},
        "deny_if": {"deny_if": [{"conditions": [conditions]}]},
        "amount": {"limits": [limit(counter="amount", amount="/id")]},
        "by": {"limits": [limit(counter="by", by=["/id"], max=0)]},
    }
    policy = Enforced(tools=rules)
    for tool in rules:
        refused = policy.call(tool, {"id": secret})
        assert refused.effect is Effect.DENY
        assert secret not in repr(refused), tool


@pytest.mark.parametrize(
    ("window", "length"),
    [("minute", MINUTE), ("hour", HOUR), ("day", DAY), (1, SECOND), (90, 90 * SECOND)],
)
def test_a_window_is_as_long_as_its_word_says(window: object, length: int) -> None:
    policy = Enforced(tools={"t": {"limits": [limit(window=window)]}})
    assert policy.code("t") is Code.ALLOWED
    assert policy.call("t", at=length - 1).retry_after_ms == 1
    assert policy.code("t", at=length) is Code.ALLOWED


def test_a_limit_is_counted_by_grant_and_slides_unless_it_says_otherwise() -> None:
    policy = Enforced(tools={"t": {"limits": [limit()]}})
    assert policy.code("t", at=59 * SECOND) is Code.ALLOWED
    assert policy.code("t", at=61 * SECOND) is Code.LIMITED
    assert policy.code("t", at=61 * SECOND, session="2") is Code.LIMITED
    assert policy.code("t", at=61 * SECOND, grant="h") is Code.ALLOWED


def test_two_tools_that_name_one_counter_share_its_count() -> None:
    shared = {"limits": [limit(counter="starts", max=3)]}
    policy = Enforced(
        tools={"vm_start": shared, "start_vm": shared, "vm_stop": {"limits": [limit(max=3)]}}
    )
    codes = [policy.code(tool) for tool in ("vm_start", "start_vm", "vm_start", "start_vm")]
    assert codes == [Code.ALLOWED] * 3 + [Code.LIMITED]
    assert policy.code("vm_stop") is Code.ALLOWED


def test_of_several_full_limits_the_first_is_named_those_of_all_tools_before_the_rules() -> None:
    policy = Enforced(
        all_tools={"limits": [limit(counter="all", max=1, window="hour")]},
        tools={"t": {"limits": [limit(counter="own"), limit(counter="other")]}},
    )
    assert policy.code("t") is Code.ALLOWED
    refused = policy.call("t")
    assert (refused.counter, refused.rule) == ("all", "/all_tools/limits/0")
    assert policy.call("t", at=HOUR).code is Code.ALLOWED


def test_so_many_calls_at_one_instant_admit_exactly_the_maximum() -> None:
    for align in ("sliding", "calendar"):
        policy = Enforced(tools={"t": {"limits": [limit(max=17, align=align)]}})
        codes = [policy.code("t", session=str(number)) for number in range(100)]
        assert (codes.count(Code.ALLOWED), codes.count(Code.LIMITED)) == (17, 83)


def test_a_call_that_a_condition_an_approval_or_a_hold_refuses_counts_under_no_limit() -> None:
    rules: dict[str, dict[str, Any]] = {
        "conditions": {"require": [{"conditions": [{"path": "/ok", "op": "eq", "value": True}]}]},
        "schema": {"arguments": {"required": ["ok"]}},
        "held": {},
    }
    policy = Enforced(
        tools={tool: {**rule, "limits": [limit(counter=tool)]} for tool, rule in rules.items()}
    )
    for tool in rules:
        for _ in range(5):
            refused = policy.call(tool, holds=HELD if tool == "held" else None)
            assert refused.effect is Effect.DENY
            assert refused.code is not Code.LIMITED
        assert policy.code(tool, {"ok": True}) is Code.ALLOWED
        assert policy.code(tool, {"ok": True}) is Code.LIMITED


def test_an_approval_is_asked_for_before_anything_is_counted() -> None:
    policy = Enforced(tools={"t": {"action": "require_approval", "limits": [limit(max=0)]}})
    assert policy.code("t") is Code.APPROVAL_REQUIRED


def test_the_order_is_hold_hidden_action_schema_conditions_approval_limits() -> None:
    """Everything speaks against the call; one after the other is taken away."""
    rule: dict[str, Any] = {
        "action": "require_approval",
        "arguments": {"required": ["id"]},
        "require": [{"conditions": [{"path": "/ok", "op": "eq", "value": True}]}],
        "deny_if": [{"conditions": [{"path": "/no", "op": "eq", "value": True}]}],
        "limits": [limit(max=0)],
    }
    good = {"id": 1, "ok": True, "no": False}
    assert Enforced(hide=["t"], tools={"t": rule}).code("t", holds=HELD) is Code.HELD
    assert Enforced(hide=["t"], tools={"t": rule}).code("t") is Code.HIDDEN
    assert Enforced(tools={"t": rule, "*": {"action": "deny"}}).code("t") is Code.DENIED
    policy = Enforced(tools={"t": rule})
    assert policy.code("t") is Code.BAD_ARGUMENTS
    assert policy.code("t", {"id": 1, "no": True}) is Code.REQUIRE_FAILED
    assert policy.code("t", {**good, "no": True}) is Code.DENY_IF_HELD
    assert policy.code("t", good) is Code.APPROVAL_REQUIRED
    allowed = Enforced(tools={"t": {**rule, "action": "allow"}})
    assert allowed.code("t", good) is Code.LIMITED


def test_a_hold_stops_calls_on_one_server_of_one_grant_and_of_both_only() -> None:
    policy = Enforced(default="allow")
    hold = Hold(hold_id="h", server="s", grant="g", actor="operator", reason="Stop.")
    holds = Holds().place(hold)
    assert policy.code("t", holds=holds) is Code.HELD
    assert policy.code("t", holds=holds, server="other") is Code.ALLOWED
    assert policy.code("t", holds=holds, grant="other") is Code.ALLOWED


def test_a_hold_that_ends_says_when_and_one_without_an_end_does_not() -> None:
    policy = Enforced(default="allow")
    until = Instant(NOON + 90 * SECOND)
    ending = Holds().place(
        Hold(hold_id="h", tool="t", actor="operator", reason="Stop.", expires_at=until)
    )
    assert policy.call("t", holds=ending).retry_after_ms == 90_000
    assert policy.code("t", holds=ending, at=90 * SECOND) is Code.ALLOWED
    assert policy.call("t", holds=HELD).retry_after_ms is None
