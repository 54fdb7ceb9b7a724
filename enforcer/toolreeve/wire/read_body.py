"""Bodies of audit events, from the contract to domain values."""

from decimal import Decimal

from toolreeve.audit import (
    AlertRaised,
    AlertResolved,
    ApprovalAsked,
    ApprovalGiven,
    ApprovalUsed,
    Arguments,
    Body,
    Completed,
    Decided,
    EnforcerStarted,
    EnforcerStopped,
    Hold,
    HoldPlaced,
    HoldReleased,
    KeptArgument,
    PolicyApplied,
    PolicyRefused,
    RequestRefused,
    Reservation,
    ToolApproved,
    ToolChanged,
    ToolPinned,
)
from toolreeve.decision import Instant
from toolreeve.policy import Refund
from toolreeve.v1 import audit_pb2 as pb
from toolreeve.wire.choices import read_effect, read_outcome
from toolreeve.wire.errors import WireError
from toolreeve.wire.grants import read_grant_changed
from toolreeve.wire.trail_body import (
    read_checkpoint_made,
    read_erasure_made,
    read_head_sealed,
    read_outbox_damaged,
)


def read_body(message: pb.Event) -> Body:  # noqa: C901, PLR0912  (one case a kind)
    """The body of an event. Raises WireError where there is none that this version knows."""
    match message.WhichOneof("body"):
        case "decided":
            return _decided(message.decided, Instant(message.time_unix_nano))
        case "completed":
            return _completed(message.completed)
        case "policy_applied":
            return _policy_applied(message.policy_applied)
        case "policy_refused":
            return _policy_refused(message.policy_refused)
        case "enforcer_started":
            return _enforcer_started(message.enforcer_started)
        case "enforcer_stopped":
            return EnforcerStopped(reason=message.enforcer_stopped.reason)
        case "hold_placed":
            return HoldPlaced(hold=read_hold(message.hold_placed.hold))
        case "hold_released":
            return read_release(message.hold_released)
        case "alert_raised":
            return read_alert(message.alert_raised)
        case "alert_resolved":
            resolved = message.alert_resolved
            return AlertResolved(alert_id=resolved.alert_id, reason=resolved.reason)
        case "approval_asked":
            return _approval_asked(message.approval_asked)
        case "approval_given":
            return _approval_given(message.approval_given)
        case "approval_used":
            used = message.approval_used
            return ApprovalUsed(approval_id=used.approval_id, decision_id=used.decision_id)
        case "request_refused":
            return _request_refused(message.request_refused)
        case "tool_pinned":
            return _tool_pinned(message.tool_pinned)
        case "tool_changed":
            return _tool_changed(message.tool_changed)
        case "tool_approved":
            return _tool_approved(message.tool_approved)
        case "head_sealed":
            return read_head_sealed(message.head_sealed)
        case "outbox_damaged":
            return read_outbox_damaged(message.outbox_damaged)
        case "grant_changed":
            return read_grant_changed(message.grant_changed)
        case "checkpoint_made":
            return read_checkpoint_made(message.checkpoint_made)
        case "erasure_made":
            return read_erasure_made(message.erasure_made)
        case None:
            raise WireError(f"an event of kind {message.kind} without a body that is known here")


def _decided(message: pb.Decided, at: Instant) -> Decided:
    arguments = message.arguments
    return Decided(
        server=message.server,
        grant=message.grant,
        agent=message.agent,
        session=message.session,
        request_id=message.request_id,
        tool=message.tool,
        wire_tool=message.wire_tool,
        tool_group=message.tool_group,
        effect=read_effect(message.effect),
        code=message.code,
        rule=message.rule,
        reason=message.reason,
        policy_revision=message.policy_revision,
        retry_after_ms=message.retry_after_ms if message.HasField("retry_after_ms") else None,
        limit_counter=message.limit_counter,
        arguments=Arguments(
            names=tuple(arguments.names),
            kept=tuple(KeptArgument(kept.pointer, kept.value_json) for kept in arguments.kept),
            keyed_hash=arguments.keyed_hash,
            size_bytes=arguments.size_bytes,
            commitment=arguments.commitment,
        ),
        protocol_version=message.protocol_version,
        decision_ns=message.decision_ns,
        mode=message.mode,
        reservations=tuple(_reservation(one, at) for one in message.reservations),
        code_before=message.code_before,
        stale=message.stale,
    )


def _reservation(message: pb.Reservation, at: Instant) -> Reservation:
    try:
        amount = Decimal(message.amount or 1)
        maximum = Decimal(message.maximum) if message.maximum else None
        refund_on = frozenset(map(Refund, message.refund_on))
    except (ArithmeticError, ValueError) as error:
        raise WireError(f"a reservation cannot be read: {error}") from error
    if not amount.is_finite() or amount < 0 or message.window_ns <= 0:
        raise WireError("a reservation without a window, or with an amount that is none")
    return Reservation(
        counter=message.counter,
        bucket=message.bucket,
        window_ns=message.window_ns,
        calendar=message.calendar,
        amount=amount,
        at=at,
        refund_on=refund_on,
        lease=message.lease,
        maximum=maximum,
    )


def _completed(message: pb.Completed) -> Completed:
    return Completed(
        decision_id=message.decision_id,
        outcome=read_outcome(message.outcome),
        duration_ns=message.duration_ns,
        request_bytes=message.request_bytes,
        response_bytes=message.response_bytes,
        rpc_error_code=message.rpc_error_code if message.HasField("rpc_error_code") else None,
        detail=message.detail,
        refunded=tuple(message.refunded),
    )


def _policy_applied(message: pb.PolicyApplied) -> PolicyApplied:
    return PolicyApplied(
        server=message.server,
        policy=message.policy,
        revision=message.revision,
        previous_revision=message.previous_revision,
        origin=message.origin,
        manifest_sequence=message.manifest_sequence,
        rollout=message.rollout,
        break_glass=message.break_glass,
    )


def _policy_refused(message: pb.PolicyRefused) -> PolicyRefused:
    return PolicyRefused(
        server=message.server,
        policy=message.policy,
        revision=message.revision,
        code=message.code,
        reason=message.reason,
        origin=message.origin,
    )


def _enforcer_started(message: pb.EnforcerStarted) -> EnforcerStarted:
    return EnforcerStarted(
        software_version=message.software_version,
        host=message.host,
        servers=tuple(message.servers),
        previous_epoch=message.previous_epoch,
        previous_head=message.previous_head,
        boot_id=message.boot_id,
        public_key=message.public_key,
    )


def read_hold(message: pb.Hold) -> Hold:
    """A hold from the contract. Raises WireError for one without an id."""
    if not message.hold_id:
        raise WireError("a hold without an id")
    return Hold(
        hold_id=message.hold_id,
        fleet=message.fleet,
        server=message.server,
        grant=message.grant,
        tool=message.tool,
        argument_pointer=message.argument_pointer,
        argument_value_json=message.argument_value_json,
        actor=message.actor,
        reason=message.reason,
        expires_at=Instant(message.expires_unix_nano) if message.expires_unix_nano else None,
    )


def read_release(message: pb.HoldReleased) -> HoldReleased:
    """A hold's release from the contract."""
    return HoldReleased(hold_id=message.hold_id, actor=message.actor, reason=message.reason)


def read_alert(message: pb.AlertRaised) -> AlertRaised:
    """An alert from the contract; its labels in the order of their names."""
    return AlertRaised(
        alert_id=message.alert_id,
        rule=message.rule,
        detector=message.detector,
        severity=message.severity,
        summary=message.summary,
        labels=tuple(sorted(message.labels.items())),
        since_at=Instant(message.since_unix_nano),
        crossed_at=Instant(message.crossed_unix_nano),
        observed=message.observed,
        threshold=message.threshold,
        baseline=message.baseline,
        query=message.query,
    )


def _approval_asked(message: pb.ApprovalAsked) -> ApprovalAsked:
    return ApprovalAsked(
        approval_id=message.approval_id,
        decision_id=message.decision_id,
        server=message.server,
        grant=message.grant,
        tool=message.tool,
        arguments_hash=message.arguments_hash,
        policy_revision=message.policy_revision,
        expires_at=Instant(message.expires_unix_nano),
    )


def _approval_given(message: pb.ApprovalGiven) -> ApprovalGiven:
    return ApprovalGiven(
        approval_id=message.approval_id,
        approved=message.approved,
        actor=message.actor,
        reason=message.reason,
    )


def _request_refused(message: pb.RequestRefused) -> RequestRefused:
    return RequestRefused(
        server=message.server,
        grant=message.grant,
        code=message.code,
        reason=message.reason,
        transport=message.transport,
        http_status=message.http_status,
        rpc_error_code=message.rpc_error_code,
        method=message.method,
        wire_tool=message.wire_tool,
        request_bytes=message.request_bytes,
        count=message.count,
    )


def _tool_pinned(message: pb.ToolPinned) -> ToolPinned:
    return ToolPinned(
        server=message.server,
        tool=message.tool,
        digest=message.digest,
        definition_json=message.definition_json,
        approved=message.approved,
        looks_like=message.looks_like,
    )


def _tool_changed(message: pb.ToolChanged) -> ToolChanged:
    return ToolChanged(
        server=message.server,
        tool=message.tool,
        digest=message.digest,
        previous_digest=message.previous_digest,
        approved_digest=message.approved_digest,
        members=tuple(message.members),
        definition_json=message.definition_json,
        together=message.together,
    )


def _tool_approved(message: pb.ToolApproved) -> ToolApproved:
    return ToolApproved(
        server=message.server,
        tool=message.tool,
        digest=message.digest,
        previous_digest=message.previous_digest,
        actor=message.actor,
        reason=message.reason,
    )
