"""From events to rows: what each kind of event looks like in its table."""

from math import isfinite
from typing import assert_never

import msgspec

from toolreeve.audit import (
    AlertRaised,
    AlertResolved,
    ApprovalAsked,
    ApprovalGiven,
    ApprovalUsed,
    CheckpointMade,
    Completed,
    Decided,
    EnforcerStarted,
    EnforcerStopped,
    ErasureMade,
    Event,
    GrantChanged,
    HeadSealed,
    HoldPlaced,
    HoldReleased,
    OutboxDamaged,
    PolicyApplied,
    PolicyRefused,
    RequestRefused,
    ToolApproved,
    ToolChanged,
    ToolPinned,
)
from toolreeve.warehouse.errors import EventUnreadableError
from toolreeve.warehouse.rows_details import details_of, kept_values, numbers
from toolreeve.warehouse.rows_limits import leased
from toolreeve.warehouse.rows_trail import of_trail
from toolreeve.warehouse.tables import (
    ALERTS_RAISED,
    ALERTS_RESOLVED,
    APPROVAL_EVENTS,
    COMPLETED,
    DECIDED,
    GRANT_EVENTS,
    HOLD_EVENTS,
    LIFECYCLE,
    POLICY_EVENTS,
    REFUSAL_EVENTS,
    TOOL_EVENTS,
    Row,
    Table,
)

MICROSECOND = 1_000
_encode = msgspec.json.Encoder().encode


def row_of(event: Event, *, erased: bool = False) -> tuple[Table, Row]:
    """The table an event belongs to and its row, without `load`. `erased`: its details are.

    A Completed gets `again` as False: only the loader can know. Raises EventUnreadableError.
    """
    place = (event.enforcer, event.epoch, event.sequence, event.at // MICROSECOND)
    match event.body:
        case Decided() as body:
            return DECIDED, place + _decided(body, erased=erased)
        case Completed() as body:
            return COMPLETED, place + _completed(event, body)
        case AlertRaised() | AlertResolved() | ApprovalAsked() | ApprovalGiven() | ApprovalUsed():
            table, row = _of_watch(event.body)
        case ToolPinned() | ToolChanged() | ToolApproved():
            table, row = TOOL_EVENTS, _of_tool(event.body)
        case HeadSealed() | OutboxDamaged() | CheckpointMade() | ErasureMade():
            table, row = of_trail(event.body)
        case _:
            table, row = _of_fleet(event.body)
    return table, place + row


_Watch = AlertRaised | AlertResolved | ApprovalAsked | ApprovalGiven | ApprovalUsed
_Fleet = (
    PolicyApplied
    | PolicyRefused
    | EnforcerStarted
    | EnforcerStopped
    | HoldPlaced
    | HoldReleased
    | GrantChanged
    | RequestRefused
)


def _of_watch(body: _Watch) -> tuple[Table, Row]:
    match body:
        case AlertRaised():
            return ALERTS_RAISED, _alert_raised(body)
        case AlertResolved():
            return ALERTS_RESOLVED, (body.alert_id, body.reason)
        case ApprovalAsked():
            return APPROVAL_EVENTS, _approval_asked(body)
        case ApprovalGiven():
            return APPROVAL_EVENTS, _approval_given(body)
        case ApprovalUsed():
            return APPROVAL_EVENTS, _approval_used(body)
        case _:
            assert_never(body)


def _of_fleet(body: _Fleet) -> tuple[Table, Row]:
    match body:
        case PolicyApplied():
            return POLICY_EVENTS, _policy_applied(body)
        case PolicyRefused():
            return POLICY_EVENTS, _policy_refused(body)
        case EnforcerStarted():
            return LIFECYCLE, _started(body)
        case EnforcerStopped():
            return LIFECYCLE, ("stopped", "", "", (), 0, b"", "", b"", body.reason)
        case HoldPlaced():
            return HOLD_EVENTS, _hold_placed(body)
        case HoldReleased():
            return HOLD_EVENTS, _hold_released(body)
        case GrantChanged():
            return GRANT_EVENTS, _grant_changed(body)
        case RequestRefused():
            return REFUSAL_EVENTS, _refused(body)
        case _:
            assert_never(body)


def _of_tool(body: ToolPinned | ToolChanged | ToolApproved) -> Row:
    match body:
        case ToolPinned():
            approved = body.digest if body.approved else ""
            digests = (body.digest, "", approved)
            return (
                "pinned", body.server, body.tool, *digests, (), body.definition_json,
                body.looks_like, 0, "", "",
            )  # fmt: skip
        case ToolChanged():
            digests = (body.digest, body.previous_digest, body.approved_digest)
            return (
                "changed", body.server, body.tool, *digests, body.members, body.definition_json,
                "", body.together, "", "",
            )  # fmt: skip
        case ToolApproved():
            digests = (body.digest, body.previous_digest, body.digest)
            return (
                "approved", body.server, body.tool, *digests, (), "",
                "", 0, body.actor, body.reason,
            )  # fmt: skip
        case _:
            assert_never(body)


def decision_of(completed: Row) -> tuple[int, int]:
    """Epoch and sequence of the decision that a row of COMPLETED belongs to."""
    epoch, sequence = completed[4], completed[5]
    assert isinstance(epoch, int)
    assert isinstance(sequence, int)
    return epoch, sequence


def _decided(body: Decided, *, erased: bool) -> Row:
    kept = "{}" if not body.arguments.kept else _encode(kept_values(body.arguments)).decode()
    return (
        body.server,
        body.grant,
        body.agent,
        body.session,
        body.request_id,
        body.tool,
        body.wire_tool,
        body.tool_group,
        body.effect.value,
        body.code,
        body.rule,
        body.reason,
        body.policy_revision,
        body.retry_after_ms,
        body.limit_counter,
        body.arguments.names,
        kept,
        body.arguments.keyed_hash,
        body.arguments.size_bytes,
        body.protocol_version,
        body.decision_ns,
        body.mode,
        numbers(body.arguments.value_hashes),
        body.arguments.key_id.hex(),
        details_of(body.arguments, erased=erased),
        body.code_before,
        body.stale,
        leased(body),
    )


def _completed(event: Event, body: Completed) -> Row:
    enforcer, _, place = body.decision_id.rpartition(":")
    enforcer, _, epoch = enforcer.rpartition(":")
    if enforcer != event.enforcer:
        raise EventUnreadableError(f"completes a decision of another: {body.decision_id[:100]!r}")
    if not (_is_number(epoch) and _is_number(place)):
        raise EventUnreadableError(f"completes no decision: {body.decision_id[:100]!r}")
    return (
        int(epoch),
        int(place),
        body.outcome.value,
        body.duration_ns,
        body.request_bytes,
        body.response_bytes,
        body.rpc_error_code,
        body.detail,
        body.refunded,
        False,
    )


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= 20 and int(text) < 2**64


def _policy_applied(body: PolicyApplied) -> Row:
    return (
        "applied",
        body.server,
        body.policy,
        body.revision,
        body.previous_revision,
        body.origin,
        body.manifest_sequence,
        "",
        "",
        body.rollout,
        body.break_glass,
    )


def _policy_refused(body: PolicyRefused) -> Row:
    place = ("refused", body.server, body.policy, body.revision, "", body.origin, 0)
    return (*place, body.code, body.reason, "", "")


def _started(body: EnforcerStarted) -> Row:
    return (
        "started",
        body.software_version,
        body.host,
        body.servers,
        body.previous_epoch,
        body.previous_head,
        body.boot_id,
        body.public_key,
        "",
    )


def _refused(body: RequestRefused) -> Row:
    return (
        body.server,
        body.grant,
        body.code,
        body.reason,
        body.transport,
        body.http_status,
        body.rpc_error_code,
        body.method,
        body.wire_tool,
        body.request_bytes,
        body.count,
    )


def _hold_placed(body: HoldPlaced) -> Row:
    hold = body.hold
    return (
        "placed",
        hold.hold_id,
        hold.fleet,
        hold.server,
        hold.grant,
        hold.tool,
        hold.argument_pointer,
        hold.argument_value_json,
        hold.actor,
        hold.reason,
        None if hold.expires_at is None else hold.expires_at // MICROSECOND,
    )


def _hold_released(body: HoldReleased) -> Row:
    return ("released", body.hold_id, False, "", "", "", "", "", body.actor, body.reason, None)


def _grant_changed(body: GrantChanged) -> Row:
    return (
        body.grant,
        body.agent,
        body.servers,
        None if body.expires_at is None else body.expires_at // MICROSECOND,
        body.tokens,
        body.revoked,
        body.actor,
        body.reason,
    )


def _approval_asked(body: ApprovalAsked) -> Row:
    return (
        "asked",
        body.approval_id,
        body.decision_id,
        body.server,
        body.grant,
        body.tool,
        body.arguments_hash,
        body.policy_revision,
        body.expires_at // MICROSECOND,
        None,
        "",
        "",
    )


def _approval_given(body: ApprovalGiven) -> Row:
    nothing = ("", "", "", "", b"", "", None)
    return ("given", body.approval_id, *nothing, body.approved, body.actor, body.reason)


def _approval_used(body: ApprovalUsed) -> Row:
    return ("used", body.approval_id, body.decision_id, "", "", "", b"", "", None, None, "", "")


def _alert_raised(body: AlertRaised) -> Row:
    if not all(map(isfinite, (body.observed, body.threshold, body.baseline))):
        raise EventUnreadableError("an alert's numbers are not finite")
    return (
        body.alert_id,
        body.rule,
        body.detector,
        body.severity,
        body.summary,
        dict(body.labels),
        body.since_at // MICROSECOND,
        body.crossed_at // MICROSECOND,
        body.observed,
        body.threshold,
        body.baseline,
        body.query,
    )
