"""Shipping an outbox to JetStream: each group once, in order, until the server has it.

Several groups are under way at a time. The server stores what one session sends in its order, so
after a lost session it has a prefix of them; then everything unanswered is sent again from the
oldest on, under the same ids, and what the server has already is answered as a duplicate. After
any failure the oldest goes alone until it is taken, so that a full stream is not asked for
everything at every attempt.

That the server has a message under this id does not prove that it has *this* message: ids are the
whole stream's, and somebody else may have used ours. So what was answered as a duplicate is looked
at; what differs, and what this user may not look at, is sent again under an id that nobody knew.

Only where the server *refuses* one group and takes one sent before
that answer came can a later one stand before an earlier one; readers know both by their sequences.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from typing import Annotated, Protocol

import structlog
from msgspec import Meta, Struct

from toolreeve.audit import Position
from toolreeve.bus.backoff import full_jitter
from toolreeve.bus.error import BusError, PublishUnknownError
from toolreeve.bus.publish import Ack, Outlet, Publisher
from toolreeve.bus.subjects import again_id, message_id

log = structlog.get_logger()


class ShippableGroup(Protocol):
    """What is sent as one message."""

    @property
    def first(self) -> Position: ...
    @property
    def last(self) -> Position: ...
    @property
    def payload(self) -> bytes: ...


class GroupSource(Protocol):
    """Where groups come from, and who hears that they have arrived."""

    def follow(self) -> AsyncIterator[ShippableGroup]: ...
    def published(self, position: Position) -> None: ...


class ShipSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How much may be under way."""

    groups_max: Annotated[int, Meta(ge=1)] = 64
    bytes_max: Annotated[int, Meta(ge=1)] = 4 << 20


class _Sending(Struct, eq=False):
    """A group under way, and when an answer to it is overdue."""

    group: ShippableGroup
    ident: str
    acked: "asyncio.Future[Ack]"
    overdue: float
    trusted: bool = False  # a duplicate is known to be this group


async def ship(
    source: GroupSource,
    publisher: Publisher,
    *,
    enforcer: str,
    settings: ShipSettings | None = None,
) -> None:
    """Send every group `source` gives until it gives no more; then return when all are taken.

    Goes on through every failure of NATS. Raises what `source` raises.
    """
    shipper = _Shipper(source, publisher, enforcer, settings or ShipSettings())
    try:
        await shipper.run()
    finally:
        await shipper.stop()


class _Shipper:
    def __init__(
        self, source: GroupSource, publisher: Publisher, enforcer: str, settings: ShipSettings
    ) -> None:
        self._source = source
        self._groups = source.follow()
        self._publisher = publisher
        self._enforcer = enforcer
        self._settings = settings
        self._loop = asyncio.get_running_loop()
        self._arriving: asyncio.Task[ShippableGroup | None] | None = None
        self._exhausted = False
        self._under_way: deque[_Sending] = deque()
        self._bytes = 0
        self._failures = 0
        self._may_look = True  # until it turns out that this user may not

    async def run(self) -> None:
        while not (self._exhausted and not self._under_way):
            try:
                async with self._publisher.outlet() as outlet:
                    if self._failures and self._under_way:
                        await self._send_the_oldest(outlet)
                    for sending in self._under_way:
                        await self._send_again(outlet, sending)
                    await self._pump(outlet)
            except BusError as error:
                self._failures += 1
                if self._failures == 1:
                    log.warning(
                        "shipping.stalled", error=str(error), under_way=len(self._under_way)
                    )
                await asyncio.sleep(full_jitter(self._failures))

    async def stop(self) -> None:
        if self._arriving is not None:
            self._arriving.cancel()
            await asyncio.wait([self._arriving])

    async def _pump(self, outlet: Outlet) -> None:
        while True:
            self._ask_for_more()
            waits: set[asyncio.Future[Ack] | asyncio.Task[ShippableGroup | None]] = set()
            seconds = None
            if self._under_way:
                oldest = self._under_way[0]
                waits.add(oldest.acked)
                seconds = max(0.0, oldest.overdue - self._loop.time())
            if self._arriving is not None:
                waits.add(self._arriving)
            if not waits:
                return
            done, _ = await asyncio.wait(
                waits, timeout=seconds, return_when=asyncio.FIRST_COMPLETED
            )
            if not done:
                raise _overdue()
            await self._look_at_duplicates(outlet)
            self._settle()
            if self._arriving is not None and self._arriving.done():
                arrived, self._arriving = self._arriving.result(), None
                if arrived is None:
                    self._exhausted = True
                else:
                    await self._send_first(outlet, arrived)

    async def _send_the_oldest(self, outlet: Outlet) -> None:
        oldest = self._under_way[0]
        await self._send_again(outlet, oldest)
        await asyncio.wait([oldest.acked], timeout=self._publisher.ack_seconds)
        if not oldest.acked.done():
            raise _overdue()
        await self._look_at_duplicates(outlet)
        self._settle()

    def _ask_for_more(self) -> None:
        room = len(self._under_way) < self._settings.groups_max
        room = room and self._bytes < self._settings.bytes_max
        if room and self._arriving is None and not self._exhausted:
            self._arriving = asyncio.create_task(self._next(), name="outbox-next-group")

    async def _next(self) -> ShippableGroup | None:
        return await anext(self._groups, None)

    async def _send_first(self, outlet: Outlet, group: ShippableGroup) -> None:
        unsent: asyncio.Future[Ack] = self._loop.create_future()
        ident = message_id(self._enforcer, group.first.epoch, group.first.sequence)
        sending = _Sending(group, ident, unsent, 0.0)
        self._under_way.append(sending)  # before the attempt: it is ours from here on
        self._bytes += len(group.payload)
        await self._send_again(outlet, sending)

    async def _send_again(self, outlet: Outlet, sending: _Sending) -> None:
        sending.acked = await outlet.send(sending.group.payload, sending.ident)
        sending.overdue = self._loop.time() + self._publisher.ack_seconds

    async def _look_at_duplicates(self, outlet: Outlet) -> None:
        """See that what the server had already is what was sent; send the rest under other ids."""
        for sending in self._under_way:
            acked = sending.acked
            if not acked.done():
                return
            if sending.trusted or acked.exception() is not None or not acked.result().duplicate:
                continue
            stored = None
            if self._may_look:
                stored = await self._publisher.stored(acked.result().sequence)
                self._may_look = stored is not None
            sending.trusted = True
            if stored != sending.group.payload:
                if stored is not None:
                    log.error("publish.poisoned", message_id=sending.ident)
                first = sending.group.first
                sending.ident = again_id(self._enforcer, first.epoch, first.sequence)
                await self._send_again(outlet, sending)

    def _settle(self) -> None:
        """Take every answer that is there, up to the first group without one."""
        last: Position | None = None
        try:
            while self._under_way and self._under_way[0].acked.done():
                self._under_way[0].acked.result()
                sending = self._under_way.popleft()
                self._bytes -= len(sending.group.payload)
                last = sending.group.last
        finally:
            if last is not None:
                self._source.published(last)
                if self._failures:
                    log.info("shipping.resumed", failures=self._failures)
                    self._failures = 0


def _overdue() -> PublishUnknownError:
    return PublishUnknownError("no answer came", remedy="the same is sent again")
