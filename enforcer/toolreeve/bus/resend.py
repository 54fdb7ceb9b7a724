"""Publishing again what was published once and got lost on the way.

The stream is the transport: it can be deleted, truncated or damaged with everything that was in
it. Whoever reads knows by sequences what is missing, and asks. What is sent again goes under ids of
its own, so that the stream's memory of the first time does not swallow it; readers know the events
by their sequences, however often they come.
"""

import asyncio
from collections.abc import Iterator
from itertools import islice, takewhile
from typing import NoReturn, Protocol

import structlog

from toolreeve.audit import Position
from toolreeve.audit.span import Missing
from toolreeve.bus.error import BusError
from toolreeve.bus.publish import Publisher
from toolreeve.bus.ship import ShippableGroup
from toolreeve.bus.subjects import again_id

log = structlog.get_logger()

GROUPS_AT_ONCE = 32
BYTES_PER_SECOND_MAX = 8 << 20
"""Leaves room for what is new; some 25,000 events a second."""


class GroupHistory(Protocol):
    """What was published, as far back as it is kept. Iterating blocks."""

    def groups(self, after: Position | None) -> Iterator[ShippableGroup]: ...


async def resend(
    history: GroupHistory, publisher: Publisher, wanted: "asyncio.Queue[Missing]", *, enforcer: str
) -> NoReturn:
    """Publish again what is `wanted`, one after the other, for ever.

    What `history` no longer has is left out. A request that fails on the way is given up: whoever
    misses something asks again. Raises what `history` raises.
    """
    while True:
        missing = await wanted.get()
        try:
            groups = await _again(history, publisher, missing, enforcer)
        except (BusError, TimeoutError) as error:
            log.warning("resend.given_up", missing=str(missing), error=str(error) or "no answer")
        else:
            log.info(
                "resend.done",
                after=str(missing.after),
                up_to=str(missing.up_to),
                groups=groups,
            )


async def _again(
    history: GroupHistory, publisher: Publisher, missing: Missing, enforcer: str
) -> int:
    loop = asyncio.get_running_loop()
    after = missing.after if missing.after.epoch else None
    groups = takewhile(lambda group: group.first <= missing.up_to, history.groups(after))
    sent = 0
    while True:
        begun = loop.time()
        some = await asyncio.to_thread(lambda: list(islice(groups, GROUPS_AT_ONCE)))
        if not some:
            return sent
        async with publisher.outlet() as outlet, asyncio.timeout(publisher.ack_seconds):
            answers = [
                await outlet.send(
                    group.payload, again_id(enforcer, group.first.epoch, group.first.sequence)
                )
                for group in some
            ]
            for answer in answers:
                await answer
        sent += len(some)
        least = sum(len(group.payload) for group in some) / BYTES_PER_SECOND_MAX
        await asyncio.sleep(max(0.0, begun + least - loop.time()))
