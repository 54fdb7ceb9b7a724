"""Bodies of audit events, from domain values to the contract."""

from typing import assert_never

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
    PolicyApplied,
    PolicyRefused,
    RequestRefused,
    Reservation,
)
from toolreeve.v1 import audit_pb2 as pb
from toolreeve.wire.choices import EFFECTS, OUTCOMES


def write_body(message: pb.Event, body: Body) -> None:  # noqa: C901, PLR0912  (one case a kind)
    """Set the body of `message`, and its kind."""
    match body:
        case Decided():
            message.kind = pb.EVENT_KIND_DECIDED
            message.decided.CopyFrom(write_decided(body))
        case Completed():
            message.kind = pb.EVENT_KIND_COMPLETED
            message.completed.CopyFrom(write_completed(body))
        case PolicyApplied():
            message.kind = pb.EVENT_KIND_POLICY_APPLIED
            message.policy_applied.CopyFrom(_policy_applied(body))
        case PolicyRefused():
            message.kind = pb.EVENT_KIND_POLICY_REFUSED
            message.policy_refused.CopyFrom(_policy_refused(body))
        case EnforcerStarted():
            message.kind = pb.EVENT_KIND_ENFORCER_STARTED
            message.enforcer_started.CopyFrom(_enforcer_started(body))
        case EnforcerStopped():
            message.kind = pb.EVENT_KIND_ENFORCER_STOPPED
            message.enforcer_stopped.CopyFrom(pb.EnforcerStopped(reason=body.reason))
        case HoldPlaced():
            message.kind = pb.EVENT_KIND_HOLD_PLACED
            message.hold_placed.hold.CopyFrom(write_hold(body.hold))
        case HoldReleased():
            message.kind = pb.EVENT_KIND_HOLD_RELEASED
            message.hold_released.CopyFrom(write_release(body))
        case AlertRaised():
            message.kind = pb.EVENT_KIND_ALERT_RAISED
            message.alert_raised.CopyFrom(write_alert(body))
        case AlertResolved():
            message.kind = pb.EVENT_KIND_ALERT_RESOLVED
            resolved = pb.AlertResolved(alert_id=body.alert_id, reason=body.reason)
            message.alert_resolved.CopyFrom(resolved)
        case ApprovalAsked():
            message.kind = pb.EVENT_KIND_APPROVAL_ASKED
            message.approval_asked.CopyFrom(_approval_asked(body))
        case ApprovalGiven():
            message.kind = pb.EVENT_KIND_APPROVAL_GIVEN
            message.approval_given.CopyFrom(_approval_given(body))
        case ApprovalUsed():
            message.kind = pb.EVENT_KIND_APPROVAL_USED
            used = pb.ApprovalUsed(approval_id=body.approval_id, decision_id=body.decision_id)
            message.approval_used.CopyFrom(used)
        case RequestRefused():
            message.kind = pb.EVENT_KIND_REQUEST_REFUSED
            message.request_refused.CopyFrom(_request_refused(body))
        case _:
            assert_never(body)


def write_decided(body: Decided) -> pb.Decided:
    """A decision as the contract says it."""
    return pb.Decided(
        server=body.server,
        grant=body.grant,
        agent=body.agent,
        session=body.session,
        request_id=body.request_id,
        tool=body.tool,
        wire_tool=body.wire_tool,
        tool_group=body.tool_group,
        effect=EFFECTS[body.effect],
        code=body.code,
        rule=body.rule,
        reason=body.reason,
        policy_revision=body.policy_revision,
        retry_after_ms=body.retry_after_ms,
        limit_counter=body.limit_counter,
        arguments=_arguments(body.arguments),
        protocol_version=body.protocol_version,
        decision_ns=body.decision_ns,
        mode=body.mode,
        reservations=[_reservation(reservation) for reservation in body.reservations],
    )


def _reservation(reservation: Reservation) -> pb.Reservation:
    return pb.Reservation(
        counter=reservation.counter,
        bucket=reservation.bucket,
        window_ns=reservation.window_ns,
        calendar=reservation.calendar,
        amount="" if reservation.amount == 1 else str(reservation.amount),
        refund_on=sorted(ending.value for ending in reservation.refund_on),
    )


def _arguments(arguments: Arguments) -> pb.Arguments:
    return pb.Arguments(
        names=arguments.names,
        kept=[
            pb.KeptArgument(pointer=kept.pointer, value_json=kept.value_json)
            for kept in arguments.kept
        ],
        keyed_hash=arguments.keyed_hash,
        size_bytes=arguments.size_bytes,
    )


def write_completed(body: Completed) -> pb.Completed:
    """An outcome as the contract says it."""
    return pb.Completed(
        decision_id=body.decision_id,
        outcome=OUTCOMES[body.outcome],
        duration_ns=body.duration_ns,
        request_bytes=body.request_bytes,
        response_bytes=body.response_bytes,
        rpc_error_code=body.rpc_error_code,
        detail=body.detail,
        refunded=body.refunded,
    )


def _policy_applied(body: PolicyApplied) -> pb.PolicyApplied:
    return pb.PolicyApplied(
        server=body.server,
        policy=body.policy,
        revision=body.revision,
        previous_revision=body.previous_revision,
        origin=body.origin,
        manifest_sequence=body.manifest_sequence,
    )


def _policy_refused(body: PolicyRefused) -> pb.PolicyRefused:
    return pb.PolicyRefused(
        server=body.server,
        policy=body.policy,
        revision=body.revision,
        code=body.code,
        reason=body.reason,
        origin=body.origin,
    )


def _enforcer_started(body: EnforcerStarted) -> pb.EnforcerStarted:
    return pb.EnforcerStarted(
        software_version=body.software_version,
        host=body.host,
        servers=body.servers,
        previous_epoch=body.previous_epoch,
        previous_head=body.previous_head,
        boot_id=body.boot_id,
    )


def write_hold(hold: Hold) -> pb.Hold:
    """A hold as the contract says it."""
    return pb.Hold(
        hold_id=hold.hold_id,
        fleet=hold.fleet,
        server=hold.server,
        grant=hold.grant,
        tool=hold.tool,
        argument_pointer=hold.argument_pointer,
        argument_value_json=hold.argument_value_json,
        actor=hold.actor,
        reason=hold.reason,
        expires_unix_nano=hold.expires_at or 0,
    )


def write_release(body: HoldReleased) -> pb.HoldReleased:
    """A hold's release as the contract says it."""
    return pb.HoldReleased(hold_id=body.hold_id, actor=body.actor, reason=body.reason)


def write_alert(body: AlertRaised) -> pb.AlertRaised:
    """An alert as the contract says it."""
    return pb.AlertRaised(
        alert_id=body.alert_id,
        rule=body.rule,
        detector=body.detector,
        severity=body.severity,
        summary=body.summary,
        labels=dict(body.labels),
        since_unix_nano=body.since_at,
        crossed_unix_nano=body.crossed_at,
        observed=body.observed,
        threshold=body.threshold,
        baseline=body.baseline,
        query=body.query,
    )


def _approval_asked(body: ApprovalAsked) -> pb.ApprovalAsked:
    return pb.ApprovalAsked(
        approval_id=body.approval_id,
        decision_id=body.decision_id,
        server=body.server,
        grant=body.grant,
        tool=body.tool,
        arguments_hash=body.arguments_hash,
        policy_revision=body.policy_revision,
        expires_unix_nano=body.expires_at,
    )


def _approval_given(body: ApprovalGiven) -> pb.ApprovalGiven:
    return pb.ApprovalGiven(
        approval_id=body.approval_id,
        approved=body.approved,
        actor=body.actor,
        reason=body.reason,
    )


def _request_refused(body: RequestRefused) -> pb.RequestRefused:
    return pb.RequestRefused(
        server=body.server,
        grant=body.grant,
        code=body.code,
        reason=body.reason,
        transport=body.transport,
        http_status=body.http_status,
        rpc_error_code=body.rpc_error_code,
        method=body.method,
        wire_tool=body.wire_tool,
        request_bytes=body.request_bytes,
        count=body.count,
    )
