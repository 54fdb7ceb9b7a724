"""What enforcers and operators ask about approvals.

All of it meets in one log, one after the other: a hold or a "no" that stands there first wins, and
of all who claim a permit the first one has it.
"""

from collections.abc import Mapping
from hashlib import sha256

import msgspec

from toolreeve.decision import Call, Instant
from toolreeve.decision.approval import BINDING_BYTES, ApprovalQuestion, ApprovalState
from toolreeve.fleet.approvals import (
    Approval,
    ApprovalAnswer,
    ApprovalExpired,
    ApprovalJoined,
    ApprovalRequested,
    ApprovalVoted,
    PermitClaimed,
)
from toolreeve.fleet.commands import (
    Command,
    CommandError,
    CommandReusedError,
    NotFoundError,
    Unchanged,
    WrongStateError,
    check_command,
    check_text,
    next_commit,
)
from toolreeve.fleet.history import Commit
from toolreeve.fleet.state import State

SECOND = 1_000_000_000
PERMIT_NS_MAX = 3_600 * SECOND
"""A permit lives as long as a person might have taken to give it, but no longer than this."""
TIMEOUT_NS_MAX = 30 * 86_400 * SECOND
PENDING_PER_GRANT_MAX = 100
PENDING_MAX = 5_000
ENFORCERS_MAX = 256
VOTES_MAX = 16
ACTOR = "fleet"


def ask_approval(
    state: State, *, enforcer: str, ask_id: str, question: ApprovalQuestion, at: Instant
) -> Commit | Unchanged:
    """Have a person asked, unless somebody is being asked the same already. CommandError."""
    check_text("ask id", ask_id)
    _check_question(question)
    known = state.approvals.answering(question.binding, at)
    command = Command(command_id=f"ask-{enforcer}-{ask_id}", actor=ACTOR)
    if known is not None:
        waits = known.state is not ApprovalState.DENIED and enforcer not in known.enforcers
        if not waits or len(known.enforcers) >= ENFORCERS_MAX:
            return Unchanged()
        joined = ApprovalJoined(approval_id=known.approval_id, enforcer=enforcer)
        return next_commit(state, command, (joined,), at)
    approval_id = _id_of(command)
    if approval_id in state.approvals.by_id:
        return Unchanged()  # it is over meanwhile; whoever asks anew has a new id for that
    _check_room(state, question.grant)
    requested = ApprovalRequested(
        approval_id=approval_id,
        question=question,
        enforcer=enforcer,
        expires_at=Instant(at + question.timeout_ns),
    )
    return next_commit(state, command, (requested,), at)


def asked_for(
    state: State, *, enforcer: str, ask_id: str, binding: bytes, at: Instant
) -> Approval | None:
    """The approval that answers an ask: the one it has made, or the one that stands."""
    asking = Command(command_id=f"ask-{enforcer}-{ask_id}", actor=ACTOR)
    made = state.approvals.by_id.get(_id_of(asking))
    return made or state.approvals.answering(binding, at)


def vote(
    state: State, command: Command, *, approval_id: str, approved: bool, at: Instant
) -> Commit | Unchanged:
    """Say yes or no. One no is enough; CommandError where there is nothing left to say."""
    check_command(command, reason_needed=not approved)
    earlier = state.answers.get(command.command_id)
    if earlier is not None:
        match earlier:
            case ApprovalAnswer(event=event) if (event.approval_id, event.approved) == (
                approval_id,
                approved,
            ):
                return Unchanged(answer=earlier, repeated=True)
            case _:
                raise CommandReusedError(command.command_id)
    approval = state.approvals.by_id.get(approval_id)
    if approval is None:
        raise NotFoundError(
            f"there is no approval {approval_id!r}", "list the approvals for their ids"
        )
    at = Instant(max(at, state.at))
    stands = approval.state_at(at)
    open_to = {ApprovalState.PENDING} if approved else {
        ApprovalState.PENDING, ApprovalState.APPROVED
    }  # fmt: skip
    if stands not in open_to:
        raise WrongStateError(
            f"approval {approval_id!r} is {stands.value}", "there is nothing left to decide"
        )
    if not approved:
        denied = ApprovalVoted(approval_id=approval_id, approved=False)
        return next_commit(state, command, (denied,), at)
    _check_approver(approval, command.actor)
    question = approval.question
    until = None
    if approval.yeses + 1 >= question.votes_needed:
        until = Instant(at + min(question.timeout_ns, PERMIT_NS_MAX))
    said = ApprovalVoted(approval_id=approval_id, approved=True, permit_until=until)
    return next_commit(state, command, (said,), at)


def claim_permit(
    state: State, *, enforcer: str, claim_id: str, approval_id: str, binding: bytes, at: Instant
) -> Commit | Unchanged:
    """Spend a permit on one call. CommandError where it is not there to be had.

    Unchanged where this very claim has it already.
    """
    check_text("claim id", claim_id)
    approval = state.approvals.by_id.get(approval_id)
    if approval is None or approval.question.binding != binding:
        raise NotFoundError(f"there is no approval {approval_id!r} of this call", "ask anew")
    claimed = PermitClaimed(approval_id=approval_id, enforcer=enforcer, claim_id=claim_id)
    if approval.claim == claimed:
        return Unchanged()
    stands = approval.state_at(max(at, state.at))
    if stands is not ApprovalState.APPROVED:
        raise WrongStateError(f"approval {approval_id!r} is {stands.value}", "ask anew")
    call = _call_of(approval.question)
    for hold in state.standing_holds(at):
        if hold.stops(call, at):
            raise WrongStateError(f"hold {hold.hold_id} stops the call", "wait for its release")
    command = Command(command_id=f"claim-{enforcer}-{claim_id}", actor=ACTOR)
    return next_commit(state, command, (claimed,), at)


def expire_approval(state: State, *, approval_id: str, at: Instant) -> Commit | Unchanged:
    """Write down that the time of an approval, or of its permit, is over; once it is."""
    approval = state.approvals.by_id.get(approval_id)
    if approval is None or approval_id not in state.approvals.under_way or at < approval.until:
        return Unchanged()
    command = Command(command_id=f"{approval_id}-expired", actor=ACTOR)
    return next_commit(state, command, (ApprovalExpired(approval_id=approval_id),), at)


def _id_of(command: Command) -> str:
    return "appr-" + sha256(command.command_id.encode()).hexdigest()[:12]


def _check_question(question: ApprovalQuestion) -> None:
    if len(question.binding) != BINDING_BYTES:
        raise CommandError("the question is bound to nothing", "send the sha256 of the call")
    if not 0 < question.timeout_ns <= TIMEOUT_NS_MAX:
        raise CommandError("nobody could answer in that time", "give up to 30 days")
    if not 1 <= question.votes_needed <= VOTES_MAX:
        raise CommandError(
            f"{question.votes_needed} votes cannot be asked for", f"ask for 1 to {VOTES_MAX}"
        )


def _check_room(state: State, grant: str) -> None:
    """Who asks and asks must not bury the questions of others, nor those who answer them."""
    under_way = [state.approvals.by_id[one] for one in state.approvals.under_way]
    mine = sum(one.question.grant == grant for one in under_way)
    if mine >= PENDING_PER_GRANT_MAX or len(under_way) >= PENDING_MAX:
        raise WrongStateError(
            "too many approvals are waited for", "wait until some of them are decided"
        )


def _check_approver(approval: Approval, actor: str) -> None:
    question = approval.question
    if actor.rpartition(":")[2] in {question.grant, question.agent}:
        raise WrongStateError(
            f"{actor!r} has asked for approval {approval.approval_id!r}",
            "let somebody else approve it",
        )
    if question.approvers and actor not in question.approvers:
        raise WrongStateError(
            f"{actor!r} is none of those who may approve it: {', '.join(question.approvers)}",
            "ask one of them",
        )
    if any(one.actor == actor for one in approval.votes):
        raise WrongStateError(
            f"{actor!r} has approved it already", "another person must approve it too"
        )


def _call_of(question: ApprovalQuestion) -> Call:
    """The call as far as it is known here; values that are not kept match no hold here."""
    arguments: Mapping[str, object] = {
        pointer.removeprefix("/"): msgspec.json.decode(value)
        for pointer, value in question.kept
        if pointer.count("/") == 1 and "~" not in pointer
    }
    return Call(
        server=question.server, grant=question.grant, tool=question.tool, arguments=arguments
    )
