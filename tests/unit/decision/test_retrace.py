"""A decision on record, looked at again as far as it goes."""

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from toolreeve.decision import SECOND, Call, Counters, Holds, Instant, compile_policy, decide
from toolreeve.decision.compile import CompiledPolicy
from toolreeve.decision.look import Look, Stage
from toolreeve.decision.retrace import Recorded, retrace
from toolreeve.policy import parse

NOON = Instant(1_768_000_000 * SECOND)
RULE = "/tools/vm_restart"
POLICY: dict[str, Any] = {
    "default": "deny",
    "hide": ["vm_delete"],
    "tools": {
        "vm_restart": {
            "require": [
                {
                    "conditions": [
                        {"path": "args.id", "op": "lt", "value": 100},
                        {"path": "args.why", "op": "exists", "value": True},
                        {"path": "args.secret", "op": "eq", "value": "x"},
                    ]
                }
            ],
            "limits": [{"counter": "r", "window": "minute", "max": 2}],
        }
    },
}


def compiled(document: dict[str, Any]) -> CompiledPolicy:
    return compile_policy(parse(json.dumps({"version": "1", **document}), source="test"))


def looks(code: str, rule: str, names: tuple[str, ...], **kept: object) -> tuple[Look, ...]:
    recorded = Recorded(
        tool="vm_restart",
        code=code,
        rule=rule,
        names=names,
        kept={f"/{name}": value for name, value in kept.items()},
    )
    return retrace(compiled(POLICY), recorded)


def test_what_was_kept_is_looked_at_and_what_was_not_is_named() -> None:
    found = looks("limited", f"{RULE}/limits/0", ("id", "secret", "why"), id=7)
    conditions = [look for look in found if look.stage is Stage.REQUIRE]
    assert [look.known for look in conditions] == [True, True, False]
    assert conditions[0].values == ("7",)
    assert found[-1].stage is Stage.LIMIT
    assert "how full it was is not in the record" in found[-1].finding


def test_an_argument_that_was_not_there_is_known_to_be_missing() -> None:
    found = looks("require_failed", f"{RULE}/require/0", ("id", "secret"), id=7)
    assert (found[-1].known, found[-1].speaks_against) == (True, True)
    assert found[-1].finding == "args.why exists: nothing there, does not hold"


def test_names_beyond_those_on_record_are_not_taken_for_missing() -> None:
    names = ("id", *(f"n{number}" for number in range(63)))
    found = looks("allowed", RULE, names, id=7)
    conditions = [look for look in found if look.stage is Stage.REQUIRE]
    assert [look.known for look in conditions] == [True, False, False]


def test_a_hold_was_not_of_the_policy() -> None:
    (look,) = looks("held", "", ())
    assert not look.known


def test_what_stands_behind_an_unknown_condition_is_not_said_to_have_settled_anything() -> None:
    conditions = [
        {"path": "args.secret", "op": "eq", "value": "x"},
        {"path": "args.id", "op": "eq", "value": 7},
    ]
    policy = compiled({"default": "allow", "all_tools": {"deny_if": [{"conditions": conditions}]}})
    recorded = Recorded(
        tool="t", code="allowed", rule="/default", names=("id", "secret"), kept={"/id": 7}
    )
    held = [look for look in retrace(policy, recorded) if look.stage is Stage.DENY_IF]
    assert [(look.known, look.code) for look in held] == [(False, None), (True, None)]


def test_an_unapproved_definition_on_record_is_what_settled_it() -> None:
    policy = compiled({**POLICY, "pin": "enforce"})
    for code in ("unapproved_definition", "limited"):
        recorded = Recorded(tool="vm_restart", code=code, rule="/pin", names=(), kept={})
        (look,) = [one for one in retrace(policy, recorded) if one.stage is Stage.PIN]
        assert (look.code is not None) == (code == "unapproved_definition")


@given(data=st.data())
def test_with_everything_kept_nothing_that_is_said_differs_from_the_decision(
    drawn: Any, data: st.DataObject
) -> None:
    policy = compiled(data.draw(drawn.policies))
    calls: list[tuple[str, dict[str, Any], int, str]] = data.draw(drawn.calls)
    for tool, arguments, _, _ in calls:
        call = Call(server="s", grant="g", tool=tool, arguments=arguments)
        verdict = decide(policy, Holds(), Counters(), call, NOON)
        scalars = {
            f"/{name}": value
            for name, value in arguments.items()
            if not isinstance(value, dict | list)
        }
        recorded = Recorded(
            tool=tool,
            code=verdict.code.value,
            rule=verdict.rule,
            names=tuple(sorted(arguments)),
            kept=scalars,
        )
        for look in retrace(policy, recorded):
            if look.known and look.code is not None:
                assert look.code is verdict.code
