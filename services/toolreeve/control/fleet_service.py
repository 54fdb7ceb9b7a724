"""FleetService: the enforcers' end of the control plane.

Messages are bytes here, serialised once however many streams they go to.
"""

import asyncio
from functools import lru_cache
from typing import assert_never

import grpc
import grpc.aio
import structlog

from toolreeve.control.approval_office import ApprovalOffice
from toolreeve.control.desk import RefusedError
from toolreeve.control.gate import Gate, Member
from toolreeve.control.lease_office import LeaseOffice
from toolreeve.control.observer import Observer
from toolreeve.control.rollout_keeper import RolloutKeeper
from toolreeve.control.store import Store
from toolreeve.control.streams import Stream, Streams
from toolreeve.control.translate import read_running, write_owed
from toolreeve.decision.approval import ApprovalAsk, PermitClaim
from toolreeve.decision.evidence import Evidence
from toolreeve.decision.instant import SECOND
from toolreeve.decision.lease import LeaseAsk
from toolreeve.fleet import Activated, Nacked, Owed, Running, Seen, owed
from toolreeve.fleet.identity import MemberKind
from toolreeve.runtime.clock import Clock
from toolreeve.sync.joining import speaks_as
from toolreeve.v1 import fleet_pb2 as pb
from toolreeve.wire import WireError
from toolreeve.wire.fleet import (
    SERVICE,
    Ack,
    Hello,
    Nack,
    Stage,
    Status,
    Up,
    read_up,
    write_down,
)

log = structlog.get_logger()

Context = grpc.aio.ServicerContext[object, bytes]

RUNNING_BYTES = 300
"""More or less what one running policy of a hello costs in the log."""


class FleetService:
    """One coroutine a stream: it reads what the enforcer says and writes what it is owed."""

    def __init__(
        self,
        store: Store,
        streams: Streams,
        observer: Observer,
        keeper: RolloutKeeper,
        clock: Clock,
        *,
        leases: LeaseOffice,
        approvals: ApprovalOffice,
        gate: Gate,
        hello_seconds_max: float,
    ) -> None:
        self._store = store
        self._streams = streams
        self._observer = observer
        self._keeper = keeper
        self._leases = leases
        self._approvals = approvals
        self._clock = clock
        self._gate = gate
        self._hello_seconds_max = hello_seconds_max

    def handler(self) -> grpc.GenericRpcHandler:
        """The service, to be added to a server. Requests and responses are left as bytes."""
        return grpc.method_handlers_generic_handler(
            SERVICE,
            {
                "Subscribe": grpc.stream_stream_rpc_method_handler(self.subscribe),
                "FetchRevision": grpc.unary_unary_rpc_method_handler(
                    self.fetch_revision,
                    request_deserializer=pb.FetchRevisionRequest.FromString,
                    response_serializer=pb.FetchRevisionResponse.SerializeToString,
                ),
            },
        )

    async def subscribe(self, _: object, context: Context) -> None:
        """One stream, from its hello to its end."""
        try:
            self._gate.member(context, MemberKind.ENFORCER)
            hello, size = await self._hello(context)
            member = self._gate.member(context, MemberKind.ENFORCER)  # it may be denied by now
            self._check_name(hello, member)
        except RefusedError as error:
            log.warning("stream.refused", reason=error.text)
            await context.abort(error.code, error.text)
        except WireError as error:
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, str(error))
        stream = self._streams.open(hello, member="" if member is None else member.name)
        log.info("stream.opened", enforcer=hello.enforcer_id, servers=hello.servers)
        expiry = self._end_at_expiry(stream, member)
        try:
            await self._observer.put(_seen(hello), size=size)
            await self._serve(stream, context)
        except WireError as error:
            log.warning("stream.refused", enforcer=hello.enforcer_id, reason=str(error))
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, str(error))
        finally:
            if expiry is not None:
                expiry.cancel()
            self._streams.close(stream)
            log.info("stream.closed", enforcer=hello.enforcer_id, reason=stream.end_reason)
        if stream.end_reason:
            await context.abort(grpc.StatusCode.UNAVAILABLE, stream.end_reason)

    async def fetch_revision(
        self,
        request: pb.FetchRevisionRequest,
        context: grpc.aio.ServicerContext[pb.FetchRevisionRequest, pb.FetchRevisionResponse],
    ) -> pb.FetchRevisionResponse:
        """The body of a revision that was published."""
        try:
            self._gate.member(context, MemberKind.ENFORCER)
        except RefusedError as error:
            await context.abort(error.code, error.text)
        revision = self._store.state.revisions.get(request.revision)
        if revision is None:
            await context.abort(
                grpc.StatusCode.NOT_FOUND, f"revision {request.revision!r} was never published"
            )
        return pb.FetchRevisionResponse(body=revision.body)

    def _check_name(self, hello: Hello, member: Member | None) -> None:
        """Raise RefusedError where somebody says hello under another's name.

        Wrappers come with the certificate of who runs them, under names that begin with its name;
        unless there is a member of that very name.
        """
        if member is None or hello.enforcer_id == member.name:
            return
        own = (MemberKind.ENFORCER, hello.enforcer_id) in self._store.state.identities.members
        if own or not speaks_as(member.name, hello.enforcer_id):
            raise RefusedError(
                grpc.StatusCode.PERMISSION_DENIED,
                f"{hello.enforcer_id!r} came with the certificate of {member.name!r};"
                " join under the name that `enforcer` has in the settings",
            )

    def _end_at_expiry(self, stream: Stream, member: Member | None) -> asyncio.TimerHandle | None:
        """Have the stream end with the certificate it was opened with."""
        if member is None:
            return None
        seconds = (member.expires_at - self._clock.now()) / SECOND
        said = "the certificate has expired; come back with the next one"
        return asyncio.get_running_loop().call_later(max(0.0, seconds), stream.end, said)

    async def _hello(self, context: Context) -> tuple[Hello, int]:
        try:
            async with asyncio.timeout(self._hello_seconds_max):
                raw = await context.read()
        except TimeoutError as error:
            raise WireError("no hello came") from error
        if not isinstance(raw, bytes):
            raise WireError("the stream ended before its hello")
        hello = read_up(raw)
        if not isinstance(hello, Hello):
            raise WireError("the first message of a stream is its hello")
        return hello, len(raw) + RUNNING_BYTES * (1 + len(hello.running))

    async def _serve(self, stream: Stream, context: Context) -> None:
        """Read and write side by side until the first of them ends, or the stream is to end.

        Writing is never cancelled by us: gRPC takes no status while a message is under way. A peer
        that reads no more keeps it waiting until keepalive ends the call.
        """
        reading = asyncio.create_task(self._read(stream, context))
        writing = asyncio.create_task(self._write(stream, context))
        try:
            await asyncio.wait({reading, writing}, return_when=asyncio.FIRST_COMPLETED)
            stream.end()
            await asyncio.wait({writing})
        finally:
            for task in (reading, writing):
                task.cancel()
            await asyncio.wait({reading, writing})
        for task in (reading, writing):
            if not task.cancelled():
                task.result()

    async def _read(self, stream: Stream, context: Context) -> None:
        while isinstance(raw := await context.read(), bytes):
            message = read_up(raw)
            if message is not None:
                await self._hear(stream, message, len(raw))
            self._streams.heard(stream)

    async def _hear(self, stream: Stream, message: Up, size: int) -> None:
        enforcer_id = stream.hello.enforcer_id
        match message:
            case Hello():
                raise WireError("a second hello")
            case Ack(stage=Stage.RECEIVED):
                pass
            case Ack():
                running = Running(
                    server=message.server,
                    revision=message.revision,
                    manifest_sequence=message.manifest_sequence,
                )
                if message.server in stream.hello.servers:
                    stream.running[message.server] = running
                activated = Activated(enforcer_id=enforcer_id, running=running)
                await self._observer.put(activated, size=size + RUNNING_BYTES)
            case Nack():
                log.warning(
                    "policy.nacked",
                    enforcer=enforcer_id,
                    server=message.server,
                    revision=message.revision,
                    code=message.code,
                    reason=message.reason,
                )
                nacked = Nacked(
                    enforcer_id=enforcer_id,
                    server=message.server,
                    revision=message.revision,
                    manifest_sequence=message.manifest_sequence,
                    code=message.code,
                    reason=message.reason,
                )
                await self._observer.put(nacked, size=size + RUNNING_BYTES)
            case Status():
                stream.status = message
            case Evidence():
                if message.server in stream.hello.servers:
                    self._keeper.hear(enforcer_id, stream.hello.epoch, message)
            case LeaseAsk():
                if message.server in stream.hello.servers:
                    self._leases.ask(enforcer_id, message, stream.give)
            case ApprovalAsk() | PermitClaim():
                self._approvals.hear(stream, message)
            case _:
                assert_never(message)

    async def _write(self, stream: Stream, context: Context) -> None:
        while not stream.ending:
            stream.wake.clear()
            next_owed = owed(self._store.state, stream.sent, self._clock.now())
            if next_owed is None:
                said = stream.take()
                if said is None:
                    await stream.wake.wait()
                else:
                    await context.write(write_down(said))
                continue
            message, sent = next_owed
            await context.write(_serialised(message))
            stream.sent = sent


def _seen(hello: Hello) -> Seen:
    return Seen(
        enforcer_id=hello.enforcer_id,
        host=hello.host,
        software_version=hello.software_version,
        servers=hello.servers,
        labels=hello.labels,
        running=tuple(read_running(one) for one in hello.running),
    )


@lru_cache(maxsize=256)
def _serialised(message: Owed) -> bytes:
    return write_owed(message)
