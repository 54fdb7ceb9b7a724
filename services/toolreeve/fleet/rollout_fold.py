"""What happens to a rollout, one event after another.

Trusts nobody, like the fold that it is a part of: an event that breaks a promise (cohorts only
grow, sequences rise, one rollout at a time for a server) is not folded.
"""

from collections.abc import Mapping
from itertools import pairwise
from typing import TYPE_CHECKING, assert_never

from msgspec.structs import replace

from toolreeve.decision import Instant
from toolreeve.fleet.history import Commit, PolicyNacked
from toolreeve.fleet.rollout import (
    FINISHED_KEPT,
    EvidenceReported,
    Report,
    Rollout,
    RolloutChanged,
    Rollouts,
    RolloutStarted,
    RolloutState,
    RolloutStep,
    Signed,
)
from toolreeve.policy.cohort import Cohort

if TYPE_CHECKING:
    from toolreeve.fleet.state import WantedPolicy

HARMLESS_CODES = frozenset({"fetch", "rollback"})
"""Refusals that say nothing of the revision: its text did not arrive, or a newer one had."""


class BrokenPromiseError(ValueError):
    """An event that this code could not have written."""


def fold(
    rollouts: Rollouts,
    event: RolloutStarted | RolloutChanged | EvidenceReported,
    commit: Commit,
    wanted: "Mapping[str, WantedPolicy]",
) -> Rollouts:
    """What is known of rollouts behind one more event of a commit. Raises BrokenPromiseError.

    `wanted` is what servers are to run outside of rollouts.
    """
    match event:
        case RolloutStarted():
            before = wanted.get(event.server)
            if before is None or before.revision != event.previous_revision:
                raise BrokenPromiseError(
                    f"{event.rollout_id} does not begin where {event.server} stands"
                )
            return _start(rollouts, event, commit, above=before.manifest_sequence)
        case RolloutChanged():
            return _change(rollouts, event, actor=commit.actor, at=commit.at)
        case EvidenceReported():
            return _report(rollouts, event)
        case _:
            assert_never(event)


def _start(rollouts: Rollouts, event: RolloutStarted, commit: Commit, *, above: int) -> Rollouts:
    actor, reason, at = commit.actor, commit.reason, commit.at
    if event.server in rollouts.under_way or event.rollout_id in rollouts.by_id:
        raise BrokenPromiseError(f"{event.rollout_id}: a rollout of {event.server} is under way")
    _check(event, above=max(above, rollouts.allotted.get(event.server, 0)))
    begun = RolloutStep(
        at=at, state=RolloutState.RUNNING, stage=0, actor=actor, reason=reason or "started"
    )
    rollout = Rollout(
        rollout_id=event.rollout_id,
        server=event.server,
        policy=event.policy,
        revision=event.revision,
        previous_revision=event.previous_revision,
        plan=event.plan,
        stages=event.stages,
        final=event.final,
        back=event.back,
        actor=actor,
        reason=reason,
        started_at=at,
        since=at,
        steps=(begun,),
    )
    return replace(
        rollouts,
        by_id={**rollouts.by_id, rollout.rollout_id: rollout},
        under_way={**rollouts.under_way, rollout.server: rollout.rollout_id},
        allotted={**rollouts.allotted, rollout.server: rollout.back.sequence},
    )


def _change(rollouts: Rollouts, event: RolloutChanged, *, actor: str, at: Instant) -> Rollouts:
    rollout = rollouts.by_id.get(event.rollout_id)
    if rollout is None:
        raise BrokenPromiseError(f"{event.rollout_id} never began")
    taken_back = (rollout.state, event.state) == (RolloutState.DONE, RolloutState.ROLLED_BACK)
    if rollout.state.over and not taken_back:
        raise BrokenPromiseError(f"{event.rollout_id} is over: {rollout.state.value}")
    if not rollout.stage <= event.stage < len(rollout.stages):
        raise BrokenPromiseError(f"{event.rollout_id} goes from {rollout.stage} to {event.stage}")
    step = RolloutStep(
        at=at, state=event.state, stage=event.stage, actor=actor, reason=event.reason
    )
    moved = replace(
        rollout,
        state=event.state,
        stage=event.stage,
        since=at,
        reason=event.reason,
        steps=(*rollout.steps, step),
    )
    by_id = {**rollouts.by_id, rollout.rollout_id: moved}
    if not moved.state.over:
        return replace(rollouts, by_id=by_id)
    under_way = {
        server: named for server, named in rollouts.under_way.items() if named != rollout.rollout_id
    }
    return replace(rollouts, by_id=_without_old(by_id), under_way=under_way)


def _report(rollouts: Rollouts, event: EvidenceReported) -> Rollouts:
    rollout = rollouts.by_id.get(event.rollout_id)
    if rollout is None:
        raise BrokenPromiseError(f"{event.rollout_id} never began")
    reports = dict(rollout.reports)
    for one in event.reports:
        reports[one.key] = joined(reports.get(one.key), one)
    return _with(rollouts, replace(rollout, reports=reports))


def joined(known: Report | None, heard: Report) -> Report:
    """What is known of one enforcer and epoch once this has been heard too."""
    if known is None:
        return heard
    return replace(known, evidence=known.evidence.joined(heard.evidence))


def refuse(rollouts: Rollouts, nacked: PolicyNacked) -> Rollouts:
    """An enforcer has refused a manifest; that counts where it was one of a rollout's stages."""
    rollout = rollouts.of(nacked.server)
    if rollout is None or nacked.code in HARMLESS_CODES:
        return rollouts
    offered = range(rollout.stages[0].sequence, rollout.offered.sequence + 1)
    if nacked.manifest_sequence not in offered:
        return rollouts
    refused = {**rollout.refused, nacked.enforcer_id: f"{nacked.code}: {nacked.reason}"}
    return _with(rollouts, replace(rollout, refused=refused))


def _with(rollouts: Rollouts, rollout: Rollout) -> Rollouts:
    return replace(rollouts, by_id={**rollouts.by_id, rollout.rollout_id: rollout})


def _without_old(by_id: Mapping[str, Rollout]) -> Mapping[str, Rollout]:
    over = [named for named, rollout in by_id.items() if rollout.state.over]
    forgotten = set(over[:-FINISHED_KEPT])
    return {named: rollout for named, rollout in by_id.items() if named not in forgotten}


def _check(event: RolloutStarted, *, above: int) -> None:
    signed: list[Signed] = [*event.stages, event.final, event.back]
    sequences = [above, *(one.sequence for one in signed)]
    if not event.stages or any(late <= early for early, late in pairwise(sequences)):
        raise BrokenPromiseError(f"{event.rollout_id}: the sequences do not rise")
    cohorts: list[Cohort] = [one.cohort for one in event.stages if one.cohort is not None]
    if len(cohorts) != len(event.stages) or any(
        late.below < early.below or (late.salt, late.canary) != (early.salt, early.canary)
        for early, late in pairwise(cohorts)
    ):
        raise BrokenPromiseError(f"{event.rollout_id}: a stage does not grow from the one before")
