"""The control plane's log of approvals: what was written once is read for ever."""

from pathlib import Path

from toolreeve.control.translate import read_commit, write_commit
from toolreeve.decision import Instant
from toolreeve.decision.approval import ApprovalQuestion
from toolreeve.fleet import Commit
from toolreeve.fleet.approvals import (
    ApprovalExpired,
    ApprovalJoined,
    ApprovalRequested,
    ApprovalVoted,
    PermitClaimed,
)

GOLDEN = Path(__file__).with_name("approval_commit_bytes_v1.txt")
COMMIT = Commit(
    index=7,
    previous_hash=bytes(range(32)),
    command_id="c-7",
    actor="ada",
    reason="agreed",
    at=Instant(1_763_762_400_000_000_000),
    events=(
        ApprovalRequested(
            approval_id="appr-0123456789ab",
            question=ApprovalQuestion(
                binding=bytes(range(32, 64)),
                server="vm",
                grant="night",
                agent="robot",
                tool="vm_delete",
                wire_tool="vm",
                policy_revision="sha256:1",
                rule="/tools/vm_delete",
                reason="Gone is gone.",
                argument_names=("id", "name"),
                kept=(("/id", "7"),),
                approvers=("ada", "bo"),
                votes_needed=2,
                timeout_ns=600 * 10**9,
            ),
            enforcer="gw-1",
            expires_at=Instant(1_763_763_000_000_000_000),
        ),
        ApprovalJoined(approval_id="appr-0123456789ab", enforcer="gw-2"),
        ApprovalVoted(approval_id="appr-0123456789ab", approved=True),
        ApprovalVoted(
            approval_id="appr-0123456789ab",
            approved=True,
            permit_until=Instant(1_763_763_600_000_000_000),
        ),
        ApprovalVoted(approval_id="appr-0123456789ab", approved=False),
        PermitClaimed(approval_id="appr-0123456789ab", enforcer="gw-2", claim_id="c0ffee"),
        ApprovalExpired(approval_id="appr-ba9876543210"),
    ),
)


def test_a_commit_of_long_ago_is_read_as_it_was_meant_and_written_alike() -> None:
    raw = bytes.fromhex(GOLDEN.read_text().strip())
    assert read_commit(raw) == COMMIT
    assert write_commit(COMMIT) == raw
