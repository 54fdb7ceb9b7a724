"""An alert is said once, wherever between the commit and the next mark the worker ends."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from toolreeve.audit import AlertRaised, AlertResolved, Body, Draft
from toolreeve.decision import Instant
from toolreeve.decision.instant import MINUTE, SECOND
from toolreeve.detect import BurstRule
from toolreeve.outbox import Outbox
from toolreeve.warehouse.loads import LoadReport
from toolreeve.warehouse.store import Warehouse
from toolreeve.wire import pack, read_event, unpack
from toolreeve.worker.watch import MARK, Watch

START = Instant(1_750_000_000 * SECOND)


class Life:
    """One life of a worker over a folder: its warehouse, its outbox and its watch."""

    def __init__(self, warehouse: Warehouse, outbox: Outbox[Draft]) -> None:
        self.warehouse = warehouse
        self.outbox = outbox
        self.told: list[tuple[str, bool]] = []
        self.watch = Watch(
            [BurstRule()],
            outbox,
            lambda: START,
            lambda raised, over: self.told.append((raised.alert_id, over is not None)),
        )

    def load(self, groups: list[bytes], mark: int) -> LoadReport:
        read = [unpack(group) for group in groups]
        return self.warehouse.load(read, at=START, marks={MARK: mark})

    def said(self) -> list[Body]:
        """What stands in the outbox."""
        bodies = [
            read_event(raw).body
            for group in self.outbox.groups()
            for raw in unpack(group.payload).raws
        ]
        return [body for body in bodies if isinstance(body, AlertRaised | AlertResolved)]


@pytest.fixture
def live(tmp_path: Path) -> Callable[[], Any]:
    """Begins a life; leaving it is a crash as far as marks are concerned."""

    @asynccontextmanager
    async def begin() -> AsyncGenerator[Life]:
        warehouse = Warehouse.open(tmp_path / "warehouse.duckdb", at=START)
        outbox = Outbox[Draft].open(tmp_path / "outbox", owner="worker", pack=pack("worker"))
        try:
            life = Life(warehouse, outbox)
            life.watch.restore(warehouse)
            outbox.begin(outbox.recovered.next_epoch)
            await life.watch.catch_up(warehouse)
            yield life
        finally:
            await outbox.close()
            warehouse.close()

    return begin


def burst(fleet: Any, calls: int, at: int = 0) -> list[bytes]:
    groups: list[bytes] = fleet.calls(
        "edge-1", calls, at=Instant(START + at), step_ns=SECOND, tool="vm_restart", vm="vm-7"
    )
    return groups


def test_it_is_said_after_a_crash_between_the_commit_and_the_alert(
    live: Callable[[], Any], fleet: Any
) -> None:
    async def main() -> None:
        async with asyncio.timeout(20):
            async with live() as first:
                first.load(burst(fleet, 7), mark=0)
                assert first.said() == []
            async with live() as second:
                (alert,) = second.said()
                assert isinstance(alert, AlertRaised)
                assert second.told == [(alert.alert_id, False)]

    asyncio.run(main())


def test_it_is_not_said_again_after_a_crash_between_the_alert_and_the_mark(
    live: Callable[[], Any], fleet: Any
) -> None:
    async def main() -> None:
        async with asyncio.timeout(20):
            async with live() as first:
                await first.watch.see(first.load(burst(fleet, 7), mark=0).events)
                (alert,) = first.said()
            async with live() as second:
                assert second.said() == [alert]
                assert second.told == []
                more = second.load(burst(fleet, 3, at=8 * SECOND), mark=second.warehouse.last_load)
                await second.watch.see(more.events)
                assert second.said() == [alert]

    asyncio.run(main())


def test_a_burst_across_a_restart_is_one_alert(live: Callable[[], Any], fleet: Any) -> None:
    async def main() -> None:
        async with asyncio.timeout(20):
            async with live() as first:
                await first.watch.see(first.load(burst(fleet, 3), mark=0).events)
                first.load([], mark=first.warehouse.last_load)
                assert first.said() == []
            async with live() as second:
                report = second.load(burst(fleet, 3, at=4 * SECOND), mark=1)
                await second.watch.see(report.events)
                (alert,) = second.said()
                assert isinstance(alert, AlertRaised)
                assert alert.observed == 5
                assert alert.since_at == START

    asyncio.run(main())


def test_an_alert_that_was_open_over_a_restart_ends_once(
    live: Callable[[], Any], fleet: Any
) -> None:
    async def main() -> None:
        async with asyncio.timeout(20):
            async with live() as first:
                await first.watch.see(first.load(burst(fleet, 6), mark=0).events)
                first.load([], mark=first.warehouse.last_load)
            for _ in range(2):
                async with live() as again:
                    await again.watch.pass_time(Instant(START + 9 * MINUTE))
                    await again.watch.pass_time(Instant(START + 30 * MINUTE))
                    raised, resolved = again.said()
                    assert isinstance(raised, AlertRaised)
                    assert isinstance(resolved, AlertResolved)
                    assert resolved.alert_id == raised.alert_id

    asyncio.run(main())
