"""OperatorService: what operators and their programs ask for.

The table of methods is the contract's own: a method that is not carried out here answers so, by
name.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any
from urllib.parse import quote

import grpc
import grpc.aio
import structlog
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

from toolreeve.control.ledger import EntryTooLargeError
from toolreeve.control.store import Decide, LogUnavailableError, Store
from toolreeve.control.streams import Streams
from toolreeve.control.translate import read_command, write_policy
from toolreeve.fleet import (
    Answer,
    CommandError,
    CommandReusedError,
    HoldAnswer,
    PublishAnswer,
    Unchanged,
    UnknownHoldError,
    answer_of,
    hold_id_of,
    place_hold,
    publish,
    release_hold,
)
from toolreeve.policy import PolicyTextError, parse
from toolreeve.policy.sign import SigningKey
from toolreeve.runtime.clock import Clock
from toolreeve.v1 import operator_pb2 as pb
from toolreeve.wire import WireError
from toolreeve.wire.read_body import read_hold
from toolreeve.wire.write_body import write_hold

log = structlog.get_logger()

_SERVICE = pb.DESCRIPTOR.services_by_name["OperatorService"]
SERVICE = _SERVICE.full_name

DETAILS_BYTES_MAX = 6_000
"""What a status may say, as it stands on the wire: peers refuse metadata of more than 8 kB."""

Context = grpc.aio.ServicerContext[Any, Any]
Method = Callable[[Any], Awaitable[Message]]


class RefusedError(Exception):
    """A request is answered with a status instead of a response."""

    def __init__(self, code: grpc.StatusCode, text: str) -> None:
        super().__init__(text)
        self.code = code
        self.text = text


class OperatorService:
    """Commands go through the store; questions are answered from its state and the streams."""

    def __init__(
        self,
        store: Store,
        streams: Streams,
        clock: Clock,
        key: SigningKey,
        *,
        policy_bytes_max: int,
        command_seconds_max: float,
    ) -> None:
        self._store = store
        self._streams = streams
        self._clock = clock
        self._key = key
        self._policy_bytes_max = policy_bytes_max
        self._command_seconds_max = command_seconds_max

    def handler(self) -> grpc.GenericRpcHandler:
        """The service, to be added to a server."""
        answers: Mapping[str, Method] = {
            "PublishPolicy": self.publish_policy,
            "ListPolicies": self.list_policies,
            "GetRevision": self.get_revision,
            "GetFleet": self.get_fleet,
            "PlaceHold": self.place_hold,
            "ReleaseHold": self.release_hold,
            "ListHolds": self.list_holds,
        }
        handlers: dict[str, grpc.RpcMethodHandler[Any, Any]] = {}
        for method in _SERVICE.methods:
            request = GetMessageClass(method.input_type)
            if method.name == "WatchFleet":
                handlers[method.name] = grpc.unary_stream_rpc_method_handler(
                    self.watch_fleet,
                    request_deserializer=request.FromString,
                    response_serializer=_serialise,
                )
            else:
                handlers[method.name] = grpc.unary_unary_rpc_method_handler(
                    _guarded(method.name, answers.get(method.name)),
                    request_deserializer=request.FromString,
                    response_serializer=_serialise,
                )
        return grpc.method_handlers_generic_handler(SERVICE, handlers)

    async def publish_policy(self, request: pb.PublishPolicyRequest) -> pb.PublishPolicyResponse:
        """Validate, name, sign and push a policy. A text with complaints changes nothing."""
        if len(request.text) > 2 * self._policy_bytes_max:
            raise self._too_large(len(request.text))
        source = request.source or "policy"
        try:
            policy = await asyncio.to_thread(parse, request.text, source=source)
        except PolicyTextError as error:
            raise RefusedError(grpc.StatusCode.INVALID_ARGUMENT, _shortened(error)) from error
        if len(policy.canonical) > self._policy_bytes_max:
            raise self._too_large(len(policy.canonical))
        command = read_command(request.command)
        answer, changed = await self._submit(
            lambda state, at: publish(
                state, command, policy=policy, server=request.server, key=self._key, at=at
            )
        )
        if not isinstance(answer, PublishAnswer):
            raise CommandReusedError(command.command_id)
        if changed:
            log.info(
                "policy.published",
                server=answer.server,
                policy=answer.policy,
                revision=answer.revision,
                manifest_sequence=answer.manifest_sequence,
                actor=command.actor,
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

    async def get_fleet(self, _: pb.GetFleetRequest) -> pb.GetFleetResponse:
        """The roster."""
        summaries = map(self._streams.summary, self._streams.enforcers())
        return pb.GetFleetResponse(enforcers=[one for one in summaries if one is not None])

    async def watch_fleet(self, _: pb.WatchFleetRequest, context: Context) -> None:
        """The roster, then each enforcer that changed; for ever."""
        with self._streams.watch() as watcher:
            while True:
                for enforcer_id in watcher.take():
                    summary = self._streams.summary(enforcer_id)
                    if summary is not None:
                        await context.write(pb.WatchFleetResponse(enforcer=summary))
                await watcher.wait()

    async def place_hold(self, request: pb.PlaceHoldRequest) -> pb.PlaceHoldResponse:
        """Stop what the hold names, everywhere, now."""
        command = read_command(request.command)
        if not request.hold.hold_id:
            request.hold.hold_id = hold_id_of(command)
        hold = read_hold(request.hold)
        answer, changed = await self._submit(
            lambda state, at: place_hold(state, command, hold=hold, at=at)
        )
        if not isinstance(answer, HoldAnswer):
            raise CommandReusedError(command.command_id)
        if changed:
            log.info("hold.placed", hold_id=answer.hold.hold_id, actor=command.actor)
        return pb.PlaceHoldResponse(hold=write_hold(answer.hold))

    async def release_hold(self, request: pb.ReleaseHoldRequest) -> pb.ReleaseHoldResponse:
        """Let through again what a hold stopped."""
        command = read_command(request.command)
        _, changed = await self._submit(
            lambda state, at: release_hold(state, command, hold_id=request.hold_id, at=at)
        )
        if changed:
            log.info("hold.released", hold_id=request.hold_id, actor=command.actor)
        return pb.ReleaseHoldResponse()

    async def list_holds(self, _: pb.ListHoldsRequest) -> pb.ListHoldsResponse:
        """The holds in force."""
        standing = self._store.state.standing_holds(self._clock.now())
        return pb.ListHoldsResponse(holds=[write_hold(hold) for hold in standing])

    async def _submit(self, decide: Decide) -> tuple[Answer | None, bool]:
        """What the command came to, and whether it stands in the log (now or from earlier)."""
        outcome = await self._store.submit(decide, seconds_max=self._command_seconds_max)
        if isinstance(outcome, Unchanged):
            return outcome.answer, outcome.repeated
        return answer_of(outcome), True

    def _too_large(self, size: int) -> RefusedError:
        return RefusedError(
            grpc.StatusCode.INVALID_ARGUMENT,
            f"the policy has {size} bytes; at most {self._policy_bytes_max} are taken"
            " (policy_bytes_max)",
        )


def _guarded(name: str, method: Method | None) -> Callable[[Any, Context], Awaitable[Message]]:
    """The method with its errors turned into statuses; without one, a status that says so."""

    async def answer(request: Message, context: Context) -> Message:
        if method is None:
            await context.abort(
                grpc.StatusCode.UNIMPLEMENTED,
                f"{name} is not part of this version of the control plane",
            )
        try:
            return await method(request)
        except RefusedError as error:
            code, text = error.code, error.text
        except CommandReusedError as error:
            code, text = grpc.StatusCode.ALREADY_EXISTS, str(error)
        except UnknownHoldError as error:
            code, text = grpc.StatusCode.NOT_FOUND, str(error)
        except (CommandError, WireError, EntryTooLargeError) as error:
            code, text = grpc.StatusCode.INVALID_ARGUMENT, str(error)
        except LogUnavailableError as error:
            code, text = grpc.StatusCode.ABORTED, str(error)
        return await context.abort(code, text)

    return answer


def _serialise(message: Message) -> bytes:
    return message.SerializeToString()


def _shortened(error: PolicyTextError) -> str:
    """All complaints, or as many as a status can carry and how many more there are."""
    lines: list[str] = []
    size = 0
    for complaint in map(str, error.complaints):
        size += len(quote(complaint)) + 3
        if size > DETAILS_BYTES_MAX:
            more = len(error.complaints) - len(lines)
            return "\n".join([*lines, f"({more} more; `toolreeve policy validate` says all)"])
        lines.append(complaint)
    return "\n".join(lines)
