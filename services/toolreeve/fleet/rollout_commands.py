"""What operators ask of rollouts, and what rollouts do by themselves."""

from collections.abc import Iterable, Mapping
from enum import Enum
from hashlib import sha256
from itertools import pairwise

from msgspec import Struct
from msgspec.structs import replace

from toolreeve.decision import HOUR, Instant
from toolreeve.fleet.commands import (
    Command,
    CommandError,
    CommandReusedError,
    NotFoundError,
    Unchanged,
    WrongStateError,
    check_command,
    check_server,
    next_commit,
    next_sequence,
)
from toolreeve.fleet.history import Commit, ControlEvent, ManifestIssued, RevisionPublished
from toolreeve.fleet.rollout import (
    EvidenceReported,
    Plan,
    Report,
    Rollout,
    RolloutChanged,
    RolloutStarted,
    RolloutState,
    Signed,
)
from toolreeve.fleet.rollout_fold import joined
from toolreeve.fleet.rollout_step import Step, next_step, onward
from toolreeve.fleet.state import Enforcer, RolloutAnswer, State
from toolreeve.policy import Policy
from toolreeve.policy.cohort import BUCKETS, WHOLE, Cohort, bound_of, bucket_of
from toolreeve.policy.sign import Manifest
from toolreeve.policy.signer import Signer

STAGES_MAX = 20
WAIT_NS_MAX = 720 * HOUR
ACTOR = "rollout"
"""Who stands as actor where a rollout goes on by itself."""


class Change(Enum):
    """What an operator may do to a rollout."""

    PAUSE = "pause"
    RESUME = "resume"
    PROMOTE = "promote"
    ABORT = "abort"
    ROLL_BACK = "roll_back"


class _Move(Struct, frozen=True):
    """From which states a change is possible, and what it says it has done."""

    states: frozenset[RolloutState]
    done: str


_RUNNING, _PAUSED = RolloutState.RUNNING, RolloutState.PAUSED
_MOVES: Mapping[Change, _Move] = {
    Change.PAUSE: _Move(frozenset({_RUNNING}), "paused"),
    Change.RESUME: _Move(frozenset({_PAUSED}), "resumed"),
    Change.PROMOTE: _Move(frozenset({_RUNNING, _PAUSED}), "promoted"),
    Change.ABORT: _Move(frozenset({_RUNNING, _PAUSED, RolloutState.HALTED}), "aborted"),
    Change.ROLL_BACK: _Move(
        frozenset({_RUNNING, _PAUSED, RolloutState.HALTED, RolloutState.DONE}), "rolled back"
    ),
}


def start_rollout(
    state: State,
    command: Command,
    *,
    policy: Policy,
    server: str,
    plan: Plan,
    key: Signer,
    at: Instant,
) -> Commit | Unchanged:
    """Bring `policy` to the enforcers of `server` in stages, all signed with `key` now.

    Raises CommandError, NotSignedError.
    """
    check_command(command)
    check_server(server)
    check_plan(plan)
    named = rollout_id_of(command)
    earlier = state.answers.get(command.command_id)
    if earlier is not None:
        if earlier == RolloutAnswer(rollout_id=named):
            return Unchanged(answer=earlier, repeated=True)
        raise CommandReusedError(command.command_id)
    before = state.wanted.get(server)
    if before is None:
        raise WrongStateError(
            f"nothing is published for {server!r}, so there is nothing to go back to",
            "publish a policy first; the next one can come in stages",
        )
    under_way = state.rollouts.of(server)
    if under_way is not None:
        raise WrongStateError(
            f"rollout {under_way.rollout_id} of {server!r} is {under_way.state.value}",
            "wait for its end, abort it or roll it back",
        )
    if before.revision == policy.revision:
        raise WrongStateError(
            f"{server!r} runs {policy.revision} already", "change the policy, then start again"
        )
    cohorts = cohorts_of(state.roster.values(), server=server, salt=named, plan=plan)
    first = next_sequence(state, server)

    def signed(sequence: int, cohort: Cohort | None, *, back: bool = False) -> Signed:
        revision = state.revisions[before.revision] if back else None
        manifest = Manifest(
            policy=before.policy if back else policy.name or server,
            server=server,
            sequence=sequence,
            revision=policy.revision if revision is None else revision.revision,
            size=len(policy.canonical if revision is None else revision.body),
            issued_ns=at,
            rollout="" if cohort is None else named,
            cohort="" if cohort is None else cohort.text,
            previous="" if cohort is None else before.revision,
        )
        return Signed(sequence=sequence, cohort=cohort, envelope=key.envelope(manifest))

    end = first + len(cohorts)
    started = RolloutStarted(
        rollout_id=named,
        server=server,
        policy=policy.name or server,
        revision=policy.revision,
        previous_revision=before.revision,
        plan=plan,
        stages=tuple(signed(first + stage, cohort) for stage, cohort in enumerate(cohorts)),
        final=signed(end, None),
        back=signed(end + 1, None, back=True),
    )
    events: tuple[ControlEvent, ...] = (started,)
    if policy.revision not in state.revisions:
        body = policy.canonical
        name = policy.name or server
        events = (RevisionPublished(policy=name, revision=policy.revision, body=body), started)
    return next_commit(state, command, events, at)


def rollout_id_of(command: Command) -> str:
    """The same command, the same rollout."""
    return "rollout-" + sha256(command.command_id.encode()).hexdigest()[:10]


def cohorts_of(
    roster: Iterable[Enforcer], *, server: str, salt: str, plan: Plan
) -> tuple[Cohort, ...]:
    """Who belongs to each stage. Even the smallest has one enforcer, if the server has any."""
    behind = [one for one in roster if server in one.servers]
    canaries = Cohort(salt=salt, below=0, canary=plan.canary)
    named = any(canaries.includes(one.enforcer_id, one.labels) for one in behind)
    lowest = min((bucket_of(salt, one.enforcer_id) + 1 for one in behind), default=0)
    floor = 0 if named else lowest
    return tuple(
        Cohort(salt=salt, below=max(floor, bound_of(share)), canary=plan.canary)
        for share in plan.stages
    )


def change_rollout(
    state: State, command: Command, *, rollout_id: str, change: Change, at: Instant
) -> Commit | Unchanged:
    """Pause, resume, promote, abort or roll back. Raises CommandError."""
    check_command(command)
    rollout = state.rollouts.by_id.get(rollout_id)
    earlier = state.answers.get(command.command_id)
    if earlier is not None:
        if earlier == RolloutAnswer(rollout_id=rollout_id):
            return Unchanged(answer=earlier, repeated=True)
        raise CommandReusedError(command.command_id)
    if rollout is None:
        raise NotFoundError(f"no rollout {rollout_id!r} is known", "list the rollouts")
    move = _MOVES[change]
    if rollout.state not in move.states:
        raise WrongStateError(
            f"{rollout_id} is {rollout.state.value} and cannot be {move.done}",
            f"that needs one that is {' or '.join(sorted(one.value for one in move.states))}",
        )
    if rollout.state is RolloutState.DONE and _followed(state, rollout):
        raise WrongStateError(
            f"{rollout.server!r} was given another policy since {rollout_id}",
            "publish the revision that you want",
        )
    reason = command.reason or f"{move.done} by {command.actor}"
    return _moved(state, command, rollout, _step(rollout, change, reason), at)


def advance(state: State, *, rollout_id: str, at: Instant, command_id: str) -> Commit | Unchanged:
    """What a rollout does by itself at `at`. Whoever asks twice is told that nothing is left."""
    rollout = state.rollouts.by_id.get(rollout_id)
    step = None if rollout is None else next_step(rollout, state.roster, at)
    if rollout is None or step is None:
        return Unchanged()
    command = Command(command_id=command_id, actor=ACTOR, reason=step.reason)
    return _moved(state, command, rollout, step, at)


def report_evidence(
    state: State, reports: Mapping[str, tuple[Report, ...]], *, command_id: str, at: Instant
) -> Commit | Unchanged:
    """One commit with what is news of these reports, which are by rollout."""
    events: list[EvidenceReported] = []
    for rollout_id, heard in reports.items():
        rollout = state.rollouts.by_id.get(rollout_id)
        if rollout is None or rollout.state.over:
            continue
        said = (_said_of(rollout, one) for one in heard)
        news = tuple(one for one in said if one is not None)
        if news:
            events.append(EvidenceReported(rollout_id=rollout_id, reports=news))
    if not events:
        return Unchanged()
    return next_commit(state, Command(command_id=command_id, actor="fleet"), tuple(events), at)


def _said_of(rollout: Rollout, report: Report) -> Report | None:
    """What is not known yet, without what the rollout says itself; None where that is nothing."""
    evidence = report.evidence
    if (evidence.server, evidence.revision) != (rollout.server, rollout.revision):
        return None
    if not evidence.plausible:  # of reports that contradict one another
        return None
    said = replace(report, evidence=replace(evidence, rollout="", server="", revision=""))
    known = rollout.reports.get(report.key)
    return said if joined(known, said) != known else None


def check_plan(plan: Plan) -> None:
    """Raise CommandError where a plan is none."""
    stages = plan.stages
    rising = all(0 < early < late for early, late in pairwise((*stages, WHOLE + 1)))
    if not 1 <= len(stages) <= STAGES_MAX or not rising or stages[-1] != WHOLE:
        raise CommandError(
            "the stages do not rise to the whole fleet", "write them like 1,5,25,100 (percent)"
        )
    if not (0 <= plan.soak_ns <= WAIT_NS_MAX and 0 <= plan.patience_ns <= WAIT_NS_MAX):
        raise CommandError("a stage would take more than 30 days", "choose a shorter time")
    bounds = (plan.tightened_max, plan.loosened_max, plan.decisions_min)
    if any(bound is not None and bound < 0 for bound in bounds):
        raise CommandError("a number of calls is negative", "choose 0 or more")
    if not (0 <= plan.drift_max < 1 and 0 < plan.alpha < 1):
        raise CommandError(
            "the drift or its error probability is not a share", "choose from 0 to less than 1"
        )
    if not 0 <= plan.missing_percent_max <= 100:
        raise CommandError("the missing are not given in percent", "choose 0 to 100")
    problem = Cohort(salt="s", below=BUCKETS, canary=plan.canary).problem()
    if problem:
        raise CommandError(f"the canary labels cannot be used: {problem}", "write NAME=VALUE")


def _step(rollout: Rollout, change: Change, reason: str) -> Step:
    match change:
        case Change.PAUSE:
            return Step(state=RolloutState.PAUSED, stage=rollout.stage, reason=reason)
        case Change.RESUME:
            return Step(state=RolloutState.RUNNING, stage=rollout.stage, reason=reason)
        case Change.PROMOTE:
            return onward(rollout, reason)
        case Change.ABORT:
            return Step(state=RolloutState.ABORTED, stage=rollout.stage, reason=reason)
        case Change.ROLL_BACK:
            return Step(state=RolloutState.ROLLED_BACK, stage=rollout.stage, reason=reason)


def _followed(state: State, rollout: Rollout) -> bool:
    wanted = state.wanted.get(rollout.server)
    newer = wanted is None or wanted.manifest_sequence != rollout.final.sequence
    return newer or rollout.server in state.rollouts.under_way


def _moved(state: State, command: Command, rollout: Rollout, step: Step, at: Instant) -> Commit:
    """The commit of a step; with its end goes the manifest that is everybody's from then on."""
    changed = RolloutChanged(
        rollout_id=rollout.rollout_id, state=step.state, stage=step.stage, reason=step.reason
    )
    if not step.state.over:
        return next_commit(state, command, (changed,), at)
    forward = step.state is RolloutState.DONE
    signed = rollout.final if forward else rollout.back
    previous = state.revisions[rollout.previous_revision]
    issued = ManifestIssued(
        server=rollout.server,
        policy=rollout.policy if forward else previous.policy,
        revision=rollout.revision if forward else previous.revision,
        manifest_sequence=signed.sequence,
        envelope=signed.envelope,
    )
    return next_commit(state, command, (issued, changed), at)
