"""The warehouse file: opened by one process, written by one thread, exact after every crash.

A load is one transaction: the rows, the cursors of the epochs they belong to, and whatever marks
its followers ask for. So a group is loaded with its cursor or not at all, and a message that is
delivered again after a crash meets a cursor that covers it. No primary key is needed for that.
"""

import threading
from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Self

import duckdb

from toolreeve.audit import Position
from toolreeve.decision import Instant
from toolreeve.warehouse import lookup, payloads
from toolreeve.warehouse.batch import (
    Batch,
    DecisionId,
    Epoch,
    EpochId,
    Spoiled,
    bad_events,
)
from toolreeve.warehouse.errors import why_closed
from toolreeve.warehouse.loads import LoadReport, Notification, Watermark, in_order
from toolreeve.warehouse.migrate import migrate, renew
from toolreeve.warehouse.tables import (
    ERASED,
    NOTICES,
    TABLES,
    Row,
    Table,
    columns_json,
    insert_sql,
)
from toolreeve.wire import Group, without

OWNER = "worker"
EPOCHS_CACHED_MAX = 100_000
DECISIONS_OPEN_MAX = 200_000
CHECKPOINT_BYTES = 64 * 2**20
"""A checkpoint holds up the load that triggers it, so that the file's owner runs them apart."""


class Warehouse:
    """See `open`. One thread at a time may load; any thread may read through `reader`."""

    def __init__(
        self,
        connection: duckdb.DuckDBPyConnection,
        path: Path,
        warehouse_id: str,
        archive: Path | None = None,
        owner: str = OWNER,
    ) -> None:
        self._connection = connection
        self._lock = threading.Lock()
        self._readers = connection.cursor()
        self._reading = threading.Lock()
        self._epochs: OrderedDict[EpochId, Epoch] = OrderedDict()
        self._newest: dict[str, int] = dict(
            connection.execute("SELECT enforcer, max(epoch) FROM cursors GROUP BY 1").fetchall()
        )
        self._open: OrderedDict[DecisionId, None] = OrderedDict()
        self._newest_loads = {
            table.name: _number(connection, f"SELECT coalesce(max(load), 0) FROM {table.name}")  # noqa: S608
            for table in TABLES
        }
        self._last_load = max(self._newest_loads.values())
        self.path = path
        self.archive_folder = path.with_name("archive") if archive is None else archive
        self._marks: dict[str, int] = dict(
            connection.execute("SELECT name, max(mark) FROM marks GROUP BY name").fetchall()
        )
        self.warehouse_id = warehouse_id
        self._owner = owner
        self._erased_until = lookup.erased_until(connection, owner)

    @classmethod
    def open(
        cls,
        path: Path,
        *,
        at: Instant,
        threads: int = 2,
        archive: Path | None = None,
        owner: str = OWNER,
    ) -> Self:
        """Open or make the file and bring it to the newest form.

        `archive` is where the raw groups go; a folder beside the file unless said otherwise.
        `owner` is the worker, whose word it is that something is erased.
        Raises WarehouseError where another process has it and where a newer version of the
        program has written it, and WarehouseDamagedError where it is not as it was written.
        """
        path.parent.mkdir(parents=True, exist_ok=True)
        config: dict[str, str | bool | int | float | list[str]] = {
            "threads": threads,
            "checkpoint_threshold": "1GB",
            "autoinstall_known_extensions": False,
            "autoload_known_extensions": False,
            "temp_directory": str(path.with_name(path.name + ".tmp")),
            "python_enable_replacements": False,
        }
        try:
            connection = duckdb.connect(str(path), config=config)
        except duckdb.Error as error:
            raise why_closed(path, error) from error
        try:
            connection.execute("SET TimeZone = 'UTC'")
            migrate(connection, at)
            return cls(connection, path, renew(connection, at), archive, owner)
        except duckdb.Error as error:
            connection.close()
            raise why_closed(path, error) from error
        except BaseException:
            connection.close()
            raise

    @property
    def last_load(self) -> int:
        """Number of the newest load; 0 where there was none."""
        return self._last_load

    def newest_load_of(self, table: Table) -> int:
        """The newest load that brought rows to `table`; 0 where none did."""
        return self._newest_loads[table.name]

    def load(
        self,
        groups: Sequence[Group],
        *,
        at: Instant,
        spoiled: Sequence[Spoiled] = (),
        marks: Mapping[str, int] | None = None,
        file: payloads.File | None = None,
    ) -> LoadReport:
        """Add what is new in `groups`, in one transaction that is durable on return.

        May be called again with the same groups, in any order, any number of times. `marks` are
        set in the same transaction. `file` is the archive file that has the groups already.
        Raises duckdb.Error where the file cannot take it (no space, for one); then nothing was
        added, and the call may be made again.
        """
        with self._lock:
            try:
                plan = self._plan(groups, at, spoiled, frozenset())
                return self._commit(plan, marks or {}, at, file)
            except (duckdb.DataError, duckdb.IntegrityError, duckdb.InvalidInputException):
                bad = bad_events(groups, at, self._fits)
                if not bad:
                    raise
                plan = self._plan(groups, at, spoiled, bad)
                return self._commit(plan, marks or {}, at, file)

    def watermarks(self) -> tuple[Watermark, ...]:
        """How far each epoch is complete, by enforcer and epoch."""
        rows = self.reader().execute(
            "SELECT enforcer, epoch, sequence, head FROM cursors WHERE first_sequence = 1"
            " ORDER BY enforcer, epoch"
        )
        return tuple(
            Watermark(enforcer=enforcer, position=Position(epoch, sequence), head=head)
            for enforcer, epoch, sequence, head in rows.fetchall()
        )

    def mark(self, name: str) -> int:
        """What was set last under `name`; 0 where nothing was."""
        return self._marks.get(name, 0)

    def note(self, notifications: Sequence[Notification], *, at: Instant) -> None:
        """Record what became of notifications."""
        if not notifications:
            return
        rows: list[Row] = [
            (
                at // 1_000,
                told.alert_id,
                told.status,
                told.receiver,
                told.delivered,
                told.attempts,
                told.detail,
            )
            for told in notifications
        ]
        with self._lock:
            load = self._last_load + 1
            self._connection.begin()
            try:
                self._insert(NOTICES, rows, load)
                self._connection.commit()
            except BaseException:
                self._roll_back()
                raise
            self._last_load = self._newest_loads[NOTICES.name] = load

    def reader(self) -> duckdb.DuckDBPyConnection:
        """A connection for one thread to read with; it sees what is committed."""
        with self._reading:  # a connection refuses a second call, and so would the loading one
            return self._readers.cursor()

    def checkpoint(self, *, bytes_min: int = CHECKPOINT_BYTES) -> bool:
        """Move the write-ahead log into the file where it has grown to `bytes_min`.

        Whether it did; not doing so costs nothing but log. Meant for a thread of its own.
        """
        log = self.path.with_name(self.path.name + ".wal")
        try:
            if log.stat().st_size < bytes_min:
                return False
            self.reader().execute("CHECKPOINT")
        except (FileNotFoundError, duckdb.TransactionException):
            return False
        return True

    def close(self) -> None:
        """Finish the file. A warehouse that was killed instead is as exact."""
        with self._lock, self._reading:
            self._readers.close()
            self._connection.close()

    def _plan(
        self,
        groups: Sequence[Group],
        at: Instant,
        spoiled: Sequence[Spoiled],
        bad: frozenset[bytes],
    ) -> Batch:
        batch = Batch(at, bad)
        self._fetch_epochs({(group.enforcer, group.epoch) for group in groups})
        newest = dict(self._newest)
        for group in self._without_erased(groups):
            newest[group.enforcer] = max(newest.get(group.enforcer, 0), group.epoch)
            is_newest = newest[group.enforcer] == group.epoch
            batch.take(group, self._epochs, newest=is_newest)
        for message in spoiled:
            batch.spoil(message)
        self._judge_repeated(batch)
        self._judge_outcomes(batch)
        batch.seal(lookup.quarantined(self._connection, list(batch.quarantined)))
        return batch

    def _without_erased(self, groups: Sequence[Group]) -> list[Group]:
        """Groups without what was erased of them before they came (again)."""
        return [
            without(group, lookup.erased(self._connection, group, self._owner))
            if self._erased_until.get((group.enforcer, group.epoch), 0) >= group.first_sequence
            else group
            for group in groups
        ]

    def _commit(
        self, batch: Batch, marks: Mapping[str, int], at: Instant, file: payloads.File | None
    ) -> LoadReport:
        changed = {name: mark for name, mark in marks.items() if self._marks.get(name) != mark}
        if not batch.rows and not changed:
            return LoadReport(load=self._last_load, duplicates=batch.duplicates)
        load = self._last_load + (1 if batch.rows else 0)
        self._connection.begin()
        try:
            self._delete_cursors(batch.epochs)
            for table, rows in batch.rows.values():
                self._insert(table, rows, load)
            if file is not None and batch.kept:
                payloads.enter(self._connection, file, load, load, whole=False)
            elif batch.kept:
                payloads.stage(self._connection, batch.kept, load, at)
            if changed:
                self._set_marks(changed)
            self._connection.commit()
        except BaseException:
            self._roll_back()
            raise
        self._marks.update(changed)
        self._last_load = load
        self._newest_loads.update(dict.fromkeys(batch.rows, load))
        self._remember(batch)
        return LoadReport(
            load=load,
            events=in_order(batch.events),
            duplicates=batch.duplicates,
            quarantined=len(batch.quarantined),
            anomalies=tuple(batch.anomalies),
        )

    def _set_marks(self, marks: Mapping[str, int]) -> None:
        names, places = list(marks), list(marks.values())
        self._connection.execute(
            "DELETE FROM marks WHERE name IN (SELECT unnest(?::VARCHAR[]))", [names]
        )
        self._connection.execute(
            "INSERT INTO marks SELECT unnest(?::VARCHAR[]), unnest(?::BIGINT[])", [names, places]
        )

    def _roll_back(self) -> None:
        with suppress(duckdb.TransactionException):  # a failed commit has ended it already
            self._connection.rollback()

    def _insert(self, table: Table, rows: Sequence[Row], load: int) -> None:
        self._connection.execute(insert_sql(table), [columns_json(table, rows, load)])

    def _delete_cursors(self, epochs: Iterable[EpochId]) -> None:
        keys = list(epochs)
        if keys:
            self._connection.execute(
                "DELETE FROM cursors WHERE (enforcer, epoch) IN"
                " (SELECT (unnest(?::VARCHAR[]), unnest(?::UBIGINT[])))",
                [[enforcer for enforcer, _ in keys], [epoch for _, epoch in keys]],
            )

    def _remember(self, batch: Batch) -> None:
        for key, epoch in batch.epochs.items():
            self._epochs[key] = epoch
            self._epochs.move_to_end(key)
            self._newest[key[0]] = max(self._newest.get(key[0], 0), key[1])
        while len(self._epochs) > EPOCHS_CACHED_MAX:
            self._epochs.popitem(last=False)
        if ERASED.name in batch.rows:
            self._erased_until = lookup.erased_until(self._connection, self._owner)
        for decision in batch.decided:
            self._open[decision] = None
        for decision in batch.completed:
            self._open.pop(decision, None)
        while len(self._open) > DECISIONS_OPEN_MAX:
            self._open.popitem(last=False)

    def _fetch_epochs(self, wanted: set[EpochId]) -> None:
        """Bring the cursors of `wanted` into memory; an epoch without any gets an empty one."""
        keys = [key for key in wanted if key not in self._epochs]
        if keys:
            self._epochs.update(lookup.epochs(self._connection, keys))

    def _judge_repeated(self, batch: Batch) -> None:
        """Refuse what came again under the same numbers with other contents."""
        if not batch.repeated:
            return
        heads = lookup.heads(self._connection, [group for group, _ in batch.repeated])
        for group, head in batch.repeated:
            known = heads.get(lookup.group_id(group))
            if known is None:
                batch.refuse(group, "overlap", "its events are loaded in groups of other bounds")
            elif known != head:
                batch.refuse(group, "fork", "another group stands in its place")
            else:
                batch.duplicates += len(group.raws)

    def _judge_outcomes(self, batch: Batch) -> None:
        """Find outcomes of decisions that have one already. The usual case asks nobody."""
        seen: set[DecisionId] = set()
        again: set[int] = set()
        unsure: dict[DecisionId, int] = {}
        for index, decision in enumerate(batch.completed):
            if decision in seen:
                again.add(index)
            elif decision not in batch.decided and decision not in self._open:
                unsure[decision] = index
            seen.add(decision)
        if unsure:
            known = lookup.completed(self._connection, list(unsure))
            again.update(unsure[decision] for decision in known)
        if again:
            batch.mark_again(again.__contains__)

    def _fits(self, trial: Batch) -> bool:
        """Whether DuckDB takes its rows."""
        self._connection.begin()
        try:
            for table, rows in trial.rows.values():
                self._insert(table, rows, 0)
        except (duckdb.DataError, duckdb.IntegrityError, duckdb.InvalidInputException):
            return False
        finally:
            self._roll_back()
        return True


def _number(connection: duckdb.DuckDBPyConnection, sql: str) -> int:
    row = connection.execute(sql).fetchone()
    assert row is not None
    return int(row[0])
