"""An alert that stands over several lives of a worker is one alert."""

import asyncio
from pathlib import Path

from toolreeve.audit import AlertRaised, AlertResolved, Draft
from toolreeve.decision import Instant
from toolreeve.outbox import Outbox
from toolreeve.warehouse.store import Warehouse
from toolreeve.wire import pack, read_event, unpack
from toolreeve.worker.open_alerts import OpenAlerts, Problem
from toolreeve.worker.watch import Watch

START = Instant(1_750_000_000_000_000_000)
WRONG = Problem(severity="critical", summary="it is wrong", labels=(("more", "x"),))


async def life(folder: Path, *said: tuple[str, Problem | None]) -> list[object]:
    """One start of a worker, in which this is said of things; what is on record behind it."""
    warehouse = Warehouse.open(folder / "warehouse.duckdb", at=START)
    outbox = Outbox[Draft].open(folder / "outbox", owner="worker", pack=pack("worker"))
    try:
        outbox.begin(outbox.recovered.next_epoch)
        watch = Watch([], outbox, lambda: START, lambda _raised, _at: None)
        watch.restore(warehouse)
        alerts = OpenAlerts(watch, lambda: START, "the-rule")
        for about, problem in said:
            await alerts.say("the-rule", "enforcer", about, problem)
        return [
            read_event(raw).body for group in outbox.groups() for raw in unpack(group.payload).raws
        ]
    finally:
        await outbox.close()
        warehouse.close()


def test_an_alert_is_raised_once_and_ended_by_a_later_life(tmp_path: Path) -> None:
    asyncio.run(life(tmp_path, ("edge-1", WRONG), ("edge-1", WRONG), ("edge-2", None)))
    asyncio.run(life(tmp_path, ("edge-1", WRONG)))
    raised, *rest = asyncio.run(life(tmp_path, ("edge-1", None), ("edge-1", None)))
    assert isinstance(raised, AlertRaised)
    assert raised.labels == (("enforcer", "edge-1"), ("more", "x"))
    assert rest == [AlertResolved(alert_id=raised.alert_id, reason="what was wrong is right again")]
