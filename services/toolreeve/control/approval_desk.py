"""Approvals, as operators look at them and decide them."""

import structlog

from toolreeve.control.desk import Methods, Submitting
from toolreeve.control.store import Store
from toolreeve.control.translate import read_command
from toolreeve.control.translate_approvals import write_approval
from toolreeve.decision.approval import ApprovalState
from toolreeve.fleet import CommandReusedError, NotFoundError
from toolreeve.fleet.approval_commands import vote
from toolreeve.fleet.approvals import ApprovalAnswer
from toolreeve.runtime.clock import Clock
from toolreeve.v1 import operator_pb2 as pb

log = structlog.get_logger()


class ApprovalDesk:
    """Votes go into the log; the streams bring what comes of them to whoever waits."""

    def __init__(self, store: Store, submitting: Submitting, clock: Clock) -> None:
        self._store = store
        self._submitting = submitting
        self._clock = clock

    def methods(self) -> Methods:
        """What is answered here."""
        return {
            "DecideApproval": self.decide_approval,
            "ListApprovals": self.list_approvals,
            "GetApproval": self.get_approval,
        }

    async def decide_approval(self, request: pb.DecideApprovalRequest) -> pb.DecideApprovalResponse:
        """Say yes or no to one call."""
        command = read_command(request.command)
        answer, changed = await self._submitting.submit(
            lambda state, at: vote(
                state,
                command,
                approval_id=request.approval_id,
                approved=request.approved,
                at=at,
            )
        )
        if not isinstance(answer, ApprovalAnswer):
            raise CommandReusedError(command.command_id)
        if changed:
            log.info(
                "approval.voted",
                approval=request.approval_id,
                approved=request.approved,
                actor=command.actor,
            )
        return pb.DecideApprovalResponse(approval=self._shown(request.approval_id))

    async def list_approvals(self, request: pb.ListApprovalsRequest) -> pb.ListApprovalsResponse:
        """Those that wait for somebody, or all that are remembered; the oldest first."""
        at = self._clock.now()
        return pb.ListApprovalsResponse(
            approvals=[
                write_approval(approval, at)
                for approval in self._store.state.approvals.by_id.values()
                if not request.pending_only or approval.state_at(at) is ApprovalState.PENDING
            ]
        )

    async def get_approval(self, request: pb.GetApprovalRequest) -> pb.GetApprovalResponse:
        """One of them."""
        return pb.GetApprovalResponse(approval=self._shown(request.approval_id))

    def _shown(self, approval_id: str) -> pb.Approval:
        approval = self._store.state.approvals.by_id.get(approval_id)
        if approval is None:
            raise NotFoundError(
                f"there is no approval {approval_id!r}", "list the approvals for their ids"
            )
        return write_approval(approval, self._clock.now())
