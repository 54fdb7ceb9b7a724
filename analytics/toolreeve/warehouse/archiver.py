"""Moves raw groups from the warehouse into files, once each, whatever ends it in between.

A file is written under another name, made durable, given its name, and then recorded in the same
transaction that forgets the groups in the warehouse. A file that is not recorded was cut off before
that; `take_up` deletes it, for its groups are still where they were.
"""

import os
from base64 import b64encode
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from hashlib import file_digest
from pathlib import Path

import duckdb
from msgspec import Struct

from toolreeve.decision import Instant
from toolreeve.decision.instant import SECOND
from toolreeve.warehouse import payloads
from toolreeve.warehouse.payloads import Staged, StagedLoad
from toolreeve.warehouse.store import Warehouse

PARTIAL = ".part"
VERSION = ".v"
"""Goes before the number of a file that was written again."""
ROWS_PER_ROW_GROUP = 2_048
"""DuckDB's smallest: whoever reads one group reads so many."""
_LINE_BYTES_MAX = 4 << 20
"""A group is a message of NATS, 1 MiB or somewhat more, and base64 adds a third."""
_COLUMNS = (
    ("enforcer", "VARCHAR", "decode(from_base64(enforcer))"),
    ("epoch", "UBIGINT", ""),
    ("first_sequence", "UBIGINT", ""),
    ("last_sequence", "UBIGINT", ""),
    ("previous_hash", "VARCHAR", "from_base64(previous_hash)"),
    ("head", "VARCHAR", "from_base64(head)"),
    ("first_time", "BIGINT", "make_timestamp(first_time)"),
    ("last_time", "BIGINT", "make_timestamp(last_time)"),
    ("loaded_at", "BIGINT", "make_timestamp(loaded_at)"),
    ("load", "BIGINT", ""),
    ("payload", "VARCHAR", "from_base64(payload)"),
)
"""A file's columns: how they come in as text, and what is made of that."""


class Due(Struct, frozen=True):
    """A load that waits for its file. `at` is when it came."""

    load: int
    at: Instant
    size: int


class Changed(Struct, frozen=True):
    """A group of a file, and its new bytes."""

    enforcer: str
    epoch: int
    first_sequence: int
    payload: bytes


class Archiver:
    """For one warehouse; one thread at a time may use it."""

    def __init__(
        self, warehouse: Warehouse, *, file_bytes: int, seconds_max: float, keep_days: int = 0
    ) -> None:
        """A file is due at `file_bytes` of groups, at the end of a UTC day, or when its oldest
        group has waited for `seconds_max`. `keep_days` of 0 keeps files for ever."""
        self._warehouse = warehouse
        self._folder = warehouse.archive_folder
        self._file_bytes = file_bytes
        self._wait_ns = round(seconds_max * SECOND)
        self._keep_days = keep_days

    def move(self, now: Instant, *, everything: bool = False) -> str | None:
        """Write one file if one is due, or for whatever there is; returns its name.

        Raises OSError and duckdb.Error where the disk does not take it; nothing has moved then.
        """
        chosen = self._choose(now, everything=everything)
        if not chosen:
            return None
        first, last = chosen[0].load, chosen[-1].load
        name = f"{_day(chosen[0].at)}/{_moment(now)}-{first}-{last}.parquet"
        path = self._folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_name(path.name + PARTIAL)
        with self._warehouse.reader() as connection:
            _write(connection, partial, [one.load for one in chosen])
            file = describe(connection, partial, name)
            assert file.bytes == sum(one.size for one in chosen), "a file has what it was given"
            partial.chmod(0o400)
            _sync(partial)
            partial.rename(path)
            for folder in (path.parent, self._folder, self._folder.parent):
                _sync(folder)
            connection.begin()
            try:
                payloads.enter(connection, file, first, last, whole=True)
                payloads.drop(connection, first, last)
                connection.commit()
            except BaseException:
                path.unlink()
                raise
        return name

    def forget(self, now: Instant) -> list[str]:
        """Delete files of days that are no longer kept; returns their names."""
        if self._keep_days == 0:
            return []
        oldest = datetime.fromtimestamp(now // SECOND, UTC) - timedelta(days=self._keep_days)
        with self._warehouse.reader() as connection:
            rows = connection.execute(
                "SELECT DISTINCT file FROM archives WHERE file < ? ORDER BY file",
                [f"{oldest:%Y-%m-%d}"],
            ).fetchall()
            names = [str(name) for (name,) in rows]
            for name in names:
                (self._folder / name).unlink(missing_ok=True)
            if names:
                connection.execute(
                    "DELETE FROM archives WHERE file IN (SELECT unnest(?::VARCHAR[]))", [names]
                )
        return names

    def _choose(self, now: Instant, *, everything: bool) -> Sequence[Due]:
        """The loads of the next file, all of one day; none where no file is due."""
        with self._warehouse.reader() as connection:
            rows = connection.execute(
                "SELECT load, epoch_us(loaded_at) * 1000, size FROM payloads ORDER BY load"
            ).fetchall()
        chosen: list[Due] = []
        size = 0
        for due in (Due(*row) for row in rows):
            if chosen and (size >= self._file_bytes or _day(due.at) != _day(chosen[0].at)):
                return chosen
            chosen.append(due)
            size += due.size
        is_due = everything or size >= self._file_bytes
        if chosen and not is_due:
            is_due = now - chosen[0].at >= self._wait_ns or _day(now) > _day(chosen[0].at)
        return chosen if is_due else ()


def describe(connection: duckdb.DuckDBPyConnection, path: Path, name: str) -> payloads.File:
    """Read a file of the archive as a whole. Raises duckdb.Error where that is not possible."""
    row = connection.execute(
        "SELECT count(*), coalesce(sum(octet_length(payload)), 0)::BIGINT,"
        " CASE WHEN count(first_time) = count(*) THEN epoch_us(min(first_time)) END,"
        " CASE WHEN count(last_time) = count(*) THEN epoch_us(max(last_time)) END"
        " FROM read_parquet(?)",
        [str(path)],
    ).fetchone()
    assert row is not None
    with path.open("rb") as file:
        digest = file_digest(file, "sha256").hexdigest()
    groups, size, first_time, last_time = row
    return payloads.File(
        name=name,
        sha256=digest,
        groups=groups,
        bytes=size,
        first_time=first_time,
        last_time=last_time,
    )


def rewrite(
    connection: duckdb.DuckDBPyConnection, folder: Path, name: str, changed: Sequence[Changed]
) -> payloads.File:
    """Write a file again with other bytes for some groups, beside the old one, and describe it.

    It stands in the order of files where the old one stood. Until it is recorded in its place it
    may be deleted, and so may the old one afterwards: `take_up` does so with what is held twice.
    """
    stem, _, version = name.removesuffix(".parquet").partition(VERSION)
    new = f"{stem}{VERSION}{int(version or 0) + 1:04d}.parquet"
    path = folder / new
    partial = path.with_name(path.name + PARTIAL)
    connection.execute(
        "CREATE OR REPLACE TEMP TABLE changed AS SELECT unnest(?::VARCHAR[]) AS enforcer,"
        " unnest(?::UBIGINT[]) AS epoch, unnest(?::UBIGINT[]) AS first_sequence,"
        " unnest(?::BLOB[]) AS payload",
        [
            [one.enforcer for one in changed],
            [one.epoch for one in changed],
            [one.first_sequence for one in changed],
            [one.payload for one in changed],
        ],
    )
    connection.execute(
        "COPY (SELECT f.* REPLACE (coalesce(c.payload, f.payload) AS payload)"  # noqa: S608
        f" FROM read_parquet({_quoted(folder / name)}) AS f LEFT JOIN changed AS c"
        " USING (enforcer, epoch, first_sequence)"
        " ORDER BY f.enforcer, f.epoch, f.first_sequence)"
        f" TO {_quoted(partial)}"
        f" (FORMAT parquet, COMPRESSION zstd, ROW_GROUP_SIZE {ROWS_PER_ROW_GROUP})"
    )
    file = describe(connection, partial, new)
    partial.chmod(0o400)
    _sync(partial)
    partial.rename(path)
    _sync(path.parent)
    return file


def _write(connection: duckdb.DuckDBPyConnection, path: Path, loads: Sequence[int]) -> None:
    """Write some loads, in the order of their histories.

    They go through a file of text, for DuckDB takes nothing else in so quickly that comes from
    here: 2.3 us an event with the compression, where lists and BLOBs as parameters take 10 to 20.
    """
    groups = [(load, one) for load in payloads.staged(connection, loads) for one in load.groups]
    groups.sort(key=lambda pair: (pair[1].enforcer, pair[1].epoch, pair[1].first_sequence))
    text = path.with_suffix(f".csv{PARTIAL}")
    try:
        with text.open("wb") as file:
            file.writelines(_line(load, group) for load, group in groups)
        kinds = ", ".join(f"{name}: '{kind}'" for name, kind, _ in _COLUMNS)
        values = ", ".join(f"{value or name} AS {name}" for name, _, value in _COLUMNS)
        connection.execute(
            f"COPY (SELECT {values} FROM read_csv({_quoted(text)}, auto_detect = false,"  # noqa: S608
            f" header = false, delim = ',', quote = '', escape = '', columns = {{{kinds}}},"
            f" max_line_size = {_LINE_BYTES_MAX}, buffer_size = {4 * _LINE_BYTES_MAX}))"
            f" TO {_quoted(path)}"
            f" (FORMAT parquet, COMPRESSION zstd, ROW_GROUP_SIZE {ROWS_PER_ROW_GROUP})"
        )
    finally:
        text.unlink(missing_ok=True)


def _line(load: StagedLoad, group: Staged) -> bytes:
    """A group in the order of `_COLUMNS`, base64 where it is bytes or might hold a comma."""
    return b"%b,%d,%d,%d,%b,%b,%b,%b,%d,%d,%b\n" % (
        b64encode(group.enforcer.encode()),
        group.epoch,
        group.first_sequence,
        group.last_sequence,
        b64encode(group.previous_hash),
        b64encode(group.head),
        b"" if group.first_time is None else b"%d" % group.first_time,
        b"" if group.last_time is None else b"%d" % group.last_time,
        load.loaded_at,
        load.load,
        b64encode(group.payload),
    )


def _quoted(path: Path) -> str:
    return "'" + str(path).replace("'", "''") + "'"


def _day(at: Instant) -> str:
    return f"{datetime.fromtimestamp(at // SECOND, UTC):%Y-%m-%d}"


def _moment(at: Instant) -> str:
    return f"{datetime.fromtimestamp(at // SECOND, UTC):%H%M%S}.{at % SECOND // 1_000:06d}"


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
