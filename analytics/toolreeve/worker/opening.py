"""The worker's warehouse as it starts: opened, or made anew where it is lost or damaged.

A damaged file is set aside as evidence, with its log, and never written again. What was in it comes
from the archive, and what is newer than that from the stream: a new warehouse has no mark of where
it stood in the stream, so it reads all of it.
"""

import time
from itertools import count
from pathlib import Path

import structlog

from toolreeve.decision import Instant
from toolreeve.warehouse.contents import look_over
from toolreeve.warehouse.errors import WarehouseDamagedError
from toolreeve.warehouse.store import Warehouse
from toolreeve.warehouse.take_up import take_up
from toolreeve.worker.settings import WorkerSettings

log = structlog.get_logger()

TELL_SECONDS = 2.0
_MARK = ".found-damaged"


def open_warehouse(settings: WorkerSettings, now: Instant) -> Warehouse:
    """Open the file, or set it aside and make it anew; then take up what the archive has. Blocks.

    Raises WarehouseError where the file cannot be had and that is no fault of its own.
    """
    path = settings.warehouse_path
    if mark_of(path).exists():
        _set_aside(path, "it was found damaged while it was in use")
    try:
        warehouse = _open(settings, now)
    except WarehouseDamagedError as error:
        _set_aside(path, str(error))
        warehouse = _open(settings, now)
    try:
        _take_up(warehouse)
    except BaseException:
        warehouse.close()
        raise
    return warehouse


def mark_damaged(path: Path) -> None:
    """Let the next start set the file aside."""
    mark_of(path).touch()


def mark_of(path: Path) -> Path:
    """The file that says that the warehouse is damaged."""
    return path.with_name(path.name + _MARK)


def _open(settings: WorkerSettings, now: Instant) -> Warehouse:
    path = settings.warehouse_path
    warehouse = Warehouse.open(
        path,
        at=now,
        threads=settings.duckdb_threads,
        archive=settings.archive_path,
        owner=settings.name,
    )
    try:
        if path.stat().st_size <= settings.look_over_bytes_max:
            look_over(warehouse)
    except BaseException:
        warehouse.close()
        raise
    return warehouse


def _set_aside(path: Path, problem: str) -> None:
    names = (path.with_name(f"{path.name}.damaged-{number}") for number in count(1))
    aside = next(name for name in names if not name.exists())
    for suffix in (".wal", ""):  # the file last: while it is there, so is the reason for this
        old = path.with_name(path.name + suffix)
        if old.exists():
            old.rename(aside.with_name(aside.name + suffix))
    mark_of(path).unlink(missing_ok=True)
    log.error("warehouse.set_aside", evidence=str(aside), problem=problem)


def _take_up(warehouse: Warehouse) -> None:
    begun = told = time.monotonic()

    def tell(done: int, total: int) -> None:
        nonlocal told
        if time.monotonic() - told >= TELL_SECONDS:
            told = time.monotonic()
            log.info("archive.taking_up", bytes_done=done, bytes_total=total)

    taken = take_up(warehouse, tell)
    for name, problem in taken.unreadable:
        log.error("archive.unreadable", file=name, problem=problem)
    if taken.files:
        log.info(
            "archive.taken_up",
            files=taken.files,
            events=taken.events,
            seconds=round(time.monotonic() - begun, 1),
        )
