"""Both revisions asked about the same calls while one is rolled out."""

import json

from hypothesis import given
from hypothesis import strategies as st

from toolreeve.audit import Decided, PolicyApplied, Redaction
from toolreeve.decision import MINUTE, SECOND, Counters, Effect, Instant
from toolreeve.decision.evidence import Evidence
from toolreeve.enforcement import (
    Action,
    Append,
    ArrivedCall,
    CallArrived,
    Enforcer,
    PolicyOffered,
)
from toolreeve.policy import Policy, parse

AT = Instant(100 * SECOND)


def policy(default: str = "deny", **tools: object) -> Policy:
    text = json.dumps({"version": "1", "default": default, "tools": tools})
    return parse(text, source="test")


def limited(maximum: int, *, align: str = "sliding", counter: str = "c") -> object:
    return {
        "limits": [
            {
                "counter": counter,
                "window": "minute",
                "max": maximum,
                "scope": "grant",
                "align": align,
            }
        ]
    }


def under_rollout(
    before: Policy | None, after: Policy, counters: Counters | None = None
) -> Enforcer:
    enforcer = Enforcer(
        redaction=Redaction(keep=(), key=bytes(32)),
        counters=counters or Counters(),
        stopwatch=lambda: 0,
    )
    if before is not None:
        enforcer.receive(PolicyOffered(server="s", policy=before, origin="control"), AT)
    enforcer.receive(staged(before, after), AT)
    return enforcer


def staged(before: Policy | None, after: Policy, sequence: int = 2) -> PolicyOffered:
    return PolicyOffered(
        server="s",
        policy=after,
        origin="control",
        manifest_sequence=sequence,
        rollout="r",
        before=before,
    )


def call(enforcer: Enforcer, tool: str = "t", at: int = AT, **arguments: object) -> Decided:
    arrived = ArrivedCall(
        server="s", grant="g", agent="a", request_id="1", wire_tool=tool, arguments=arguments
    )
    return decided(enforcer.receive(CallArrived(arrived), Instant(at)))


def decided(actions: list[Action]) -> Decided:
    (body,) = (
        one.draft.body
        for one in actions
        if isinstance(one, Append) and isinstance(one.draft.body, Decided)
    )
    return body


def counts(evidence: Evidence) -> tuple[int, int, int, int, int, int]:
    return (
        evidence.decisions,
        evidence.denials,
        evidence.errors,
        evidence.pairs,
        evidence.tightened,
        evidence.loosened,
    )


def test_only_the_new_revision_is_obeyed_and_what_differs_is_said() -> None:
    enforcer = under_rollout(policy(t={}, both={}), policy(new={}, both={}))
    assert [call(enforcer, tool).effect for tool in ("t", "new", "both", "none")] == [
        Effect.DENY,
        Effect.ALLOW,
        Effect.ALLOW,
        Effect.DENY,
    ]
    assert call(enforcer, "t").code_before == "allowed"
    assert call(enforcer, "new").code_before == "default_denied"
    assert call(enforcer, "both").code_before == ""
    (evidence,) = enforcer.evidence()
    assert counts(evidence) == (7, 3, 0, 7, 2, 2)
    assert evidence.activated


def test_outside_of_a_rollout_nothing_is_compared() -> None:
    enforcer = under_rollout(policy(t={}), policy())
    enforcer.receive(
        PolicyOffered(server="s", policy=policy(), origin="control", manifest_sequence=9), AT
    )
    assert enforcer.evidence() == ()
    assert call(enforcer, "t").code_before == ""


def test_from_stage_to_stage_the_counts_go_on() -> None:
    before, after = policy(t={}), policy()
    enforcer = under_rollout(before, after)
    call(enforcer)
    enforcer.receive(staged(before, after, sequence=3), AT)
    call(enforcer)
    (evidence,) = enforcer.evidence()
    assert evidence.pairs == 2


def test_where_the_text_of_before_is_not_at_hand_calls_are_only_counted() -> None:
    enforcer = under_rollout(None, policy(t={}))
    call(enforcer)
    (evidence,) = enforcer.evidence()
    assert counts(evidence) == (1, 0, 0, 0, 0, 0)


def test_taken_up_again_after_a_restart_the_one_before_is_compiled_anew() -> None:
    before, after = policy(t={}), policy()
    enforcer = under_rollout(None, after)
    enforcer.receive(PolicyOffered(server="s", policy=after, origin="disk"), AT)
    enforcer.receive(staged(before, after), AT)
    assert call(enforcer).code_before == "allowed"


def test_a_smaller_limit_shows_as_denied_by_the_new_revision_alone() -> None:
    enforcer = under_rollout(policy(t=limited(3)), policy(t=limited(2)))
    said = [call(enforcer, at=AT + place).code_before for place in range(4)]
    assert said == ["", "", "allowed", "allowed"], "a denied call is not counted"
    (evidence,) = enforcer.evidence()
    assert (evidence.pairs, evidence.tightened) == (4, 2)


def test_an_evaluation_error_counts_where_it_is_new() -> None:
    strict = {"require": [{"conditions": [{"path": "args.n", "op": "lt", "value": 5}]}]}
    other = {"require": [{"conditions": [{"path": "args.n", "op": "lte", "value": 4}]}]}
    both = under_rollout(policy(t=strict), policy(t=other))
    assert call(both, n="many").code == "condition_error"
    assert both.evidence()[0].errors == 0
    new = under_rollout(policy(t={}), policy(t=strict))
    assert call(new, n="many").code == "condition_error"
    assert new.evidence()[0].errors == 1


def test_a_revision_that_went_past_a_rollout_says_so() -> None:
    enforcer = under_rollout(None, policy(t={}))
    offered = PolicyOffered(
        server="s", policy=policy(), origin="control", manifest_sequence=9, break_glass="ada: fire"
    )
    (record, *_) = enforcer.receive(offered, AT)
    assert isinstance(record, Append)
    assert isinstance(record.draft.body, PolicyApplied)
    assert record.draft.body.break_glass == "ada: fire"


@given(
    st.lists(st.tuples(st.sampled_from(("t", "u")), st.integers(0, 40)), max_size=30),
    st.integers(0, 3),
    st.integers(0, 3),
    st.sampled_from(("sliding", "calendar")),
)
def test_asking_the_one_before_leaves_every_counter_as_it_was(
    calls: list[tuple[str, int]], maximum_before: int, maximum: int, align: str
) -> None:
    """Two enforcers under the same revision, one of which also asks the revision before."""
    before = policy(t=limited(maximum_before, align=align), u=limited(7, counter="d"))
    after = policy(t=limited(maximum, align=align), u={})
    compared, alone = Counters(), Counters()
    both, one = under_rollout(before, after, compared), under_rollout(None, after, alone)
    at = AT
    for tool, seconds in calls:
        at = Instant(at + seconds * SECOND)
        assert call(both, tool, at).code == call(one, tool, at).code
    assert standing(compared, at) == standing(alone, at)


def standing(counters: Counters, at: Instant) -> dict[str, object]:
    """What still counts at `at`, by counter."""
    return {
        kept.counter: (counted, total)
        for kept in counters.kept()
        for counted in [[one for one in kept.counts.instants if one + MINUTE > at]]
        for total in [kept.counts.total if kept.counts.window == at // MINUTE else "0"]
        if counted or total != "0"
    }
