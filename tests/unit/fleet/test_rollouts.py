"""What rollouts do by themselves."""

import pytest
from msgspec.structs import replace
from tests.unit.fleet.rollout_story import FLEET, KEY, NEW, OLD, PLAN, Story, proved

from toolreeve.fleet import (
    Change,
    Nacked,
    OnHalt,
    RolloutState,
    observe,
)
from toolreeve.policy.cohort import Cohort
from toolreeve.policy.sign import verify_manifest


def test_only_the_stage_is_to_have_it_and_the_manifest_says_so() -> None:
    story = Story()
    inside = story.cohort()
    assert 0 < len(inside) < len(FLEET)
    for name in FLEET:
        wanted = story.state.wanted_by(name, "vm")
        assert wanted is not None
        manifest = verify_manifest(wanted.envelope, [KEY.public])
        assert wanted.revision == (NEW if name in inside else OLD).revision
        assert (manifest.revision, manifest.sequence) == (
            wanted.revision,
            wanted.manifest_sequence,
        )
        if name in inside:
            assert Cohort.parse(manifest.cohort).includes(name, {})
            assert (manifest.rollout, manifest.previous) == (story.started, OLD.revision)


def test_it_goes_on_when_a_stage_is_proved_and_ends_with_everybody() -> None:
    story = Story()
    proved(story)
    assert story.tick(9) is RolloutState.RUNNING
    assert story.rollout().stage == 0, "the soak is not over"
    story.tick(1)
    assert story.rollout().stage == 1
    assert story.cohort() == list(FLEET)
    proved(story)
    assert story.tick(10) is RolloutState.DONE
    assert {story.wanted(name) for name in FLEET} == {NEW.revision}
    wanted = story.state.wanted["vm"]
    manifest = verify_manifest(wanted.envelope, [KEY.public])
    assert (manifest.rollout, manifest.cohort) == ("", ""), "nobody compares any more"
    assert [step.state.value for step in story.rollout().steps] == ["running", "running", "done"]


def test_even_a_stage_of_one_percent_has_an_enforcer_and_canaries_are_enough() -> None:
    plan = replace(PLAN, stages=(1, 10_000))
    story = Story(plan=plan)
    assert len(story.cohort()) == 1
    story = Story(plan=plan, fleet=())
    assert story.cohort() == []
    story.change(Change.ABORT)
    story.see("quiet")
    story.see("bird", {"canary": "true"})
    story.started = story.start(replace(plan, canary=(("canary", "true"),)))
    assert story.cohort() == ["bird"]


def test_an_enforcer_that_joins_during_a_stage_belongs_where_its_name_puts_it() -> None:
    story = Story()
    cohort = story.rollout().offered.cohort
    assert cohort is not None
    for number in range(20):
        story.see(f"late{number}")
        inside = cohort.includes(f"late{number}", {})
        assert story.wanted(f"late{number}") == (NEW if inside else OLD).revision


@pytest.mark.parametrize(
    ("counts", "says"),
    [
        ({"decisions": 5, "pairs": 5, "denials": 1, "tightened": 1}, "1 of 5 calls are denied"),
        ({"decisions": 5, "errors": 1}, "1 call could not be evaluated"),
    ],
)
def test_it_halts_at_once_on_what_speaks_against_it(counts: dict[str, int], says: str) -> None:
    story = Story()
    inside = story.cohort()
    story.count(inside[0], **counts)
    assert story.tick() is RolloutState.HALTED
    assert says in story.rollout().reason
    assert story.wanted(inside[0]) == NEW.revision, "a halt leaves everything where it is"
    assert story.tick(1_000) is RolloutState.HALTED


def test_within_its_budgets_it_goes_on_and_beyond_it_halts() -> None:
    plan = replace(PLAN, tightened_max=2, loosened_max=1, drift_max=0.5)
    story = Story(plan=plan)
    first = story.cohort()[0]
    story.count(first, decisions=90, pairs=90, denials=2, tightened=2, loosened=1)
    assert story.tick() is RolloutState.RUNNING
    story.count(first, decisions=91, pairs=91, denials=2, tightened=2, loosened=2)
    assert story.tick() is RolloutState.HALTED
    assert "2 of 91 calls are allowed by the new revision alone" in story.rollout().reason


def test_a_drift_is_seen_where_single_calls_are_not_counted_against_it() -> None:
    story = Story(plan=replace(PLAN, tightened_max=None))
    first = story.cohort()[0]
    story.count(first, decisions=1_000, pairs=1_000, denials=8, tightened=8)
    assert story.tick() is RolloutState.RUNNING
    story.count(first, decisions=2_000, pairs=2_000, denials=100, tightened=100)
    assert story.tick() is RolloutState.HALTED
    assert "has grown by 5.00 points" in story.rollout().reason


def test_a_refusal_halts_it_and_a_text_that_did_not_arrive_does_not() -> None:
    story = Story()
    name = story.cohort()[0]

    def nack(code: str, sequence: int) -> None:
        nacked = Nacked(
            enforcer_id=name,
            server="vm",
            revision=NEW.revision,
            manifest_sequence=sequence,
            code=code,
            reason="because",
        )
        story.take(observe(story.state, [nacked], command_id=f"n-{code}", at=story.now))

    nack("fetch", 2)
    assert story.tick() is RolloutState.RUNNING
    nack("invalid", 1)
    assert story.tick() is RolloutState.RUNNING, "that was about what came before"
    nack("invalid", 2)
    assert story.tick() is RolloutState.HALTED
    assert story.rollout().reason == f"{name} refuses it: invalid: because"


def test_silence_pauses_it_and_says_who_is_missing() -> None:
    story = Story()
    inside = story.cohort()
    assert story.tick(14) is RolloutState.RUNNING, "patience is not over"
    assert story.tick(1) is RolloutState.PAUSED
    assert f"{len(inside)} of {len(inside)}" in story.rollout().reason
    assert inside[0] in story.rollout().reason
    story.activate(*inside)
    story.change(Change.RESUME)
    assert story.tick(15) is RolloutState.PAUSED
    assert "0 decisions made with it after 15 s" in story.rollout().reason
    story.count(inside[0], decisions=1)
    assert story.tick(100) is RolloutState.PAUSED, "somebody must say that it goes on"
    story.change(Change.RESUME)
    story.tick(10)
    assert story.rollout().stage == 1


def test_a_pause_does_not_make_it_deaf() -> None:
    story = Story()
    story.change(Change.PAUSE)
    story.count(story.cohort()[0], decisions=1, errors=1)
    assert story.tick() is RolloutState.HALTED


def test_where_it_is_to_roll_back_a_halt_is_the_way_back_for_everybody() -> None:
    story = Story(plan=replace(PLAN, on_halt=OnHalt.ROLL_BACK))
    story.count(story.cohort()[0], decisions=1, errors=1)
    assert story.tick() is RolloutState.ROLLED_BACK
    assert {story.wanted(name) for name in FLEET} == {OLD.revision}
    back = verify_manifest(story.state.wanted["vm"].envelope, [KEY.public])
    assert back.sequence > max(signed.sequence for signed in story.rollout().stages)
