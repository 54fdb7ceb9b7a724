"""Evidence on the control stream: read as it was meant, and refused where it cannot be."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from toolreeve.decision.evidence import Evidence
from toolreeve.v1 import fleet_pb2, rollout_pb2
from toolreeve.wire import WireError
from toolreeve.wire.fleet import read_up, write_up

names = st.text("abc-:.0", max_size=20)


@st.composite
def evidence(draw: st.DrawFn) -> Evidence:
    pairs = draw(st.integers(0, 2**40))
    tightened = draw(st.integers(0, pairs))
    decisions = pairs + draw(st.integers(0, 2**40))
    return Evidence(
        rollout=draw(names),
        server=draw(names),
        revision=draw(names),
        activated=draw(st.booleans()),
        first_decision=draw(names),
        decisions=decisions,
        denials=draw(st.integers(tightened, decisions)),
        errors=draw(st.integers(0, decisions)),
        pairs=pairs,
        tightened=tightened,
        loosened=draw(st.integers(0, pairs - tightened)),
    )


@given(evidence())
def test_evidence_is_read_as_it_was_written(said: Evidence) -> None:
    assert read_up(write_up(said)) == said


@given(evidence(), evidence())
def test_what_two_reports_say_together_does_not_depend_on_their_order(
    one: Evidence, other: Evidence
) -> None:
    both, turned = one.joined(other), other.joined(one)
    assert (both.decisions, both.errors, both.tightened) == (
        turned.decisions,
        turned.errors,
        turned.tightened,
    )
    assert both.joined(one) == both.joined(other) == both


@pytest.mark.parametrize(
    "wrong",
    [
        rollout_pb2.RolloutEvidence(decisions=1, denials=2),
        rollout_pb2.RolloutEvidence(decisions=1, errors=-1),
        rollout_pb2.RolloutEvidence(decisions=2, denials=2, pairs=1, tightened=1, loosened=1),
        rollout_pb2.RolloutEvidence(decisions=2, pairs=2, tightened=1),
        rollout_pb2.RolloutEvidence(decisions=1, pairs=2),
        rollout_pb2.RolloutEvidence(rollout_id="r" * 300),
        rollout_pb2.RolloutEvidence(server="a\nb"),
    ],
)
def test_evidence_that_cannot_be_ends_the_stream(wrong: rollout_pb2.RolloutEvidence) -> None:
    raw = fleet_pb2.SubscribeRequest(evidence=wrong).SerializeToString()
    with pytest.raises(WireError, match="evidence"):
        read_up(raw)
