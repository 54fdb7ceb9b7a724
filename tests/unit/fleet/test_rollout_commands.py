"""What operators may do to rollouts, what is refused, and what the log does not fold."""

import pytest
from msgspec.structs import replace
from tests.unit.fleet.rollout_story import FLEET, KEY, NEW, OLD, OTHER, PLAN, Story, proved

from toolreeve.fleet import (
    Change,
    Command,
    CommandError,
    CommandReusedError,
    Commit,
    EvidenceReported,
    HistoryError,
    NotFoundError,
    Plan,
    RolloutChanged,
    RolloutStarted,
    RolloutState,
    State,
    Unchanged,
    WrongStateError,
    advance,
    apply,
    change_rollout,
    next_step,
    publish,
    standing_of,
    start_rollout,
)
from toolreeve.policy.sign import verify_manifest


@pytest.mark.parametrize(
    ("change", "state"),
    [(Change.ABORT, RolloutState.ABORTED), (Change.ROLL_BACK, RolloutState.ROLLED_BACK)],
)
def test_an_operator_takes_it_back_for_everybody(change: Change, state: RolloutState) -> None:
    story = Story()
    story.change(change)
    assert story.rollout().state is state
    assert {story.wanted(name) for name in FLEET} == {OLD.revision}
    assert story.rollout().reason.endswith("by ada")


def test_what_is_done_is_rolled_back_until_something_else_is_published() -> None:
    story = Story()
    story.change(Change.PROMOTE)
    story.change(Change.PROMOTE)
    assert story.rollout().state is RolloutState.DONE
    done = story.state
    story.change(Change.ROLL_BACK)
    assert {story.wanted(name) for name in FLEET} == {OLD.revision}
    story.state = done
    story.take(
        publish(story.state, story.command(), policy=OTHER, server="vm", key=KEY, at=story.now)
    )
    with pytest.raises(WrongStateError, match="given another policy"):
        story.change(Change.ROLL_BACK)


def test_what_cannot_be_done_is_refused_with_a_reason() -> None:
    story = Story()
    with pytest.raises(WrongStateError, match="is running and cannot be resumed"):
        story.change(Change.RESUME)
    with pytest.raises(WrongStateError, match="is running"):
        story.start(PLAN, OTHER)
    with pytest.raises(NotFoundError, match="no rollout"):
        change_rollout(
            story.state, story.command(), rollout_id="r", change=Change.PAUSE, at=story.now
        )
    story.change(Change.ABORT)
    with pytest.raises(WrongStateError, match="is aborted and cannot be promoted"):
        story.change(Change.PROMOTE)
    with pytest.raises(WrongStateError, match="runs sha256"):
        story.start(PLAN, OLD)
    with pytest.raises(WrongStateError, match="nothing is published"):
        start_rollout(
            State(), story.command(), policy=NEW, server="vm", plan=PLAN, key=KEY, at=story.now
        )


@pytest.mark.parametrize(
    "plan",
    [
        Plan(stages=()),
        Plan(stages=(100,)),
        Plan(stages=(100, 100, 10_000)),
        Plan(stages=(0, 10_000)),
        Plan(stages=(10_000, 20_000)),
        Plan(soak_ns=-1),
        Plan(tightened_max=-1),
        Plan(drift_max=1.0),
        Plan(drift_max=float("nan")),
        Plan(alpha=0.0),
        Plan(missing_percent_max=101),
        Plan(canary=(("a b", "c"),)),
    ],
)
def test_a_plan_that_is_none_is_refused(plan: Plan) -> None:
    story = Story()
    story.change(Change.ABORT)
    with pytest.raises(CommandError):
        story.start(plan, NEW)


def test_the_same_command_starts_one_rollout_only() -> None:
    story = Story()
    again = start_rollout(
        story.state,
        Command(command_id="c2", actor="ada"),
        policy=NEW,
        server="vm",
        plan=PLAN,
        key=KEY,
        at=story.now,
    )
    assert isinstance(again, Unchanged)
    assert again.repeated
    with pytest.raises(CommandReusedError):
        change_rollout(
            story.state,
            Command(command_id="c1", actor="ada"),
            rollout_id=story.started,
            change=Change.PAUSE,
            at=story.now,
        )


def test_a_plain_publish_waits_for_the_end_and_break_glass_does_not() -> None:
    story = Story()
    command = Command(command_id="p", actor="ada", reason="the disks fill up")
    with pytest.raises(WrongStateError, match="--break-glass"):
        publish(story.state, command, policy=OTHER, server="vm", key=KEY, at=story.now)
    with pytest.raises(CommandError, match="reason"):
        publish(
            story.state,
            replace(command, reason=""),
            policy=OTHER,
            server="vm",
            key=KEY,
            at=story.now,
            break_glass=True,
        )
    story.take(
        publish(
            story.state, command, policy=OTHER, server="vm", key=KEY, at=story.now, break_glass=True
        )
    )
    assert story.rollout().state is RolloutState.ABORTED
    assert {story.wanted(name) for name in FLEET} == {OTHER.revision}
    manifest = verify_manifest(story.state.wanted["vm"].envelope, [KEY.public])
    assert manifest.break_glass == "ada: the disks fill up"
    assert manifest.sequence > story.rollout().back.sequence


def test_counts_of_an_enforcer_that_began_anew_are_added_to_those_of_before() -> None:
    story = Story(plan=replace(PLAN, tightened_max=9, drift_max=0.9))
    first = story.cohort()[0]
    story.count(first, epoch=1, decisions=5, pairs=5, denials=2, tightened=2)
    story.count(first, epoch=2, decisions=1, pairs=1, denials=1, tightened=1)
    story.count(first, epoch=1, decisions=4, pairs=4, denials=1, tightened=1)
    standing = standing_of(story.rollout(), story.state.roster)
    assert (standing.decisions, standing.pairs, standing.tightened) == (6, 6, 3)


def test_what_is_known_already_is_not_written_again() -> None:
    story = Story()
    first = story.cohort()[0]
    story.count(first, decisions=5, pairs=5)
    before = story.state.index
    story.count(first, decisions=5, pairs=5)
    assert story.state.index == before


def test_reports_that_contradict_one_another_are_not_written() -> None:
    story = Story()
    first = story.cohort()[0]
    before = story.state.index
    story.count(first, decisions=5, pairs=5, denials=5, tightened=5, loosened=5)
    assert story.state.index == before


def test_asking_twice_what_comes_next_changes_it_once() -> None:
    story = Story()
    proved(story)
    story.tick(10)
    assert next_step(story.rollout(), story.state.roster, story.now) is None
    twice = advance(story.state, rollout_id=story.started, at=story.now, command_id="again")
    assert isinstance(twice, Unchanged)


def test_a_log_in_which_a_cohort_shrinks_or_a_sequence_falls_is_not_folded() -> None:
    story = Story()
    story.change(Change.ABORT)
    outcome = start_rollout(
        story.state, story.command(), policy=NEW, server="vm", plan=PLAN, key=KEY, at=story.now
    )
    assert isinstance(outcome, Commit)
    (started,) = outcome.events
    assert isinstance(started, RolloutStarted)
    one, two = started.stages
    for forged in (
        replace(started, stages=(replace(one, cohort=two.cohort), replace(two, cohort=one.cohort))),
        replace(started, stages=(two, one)),
        replace(started, back=replace(started.back, sequence=started.final.sequence)),
        replace(started, stages=()),
        replace(started, previous_revision=OTHER.revision),
        replace(started, revision="sha256:0"),
    ):
        with pytest.raises(HistoryError):
            apply(story.state, replace(outcome, events=(forged,)), b"x" * 32)
    unheard_of = EvidenceReported(rollout_id="r", reports=())
    with pytest.raises(HistoryError, match="never began"):
        apply(story.state, replace(outcome, events=(unheard_of,)), b"x" * 32)
    change = RolloutChanged(
        rollout_id=story.started, state=RolloutState.RUNNING, stage=1, reason=""
    )
    with pytest.raises(HistoryError, match="is over"):
        apply(story.state, replace(outcome, events=(change,)), b"x" * 32)
    second = replace(started, rollout_id="r2")
    with pytest.raises(HistoryError, match="is under way"):
        apply(story.state, replace(outcome, events=(started, second)), b"x" * 32)
