"""Events about approvals, to the contract and back; and approvals as operators read them."""

from typing import assert_never

from toolreeve.decision import Instant
from toolreeve.decision.approval import ApprovalNews, ApprovalState
from toolreeve.fleet.approvals import (
    Approval,
    ApprovalEvent,
    ApprovalExpired,
    ApprovalJoined,
    ApprovalRequested,
    ApprovalVoted,
    PermitClaimed,
)
from toolreeve.v1 import control_pb2 as pb
from toolreeve.v1 import operator_pb2 as operator
from toolreeve.wire.approvals import (
    read_question,
    write_question,
    write_state,
)

APPROVAL_EVENTS = frozenset(
    {
        "approval_requested",
        "approval_joined",
        "approval_voted",
        "approval_expired",
        "permit_claimed",
    }
)


def write_approval_event(event: ApprovalEvent) -> pb.ControlEvent:
    """One event as it stands in the log."""
    match event:
        case ApprovalRequested():
            requested = pb.ApprovalRequested(
                approval_id=event.approval_id,
                question=write_question(event.question),
                enforcer_id=event.enforcer,
                expires_unix_nano=event.expires_at,
            )
            return pb.ControlEvent(approval_requested=requested)
        case ApprovalJoined():
            joined = pb.ApprovalJoined(approval_id=event.approval_id, enforcer_id=event.enforcer)
            return pb.ControlEvent(approval_joined=joined)
        case ApprovalVoted():
            voted = pb.ApprovalVoted(
                approval_id=event.approval_id,
                approved=event.approved,
                permit_until_unix_nano=event.permit_until or 0,
            )
            return pb.ControlEvent(approval_voted=voted)
        case ApprovalExpired():
            expired = pb.ApprovalExpired(approval_id=event.approval_id)
            return pb.ControlEvent(approval_expired=expired)
        case PermitClaimed():
            claimed = pb.PermitClaimed(
                approval_id=event.approval_id,
                enforcer_id=event.enforcer,
                claim_id=event.claim_id,
            )
            return pb.ControlEvent(permit_claimed=claimed)
        case _:
            assert_never(event)


def read_approval_event(message: pb.ControlEvent) -> ApprovalEvent:
    """An event of the log whose body is one of APPROVAL_EVENTS. Raises WireError."""
    match message.WhichOneof("body"):
        case "approval_requested":
            requested = message.approval_requested
            return ApprovalRequested(
                approval_id=requested.approval_id,
                question=read_question(requested.question),
                enforcer=requested.enforcer_id,
                expires_at=Instant(requested.expires_unix_nano),
            )
        case "approval_joined":
            joined = message.approval_joined
            return ApprovalJoined(approval_id=joined.approval_id, enforcer=joined.enforcer_id)
        case "approval_voted":
            voted = message.approval_voted
            until = voted.permit_until_unix_nano
            return ApprovalVoted(
                approval_id=voted.approval_id,
                approved=voted.approved,
                permit_until=Instant(until) if until else None,
            )
        case "approval_expired":
            return ApprovalExpired(approval_id=message.approval_expired.approval_id)
        case _:
            claimed = message.permit_claimed
            return PermitClaimed(
                approval_id=claimed.approval_id,
                enforcer=claimed.enforcer_id,
                claim_id=claimed.claim_id,
            )


def news_of(approval: Approval, at: Instant, *, ask_id: str = "") -> ApprovalNews:
    """How an approval stands, as an enforcer is told."""
    state = approval.state_at(at)
    last = approval.votes[-1] if approval.votes and state is not ApprovalState.PENDING else None
    return ApprovalNews(
        approval_id=approval.approval_id,
        state=state,
        actor="" if last is None else last.actor,
        reason="" if last is None else last.reason,
        until=approval.expires_at if state is ApprovalState.DENIED else approval.until,
        ask_id=ask_id,
    )


def write_approval(approval: Approval, at: Instant) -> operator.Approval:
    """One approval as an operator reads it."""
    claim = approval.claim
    return operator.Approval(
        approval_id=approval.approval_id,
        asked_unix_nano=approval.asked_at,
        expires_unix_nano=approval.expires_at,
        state=write_state(approval.state_at(at)),
        question=write_question(approval.question),
        enforcers=approval.enforcers,
        votes=[
            operator.ApprovalVote(
                actor=one.actor,
                approved=one.approved,
                reason=one.reason,
                time_unix_nano=one.at,
            )
            for one in approval.votes
        ],
        permit_until_unix_nano=approval.permit_until or 0,
        used_by="" if claim is None else claim.enforcer,
        used_unix_nano=approval.claimed_at or 0,
    )
