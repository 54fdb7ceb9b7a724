"""Real DuckDB files, and enforcers whose outboxes are lists of groups."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from toolreeve.audit import (
    GENESIS,
    Arguments,
    Body,
    Completed,
    Decided,
    Draft,
    Effect,
    KeptArgument,
    Outcome,
    Position,
)
from toolreeve.decision import Instant
from toolreeve.warehouse.store import Warehouse
from toolreeve.wire import Group, pack, unpack

START = 1_750_000_000_000_000_000
MILLISECOND = 1_000_000


class History:
    """One enforcer's outbox: seals groups as they would be published."""

    def __init__(self, enforcer: str) -> None:
        self.enforcer = enforcer
        self.epoch = 1
        self.last = 0
        self.head = GENESIS
        self._at = START

    def seal(self, *bodies: Body) -> Group:
        drafts: list[Draft] = []
        for body in bodies:
            self._at += MILLISECOND
            drafts.append(Draft(Instant(self._at), body))
        first = Position(self.epoch, self.last + 1)
        payload, self.head = pack(self.enforcer)(first, self.head, drafts)
        self.last += len(drafts)
        return unpack(payload)

    def restart(self) -> None:
        self.epoch += 1
        self.last = 0

    def calls(self, groups: int, calls: int = 4) -> list[Group]:
        """Groups of decisions, each followed by their outcomes."""
        sealed: list[Group] = []
        for number in range(groups):
            first = self.last + 1
            decided = [decision(vm=f"vm-{number % 3}") for _ in range(calls)]
            ended = [
                Completed(
                    decision_id=f"{self.enforcer}:{self.epoch}:{first + n}",
                    outcome=Outcome.SUCCESS,
                    duration_ns=(n + 1) * MILLISECOND,
                )
                for n in range(calls)
            ]
            sealed.append(self.seal(*decided, *ended))
        return sealed


def decision(
    tool: str = "vm_restart", *, vm: str = "vm-1", effect: Effect = Effect.ALLOW, agent: str = "a"
) -> Decided:
    return Decided(
        server="truenas",
        grant="g-1",
        agent=agent,
        request_id="7",
        tool=tool,
        wire_tool="truenas",
        effect=effect,
        code="allowed" if effect is Effect.ALLOW else "limited",
        arguments=Arguments(
            names=("id",),
            kept=(KeptArgument("/id", f'"{vm}"'),),
            keyed_hash=b"\x01" * 32,
            size_bytes=12,
        ),
    )


@pytest.fixture
def decide() -> Callable[..., Decided]:
    return decision


@pytest.fixture
def history() -> Callable[[str], History]:
    return History


@pytest.fixture
def at() -> Instant:
    return Instant(START)


@pytest.fixture
def open_warehouse(tmp_path: Path, at: Instant) -> Iterator[Callable[[], Warehouse]]:
    """Opens the test's one file; what was open is closed first."""
    opened: list[Warehouse] = []

    def give() -> Warehouse:
        while opened:
            opened.pop().close()
        opened.append(Warehouse.open(tmp_path / "warehouse.duckdb", at=at))
        return opened[0]

    yield give
    for warehouse in opened:
        warehouse.close()


@pytest.fixture
def content() -> Callable[[Warehouse], list[list[tuple[Any, ...]]]]:
    """Everything the warehouse holds of events, whatever loads brought it."""

    def read(warehouse: Warehouse) -> list[list[tuple[Any, ...]]]:
        reader = warehouse.reader()
        tables: Sequence[str] = ("decided", "completed", "enforcer_lifecycle", "policy_events")
        return [
            reader.execute(f"SELECT * EXCLUDE (load) FROM {table} ORDER BY ALL").fetchall()
            for table in tables
        ] + [
            reader.execute(
                "SELECT enforcer, epoch, first_sequence, sequence, head FROM cursors ORDER BY ALL"
            ).fetchall()
        ]

    return read
