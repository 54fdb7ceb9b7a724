"""What is done to the warehouse beside loading: copies for queries, files for the archive."""

import asyncio
import time
from collections.abc import Callable

import duckdb
import structlog

from toolreeve.runtime.clock import Clock
from toolreeve.warehouse.archiver import Archiver
from toolreeve.warehouse.contents import look_over
from toolreeve.warehouse.erasure import Eraser
from toolreeve.warehouse.errors import WarehouseDamagedError, WarehouseError
from toolreeve.warehouse.parts import Parts
from toolreeve.warehouse.store import Warehouse
from toolreeve.worker.opening import mark_damaged
from toolreeve.worker.settings import WorkerSettings

log = structlog.get_logger()

TIDYING_SECONDS = 1.0
UPKEEP_TIDYINGS = 30
ARCHIVE_SECONDS = 1.0
RETRY_SECONDS = 10.0
ERASE_RETRY_SECONDS = 60.0


async def tidy(warehouse: Warehouse, parts: Parts) -> None:
    """Keep the copies near what is committed and few; move the log into the file now and then."""
    while True:
        parts.release(await asyncio.to_thread(parts.snapshot))
        for _ in range(UPKEEP_TIDYINGS):
            await asyncio.sleep(TIDYING_SECONDS)
            await asyncio.to_thread(parts.tidy)
        await asyncio.to_thread(warehouse.checkpoint)


async def archive(
    warehouse: Warehouse,
    settings: WorkerSettings,
    clock: Clock,
    eraser: Eraser,
    erased: Callable[[], None],
) -> None:
    """Move raw groups into files as they are due, and take out what is erased, for ever.

    A full disk is waited for. `erased` hears when something was taken out.
    """
    chosen = settings.archive
    archiver = Archiver(
        warehouse,
        file_bytes=chosen.file_bytes,
        seconds_max=chosen.seconds_max,
        keep_days=chosen.keep_days,
    )
    again_at = 0.0
    while True:
        if eraser.pending and time.monotonic() >= again_at:
            try:
                events = await asyncio.to_thread(eraser.carry_out, clock.now())
            except (OSError, duckdb.Error, WarehouseError) as error:
                log.error("details.not_erased", problem=str(error).splitlines()[0][:300])
                again_at = time.monotonic() + ERASE_RETRY_SECONDS
            else:
                log.info("details.erased", events=events)
                erased()
        try:
            name = await asyncio.to_thread(archiver.move, clock.now())
            for old in await asyncio.to_thread(archiver.forget, clock.now()):
                log.info("archive.forgotten", file=old)
        except (OSError, duckdb.Error) as error:
            log.error("archive.not_written", problem=str(error).splitlines()[0][:300])
            await asyncio.sleep(RETRY_SECONDS)
        else:
            if name is not None:
                log.info("archive.written", file=name)
            await asyncio.sleep(0 if name is not None else ARCHIVE_SECONDS)


async def look_over_once(warehouse: Warehouse, settings: WorkerSettings) -> None:
    """Read a file through that was too large for it at the start.

    Raises WarehouseDamagedError, and then the next start sets the file aside.
    """
    if warehouse.path.stat().st_size <= settings.look_over_bytes_max:
        return
    try:
        await asyncio.to_thread(look_over, warehouse)
    except WarehouseDamagedError:
        mark_damaged(warehouse.path)
        raise
