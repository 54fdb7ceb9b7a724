"""Whether everything that enforcers have recorded is in the warehouse, asked every few seconds.

Enforcers tell the control plane how their outboxes stand, over gRPC and so whatever becomes of
NATS. The worker knows what has arrived. Here the two meet: what is durable goes back to the
enforcers, who may then let go of it; what left and never came is asked for again; and where the two
accounts differ, somebody hears of it.
"""

import asyncio
from collections.abc import Callable, Mapping
from functools import partial

import grpc
import grpc.aio
import structlog
from msgspec import Struct

from toolreeve.audit import Draft, Position
from toolreeve.audit.span import Missing
from toolreeve.decision import Instant
from toolreeve.outbox import Outbox
from toolreeve.runtime.credentials import Credentials
from toolreeve.sync.secure import member_channel
from toolreeve.v1 import reconcile_pb2 as pb
from toolreeve.warehouse.store import Warehouse
from toolreeve.wire.durable import write_resend, write_spans
from toolreeve.wire.fleet import Status, read_status
from toolreeve.worker import arrived, differences
from toolreeve.worker.arrived import Since
from toolreeve.worker.asking import Asker
from toolreeve.worker.audit_stream import AuditStream, heed
from toolreeve.worker.differences import Note, Standing
from toolreeve.worker.holes import EpochRun, Walk, spans, walk
from toolreeve.worker.open_alerts import OpenAlerts, Problem
from toolreeve.worker.settings import WorkerSettings

log = structlog.get_logger()

BEHIND = "audit-behind"
HEAD_DIFFERS = "audit-head-differs"
COUNTS_DIFFER = "audit-counts-differ"
FOREIGN_ID = "audit-id-foreign"
COUNT_ROUNDS = 5
FOREIGN_SECONDS = 600.0
FOREIGN_MAX = 1_000
ANSWER_SECONDS_MAX = 5.0
MESSAGE_BYTES_MAX = 64 << 20

RULES = (BEHIND, HEAD_DIFFERS, COUNTS_DIFFER, FOREIGN_ID)

_RECONCILE = "/toolreeve.v1.ReconcileService/Reconcile"


class _Look(Struct, frozen=True):
    """What is loaded of one enforcer."""

    runs: tuple[EpochRun, ...]
    walk: Walk


class Reconciler:
    """The worker's end. Its own outbox is one of those that are looked at."""

    def __init__(
        self,
        settings: WorkerSettings,
        *,
        warehouse: Warehouse,
        stream: AuditStream,
        outbox: Outbox[Draft],
        wanted: asyncio.Queue[Missing],
        alerts: OpenAlerts,
        now: Callable[[], Instant],
        credentials: Callable[[], Credentials | None],
    ) -> None:
        self._settings = settings
        self._warehouse = warehouse
        self._stream = stream
        self._outbox = outbox
        self._wanted = wanted
        self._alerts = alerts
        self._now = now
        self._credentials = credentials
        self._askers: dict[str, Asker] = {}
        self._notes: dict[str, Note] = {}
        self._uncounted: dict[str, Note] = {}
        self._counted: dict[str, Since] = {}
        self._count_at = 0.0
        self._away: set[str] = set()
        self._known_heads: set[tuple[str, bytes]] = set()
        self._foreign: dict[str, tuple[str, float]] = {}
        self.whole = False
        """Whether at the last look nothing was missing of what had left an outbox."""

    def foreign(self, enforcer: str, message_id: str) -> None:
        """Hear that a message of this enforcer came under an id that is another's."""
        if enforcer in self._foreign or len(self._foreign) < FOREIGN_MAX:
            log.warning("message.foreign_id", enforcer=enforcer, message_id=message_id)
            self._foreign[enforcer] = (message_id, asyncio.get_running_loop().time())

    async def run(self, epoch: asyncio.Future[int]) -> None:
        """Look every few seconds, for ever; begins when this start of the worker has an epoch."""
        mine = await asyncio.shield(epoch)
        addresses = self._settings.control_addresses
        channels = self._channels(addresses)
        shown = self._credentials()
        request = pb.ReconcileRequest()
        try:
            while True:
                heed()
                if self._credentials() is not shown:  # renewed
                    shown = self._credentials()
                    await _close(channels)
                    channels = self._channels(addresses)
                standings: dict[str, Standing] = {}
                for address, channel in channels.items():
                    for name, standing in (await self._ask(address, channel, request)).items():
                        if name not in standings or standing.connected:
                            standings[name] = standing
                standings[self._settings.name] = self._own(mine)
                request = await self._look_over(standings)
                await asyncio.sleep(self._settings.reconcile.seconds)
        finally:
            await _close(channels)

    def _channels(self, addresses: list[str]) -> dict[str, grpc.aio.Channel]:
        options = [("grpc.max_receive_message_length", MESSAGE_BYTES_MAX)]
        shown = self._credentials()
        return {one: member_channel(one, shown, options) for one in addresses}

    async def _ask(
        self, address: str, channel: grpc.aio.Channel, request: pb.ReconcileRequest
    ) -> dict[str, Standing]:
        method: grpc.aio.UnaryUnaryMultiCallable[pb.ReconcileRequest, pb.ReconcileResponse] = (
            channel.unary_unary(
                _RECONCILE,
                request_serializer=pb.ReconcileRequest.SerializeToString,
                response_deserializer=pb.ReconcileResponse.FromString,
            )
        )
        try:
            answer = await method(request, timeout=ANSWER_SECONDS_MAX)
        except grpc.aio.AioRpcError as error:
            if address not in self._away:
                self._away.add(address)
                log.warning("control.away", address=address, problem=error.code().name)
            return {}
        if address in self._away:
            self._away.remove(address)
            log.info("control.back", address=address)
        return {
            one.enforcer_id: Standing(read_status(one.status), one.connected)
            for one in answer.enforcers
        }

    def _own(self, epoch: int) -> Standing:
        """How the worker's own outbox stands."""
        outbox = self._outbox.status()
        last, published = outbox.last or Position(epoch, 0), outbox.published
        left = published is not None and published.epoch == last.epoch
        status = Status(
            epoch=last.epoch,
            sequence=last.sequence,
            head=outbox.head,
            published_sequence=published.sequence if left and published is not None else 0,
            outbox_bytes=outbox.bytes_on_disk,
            at=self._now(),
            kept_after=outbox.kept_after or Position(0, 0),
            kept_after_head=outbox.kept_after_head,
        )
        return Standing(status, connected=True)

    async def _look_over(self, standings: Mapping[str, Standing]) -> pb.ReconcileRequest:
        """Compare, tell, and put together what is to be said at the next call."""
        now = asyncio.get_running_loop().time()
        place = await self._stream.place()
        looks = await asyncio.to_thread(self._looks, standings)
        request = pb.ReconcileRequest()
        whole = True
        reached: dict[str, Note] = {}
        for name, standing in standings.items():
            look, status = looks[name], standing.status
            lacks = look.walk.missing
            if status.published_sequence:  # and so has everything of earlier epochs
                lacks = look.walk.lacks(Position(status.epoch, status.published_sequence))
            whole = whole and not lacks
            due = self._askers.setdefault(name, Asker()).due(lacks, place, now)
            if name == self._settings.name:
                self._outbox.materialised(spans(look.runs))
                for missing in due:
                    self._resend_own(missing)
            elif standing.connected:
                durable = pb.DurableHistory(enforcer_id=name, spans=write_spans(spans(look.runs)))
                request.durable.append(durable)
                for missing in due:
                    log.warning("history.asked_for", enforcer=name, missing=str(missing))
                    asked = pb.ResendAsked(enforcer_id=name, resend=write_resend(missing))
                    request.resends.append(asked)
            await self._judge(name, standing, look.walk, now, reached)
        await self._judge_heads(reached, looks)
        self._uncounted.update(reached)
        self.whole = whole and not self._away
        await self._judge_ids(now)
        await self._judge_counts(now)
        return request

    def _looks(self, standings: Mapping[str, Standing]) -> dict[str, _Look]:
        """What is loaded of everybody. Blocks."""
        epochs = {name: one.status.kept_after.epoch for name, one in standings.items()}
        loaded = arrived.runs(self._warehouse, epochs)
        looks: dict[str, _Look] = {}
        for name, one in standings.items():
            found = walk(
                loaded[name],
                kept_after=one.status.kept_after,
                kept_after_head=one.status.kept_after_head,
                was_head=partial(self._was_head, name),
            )
            looks[name] = _Look(loaded[name], found)
        return looks

    def _was_head(self, name: str, head: bytes) -> bool:
        known = (name, head) in self._known_heads
        if not known and arrived.was_head(self._warehouse, name, head):
            self._known_heads.add((name, head))
            known = True
        return known

    def _resend_own(self, missing: Missing) -> None:
        log.warning("history.asked_for", enforcer=self._settings.name, missing=str(missing))
        if not self._wanted.full():
            self._wanted.put_nowait(missing)

    async def _judge(
        self, name: str, standing: Standing, found: Walk, now: float, reached: dict[str, Note]
    ) -> None:
        """See whether the warehouse has come so far as the enforcer said; then it is `reached`."""
        if found.breaks:
            await self._say(HEAD_DIFFERS, name, differences.broken(name, found))
        note = self._notes.get(name)
        if note is not None and found.has(note.position):
            reached[name] = self._notes.pop(name)
            await self._say(BEHIND, name, None)
        elif note is not None and now - note.since > self._settings.reconcile.behind_seconds:
            await self._say(BEHIND, name, differences.behind(name, standing, note, found))
        if name not in self._notes and standing.status.sequence:
            self._notes[name] = differences.noted(standing.status, now)

    async def _judge_heads(self, reached: Mapping[str, Note], looks: Mapping[str, "_Look"]) -> None:
        """Hold the heads that enforcers said against those that are loaded."""
        if not reached:
            return
        asked = [(name, note.position) for name, note in reached.items()]
        heads = await asyncio.to_thread(arrived.heads_at, self._warehouse, asked)
        for name, note in reached.items():
            head = heads.get((name, note.position), note.head)
            if head != note.head:
                await self._say(HEAD_DIFFERS, name, differences.another_head(name, note))
            elif not looks[name].walk.breaks:
                await self._say(HEAD_DIFFERS, name, None)

    async def _judge_counts(self, now: float) -> None:
        """Count the decisions up to what was noted, where the warehouse has come so far."""
        if now < self._count_at or not self._uncounted:
            return
        self._count_at = now + COUNT_ROUNDS * self._settings.reconcile.seconds
        notes, self._uncounted = self._uncounted, {}
        asked: list[tuple[str, Since, int]] = []
        for name, note in notes.items():
            since = self._counted.get(name)
            at = note.position
            if since is None or since.epoch != at.epoch or since.sequence > at.sequence:
                since = Since(at.epoch)
            asked.append((name, since, at.sequence))
        self._counted.update(await asyncio.to_thread(arrived.count, self._warehouse, asked))
        for name, note in notes.items():
            counted = self._counted[name]
            agrees = (counted.allowed, counted.denied) == (note.allowed, note.denied)
            if not agrees:
                self._counted.pop(name)  # counted anew next time
            await self._say(
                COUNTS_DIFFER,
                name,
                None if agrees else differences.counts_differ(name, note, counted),
            )

    async def _judge_ids(self, now: float) -> None:
        for enforcer, (message_id, at) in list(self._foreign.items()):
            over = now - at > FOREIGN_SECONDS
            if over:
                del self._foreign[enforcer]
            await self._say(
                FOREIGN_ID, enforcer, None if over else differences.foreign_id(enforcer, message_id)
            )

    async def _say(self, rule: str, enforcer: str, problem: Problem | None) -> None:
        await self._alerts.say(rule, "enforcer", enforcer, problem)


async def _close(channels: Mapping[str, grpc.aio.Channel]) -> None:
    for channel in channels.values():
        await channel.close()
