"""Read-only copies of what is committed, for queries that run in processes of their own.

No other process can open the warehouse's file while it is written, so each table is also kept as
Parquet files, each holding the rows of a span of loads. Asking for a snapshot writes one small
file for what came since the last one. Tidying writes a larger one in place of several small ones,
so that a table of n rows has about log(n) files and each row is written about log(n) times. A file
that a running query was given stays until that query has ended.

Files up to the last large one are entered in a manifest and found again after a restart; the rest
is made anew. The whole folder is a copy: it may be deleted while nothing runs.
"""

import json
import os
import shutil
import threading
from collections import Counter
from collections.abc import Collection
from itertools import count
from pathlib import Path

import duckdb
from msgspec import Struct

from toolreeve.warehouse.migrate import migrations
from toolreeve.warehouse.store import Warehouse
from toolreeve.warehouse.tables import CURSORS, TABLES, Table

SEALED_ROWS_MIN = 50_000
WHOLE_ROWS_MIN = 4_000_000
"""Files of so many rows are never written again."""
YOUNG_FILES_MAX = 8


class Part(Struct, frozen=True):
    """Rows of the loads `first` to `last`, both included."""

    first: int
    last: int
    rows: int
    file: str


class Snapshot(Struct, frozen=True):
    """Files by table, holding everything that was committed when it was taken."""

    load: int
    files: dict[str, tuple[Path, ...]]


class Parts:
    """The Parquet copies of one warehouse. Safe for several threads; give each snapshot back."""

    def __init__(self, warehouse: Warehouse, folder: Path) -> None:
        self._warehouse = warehouse
        self._folder = folder
        self._lock = threading.Lock()
        self._pins: Counter[Path] = Counter()
        self._doomed: set[Path] = set()
        self._serial = count()
        self._tidying = threading.Lock()
        self._manifest_due = False
        self._parts: dict[str, list[Part]] = {table.name: [] for table in TABLES}
        self._cursors_load = -1
        folder.mkdir(parents=True, exist_ok=True)
        self._find_again()

    def snapshot(self) -> Snapshot:
        """Bring the copies up to what is committed. Give it back with `release`."""
        with self._lock:
            load = self._warehouse.last_load
            with self._warehouse.reader() as reader:
                for table in TABLES:
                    if table is CURSORS:
                        self._copy_cursors(reader, load)
                    else:
                        self._extend(reader, table, load)
            files = {
                name: tuple(self._folder / part.file for part in parts)
                for name, parts in self._parts.items()
                if parts
            }
            for paths in files.values():
                self._pins.update(paths)
            return Snapshot(load, files)

    def release(self, snapshot: Snapshot) -> None:
        """The query that used `snapshot` has ended."""
        with self._lock:
            for paths in snapshot.files.values():
                self._pins.subtract(paths)
            self._bury()

    def count(self) -> int:
        """How many files there are now."""
        with self._lock:
            return sum(len(parts) for parts in self._parts.values())

    def tidy(self) -> bool:
        """Write one file in place of several where it is worth it; whether anything was written.

        Snapshots are given out meanwhile. Meant for a thread of its own, now and then.
        """
        with self._tidying, self._warehouse.reader() as reader:
            written = False
            for table in TABLES:
                written = self._merge(reader, table) or written
            with self._lock:
                if self._manifest_due:
                    self._keep_manifest()
        return written

    def renew(self, table: Table, loads: Collection[int]) -> None:
        """Write those copies of a table again that hold rows of some loads, which have changed.

        What a running query was given stays until it has ended.
        """
        with self._tidying, self._warehouse.reader() as reader:
            parts = self._parts[table.name]
            with self._lock:
                stale = [
                    part for part in parts if any(part.first <= load <= part.last for load in loads)
                ]
            for part in stale:
                fresh = self._copy(reader, table, part.first, part.last)
                assert fresh is not None, "its rows were there before"
                with self._lock:
                    parts[parts.index(part)] = fresh  # others were only added behind
                    self._doomed.add(self._folder / part.file)
                    self._manifest_due = True
            with self._lock:
                if self._manifest_due:
                    self._keep_manifest()
                self._bury()

    def _merge(self, reader: duckdb.DuckDBPyConnection, table: Table) -> bool:
        parts = self._parts[table.name]
        with self._lock:
            start = _merge_from(parts) if parts else None
            several = parts[start:] if start is not None else []
        if start is None:
            return False
        merged = self._copy(reader, table, several[0].first, several[-1].last)
        assert merged is not None, "its rows were there before"
        with self._lock:
            parts[start : start + len(several)] = [merged]  # others were only added behind
            self._doomed.update(self._folder / part.file for part in several)
            self._manifest_due = self._manifest_due or merged.rows >= SEALED_ROWS_MIN
            self._bury()
        return True

    def _extend(self, reader: duckdb.DuckDBPyConnection, table: Table, load: int) -> None:
        parts = self._parts[table.name]
        after = parts[-1].last if parts else 0
        if min(load, self._warehouse.newest_load_of(table)) <= after:
            return
        fresh = self._copy(reader, table, after + 1, load)
        if fresh is not None:
            parts.append(fresh)
            self._manifest_due = self._manifest_due or fresh.rows >= SEALED_ROWS_MIN

    def _copy_cursors(self, reader: duckdb.DuckDBPyConnection, load: int) -> None:
        """Cursors are few and change, so they are copied whole."""
        newest = self._warehouse.newest_load_of(CURSORS)
        if newest == self._cursors_load:
            return
        parts = self._parts[CURSORS.name]
        self._doomed.update(self._folder / part.file for part in parts)
        fresh = self._copy(reader, CURSORS, 0, max(load, newest))
        self._parts[CURSORS.name] = [fresh] if fresh else []
        self._cursors_load = newest
        self._bury()

    def _copy(
        self, reader: duckdb.DuckDBPyConnection, table: Table, first: int, last: int
    ) -> Part | None:
        """Write the rows of some loads; None where there are none."""
        name = f"{table.name}-{first}-{last}-{next(self._serial)}.parquet"
        path = self._folder / name
        quoted = str(path).replace("'", "''")
        (rows,) = reader.execute(
            f"COPY (FROM {table.name} WHERE load BETWEEN {first:d} AND {last:d})"
            f" TO '{quoted}' (FORMAT parquet, COMPRESSION zstd)"
        ).fetchall()[0]
        if not rows:
            path.unlink(missing_ok=True)
            return None
        path.chmod(0o400)
        return Part(first, last, rows, name)

    def _bury(self) -> None:
        for path in [path for path in self._doomed if self._pins[path] <= 0]:
            path.unlink(missing_ok=True)
            self._doomed.discard(path)
            del self._pins[path]

    @property
    def _manifest(self) -> Path:
        return self._folder / "manifest.json"

    @property
    def _identity(self) -> list[object]:
        return [self._warehouse.warehouse_id, len(migrations()), duckdb.__version__]

    def _keep_manifest(self) -> None:
        self._manifest_due = False
        sealed = {
            name: [[part.first, part.last, part.rows, part.file] for part in _sealed(parts)]
            for name, parts in self._parts.items()
            if name != CURSORS.name
        }
        for rows in sealed.values():
            for *_, file in rows:
                _sync(self._folder / str(file))
        partial = self._manifest.with_suffix(".part")
        with partial.open("w", encoding="utf-8") as file:
            json.dump({"identity": self._identity, "parts": sealed}, file)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(self._manifest)
        _sync(self._folder)

    def _find_again(self) -> None:
        """Take back the files that the manifest names, and delete all others."""
        try:
            document = json.loads(self._manifest.read_text("utf-8"))
            assert document["identity"] == self._identity
            for name, rows in document["parts"].items():
                for first, last, count, file in rows:
                    parts = self._parts[name]
                    follows = parts[-1].last + 1 if parts else 1
                    if first != follows or last > self._warehouse.last_load:
                        break
                    if (self._folder / file).is_file():
                        parts.append(Part(first, last, count, file))
        except (OSError, ValueError, KeyError, TypeError, AssertionError):
            for parts in self._parts.values():
                parts.clear()
        kept = {part.file for parts in self._parts.values() for part in parts}
        for path in self._folder.iterdir():
            if path.is_dir():
                shutil.rmtree(path)
            elif path.name not in kept and path != self._manifest:
                path.unlink()


def _sealed(parts: list[Part]) -> list[Part]:
    """All parts up to the last large one: what is worth finding again."""
    large = [place for place, part in enumerate(parts) if part.rows >= SEALED_ROWS_MIN]
    return parts[: large[-1] + 1] if large else []


def _merge_from(parts: list[Part]) -> int | None:
    """From which part on to write one in place of several; None: leave them as they are.

    Parts are taken up from the newest on while each is at most twice as large as all newer ones
    together, and merged where there are enough of them to be worth it.
    """
    start = len(parts) - 1
    total = parts[start].rows
    while start and parts[start - 1].rows <= min(2 * total, WHOLE_ROWS_MIN):
        start -= 1
        total += parts[start].rows
    return start if len(parts) - start >= YOUNG_FILES_MAX else None


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
