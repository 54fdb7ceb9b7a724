"""Rollouts, as operators start, change and read them."""

from collections.abc import Mapping

import grpc
import structlog

from toolreeve.control.desk import Methods, RefusedError, Submitting
from toolreeve.control.policy_text import read_policy_text
from toolreeve.control.rollout_translate import read_plan, write_rollout
from toolreeve.control.signing import signer_of
from toolreeve.control.store import Store
from toolreeve.control.translate import read_command
from toolreeve.decision import Instant
from toolreeve.fleet import (
    Change,
    CommandReusedError,
    Commit,
    Rollout,
    RolloutAnswer,
    State,
    Unchanged,
    change_rollout,
    start_rollout,
)
from toolreeve.policy import Policy
from toolreeve.policy.sign import SigningKey
from toolreeve.policy.signer import Signer, Unsigned
from toolreeve.runtime.clock import Clock
from toolreeve.v1 import operator_pb2 as pb

log = structlog.get_logger()

_CHANGES: Mapping[int, Change] = {
    pb.ROLLOUT_CHANGE_PAUSE: Change.PAUSE,
    pb.ROLLOUT_CHANGE_RESUME: Change.RESUME,
    pb.ROLLOUT_CHANGE_PROMOTE: Change.PROMOTE,
    pb.ROLLOUT_CHANGE_ABORT: Change.ABORT,
    pb.ROLLOUT_CHANGE_ROLL_BACK: Change.ROLL_BACK,
}


class RolloutDesk:
    """Starts rollouts, whose manifests `key` signs, and shows how they stand."""

    def __init__(
        self, store: Store, submitting: Submitting, key: SigningKey, *, policy_bytes_max: int
    ) -> None:
        self._store = store
        self._submitting = submitting
        self._key = key
        self._policy_bytes_max = policy_bytes_max

    def methods(self) -> Methods:
        """What is answered here."""
        return {
            "StartRollout": self.start,
            "ChangeRollout": self.change,
            "GetRollout": self.get,
            "ListRollouts": self.list_rollouts,
        }

    async def start(self, request: pb.StartRolloutRequest) -> pb.StartRolloutResponse:
        """Bring a revision to a server's enforcers in stages."""
        command, plan = read_command(request.command), read_plan(request.plan)
        policy = await self._policy(request)

        def decide(state: State, at: Instant, signer: Signer) -> Commit | Unchanged:
            return start_rollout(
                state,
                command,
                policy=policy,
                server=request.server,
                plan=plan,
                key=signer,
                at=at,
            )

        if request.unsigned:
            asked = Unsigned()
            decide(self._store.state, Clock().now(), asked)
            return pb.StartRolloutResponse(to_sign=asked.payloads)
        signer = signer_of(request.signed, self._key)
        answer, changed = await self._submitting.submit(lambda state, at: decide(state, at, signer))
        if not isinstance(answer, RolloutAnswer):
            raise CommandReusedError(command.command_id)
        if changed:
            log.info(
                "rollout.started",
                rollout=answer.rollout_id,
                server=request.server,
                revision=policy.revision,
                actor=command.actor,
            )
        return pb.StartRolloutResponse(rollout=self._written(self._known(answer.rollout_id)))

    async def change(self, request: pb.ChangeRolloutRequest) -> pb.ChangeRolloutResponse:
        """Pause, resume, promote, abort or roll back."""
        command = read_command(request.command)
        change = _CHANGES.get(request.change)
        if change is None:
            raise RefusedError(
                grpc.StatusCode.INVALID_ARGUMENT, f"change {request.change} is not known"
            )
        _, changed = await self._submitting.submit(
            lambda state, at: change_rollout(
                state, command, rollout_id=request.rollout_id, change=change, at=at
            )
        )
        if changed:
            log.info(
                "rollout.changed",
                rollout=request.rollout_id,
                change=change.value,
                actor=command.actor,
            )
        return pb.ChangeRolloutResponse(rollout=self._written(self._known(request.rollout_id)))

    async def get(self, request: pb.GetRolloutRequest) -> pb.GetRolloutResponse:
        """One rollout, by its id."""
        return pb.GetRolloutResponse(rollout=self._written(self._known(request.rollout_id)))

    async def list_rollouts(self, request: pb.ListRolloutsRequest) -> pb.ListRolloutsResponse:
        """All rollouts that are remembered, the newest first."""
        found = [
            rollout
            for rollout in self._store.state.rollouts.by_id.values()
            if request.server in {"", rollout.server}
        ]
        found.sort(key=lambda rollout: rollout.started_at, reverse=True)
        return pb.ListRolloutsResponse(rollouts=map(self._written, found))

    async def _policy(self, request: pb.StartRolloutRequest) -> Policy:
        if request.text:
            source = request.source or "policy"
            return await read_policy_text(
                request.text, source=source, bytes_max=self._policy_bytes_max
            )
        if not request.revision:
            raise RefusedError(
                grpc.StatusCode.INVALID_ARGUMENT, "neither a policy nor a revision is given"
            )
        revision = self._store.state.revisions.get(request.revision)
        if revision is None:
            raise RefusedError(
                grpc.StatusCode.NOT_FOUND, f"revision {request.revision!r} was never published"
            )
        return await read_policy_text(
            revision.body, source=revision.policy, bytes_max=self._policy_bytes_max
        )

    def _known(self, rollout_id: str) -> Rollout:
        rollout = self._store.state.rollouts.by_id.get(rollout_id)
        if rollout is None:
            raise RefusedError(
                grpc.StatusCode.NOT_FOUND, f"no rollout {rollout_id!r} is known; list the rollouts"
            )
        return rollout

    def _written(self, rollout: Rollout) -> pb.Rollout:
        return write_rollout(rollout, self._store.state)
