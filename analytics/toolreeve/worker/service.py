"""The query service on gRPC: what people and programs may ask of the audit history."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator
from itertools import islice

import grpc
from grpc import aio

from toolreeve.audit import Decided, Position
from toolreeve.decision import Instant
from toolreeve.outbox import OutboxError
from toolreeve.policy import parse_pointer
from toolreeve.policy.pointer import PointerError
from toolreeve.v1 import query_pb2 as pb
from toolreeve.v1.query_pb2_grpc import QueryServiceServicer
from toolreeve.warehouse import archive, merkle_log, report
from toolreeve.warehouse.archive import Stored, Wanted
from toolreeve.warehouse.choosing import ByAgent, ByGrant, ByValue, Selector
from toolreeve.warehouse.errors import QueryError, WarehouseError
from toolreeve.warehouse.executor import Answer, End, Header, QueryExecutor, Rows
from toolreeve.warehouse.report import AlertRecord, DecisionRecord, ToolUsage
from toolreeve.warehouse.store import Warehouse
from toolreeve.wire import unpack, without, write_alert, write_completed, write_decided
from toolreeve.worker.audit_stream import AuditStream
from toolreeve.worker.erasing import Erasing, NotReadyError
from toolreeve.worker.materialise import Loaded

PENDING_UNKNOWN = -1
TAIL_LAST_MAX = 10_000
EXPORT_BYTES_MAX = 900_000
"""Of one answer; a client takes 4 MiB unless told otherwise."""
TAIL_CHUNK = 500
TAIL_PAUSE_SECONDS = 0.05
"""Loads that come closer together than this are shown together."""

_STATUS = {
    "refused": grpc.StatusCode.INVALID_ARGUMENT,
    "invalid": grpc.StatusCode.INVALID_ARGUMENT,
    "cut": grpc.StatusCode.RESOURCE_EXHAUSTED,
    "unavailable": grpc.StatusCode.UNAVAILABLE,
}


class QueryService(QueryServiceServicer):
    """Answers from one warehouse."""

    def __init__(
        self,
        warehouse: Warehouse,
        executor: QueryExecutor,
        stream: AuditStream,
        loaded: Loaded,
        erasing: Erasing,
        *,
        origin: str,
        public_key: bytes,
    ) -> None:
        self._warehouse = warehouse
        self._executor = executor
        self._stream = stream
        self._loaded = loaded
        self._erasing = erasing
        self._origin = origin
        self._public_key = public_key

    async def RunQuery(  # noqa: N802  the contract's name
        self, request: pb.RunQueryRequest, context: aio.ServicerContext[object, object]
    ) -> AsyncIterator[pb.RunQueryResponse]:
        """One SELECT in a process of its own. A refusal says why and where."""
        answers = self._executor.run(
            request.sql, rows_max=request.rows_max, seconds_max=request.seconds_max
        )
        try:
            async with contextlib.aclosing(answers):
                async for answer in answers:
                    yield _answer(answer)
        except QueryError as error:
            await context.abort(_STATUS[error.code], str(error))

    async def ReportUsage(  # noqa: N802
        self,
        request: pb.ReportUsageRequest,
        context: object,  # noqa: ARG002
    ) -> pb.ReportUsageResponse:
        """Use of each effective tool."""
        tools = await asyncio.to_thread(
            report.usage,
            self._warehouse,
            since=Instant(request.since_unix_nano),
            server=request.server,
        )
        return pb.ReportUsageResponse(tools=map(_usage, tools))

    async def ListAlerts(  # noqa: N802
        self,
        request: pb.ListAlertsRequest,
        context: object,  # noqa: ARG002
    ) -> pb.ListAlertsResponse:
        """Alerts, the newest first."""
        found = await asyncio.to_thread(
            report.alerts,
            self._warehouse,
            since=Instant(request.since_unix_nano),
            open_only=request.open_only,
        )
        return pb.ListAlertsResponse(alerts=map(_alert, found))

    async def TailDecisions(  # noqa: N802
        self,
        request: pb.TailDecisionsRequest,
        context: object,  # noqa: ARG002
    ) -> AsyncIterator[pb.TailDecisionsResponse]:
        """The newest decisions, then each one as it is committed."""
        shown = self._warehouse.last_load
        last = min(request.last, TAIL_LAST_MAX)
        if last > 0:
            async for record in self._records(request, 0, shown, last):
                yield _tailed(record)
        while True:
            coming = asyncio.ensure_future(self._loaded.wait())
            try:
                newest = self._warehouse.last_load
                if newest > shown:
                    async for record in self._records(request, shown, newest, None):
                        yield _tailed(record)
                    shown = newest
                    await asyncio.sleep(TAIL_PAUSE_SECONDS)
                else:
                    await coming
            finally:
                coming.cancel()

    async def ExportGroups(  # noqa: N802
        self, request: pb.ExportGroupsRequest, context: aio.ServicerContext[object, object]
    ) -> AsyncIterator[pb.ExportGroupsResponse]:
        """Every group as it was published. The first answer says how many events to expect."""
        wanted = Wanted(
            enforcer=request.enforcer_id,
            since=request.since_unix_nano or None,
            until=request.until_unix_nano or None,
        )
        expected = await asyncio.to_thread(archive.events_expected, self._warehouse, wanted)
        yield pb.ExportGroupsResponse(events_expected=expected)
        chunks = _chunks(archive.groups(self._warehouse, wanted))
        try:
            while chunk := await asyncio.to_thread(next, chunks, None):
                yield pb.ExportGroupsResponse(groups=chunk, events_expected=expected)
        except WarehouseError as error:
            await context.abort(grpc.StatusCode.DATA_LOSS, str(error))

    async def ProveEvent(  # noqa: N802
        self, request: pb.ProveEventRequest, context: aio.ServicerContext[object, object]
    ) -> pb.ProveEventResponse:
        """That an event stands in the log, for somebody who believes nobody here."""
        enforcer, position = _event_named(request.event_id)
        if position is None:
            problem = f"{request.event_id[:200]!r} is no event: write NAME:EPOCH:SEQUENCE"
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, problem)
        shown = await asyncio.to_thread(
            merkle_log.include, self._warehouse, self._origin, enforcer, position
        )
        if shown is None:
            problem = f"no checkpoint has {request.event_id} yet; they are made every few seconds"
            await context.abort(grpc.StatusCode.NOT_FOUND, problem)
        payload = await asyncio.to_thread(
            archive.payload_at, self._warehouse, enforcer, position.epoch, shown.first_sequence
        )
        if payload is None:
            problem = f"the bytes of {request.event_id} are not kept here any more"
            await context.abort(grpc.StatusCode.NOT_FOUND, problem)
        return pb.ProveEventResponse(
            group=_with_details_of(payload, position.sequence),
            leaf_index=shown.leaf,
            hashes=shown.hashes,
            note=shown.note,
            public_key=self._public_key,
        )

    async def EraseDetails(  # noqa: N802
        self, request: pb.EraseDetailsRequest, context: aio.ServicerContext[object, object]
    ) -> pb.EraseDetailsResponse:
        """Record what is erased, then erase it."""
        try:
            selector = _selector(request)
        except PointerError as error:
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, f"{error}; write /id")
        if selector is None or not (request.reason and request.actor):
            problem = "an erasure needs a value, a grant or an agent, and who wants it and why"
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, problem)
        try:
            erased = await self._erasing.erase(
                selector, actor=request.actor, reason=request.reason, dry_run=request.dry_run
            )
        except NotReadyError:
            problem = "the worker has not found its place in the stream yet; is NATS there?"
            await context.abort(grpc.StatusCode.FAILED_PRECONDITION, problem)
        except OutboxError as error:
            await context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, str(error))
        return pb.EraseDetailsResponse(
            erasure_id=erased.erasure_id,
            events=erased.events,
            done=erased.done,
            in_the_chain=erased.in_the_chain,
        )

    async def GetProgress(  # noqa: N802
        self,
        request: pb.GetProgressRequest,  # noqa: ARG002
        context: object,  # noqa: ARG002
    ) -> pb.GetProgressResponse:
        """How far the warehouse has come; `pending` is -1 while NATS cannot say."""
        pending = await self._stream.pending()
        marks = await asyncio.to_thread(self._warehouse.watermarks)
        return pb.GetProgressResponse(
            watermarks=[
                pb.Watermark(
                    enforcer_id=mark.enforcer,
                    epoch=mark.position.epoch,
                    sequence=mark.position.sequence,
                    head=mark.head,
                )
                for mark in marks
            ],
            pending=PENDING_UNKNOWN if pending is None else pending,
        )

    async def _records(
        self, request: pb.TailDecisionsRequest, after: int, up_to: int, newest: int | None
    ) -> AsyncIterator[DecisionRecord]:
        records = report.decisions(
            self._warehouse,
            after_load=after,
            up_to_load=up_to,
            server=request.server,
            tool=request.tool,
            newest=newest,
        )
        while chunk := await asyncio.to_thread(list, islice(records, TAIL_CHUNK)):
            for record in chunk:
                yield record


def _chunks(groups: Iterator[Stored]) -> Iterator[list[bytes]]:
    """Payloads, as many at once as an answer may carry."""
    chunk: list[bytes] = []
    size = 0
    for payload in (group.payload for group in groups):
        if chunk and size + len(payload) > EXPORT_BYTES_MAX:
            yield chunk
            chunk, size = [], 0
        chunk.append(payload)
        size += len(payload)
    if chunk:
        yield chunk


def _answer(answer: Answer) -> pb.RunQueryResponse:
    match answer:
        case Header(columns=columns):
            named = [pb.QueryColumn(name=name, type=kind) for name, kind in columns]
            return pb.RunQueryResponse(header=pb.QueryHeader(columns=named))
        case Rows(rows_json=rows_json, count=count):
            return pb.RunQueryResponse(rows=pb.QueryRows(rows_json=rows_json, count=count))
        case End(rows=rows, elapsed_ms=elapsed_ms, truncated=truncated):
            end = pb.QueryEnd(rows=rows, elapsed_ms=elapsed_ms, truncated=truncated)
            return pb.RunQueryResponse(end=end)


def _usage(tool: ToolUsage) -> pb.ToolUsage:
    return pb.ToolUsage(
        server=tool.server,
        tool=tool.tool,
        calls=tool.calls,
        allowed=tool.allowed,
        denied=tool.denied,
        limited=tool.limited,
        failed=tool.failed,
        p50_ms=tool.p50_ms,
        p95_ms=tool.p95_ms,
        agents=tool.agents,
        last_unix_nano=tool.last_at,
    )


def _alert(alert: AlertRecord) -> pb.Alert:
    return pb.Alert(raised=write_alert(alert.raised), resolved_unix_nano=alert.resolved_at or 0)


def _tailed(record: DecisionRecord) -> pb.TailDecisionsResponse:
    decided = record.decided.body
    assert isinstance(decided, Decided)
    return pb.TailDecisionsResponse(
        decision_id=record.decided.id,
        time_unix_nano=record.decided.at,
        decided=write_decided(decided),
        completed=None if record.completed is None else write_completed(record.completed),
    )


def _with_details_of(payload: bytes, sequence: int) -> bytes:
    """A group with what stands beside one of its events; what concerns others is not shown."""
    group = unpack(payload)
    others = [group.first_sequence + index for index in group.beside]
    return without(group, [one for one in others if one != sequence]).payload


def _selector(request: pb.EraseDetailsRequest) -> Selector | None:
    """Whose details are to be erased; None where that is not said."""
    match request.WhichOneof("selector"):
        case "value" if request.value.text:
            parse_pointer(request.value.pointer)
            return ByValue(
                text=request.value.text,
                pointer=request.value.pointer,
                hashes=tuple((one.key_id, one.hash) for one in request.value.hashes),
            )
        case "grant" if request.grant:
            return ByGrant(request.grant)
        case "agent" if request.agent:
            return ByAgent(request.agent)
        case _:
            return None


def _event_named(event_id: str) -> tuple[str, Position | None]:
    enforcer, _, place = event_id.partition(":")
    epoch, _, sequence = place.partition(":")
    plain = all(one.isascii() and one.isdigit() and len(one) < 20 for one in (epoch, sequence))
    return enforcer, Position(int(epoch), int(sequence)) if plain else None
