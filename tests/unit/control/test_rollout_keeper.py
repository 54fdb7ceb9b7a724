"""What of the evidence is written down at once, and what may wait."""

from msgspec.structs import replace
from tests.unit.fleet.rollout_story import Story

from toolreeve.control.rollout_keeper import split
from toolreeve.decision.evidence import Evidence
from toolreeve.fleet import Report

BEFORE = Evidence(
    rollout="", server="", revision="", activated=True, first_decision="e:1:1", decisions=5, pairs=5
)


def report(**counts: int) -> Report:
    return Report(enforcer_id="e", epoch=1, evidence=replace(BEFORE, **counts))


def written_at_once(known: Report | None, heard: Report) -> bool:
    story = Story()
    rollout = story.rollout()
    if known is not None:
        rollout = replace(rollout, reports={known.key: known})
    under_way = {rollout.rollout_id: rollout}
    ((_, said),), waits = split({rollout.rollout_id: {heard.key: heard}}, under_way, counts=False)
    assert waits == {rollout.rollout_id: {} if said else {heard.key: heard}}
    everything, nothing = split({rollout.rollout_id: {heard.key: heard}}, under_way, counts=True)
    assert everything == [(rollout.rollout_id, (heard,))]
    assert nothing == {rollout.rollout_id: {}}
    return bool(said)


def test_mere_counts_wait_and_what_speaks_for_or_against_does_not() -> None:
    assert written_at_once(None, report())
    assert not written_at_once(report(), report(decisions=900, pairs=900))
    assert written_at_once(report(), report(decisions=6, pairs=6, denials=1, tightened=1))
    assert written_at_once(report(), report(errors=1))
    assert not written_at_once(report(tightened=4), report(tightened=7, denials=7))
    assert written_at_once(report(tightened=4), report(tightened=8, denials=8))


def test_of_a_rollout_that_is_over_nothing_is_written_and_nothing_waits() -> None:
    assert split({"r": {"e:1": report()}}, {}, counts=True) == ([], {})
