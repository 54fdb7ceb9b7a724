"""An enforcer reads its own outbox again and again, and records what it finds rotten."""

import asyncio
from collections.abc import Awaitable, Callable

import structlog

from toolreeve.audit import Draft
from toolreeve.outbox import Outbox, OutboxError, Salvage

log = structlog.get_logger()

PIECE_SECONDS = 0.1
PASS_SECONDS = 3600.0


async def scrub(
    outbox: Outbox[Draft],
    record: Callable[[Salvage], Awaitable[object]],
    *,
    piece_seconds: float = PIECE_SECONDS,
    pass_seconds: float = PASS_SECONDS,
) -> None:
    """Prove a piece of the outbox every `piece_seconds`, for ever; rest between two passes.

    `record` gets what was found damaged, once; the evidence is kept by then. It may raise
    OutboxError: then it is told again when the outbox is opened next.
    """
    scrubbing = outbox.scrub()
    while True:
        await asyncio.sleep(piece_seconds)
        try:
            goes_on, found = await asyncio.to_thread(scrubbing.step)
            if found is not None:
                lost = [str(part) for part in found.lost]
                log.error("outbox.damaged", evidence=found.evidence, lost=lost)
                await record(found)
                outbox.reported()
        except (OutboxError, OSError) as error:
            log.error("outbox.not_scrubbed", error=str(error))
            goes_on = False
        if not goes_on:
            await asyncio.sleep(pass_seconds)
