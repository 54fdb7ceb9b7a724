"""What is erased: found, kept out of what is loaded later, and taken out of what is there.

An erasure is an event in the worker's own history, and comes back to it through the stream like
every other. So it stands before anything is done, is carried out after every restart, and is
carried out again by a warehouse that is made anew. It names the events, not the value that chose
them. What it takes out is what stands beside these events: in the table, in the raw groups that
wait for their archive file, in archive files, and in the copies that queries read. The events
themselves, and so their hashes, seals and proofs, stay as they are.
"""

from collections import defaultdict
from contextlib import suppress

import duckdb

from toolreeve.decision import Instant
from toolreeve.warehouse import archiver, payloads
from toolreeve.warehouse.batch import EpochId
from toolreeve.warehouse.errors import WarehouseError
from toolreeve.warehouse.parts import Parts
from toolreeve.warehouse.store import Warehouse
from toolreeve.warehouse.tables import DECIDED, ERASED
from toolreeve.wire import WireError, unpack, without

MARK = "erased"
"""The newest load whose erasures are carried out."""

_PENDING = (
    "CREATE OR REPLACE TEMP TABLE pending AS"
    " SELECT DISTINCT enforcer, epoch, sequence FROM erased WHERE load > ? AND said_by = ?"
)
_ROWS = """
UPDATE decided AS d
SET arguments = '{}'::JSON::VARIANT, arguments_hash = ''::BLOB, argument_hashes = [], hash_key = '',
    details = 'erased'
FROM pending AS p
WHERE (d.enforcer, d.epoch, d.sequence) = (p.enforcer, p.epoch, p.sequence)
    AND d.details IN ('here', 'missing')
"""
_ROW_LOADS = """
SELECT DISTINCT d.load FROM decided AS d SEMI JOIN pending AS p
ON (d.enforcer, d.epoch, d.sequence) = (p.enforcer, p.epoch, p.sequence)
"""
_GROUP_LOADS = """
SELECT DISTINCT g.load FROM groups AS g SEMI JOIN pending AS p
ON g.enforcer = p.enforcer AND g.epoch = p.epoch
AND p.sequence BETWEEN g.first_sequence AND g.last_sequence
"""
_FILES = """
SELECT DISTINCT file FROM archives
SEMI JOIN (SELECT unnest(?::BIGINT[]) AS load) AS l ON l.load BETWEEN first_load AND last_load
"""
_IN_FILE = """
SELECT f.enforcer, f.epoch, f.first_sequence, f.payload FROM read_parquet(?) AS f
SEMI JOIN pending AS p ON f.enforcer = p.enforcer AND f.epoch = p.epoch
AND p.sequence BETWEEN f.first_sequence AND f.last_sequence
"""


class Eraser:
    """Carries out what is on record as erased by `name`, the worker. One thread at a time."""

    def __init__(self, warehouse: Warehouse, parts: Parts, name: str) -> None:
        self._warehouse = warehouse
        self._parts = parts
        self._name = name

    @property
    def pending(self) -> bool:
        """Whether something is on record that is not carried out."""
        return self._warehouse.newest_load_of(ERASED) > self._warehouse.mark(MARK)

    def carry_out(self, at: Instant) -> int:
        """Take out all that is on record and still there; returns of how many events.

        May be cut off anywhere and called again. Raises OSError and duckdb.Error where the disk
        does not take it, and WarehouseError where files of the archive cannot be read and so may
        still have some of it, everything else being done; what is left is for a later call.
        """
        newest = self._warehouse.newest_load_of(ERASED)
        if newest <= self._warehouse.mark(MARK):
            return 0
        with self._warehouse.reader() as connection:
            connection.execute(_PENDING, [self._warehouse.mark(MARK), self._name])
            known = _known(connection)
            loads = [load for (load,) in connection.execute(_ROW_LOADS).fetchall()]
            files, unreadable = self._rewritten(connection, known)
            connection.begin()
            try:
                connection.execute(_ROWS)
                self._take_out_of_payloads(connection, known)
                for old, new in files:
                    _replace(connection, old, new)
                connection.commit()
            except BaseException:
                with suppress(duckdb.TransactionException):  # a failed commit has ended it already
                    connection.rollback()
                raise
        self._parts.renew(DECIDED, loads)
        for old, _ in files:
            (self._warehouse.archive_folder / old).unlink(missing_ok=True)
        self._warehouse.checkpoint(bytes_min=0)
        if unreadable:
            raise WarehouseError(
                f"what is erased may still stand in {', '.join(unreadable)}",
                remedy="put these files back from a copy, or delete them",
            )
        self._warehouse.load([], at=at, marks={MARK: newest})
        return sum(map(len, known.values()))

    def _rewritten(
        self, connection: duckdb.DuckDBPyConnection, known: dict[EpochId, set[int]]
    ) -> tuple[list[tuple[str, payloads.File]], list[str]]:
        """Archive files that held some of it with the new ones without it; those unreadable."""
        loads = [load for (load,) in connection.execute(_GROUP_LOADS).fetchall()]
        found = connection.execute(_FILES, [loads]).fetchall()
        folder = self._warehouse.archive_folder
        made: list[tuple[str, payloads.File]] = []
        unreadable: list[str] = []
        for name in sorted(name for (name,) in found if (folder / name).exists()):
            try:
                rows = connection.execute(_IN_FILE, [str(folder / name)]).fetchall()
            except duckdb.Error:
                unreadable.append(name)
                continue
            changed: list[archiver.Changed] = []
            for enforcer, epoch, first, payload in rows:
                stripped = _stripped(payload, known[(enforcer, epoch)])
                if stripped != payload:
                    changed.append(archiver.Changed(enforcer, epoch, first, stripped))
            if changed:
                made.append((name, archiver.rewrite(connection, folder, name, changed)))
        return made, unreadable

    def _take_out_of_payloads(
        self, connection: duckdb.DuckDBPyConnection, known: dict[EpochId, set[int]]
    ) -> None:
        """Raw groups that wait for their file."""
        loads = [load for (load,) in connection.execute(_GROUP_LOADS).fetchall()]
        if not loads:
            return
        waiting = [*payloads.staged(connection, loads)]
        for load in waiting:
            groups = [
                (group, _stripped(group.payload, known.get((group.enforcer, group.epoch), set())))
                for group in load.groups
            ]
            if any(stripped != group.payload for group, stripped in groups):
                payloads.restage(connection, load.load, groups)


def _known(connection: duckdb.DuckDBPyConnection) -> dict[EpochId, set[int]]:
    known: defaultdict[EpochId, set[int]] = defaultdict(set)
    rows = connection.execute("SELECT enforcer, epoch, sequence FROM pending")
    while fetched := rows.fetchmany(10_000):
        for enforcer, epoch, sequence in fetched:
            known[(enforcer, epoch)].add(sequence)
    return known


def _stripped(payload: bytes, erased: set[int]) -> bytes:
    """A group's bytes without the details of these events; as they are where it is none."""
    if not erased:
        return payload
    try:
        group = unpack(payload)
    except WireError:
        return payload
    last = group.first_sequence + len(group.raws) - 1
    here = [one for one in range(group.first_sequence, last + 1) if one in erased]
    return without(group, here).payload if here else payload


def _replace(connection: duckdb.DuckDBPyConnection, old: str, new: payloads.File) -> None:
    connection.execute(
        "UPDATE archives SET file = ?, sha256 = ?, bytes = ? WHERE file = ?",
        [new.name, new.sha256, new.bytes, old],
    )
