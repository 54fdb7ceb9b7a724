"""A warehouse that is written while people ask it things."""

import asyncio
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from msgspec import Struct

from toolreeve.audit import GENESIS, Arguments, Decided, Draft, Effect, KeptArgument, Position
from toolreeve.decision import Instant
from toolreeve.warehouse.executor import End, Header, QueryExecutor, QuerySettings, Rows
from toolreeve.warehouse.parts import Parts
from toolreeve.warehouse.store import Warehouse
from toolreeve.wire import pack, unpack

START = 1_750_000_000_000_000_000


class Answered(Struct):
    """A whole answer."""

    columns: list[tuple[str, str]]
    rows: list[list[Any]]
    end: End


class Desk:
    """One warehouse and its executor."""

    def __init__(self, folder: Path) -> None:
        self.warehouse = Warehouse.open(folder / "warehouse.duckdb", at=Instant(START))
        self.parts = Parts(self.warehouse, folder / "parts")
        self._sequence = 0
        self._head = GENESIS

    def load(self, calls: int) -> None:
        """Load one group of new decisions."""
        drafts = [
            Draft(
                Instant(START + (self._sequence + number) * 1_000_000),
                Decided(
                    server="truenas",
                    grant="g-1",
                    agent="a",
                    request_id="1",
                    tool="vm_restart",
                    wire_tool="vm_restart",
                    effect=Effect.ALLOW,
                    code="allowed",
                    arguments=Arguments(kept=(KeptArgument("/id", str(number % 3)),)),
                ),
            )
            for number in range(calls)
        ]
        position = Position(1, self._sequence + 1)
        payload, self._head = pack("edge-1")(position, self._head, drafts)
        self._sequence += calls
        self.warehouse.load([unpack(payload)], at=Instant(START))

    def ask(self, sql: str, *, settings: QuerySettings | None = None, **bounds: int) -> Answered:
        return asyncio.run(self.asked(sql, settings=settings, **bounds))

    async def asked(
        self, sql: str, *, settings: QuerySettings | None = None, **bounds: int
    ) -> Answered:
        executor = QueryExecutor(self.parts, settings or QuerySettings(seconds_max=20))
        columns: list[tuple[str, str]] = []
        rows: list[list[Any]] = []
        end = End(-1, 0, False)
        async for answer in executor.run(sql, **bounds):
            match answer:
                case Header():
                    columns = list(answer.columns)
                case Rows():
                    batch = json.loads(answer.rows_json)
                    assert len(batch) == answer.count
                    rows.extend(batch)
                case End():
                    end = answer
        return Answered(columns, rows, end)


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    desk = Desk(tmp_path)
    try:
        yield desk
    finally:
        desk.warehouse.close()


@pytest.fixture
def make_parts() -> Callable[[Desk, Path], Parts]:
    return lambda desk, folder: Parts(desk.warehouse, folder)
