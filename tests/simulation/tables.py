"""The worker, and its tables without DuckDB: one load is one swap of everything it changes.

What a load makes of groups is the production `Batch`; only the transaction is simulated, and it is
as DuckDB promises: wholly there or not at all, and durable once it is there.
"""

import asyncio
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

from tests.simulation.edge import IDENTITY, OUTBOX, PUBLIC_KEY, SUBJECTS
from tests.simulation.history import History
from tests.simulation.loop import KilledError, Process
from tests.simulation.machine import Machine, SimulatedHost
from tests.simulation.network import Network, SimulatedConnection

from toolreeve.audit import Draft, EnforcerStarted, Event, Position, link
from toolreeve.bus import ConsumeSettings, Publisher, StreamSettings, ship
from toolreeve.decision import Instant
from toolreeve.outbox import Outbox
from toolreeve.runtime.clock import Clock
from toolreeve.warehouse.batch import Batch, Epoch, EpochId, Spoiled
from toolreeve.warehouse.loads import LoadReport, Watermark, in_order
from toolreeve.wire import Group, pack
from toolreeve.worker.audit_stream import AuditStream
from toolreeve.worker.materialise import Loaded, Materialiser
from toolreeve.worker.settings import WorkerSettings

NO_EVENTS = frozenset({"cursors", "groups", "anomalies", "quarantine", "leaves"})


class Tables:
    """What is committed. `rows` counts the rows of each event, as they stand in their tables."""

    def __init__(self) -> None:
        self.epochs: dict[EpochId, Epoch] = {}
        self.newest: dict[str, int] = {}
        self.heads: dict[tuple[str, int, int, int], bytes] = {}
        self.quarantine: set[bytes] = set()
        self.marks: dict[str, int] = {}
        self.loads = 0
        self.rows: dict[tuple[str, int, int], int] = {}
        self.events: dict[tuple[str, int, int], tuple[Event, bytes, bytes]] = {}
        self.anomalies: list[str] = []
        self.kill_at_load = -1


class SimulatedWarehouse:
    """`Warehouse` over `Tables`, for one life of the worker."""

    def __init__(self, tables: Tables, process: Process, machine: Machine) -> None:
        self._tables = tables
        self._process = process
        self._machine = machine

    @property
    def last_load(self) -> int:
        return self._tables.loads

    def mark(self, name: str) -> int:
        return self._tables.marks.get(name, 0)

    def watermarks(self) -> tuple[Watermark, ...]:
        return tuple(
            Watermark(enforcer=name, position=Position(number, run.last), head=run.head)
            for (name, number), epoch in sorted(self._tables.epochs.items())
            for run in epoch.runs
            if run.first == 1
        )

    def load(
        self,
        groups: Sequence[Group],
        *,
        at: Instant,
        spoiled: Sequence[Spoiled] = (),
        marks: Mapping[str, int] | None = None,
        **_: Any,
    ) -> LoadReport:
        tables = self._tables
        batch = Batch(at)
        newest = dict(tables.newest)
        for group in groups:
            newest[group.enforcer] = max(newest.get(group.enforcer, 0), group.epoch)
            is_newest = newest[group.enforcer] == group.epoch
            batch.take(group, tables.epochs, newest=is_newest)
        for message in spoiled:
            batch.spoil(message)
        for group, head in batch.repeated:
            known = tables.heads.get(_place(group))
            if known is None:
                batch.refuse(group, "overlap", "loaded in groups of other bounds")
            elif known != head:
                batch.refuse(group, "fork", "another group stands in its place")
        batch.seal(tables.quarantine)
        tables.kill_at_load -= 1
        if tables.kill_at_load == 0 and self._machine.chance.happens(0.5):
            self._die()  # before the commit: nothing of it is there
        self._commit(batch, groups, newest, marks or {})
        if tables.kill_at_load == 0:
            self._die()  # behind it, before anybody was told
        return LoadReport(load=tables.loads, events=in_order(batch.events))

    def _commit(
        self,
        batch: Batch,
        groups: Sequence[Group],
        newest: dict[str, int],
        marks: Mapping[str, int],
    ) -> None:
        tables = self._tables
        raws = {
            (group.enforcer, group.epoch, sequence): (raw, head)
            for group in groups
            for sequence, raw, head in _chained(group)
        }
        for event in batch.events:
            place = (event.enforcer, event.epoch, event.sequence)
            tables.events[place] = (event, *raws[place])
        for table, rows in batch.rows.values():
            if table.columns[0][0] == "enforcer" and table.columns[3][0] == "time":
                for row in rows:
                    key = cast(tuple[str, int, int], row[:3])
                    tables.rows[key] = tables.rows.get(key, 0) + 1
        tables.epochs.update(batch.epochs)
        tables.newest = newest
        for group in groups:
            tables.heads.setdefault(_place(group), _chained(group)[-1][2])
        tables.quarantine.update(batch.quarantined)
        tables.anomalies += [f"{one.kind} {one}" for one in batch.anomalies]
        tables.marks.update(marks)
        tables.loads += 1

    def _die(self) -> None:
        self._process.kill()
        raise KilledError


class _Quiet:
    """Nobody watches for bursts here."""

    async def catch_up(self, warehouse: SimulatedWarehouse) -> int:
        return warehouse.last_load

    async def see(self, events: Sequence[Event]) -> None:
        pass

    async def pass_time(self, at: Instant) -> None:
        pass


class AnalyticsWorker:
    """The worker over all its lives."""

    def __init__(self, machine: Machine, network: Network, history: History) -> None:
        self.name = "worker"
        self.machine = machine
        self.tables = Tables()
        self.process: Process | None = None
        self.outbox: Outbox[Draft] | None = None
        self._network = network
        self._history = history

    async def main(self, process: Process) -> None:
        """One life."""
        host = SimulatedHost(self.machine, process)
        clock = Clock(wall_ns=host.time_ns, elapsed_ns=host.elapsed_ns)
        outbox = Outbox[Draft].open(
            Path("worker") / "outbox",
            owner="worker",
            pack=pack("worker"),
            settings=OUTBOX,
            host=host,
        )
        warehouse = SimulatedWarehouse(self.tables, process, self.machine)
        connection = SimulatedConnection(self._network, "worker", process)
        settings = WorkerSettings(
            name="worker",
            prefix="sim",
            consume=ConsumeSettings(messages_max=8, ack_seconds=3.0),
            stream=StreamSettings(),
        )
        stream = SUBJECTS.audit_stream
        materialiser = Materialiser(
            settings,
            connection=connection.real,
            stream=AuditStream(connection.real, stream=stream, durable="worker"),
            warehouse=cast(Any, warehouse),
            watch=cast(Any, _Quiet()),
            clock=clock,
            loaded=Loaded(),
            on_load=lambda _: None,
            on_foreign=self._foreign,
        )
        publisher = Publisher(
            connection.real, SUBJECTS.audit("worker"), stream=stream, ack_seconds=2.0
        )
        self.process, self.outbox = process, outbox
        process.when_dead(self._end)
        started = EnforcerStarted(software_version="1", host="h", servers=(), public_key=PUBLIC_KEY)
        assert IDENTITY.public_key == PUBLIC_KEY
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(connection.keep())
            tasks.create_task(materialiser.run(outbox, started))
            tasks.create_task(ship(outbox, publisher, enforcer="worker"))

    def _foreign(self, source: str, message_id: str) -> None:
        self._history.violate("I6", f"{source} is said to have sent {message_id}")

    def _end(self) -> None:
        self.outbox = None


def _place(group: Group) -> tuple[str, int, int, int]:
    last = group.first_sequence + len(group.raws) - 1
    return (group.enforcer, group.epoch, group.first_sequence, last)


def _chained(group: Group) -> list[tuple[int, bytes, bytes]]:
    """(sequence, bytes, head behind) of each event."""
    head, chained = group.previous_hash, list[tuple[int, bytes, bytes]]()
    for sequence, raw in enumerate(group.raws, group.first_sequence):
        head = link(head, raw)
        chained.append((sequence, raw, head))
    return chained
