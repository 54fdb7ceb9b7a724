"""ReconcileService: between the worker, who knows what arrived, and those who know what left.

Nothing is kept here and nothing decided: what is durable and what is missing goes down the
enforcers' streams, and what they said last of their outboxes goes back.
"""

import grpc
import grpc.aio
import structlog

from toolreeve.control.desk import RefusedError
from toolreeve.control.gate import Gate
from toolreeve.control.streams import Streams
from toolreeve.decision.instant import MILLISECOND, SECOND
from toolreeve.fleet.identity import MemberKind
from toolreeve.runtime.clock import Clock
from toolreeve.v1 import reconcile_pb2 as pb
from toolreeve.wire.durable import Durable, Resend, read_resend, read_spans
from toolreeve.wire.fleet import write_status

log = structlog.get_logger()

_SERVICE = pb.DESCRIPTOR.services_by_name["ReconcileService"]
SERVICE = _SERVICE.full_name

Context = grpc.aio.ServicerContext[pb.ReconcileRequest, pb.ReconcileResponse]


class ReconcileService:
    """Answers the worker."""

    def __init__(
        self, streams: Streams, clock: Clock, gate: Gate, *, durable_seconds: float
    ) -> None:
        self._streams = streams
        self._clock = clock
        self._gate = gate
        self._pause_ns = int(durable_seconds * SECOND)

    def handler(self) -> grpc.GenericRpcHandler:
        """The service, to be added to a server."""
        method: grpc.RpcMethodHandler[pb.ReconcileRequest, pb.ReconcileResponse] = (
            grpc.unary_unary_rpc_method_handler(
                self.reconcile,
                request_deserializer=pb.ReconcileRequest.FromString,
                response_serializer=pb.ReconcileResponse.SerializeToString,
            )
        )
        return grpc.method_handlers_generic_handler(SERVICE, {"Reconcile": method})

    async def reconcile(
        self, request: pb.ReconcileRequest, context: Context
    ) -> pb.ReconcileResponse:
        """Hand on what the worker says, and answer what enforcers said.

        What is for an enforcer that is not connected here is dropped: the worker says it again.
        """
        try:
            self._gate.member(context, MemberKind.WORKER)
        except RefusedError as error:
            await context.abort(error.code, error.text)
        now = self._clock.now()
        for history in request.durable:
            stream = self._streams.stream(history.enforcer_id)
            if stream is not None:
                spans = read_spans(history.spans)
                stream.durable(Durable(spans), now, pause_ns=self._pause_ns)
        for asked in request.resends:
            stream = self._streams.stream(asked.enforcer_id)
            if stream is not None:
                missing = read_resend(asked.resend)
                log.warning(
                    "resend.asked",
                    enforcer=asked.enforcer_id,
                    after=str(missing.after),
                    up_to=str(missing.up_to),
                )
                stream.resend(Resend(missing))
        return pb.ReconcileResponse(
            enforcers=[
                pb.EnforcerStanding(
                    enforcer_id=enforcer_id,
                    connected=standing.connected,
                    age_ms=max(0, now - standing.heard_at) // MILLISECOND,
                    status=write_status(standing.status),
                )
                for enforcer_id, standing in sorted(self._streams.standings().items())
            ]
        )
