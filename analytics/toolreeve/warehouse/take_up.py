"""An archive that its warehouse does not know, or not all of: taken up at the start.

There are such files after a warehouse was lost (all of them), after it was put back from an older
copy (the newest), and where a start that took one up was cut off. Files that are known are not
looked at. The order of files and of the groups in them is the order in which they were loaded once,
so a warehouse that is made anew comes to the same rows.
"""

from collections.abc import Callable, Iterator
from pathlib import Path

import duckdb
from msgspec import Struct

from toolreeve.decision import Instant
from toolreeve.warehouse import payloads
from toolreeve.warehouse.archiver import PARTIAL, describe
from toolreeve.warehouse.batch import Spoiled
from toolreeve.warehouse.store import Warehouse
from toolreeve.wire import Group, WireError, unpack

EVENTS_AT_ONCE = 8_192
_FETCH = 256


class TakenUp(Struct, kw_only=True):
    """What became of unknown files. `unreadable` are left where they are."""

    files: int = 0
    events: int = 0
    deleted: list[str] = []
    unreadable: list[tuple[str, str]] = []


def take_up(warehouse: Warehouse, tell: Callable[[int, int], None] | None = None) -> TakenUp:
    """Load every file that is not known. `tell` hears of (bytes done, bytes in all).

    May be cut off anywhere and called again. To be called before anything else is loaded.
    """
    folder = warehouse.archive_folder
    for partial in folder.glob(f"*/*{PARTIAL}"):
        partial.unlink()
    known = dict(
        warehouse.reader()
        .execute("SELECT file, bool_or(whole) FROM archives GROUP BY file")
        .fetchall()
    )
    paths = [
        path
        for path in sorted(folder.glob("*/*.parquet"))
        if not known.get(str(path.relative_to(folder)))
    ]
    taken = TakenUp()
    total, done = sum(path.stat().st_size for path in paths), 0
    for path in paths:
        name = str(path.relative_to(folder))
        try:
            _take(warehouse, path, name, taken, begun=name in known)
        except duckdb.Error as error:
            taken.unreadable.append((name, str(error).splitlines()[0][:300]))
        done += path.stat().st_size if path.exists() else 0
        if tell is not None:
            tell(done, total)
    return taken


def _take(warehouse: Warehouse, path: Path, name: str, taken: TakenUp, *, begun: bool) -> None:
    with warehouse.reader() as connection:
        if not begun and _is_held(connection, path):
            path.unlink()
            taken.deleted.append(name)
            return
        file = describe(connection, path, name)
    taken.files += 1
    for at, groups, spoiled in _batches(warehouse, path):
        report = warehouse.load(groups, at=at, spoiled=spoiled, file=file)
        taken.events += len(report.events)
    with warehouse.reader() as connection:
        connection.begin()
        row = connection.execute(
            "UPDATE archives SET whole = true WHERE file = ?", [name]
        ).fetchone()
        assert row is not None
        if row[0] == 0:  # all of it was loaded from elsewhere: recorded, so that it is known
            newest = warehouse.last_load
            payloads.enter(connection, file, newest + 1, newest, whole=True)
        connection.commit()


def _is_held(connection: duckdb.DuckDBPyConnection, path: Path) -> bool:
    """Whether every group of a file also stands in the warehouse, or in a file that is known."""
    row = connection.execute(
        """
        SELECT count(*) FROM read_parquet(?) AS f WHERE NOT EXISTS (
            FROM groups AS g
            WHERE (g.enforcer, g.epoch, g.first_sequence, g.last_sequence, g.head)
                = (f.enforcer, f.epoch, f.first_sequence, f.last_sequence, f.head)
            AND (g.load IN (SELECT load FROM payloads)
                OR EXISTS (FROM archives AS a WHERE g.load BETWEEN a.first_load AND a.last_load)))
        """,
        [str(path)],
    ).fetchone()
    return row is not None and row[0] == 0


def _batches(
    warehouse: Warehouse, path: Path
) -> Iterator[tuple[Instant, list[Group], list[Spoiled]]]:
    """The file's groups in the order in which they were loaded once."""
    with warehouse.reader() as reader:
        rows = reader.execute(
            "SELECT enforcer, payload, epoch_us(loaded_at) * 1000 FROM read_parquet(?)"
            " ORDER BY load, enforcer, epoch, first_sequence",
            [str(path)],
        )
        groups: list[Group] = []
        spoiled: list[Spoiled] = []
        events, at = 0, Instant(0)
        while fetched := rows.fetchmany(_FETCH):
            for enforcer, payload, loaded_at in fetched:
                at = Instant(loaded_at)
                try:
                    groups.append(unpack(payload))
                except WireError as error:
                    spoiled.append(Spoiled(enforcer, str(error), payload))
                else:
                    events += len(groups[-1].raws)
                if events >= EVENTS_AT_ONCE:
                    yield at, groups, spoiled
                    groups, spoiled, events = [], [], 0
        if groups or spoiled:
            yield at, groups, spoiled
