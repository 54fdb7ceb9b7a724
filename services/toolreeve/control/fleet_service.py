"""FleetService: the enforcers' end of the control plane.

Messages are bytes here, serialised once however many streams they go to.
"""

import asyncio
from functools import lru_cache
from typing import assert_never

import grpc
import grpc.aio
import structlog

from toolreeve.control.observer import Observer
from toolreeve.control.store import Store
from toolreeve.control.streams import Stream, Streams
from toolreeve.control.translate import read_running, write_owed
from toolreeve.fleet import Activated, Nacked, Owed, Running, Seen, owed
from toolreeve.runtime.clock import Clock
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
        clock: Clock,
        *,
        hello_seconds_max: float,
    ) -> None:
        self._store = store
        self._streams = streams
        self._observer = observer
        self._clock = clock
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
            hello, size = await self._hello(context)
        except WireError as error:
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, str(error))
        stream = self._streams.open(hello)
        log.info("stream.opened", enforcer=hello.enforcer_id, servers=hello.servers)
        try:
            await self._observer.put(_seen(hello), size=size)
            await self._serve(stream, context)
        except WireError as error:
            log.warning("stream.refused", enforcer=hello.enforcer_id, reason=str(error))
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, str(error))
        finally:
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
        revision = self._store.state.revisions.get(request.revision)
        if revision is None:
            await context.abort(
                grpc.StatusCode.NOT_FOUND, f"revision {request.revision!r} was never published"
            )
        return pb.FetchRevisionResponse(body=revision.body)

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
