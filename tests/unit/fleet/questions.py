"""What is asked, said and claimed in the tests of approvals."""

from hashlib import sha256

from msgspec.structs import replace

from toolreeve.control.translate import read_commit, write_commit
from toolreeve.decision import Instant
from toolreeve.decision.approval import ApprovalQuestion
from toolreeve.fleet import Command, Commit, State, Unchanged, apply
from toolreeve.fleet.approval_commands import ask_approval, claim_permit, vote
from toolreeve.fleet.approvals import Approval

SECOND = 10**9
PLAIN = ApprovalQuestion(
    binding=bytes(32),
    server="vm",
    grant="night",
    agent="robot",
    tool="vm_delete",
    wire_tool="vm_delete",
    policy_revision="sha256:1",
    rule="/tools/vm_delete",
    reason="vm_delete needs an approval.",
    argument_names=("id", "name"),
    kept=(("/id", "7"),),
    timeout_ns=60 * SECOND,
)


def bound_to(number: int, **members: object) -> ApprovalQuestion:
    return replace(PLAIN, binding=sha256(str(number).encode()).digest(), **members)


def step(state: State, commit: Commit | Unchanged) -> State:
    assert isinstance(commit, Commit)
    raw = write_commit(commit)
    assert read_commit(raw) == commit
    return apply(state, commit, sha256(raw).digest())


def asked(
    question: ApprovalQuestion = PLAIN, state: State | None = None, at: int = 5 * SECOND
) -> tuple[State, Approval]:
    state = step(
        state or State(),
        ask_approval(
            state or State(), enforcer="e1", ask_id="1", question=question, at=Instant(at)
        ),
    )
    (approval,) = state.approvals.by_id.values()
    return state, approval


def said(
    state: State,
    approval: Approval,
    *,
    approved: bool = True,
    actor: str = "ann",
    at: int = 6 * SECOND,
) -> Commit | Unchanged:
    return vote(
        state,
        Command(command_id=f"vote {actor} {approved}", actor=actor, reason="why"),
        approval_id=approval.approval_id,
        approved=approved,
        at=Instant(at),
    )


def claimed(
    state: State,
    approval: Approval,
    claim_id: str = "c1",
    *,
    enforcer: str = "e1",
    binding: bytes | None = None,
    at: int = 7 * SECOND,
) -> Commit | Unchanged:
    return claim_permit(
        state,
        enforcer=enforcer,
        claim_id=claim_id,
        approval_id=approval.approval_id,
        binding=approval.question.binding if binding is None else binding,
        at=Instant(at),
    )
