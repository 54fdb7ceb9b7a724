"""Policies, as operators publish and read them."""

import logging

import grpc
import structlog

from toolreeve.control.desk import Methods, RefusedError, Submitting
from toolreeve.control.policy_text import read_policy_text
from toolreeve.control.signing import signer_of
from toolreeve.control.store import Store
from toolreeve.control.streams import Streams
from toolreeve.control.translate import read_command, write_policy
from toolreeve.decision import Instant
from toolreeve.fleet import (
    CommandReusedError,
    Commit,
    PublishAnswer,
    State,
    Unchanged,
    publish,
)
from toolreeve.policy.sign import SigningKey
from toolreeve.policy.signer import Signer, Unsigned
from toolreeve.runtime.clock import Clock
from toolreeve.v1 import operator_pb2 as pb

log = structlog.get_logger()


class PolicyDesk:
    """Publishes policies, signed with `key`, and shows what was published."""

    def __init__(
        self,
        store: Store,
        streams: Streams,
        submitting: Submitting,
        key: SigningKey,
        *,
        policy_bytes_max: int,
    ) -> None:
        self._store = store
        self._streams = streams
        self._submitting = submitting
        self._key = key
        self._policy_bytes_max = policy_bytes_max

    def methods(self) -> Methods:
        """What is answered here."""
        return {
            "PublishPolicy": self.publish_policy,
            "ListPolicies": self.list_policies,
            "GetRevision": self.get_revision,
        }

    async def publish_policy(self, request: pb.PublishPolicyRequest) -> pb.PublishPolicyResponse:
        """Validate, name, sign and push a policy. A text with complaints changes nothing."""
        policy = await read_policy_text(
            request.text,
            source=request.source or "policy",
            bytes_max=self._policy_bytes_max,
        )
        command = read_command(request.command)

        def decide(state: State, at: Instant, signer: Signer) -> Commit | Unchanged:
            return publish(
                state,
                command,
                policy=policy,
                server=request.server,
                key=signer,
                at=at,
                break_glass=request.break_glass,
            )

        if request.unsigned:
            asked = Unsigned()
            decide(self._store.state, Clock().now(), asked)
            return pb.PublishPolicyResponse(to_sign=asked.payloads)
        signer = signer_of(request.signed, self._key)
        answer, changed = await self._submitting.submit(lambda state, at: decide(state, at, signer))
        if not isinstance(answer, PublishAnswer):
            raise CommandReusedError(command.command_id)
        if changed:
            log.log(
                logging.WARNING if request.break_glass else logging.INFO,
                "policy.published",
                server=answer.server,
                policy=answer.policy,
                revision=answer.revision,
                manifest_sequence=answer.manifest_sequence,
                actor=command.actor,
                break_glass=request.break_glass,
            )
        return pb.PublishPolicyResponse(
            policy=answer.policy,
            revision=answer.revision,
            manifest_sequence=answer.manifest_sequence,
            enforcers=self._streams.connected(answer.server),
            unchanged=not changed,
        )

    async def list_policies(self, _: pb.ListPoliciesRequest) -> pb.ListPoliciesResponse:
        """What is wanted, by server."""
        wanted = sorted(self._store.state.wanted.items())
        return pb.ListPoliciesResponse(policies=[write_policy(policy) for _, policy in wanted])

    async def get_revision(self, request: pb.GetRevisionRequest) -> pb.GetRevisionResponse:
        """The canonical text of a revision."""
        revision = self._store.state.revisions.get(request.revision)
        if revision is None:
            raise RefusedError(
                grpc.StatusCode.NOT_FOUND, f"revision {request.revision!r} was never published"
            )
        return pb.GetRevisionResponse(body=revision.body)
