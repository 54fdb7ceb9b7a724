"""Approvals on their way: what enforcers ask and claim, and what they are told.

The question stands in the control plane's log in the same form.
"""

from toolreeve.decision import Instant
from toolreeve.decision.approval import (
    BINDING_BYTES,
    ApprovalAsk,
    ApprovalNews,
    ApprovalQuestion,
    ApprovalState,
    PermitAnswer,
    PermitClaim,
)
from toolreeve.v1 import approval_pb2, audit_pb2, fleet_pb2
from toolreeve.wire.errors import WireError

ID_MAX = 128
TEXT_MAX = 1_024
NAMES_MAX = 64
KEPT_MAX = 64
APPROVERS_MAX = 100
MILLISECOND_NS = 1_000_000


_STATES = {
    ApprovalState.PENDING: approval_pb2.APPROVAL_STATE_PENDING,
    ApprovalState.APPROVED: approval_pb2.APPROVAL_STATE_APPROVED,
    ApprovalState.DENIED: approval_pb2.APPROVAL_STATE_DENIED,
    ApprovalState.EXPIRED: approval_pb2.APPROVAL_STATE_EXPIRED,
    ApprovalState.USED: approval_pb2.APPROVAL_STATE_USED,
}
_READ_STATES = {number: state for state, number in _STATES.items()}


def write_state(state: ApprovalState) -> approval_pb2.ApprovalState.ValueType:
    """A state as the contract says it."""
    return _STATES[state]


def write_question(question: ApprovalQuestion) -> approval_pb2.ApprovalQuestion:
    """A question as the contract says it."""
    return approval_pb2.ApprovalQuestion(
        binding=question.binding,
        server=question.server,
        grant=question.grant,
        agent=question.agent,
        tool=question.tool,
        wire_tool=question.wire_tool,
        policy_revision=question.policy_revision,
        rule=question.rule,
        reason=question.reason[:TEXT_MAX],
        argument_names=question.argument_names,
        kept=[
            audit_pb2.KeptArgument(pointer=pointer, value_json=value)
            for pointer, value in question.kept
        ],
        approvers=question.approvers,
        votes_needed=question.votes_needed,
        timeout_ms=question.timeout_ns // MILLISECOND_NS,
    )


def read_question(message: approval_pb2.ApprovalQuestion) -> ApprovalQuestion:
    """A question from the contract. Raises WireError."""
    if len(message.binding) != BINDING_BYTES:
        raise WireError("a question that is not bound to a call by a sha256")
    if (
        len(message.argument_names) > NAMES_MAX
        or len(message.kept) > KEPT_MAX
        or len(message.approvers) > APPROVERS_MAX
    ):
        raise WireError("a question with too many names")
    return ApprovalQuestion(
        binding=message.binding,
        server=_text(message.server),
        grant=_text(message.grant),
        agent=_text(message.agent),
        tool=_text(message.tool),
        wire_tool=_text(message.wire_tool),
        policy_revision=_text(message.policy_revision),
        rule=_text(message.rule),
        reason=_text(message.reason),
        argument_names=tuple(_text(name) for name in message.argument_names),
        kept=tuple((_text(one.pointer), _text(one.value_json)) for one in message.kept),
        approvers=tuple(_text(name) for name in message.approvers),
        votes_needed=message.votes_needed or 1,
        timeout_ns=message.timeout_ms * MILLISECOND_NS,
    )


def write_ask(ask: ApprovalAsk) -> fleet_pb2.ApprovalAsk:
    """An ask as the contract says it."""
    return fleet_pb2.ApprovalAsk(
        ask_id=ask.ask_id,
        question=write_question(ask.question),
        approval_id=ask.approval_id,
    )


def read_ask(message: fleet_pb2.ApprovalAsk) -> ApprovalAsk:
    """An ask from the contract. Raises WireError."""
    return ApprovalAsk(
        ask_id=_id(message.ask_id),
        question=read_question(message.question),
        approval_id=message.approval_id[:ID_MAX],
    )


def write_claim(claim: PermitClaim) -> fleet_pb2.PermitClaim:
    """A claim as the contract says it."""
    return fleet_pb2.PermitClaim(
        claim_id=claim.claim_id, approval_id=claim.approval_id, binding=claim.binding
    )


def read_claim(message: fleet_pb2.PermitClaim) -> PermitClaim:
    """A claim from the contract. Raises WireError."""
    return PermitClaim(
        claim_id=_id(message.claim_id),
        approval_id=_id(message.approval_id),
        binding=message.binding,
    )


def write_news(news: ApprovalNews) -> fleet_pb2.ApprovalNews:
    """News as the contract says it."""
    return fleet_pb2.ApprovalNews(
        approval_id=news.approval_id,
        state=_STATES[news.state],
        actor=news.actor,
        reason=news.reason,
        expires_unix_nano=news.until,
        ask_id=news.ask_id,
        refused=news.refused,
    )


def read_news(message: fleet_pb2.ApprovalNews) -> ApprovalNews:
    """News from the contract. Raises WireError for a state that is not known."""
    state = _READ_STATES.get(message.state)
    if state is None:
        raise WireError(f"approval state {message.state} is not known")
    return ApprovalNews(
        approval_id=message.approval_id,
        state=state,
        actor=message.actor,
        reason=message.reason,
        until=Instant(message.expires_unix_nano),
        ask_id=message.ask_id,
        refused=message.refused,
    )


def write_permit(answer: PermitAnswer) -> fleet_pb2.PermitAnswer:
    """The answer to a claim as the contract says it."""
    return fleet_pb2.PermitAnswer(
        claim_id=answer.claim_id, granted=answer.granted, reason=answer.reason
    )


def read_permit(message: fleet_pb2.PermitAnswer) -> PermitAnswer:
    """The answer to a claim from the contract."""
    return PermitAnswer(claim_id=message.claim_id, granted=message.granted, reason=message.reason)


def _id(text: str) -> str:
    if not 0 < len(text) <= ID_MAX or not text.isprintable():
        raise WireError("an id that is empty, too long, or holds control characters")
    return text


def _text(text: str) -> str:
    if len(text) > TEXT_MAX:
        raise WireError(f"a text of more than {TEXT_MAX} characters in a question")
    return text
