"""Policies that are written down for others to release."""

import structlog

from toolreeve.control.desk import Methods, Submitting
from toolreeve.control.policy_text import read_policy_text
from toolreeve.control.translate import read_command
from toolreeve.fleet.four_eyes import submit_policy
from toolreeve.v1 import operator_pb2 as pb

log = structlog.get_logger()


class SubmitDesk:
    """An author's end of four eyes."""

    def __init__(self, submitting: Submitting, *, policy_bytes_max: int) -> None:
        self._submitting = submitting
        self._policy_bytes_max = policy_bytes_max

    def methods(self) -> Methods:
        """What is answered here."""
        return {"SubmitPolicy": self.submit_policy}

    async def submit_policy(self, request: pb.SubmitPolicyRequest) -> pb.SubmitPolicyResponse:
        """Validate and name a policy, and write it down. Nobody runs it yet."""
        policy = await read_policy_text(
            request.text, source=request.source or "policy", bytes_max=self._policy_bytes_max
        )
        command = read_command(request.command)
        _, changed = await self._submitting.submit(
            lambda state, at: submit_policy(state, command, policy=policy, at=at)
        )
        if changed:
            log.info("policy.submitted", revision=policy.revision, actor=command.actor)
        return pb.SubmitPolicyResponse(
            policy=policy.name or "policy", revision=policy.revision, unchanged=not changed
        )
