"""A warehouse that is deleted, cut or changed: made anew by the worker itself, to the same rows."""

import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from toolreeve.audit import GENESIS, Completed, Decided, Draft, Effect, Outcome, Position
from toolreeve.decision import Instant
from toolreeve.warehouse import archive
from toolreeve.warehouse.archive import Wanted
from toolreeve.warehouse.archiver import Archiver
from toolreeve.warehouse.contents import content_hash
from toolreeve.warehouse.errors import WarehouseError
from toolreeve.warehouse.store import Warehouse
from toolreeve.wire import pack, unpack
from toolreeve.worker.opening import mark_damaged, open_warehouse
from toolreeve.worker.settings import WorkerSettings

NOW = Instant(1_750_000_000 * 10**9)
GROUPS = 60

Start = Callable[..., Any]


def payloads() -> Iterator[bytes]:
    head = GENESIS
    for number in range(GROUPS):
        first = 1 + number * 40
        bodies = [
            Decided(
                server="truenas",
                grant=f"g-{number % 3}",
                agent="a",
                request_id=str(number),
                tool="vm_restart",
                wire_tool="truenas",
                effect=Effect.ALLOW,
                code="allowed",
            )
            if offset % 2 == 0
            else Completed(
                decision_id=f"edge-1:1:{first + offset - 1}", outcome=Outcome.SUCCESS, duration_ns=9
            )
            for offset in range(40)
        ]
        drafts = [Draft(Instant(NOW + first + offset), body) for offset, body in enumerate(bodies)]
        payload, head = pack("edge-1")(Position(1, first), head, drafts)
        yield payload


@pytest.fixture
def settings(tmp_path: Path) -> WorkerSettings:
    return WorkerSettings(data=str(tmp_path))


@pytest.fixture
def before(settings: WorkerSettings) -> str:
    """The contents of a warehouse whose groups are all in three files of its archive."""
    warehouse = open_warehouse(settings, NOW)
    mover = Archiver(warehouse, file_bytes=1 << 20, seconds_max=1.0)
    groups = [unpack(payload) for payload in payloads()]
    for first in range(0, GROUPS, 20):
        warehouse.load(groups[first : first + 20], at=Instant(NOW + first))
        mover.move(Instant(NOW + first), everything=True)
    hashed = content_hash(warehouse)
    warehouse.close()
    return hashed


def is_whole(warehouse: Warehouse, before: str) -> None:
    assert content_hash(warehouse) == before
    assert [stored.payload for stored in archive.groups(warehouse, Wanted())] == list(payloads())
    assert warehouse.mark("stream") == 0, "the stream is read from its beginning"
    warehouse.close()


def evidence(settings: WorkerSettings) -> list[str]:
    return sorted(path.name for path in settings.folder.glob("*damaged*"))


def test_a_file_that_is_gone_is_made_anew(settings: WorkerSettings, before: str) -> None:
    settings.warehouse_path.unlink()
    is_whole(open_warehouse(settings, NOW), before)
    assert evidence(settings) == []


def test_a_flipped_bit_anywhere_is_found_and_the_file_is_set_aside(
    settings: WorkerSettings, before: str
) -> None:
    path = settings.warehouse_path
    whole = path.read_bytes()
    chance = random.Random(20_261_121)
    found = 0
    for _ in range(12):
        changed = bytearray(whole)
        changed[chance.randrange(len(whole))] ^= 1 << chance.randrange(8)
        path.write_bytes(changed)
        warehouse = open_warehouse(settings, NOW)
        aside = path.with_name(f"{path.name}.damaged-{found + 1}")
        if aside.exists():
            assert aside.read_bytes() == changed
            found += 1
        else:
            assert content_hash(warehouse) == before, "the bit was in a block that is not used"
        warehouse.close()
    assert found >= 6


@pytest.mark.parametrize("part", [0.0, 0.3, 0.7, 0.99])
def test_a_file_that_was_cut_is_set_aside(
    part: float, settings: WorkerSettings, before: str
) -> None:
    path = settings.warehouse_path
    whole = path.read_bytes()
    path.write_bytes(whole[: int(len(whole) * part)])
    is_whole(open_warehouse(settings, NOW), before)
    assert evidence(settings) == ["warehouse.duckdb.damaged-1"]


def test_what_was_found_damaged_at_work_is_set_aside_at_the_next_start(
    settings: WorkerSettings, before: str
) -> None:
    mark_damaged(settings.warehouse_path)
    is_whole(open_warehouse(settings, NOW), before)
    assert evidence(settings) == ["warehouse.duckdb.damaged-1"]
    open_warehouse(settings, NOW).close()
    assert evidence(settings) == ["warehouse.duckdb.damaged-1"]


def test_a_file_that_another_process_has_is_left_alone(
    settings: WorkerSettings, tmp_path: Path
) -> None:
    import subprocess
    import sys

    holder = "import duckdb, sys; c = duckdb.connect(sys.argv[1]); print(1, flush=True); input()"
    with subprocess.Popen(
        [sys.executable, "-c", holder, str(tmp_path / "warehouse.duckdb")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        with pytest.raises(WarehouseError, match="another process"):
            open_warehouse(settings, NOW)
        process.kill()
    assert evidence(settings) == []


def test_a_worker_makes_its_warehouse_anew_from_the_archive_and_the_stream(
    start_worker: Start, fleet: Any, now: Instant, tmp_path: Path
) -> None:
    worker = start_worker(archive={"seconds_max": 0.2})
    groups = fleet.calls("edge-1", 60, at=now)
    fleet.publish("edge-1", groups[:40])
    worker.wait_for("SELECT count(*), count(outcome) FROM decisions", [[40, 40]])
    folder = tmp_path / "data" / "archive"
    worker.wait_for("SELECT count(*) > 0 FROM checkpoints", [[True]])
    assert list(folder.glob("*/*.parquet"))
    worker.kill()
    path = tmp_path / "data" / "warehouse.duckdb"
    path.write_bytes(b"\x00" * 40_000)
    fleet.publish("edge-1", groups[40:])
    worker.start()
    worker.wait_for("SELECT count(*), count(outcome) FROM decisions", [[60, 60]])
    assert worker.rows("FROM integrity") == []
    assert worker.rows("SELECT count(*) FROM decisions WHERE enforcer = 'edge-1'") == [[60]]
    assert "warehouse.set_aside" in worker.log
    assert "archive.taken_up" in worker.log
