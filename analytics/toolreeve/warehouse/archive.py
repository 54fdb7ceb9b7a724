"""Every group as it was published, read back: from the archive's files, and from the warehouse
where it is in no file yet.

    <archive>/2026-11-21/181530.123456-17-345.parquet

A file holds the groups of neighbouring loads, in the order of their histories, and is never
changed. Its name tells when it was written, and which loads they were in the warehouse of then.
"""

from collections.abc import Iterable, Iterator, Sequence

import duckdb
from msgspec import Struct

from toolreeve.warehouse.errors import WarehouseError
from toolreeve.warehouse.payloads import Staged, staged
from toolreeve.warehouse.store import Warehouse
from toolreeve.wire import WireError, unpack
from toolreeve.wire.lines import any_between

GROUPS_AT_ONCE = 1_024
STAGED_BYTES_MAX = 64 << 20
"""So much of what is staged is remembered while histories are read."""
_COLUMNS = "enforcer, epoch, first_sequence, last_sequence, previous_hash, head, payload"


class Wanted(Struct, frozen=True, kw_only=True):
    """Groups with an event at or after `since` and before `until`, in nanoseconds since 1970.

    An empty `enforcer` is everybody.
    """

    enforcer: str = ""
    since: int | None = None
    until: int | None = None

    @property
    def bounded(self) -> bool:
        """Whether time leaves anything out."""
        return self.since is not None or self.until is not None

    def touches(self, raws: Iterable[bytes]) -> bool:
        """Whether one of these events lies inside; what cannot be read might."""
        try:
            return any_between(raws, self.since, self.until)
        except WireError:
            return True


class Stored(Struct, frozen=True):
    """A group with its place and the chain's heads before and behind it."""

    enforcer: str
    epoch: int
    first_sequence: int
    last_sequence: int
    previous_hash: bytes
    head: bytes
    payload: bytes


class _Entry(Struct, frozen=True):
    """What the warehouse knows of a group without its bytes."""

    enforcer: str
    epoch: int
    first_sequence: int
    last_sequence: int
    head: bytes
    load: int


class _Staging:
    """Loads that were in no file when they were asked for. They stay as they are, so that what
    one window needed of a load serves the next one too."""

    def __init__(self, warehouse: Warehouse) -> None:
        self._warehouse = warehouse
        self._loads: dict[int, tuple[Staged, ...]] = {}
        self._bytes = 0

    def find(self, entries: Sequence[_Entry]) -> Iterator[Stored]:
        """Those of `entries`, and perhaps others, that are staged."""
        loads = {entry.load for entry in entries}
        if unknown := sorted(loads - self._loads.keys()):
            self._fetch(unknown)
        here = (entries[0].enforcer, entries[0].epoch)
        for load in loads:
            for one in self._loads.get(load, ()):
                if (one.enforcer, one.epoch) == here:
                    yield Stored(
                        one.enforcer,
                        one.epoch,
                        one.first_sequence,
                        one.last_sequence,
                        one.previous_hash,
                        one.head,
                        one.payload,
                    )

    def _fetch(self, loads: Sequence[int]) -> None:
        if self._bytes > STAGED_BYTES_MAX:
            self._loads, self._bytes = {}, 0
        self._loads.update(dict.fromkeys(loads, ()))  # what is not there now never will be
        for one in staged(self._warehouse.reader(), loads):
            self._loads[one.load] = one.groups
            self._bytes += sum(len(group.payload) for group in one.groups)


def groups(warehouse: Warehouse, wanted: Wanted) -> Iterator[Stored]:
    """By enforcer and epoch, in the order of each history.

    Groups that the archive does not hold (any more) are passed over. Raises WarehouseError where
    a file of the archive cannot be read.
    """
    staging = _Staging(warehouse)
    for entries in _windows(warehouse, wanted):
        for stored in _read(warehouse, staging, entries):
            if not wanted.bounded or wanted.touches(unpack(stored.payload).raws):
                yield stored


def payload_at(warehouse: Warehouse, enforcer: str, epoch: int, sequence: int) -> bytes | None:
    """The group that holds an event, as it was published; None where nobody has it."""
    row = (
        warehouse.reader()
        .execute(
            "SELECT enforcer, epoch, first_sequence, last_sequence, head, load FROM groups"
            " WHERE enforcer = ? AND epoch = ? AND ? BETWEEN first_sequence AND last_sequence"
            " ORDER BY load LIMIT 1",
            [enforcer, epoch, sequence],
        )
        .fetchone()
    )
    found = [] if row is None else _read(warehouse, _Staging(warehouse), [_Entry(*row)])
    return found[0].payload if found else None


def events_expected(warehouse: Warehouse, wanted: Wanted) -> int:
    """About how many events `groups` will bring; where time leaves some out, at most so many."""
    sql, values = _index_sql("coalesce(sum(last_sequence - first_sequence + 1), 0)::BIGINT", wanted)
    row = warehouse.reader().execute(sql, values).fetchone()
    assert row is not None
    return int(row[0])


def _windows(warehouse: Warehouse, wanted: Wanted) -> Iterator[list[_Entry]]:
    """Neighbours of one epoch that are worth reading at once."""
    sql, values = _index_sql("enforcer, epoch, first_sequence, last_sequence, head, load", wanted)
    rows = warehouse.reader().execute(f"{sql} ORDER BY enforcer, epoch, first_sequence", values)
    window: list[_Entry] = []
    while fetched := rows.fetchmany(GROUPS_AT_ONCE):
        for entry in (_Entry(*row) for row in fetched):
            here = (entry.enforcer, entry.epoch)
            if window and (
                (window[0].enforcer, window[0].epoch) != here or len(window) == GROUPS_AT_ONCE
            ):
                yield window
                window = []
            window.append(entry)
    if window:
        yield window


def _index_sql(columns: str, wanted: Wanted) -> tuple[str, list[object]]:
    """Loaded groups, without those of files and loads that lie outside of the time wanted."""
    conditions: list[str] = []
    values: list[object] = []
    if wanted.enforcer:
        conditions.append("enforcer = ?")
        values.append(wanted.enforcer)
    if wanted.bounded:
        conditions.append(
            "EXISTS (FROM (SELECT first_load, last_load FROM archives"
            " WHERE coalesce(last_time >= make_timestamp(?), true)"
            " AND coalesce(first_time <= make_timestamp(?), true)"
            " UNION ALL SELECT load, load FROM payloads)"
            " WHERE load BETWEEN first_load AND last_load)"
        )
        values += [_microseconds(wanted.since or 0), _microseconds(wanted.until)]
    where = f" WHERE {' AND '.join(conditions)}" if conditions else ""
    return f"SELECT {columns} FROM groups{where}", values  # noqa: S608  our own names


def _microseconds(instant: int | None) -> int:
    return (2**62 if instant is None else min(instant, 2**62)) // 1_000


def _read(warehouse: Warehouse, staging: _Staging, entries: Sequence[_Entry]) -> list[Stored]:
    """The groups of one window. What moves meanwhile is found where it went: files come last."""
    found = {_place(one): one for one in staging.find(entries)}
    missing = [entry for entry in entries if _place(entry) not in found]
    if missing:
        for one in _archived(warehouse, missing):
            found.setdefault(_place(one), one)
    return [found[_place(entry)] for entry in entries if _place(entry) in found]


def _place(one: Stored | _Entry) -> tuple[int, int, bytes]:
    return (one.first_sequence, one.last_sequence, one.head)


def _archived(warehouse: Warehouse, entries: Sequence[_Entry]) -> Iterator[Stored]:
    reader = warehouse.reader()
    loads = sorted({entry.load for entry in entries})
    files = _files(reader, loads)
    sql = f"SELECT {_COLUMNS} FROM read_parquet(?) WHERE {_SPAN}"  # noqa: S608  our own names
    while files:
        paths = [str(warehouse.archive_folder / name) for name in files]
        try:
            rows = reader.execute(sql, [paths, *_span(entries)]).fetchall()
        except duckdb.Error as error:
            before, files = files, _files(reader, loads)
            if files != before:
                continue  # one was written again meanwhile, without what is erased of it
            raise WarehouseError(
                f"a file of the archive cannot be read: {str(error).splitlines()[0][:300]}",
                remedy="put the file back from a copy, or export a span of time without it",
            ) from error
        return (Stored(*row) for row in rows)
    return iter(())


def _files(reader: duckdb.DuckDBPyConnection, loads: Sequence[int]) -> list[str]:
    """The files that have some of these loads."""
    rows = reader.execute(
        "SELECT DISTINCT file FROM archives SEMI JOIN (SELECT unnest(?::BIGINT[]) AS load) AS l"
        " ON l.load BETWEEN first_load AND last_load ORDER BY file",
        [loads],
    ).fetchall()
    return [name for (name,) in rows]


_SPAN = "enforcer = ? AND epoch = ? AND first_sequence BETWEEN ? AND ?"


def _span(entries: Sequence[_Entry]) -> list[object]:
    first, last = entries[0], entries[-1]
    return [first.enforcer, first.epoch, first.first_sequence, last.first_sequence]
