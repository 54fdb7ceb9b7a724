"""Rollouts to the contract's messages and back: for the log, and for operators."""

from toolreeve.decision import MILLISECOND
from toolreeve.fleet import (
    EvidenceReported,
    OnHalt,
    Plan,
    Report,
    Rollout,
    RolloutChanged,
    RolloutStarted,
    RolloutState,
    Signed,
    standing_of,
)
from toolreeve.fleet.state import State
from toolreeve.policy.cohort import Cohort, CohortTextError
from toolreeve.policy.sign import ManifestRefused, read_manifest
from toolreeve.v1 import control_pb2 as control
from toolreeve.v1 import fleet_pb2 as fleet
from toolreeve.v1 import operator_pb2 as operator
from toolreeve.v1 import rollout_pb2 as pb
from toolreeve.wire import WireError
from toolreeve.wire.envelope import read_envelope, write_envelope
from toolreeve.wire.rollout import evidence_of, write_evidence

MISSING_NAMED_MAX = 20
MEMBERS_SHOWN_MAX = 100
ROLLOUT_EVENTS = frozenset({"rollout_started", "rollout_changed", "evidence_reported"})
"""Names of a ControlEvent's bodies that are read here."""

_STATES = {
    RolloutState.RUNNING: pb.ROLLOUT_STATE_RUNNING,
    RolloutState.PAUSED: pb.ROLLOUT_STATE_PAUSED,
    RolloutState.HALTED: pb.ROLLOUT_STATE_HALTED,
    RolloutState.DONE: pb.ROLLOUT_STATE_DONE,
    RolloutState.ROLLED_BACK: pb.ROLLOUT_STATE_ROLLED_BACK,
    RolloutState.ABORTED: pb.ROLLOUT_STATE_ABORTED,
}
_READ_STATES = {number: state for state, number in _STATES.items()}


def write_rollout_event(
    event: RolloutStarted | RolloutChanged | EvidenceReported,
) -> control.ControlEvent:
    """An event of a rollout as it stands in the log."""
    match event:
        case RolloutStarted():
            return control.ControlEvent(
                rollout_started=control.RolloutStarted(
                    rollout_id=event.rollout_id,
                    server=event.server,
                    policy=event.policy,
                    revision=event.revision,
                    previous_revision=event.previous_revision,
                    plan=write_plan(event.plan),
                    stages=[write_envelope(one.envelope) for one in event.stages],
                    final=write_envelope(event.final.envelope),
                    back=write_envelope(event.back.envelope),
                )
            )
        case RolloutChanged():
            return control.ControlEvent(
                rollout_changed=control.RolloutChanged(
                    rollout_id=event.rollout_id,
                    state=_STATES[event.state],
                    stage_index=event.stage,
                    reason=event.reason,
                )
            )
        case EvidenceReported():
            return control.ControlEvent(
                evidence_reported=control.EvidenceReported(
                    rollout_id=event.rollout_id,
                    reports=[
                        control.EvidenceReport(
                            enforcer_id=one.enforcer_id,
                            epoch=one.epoch,
                            evidence=write_evidence(one.evidence),
                        )
                        for one in event.reports
                    ],
                )
            )


def read_rollout_event(
    message: control.ControlEvent,
) -> RolloutStarted | RolloutChanged | EvidenceReported:
    """One of `ROLLOUT_EVENTS` from the log. Raises WireError."""
    match message.WhichOneof("body"):
        case "rollout_started":
            return _read_started(message.rollout_started)
        case "rollout_changed":
            return _read_changed(message.rollout_changed)
        case _:
            return _read_reported(message.evidence_reported)


def _read_started(message: control.RolloutStarted) -> RolloutStarted:
    return RolloutStarted(
        rollout_id=message.rollout_id,
        server=message.server,
        policy=message.policy,
        revision=message.revision,
        previous_revision=message.previous_revision,
        plan=read_plan(message.plan),
        stages=tuple(map(_read_signed, message.stages)),
        final=_read_signed(message.final),
        back=_read_signed(message.back),
    )


def _read_changed(message: control.RolloutChanged) -> RolloutChanged:
    state = _READ_STATES.get(message.state)
    if state is None:
        raise WireError(f"rollout state {message.state} is not known")
    return RolloutChanged(
        rollout_id=message.rollout_id,
        state=state,
        stage=message.stage_index,
        reason=message.reason,
    )


def _read_reported(message: control.EvidenceReported) -> EvidenceReported:
    return EvidenceReported(
        rollout_id=message.rollout_id,
        reports=tuple(
            Report(
                enforcer_id=one.enforcer_id,
                epoch=one.epoch,
                evidence=evidence_of(one.evidence),
            )
            for one in message.reports
        ),
    )


def write_plan(plan: Plan) -> pb.RolloutPlan:
    """A plan as the contract says it."""
    return pb.RolloutPlan(
        stages=plan.stages,
        soak_ms=plan.soak_ns // MILLISECOND,
        patience_ms=plan.patience_ns // MILLISECOND,
        canary=[f"{name}={value}" for name, value in plan.canary],
        tightened_max=plan.tightened_max,
        loosened_max=plan.loosened_max,
        drift_max=plan.drift_max,
        alpha=plan.alpha,
        decisions_min=plan.decisions_min,
        missing_percent_max=plan.missing_percent_max,
        roll_back_on_halt=plan.on_halt is OnHalt.ROLL_BACK,
    )


def read_plan(message: pb.RolloutPlan) -> Plan:
    """A plan from the contract, still to be checked."""
    labels = [label.partition("=") for label in message.canary]
    return Plan(
        stages=tuple(message.stages),
        soak_ns=message.soak_ms * MILLISECOND,
        patience_ns=message.patience_ms * MILLISECOND,
        canary=tuple(sorted({(name, value) for name, _, value in labels})),
        tightened_max=message.tightened_max if message.HasField("tightened_max") else None,
        loosened_max=message.loosened_max if message.HasField("loosened_max") else None,
        drift_max=message.drift_max,
        alpha=message.alpha,
        decisions_min=message.decisions_min,
        missing_percent_max=message.missing_percent_max,
        on_halt=OnHalt.ROLL_BACK if message.roll_back_on_halt else OnHalt.HALT,
    )


def write_rollout(rollout: Rollout, state: State) -> operator.Rollout:
    """A rollout as an operator reads it."""
    standing = standing_of(rollout, state.roster)
    return operator.Rollout(
        rollout_id=rollout.rollout_id,
        server=rollout.server,
        policy=rollout.policy,
        revision=rollout.revision,
        previous_revision=rollout.previous_revision,
        state=_STATES[rollout.state],
        plan=write_plan(rollout.plan),
        stage_index=rollout.stage,
        enforcers_wanted=len(standing.wanted),
        enforcers_received=standing.received,
        enforcers_activated=standing.activated,
        enforcers_decided=standing.decided,
        enforcers_refused=len(rollout.refused),
        enforcers=standing.enforcers,
        reason=rollout.reason,
        actor=rollout.actor,
        started_unix_nano=rollout.started_at,
        since_unix_nano=rollout.since,
        decisions=standing.decisions,
        denials=standing.denials,
        errors=standing.errors,
        pairs=standing.pairs,
        tightened=standing.tightened,
        loosened=standing.loosened,
        drift_evidence=standing.drift,
        steps=[
            operator.RolloutStep(
                time_unix_nano=step.at,
                state=_STATES[step.state],
                stage_index=step.stage,
                actor=step.actor,
                reason=step.reason,
            )
            for step in rollout.steps
        ],
        missing=standing.missing[:MISSING_NAMED_MAX],
        members=_members(rollout),
    )


def _members(rollout: Rollout) -> list[operator.RolloutMember]:
    newest: dict[str, Report] = {}
    for report in rollout.reports.values():
        known = newest.get(report.enforcer_id)
        if known is None or known.epoch < report.epoch:
            newest[report.enforcer_id] = report
    names = sorted({*newest, *rollout.refused})[:MEMBERS_SHOWN_MAX]
    return [_member(name, newest.get(name), rollout.refused.get(name, "")) for name in names]


def _member(name: str, report: Report | None, refusal: str) -> operator.RolloutMember:
    if report is None:
        return operator.RolloutMember(enforcer_id=name, refusal=refusal)
    evidence = report.evidence
    return operator.RolloutMember(
        enforcer_id=name,
        activated=evidence.activated,
        first_decision_id=evidence.first_decision,
        decisions=evidence.decisions,
        errors=evidence.errors,
        tightened=evidence.tightened,
        loosened=evidence.loosened,
        refusal=refusal,
    )


def _read_signed(message: fleet.SignedManifest) -> Signed:
    """A manifest with what it says of itself. Raises WireError."""
    envelope = read_envelope(message)
    try:
        manifest = read_manifest(envelope)
        cohort = Cohort.parse(manifest.cohort) if manifest.cohort else None
    except (ManifestRefused, CohortTextError) as error:
        raise WireError(f"a rollout's manifest cannot be read: {error}") from error
    return Signed(sequence=manifest.sequence, cohort=cohort, envelope=envelope)
