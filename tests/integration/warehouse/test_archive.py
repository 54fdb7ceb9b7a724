"""Raw groups: kept with their load, moved to files, read back, and a warehouse made from them."""

import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import pytest

from toolreeve.audit import Completed, Decided, Outcome
from toolreeve.decision import Instant
from toolreeve.warehouse import archive
from toolreeve.warehouse.archive import Wanted
from toolreeve.warehouse.archiver import Archiver
from toolreeve.warehouse.contents import content_hash
from toolreeve.warehouse.errors import WarehouseError
from toolreeve.warehouse.store import Warehouse
from toolreeve.warehouse.take_up import take_up

Open = Callable[[], Warehouse]
Make = Callable[[str], Any]

DAY = 86_400 * 10**9
NOON = Instant(1_750_000_000_000_000_000 // DAY * DAY + DAY // 2)


def archiver(warehouse: Warehouse, **settings: Any) -> Archiver:
    chosen: dict[str, Any] = {"file_bytes": 1 << 20, "seconds_max": 3_600.0, **settings}
    return Archiver(warehouse, **chosen)


def payloads(warehouse: Warehouse, wanted: Wanted | None = None) -> list[bytes]:
    return [stored.payload for stored in archive.groups(warehouse, wanted or Wanted())]


def files(warehouse: Warehouse) -> list[str]:
    folder = warehouse.archive_folder
    return sorted(str(path.relative_to(folder)) for path in folder.glob("*/*"))


def test_groups_are_read_back_by_history_wherever_they_lie(
    open_warehouse: Open, history: Make
) -> None:
    warehouse = open_warehouse()
    one, two = history("edge-1"), history("edge-2")
    ones, twos = one.calls(6), two.calls(3)
    warehouse.load([twos[0], ones[0], ones[1]], at=NOON)
    warehouse.load([ones[2], twos[1]], at=NOON)
    assert archiver(warehouse).move(NOON, everything=True) is not None
    warehouse.load([ones[3], ones[4], twos[2]], at=NOON)
    one.restart()
    again = one.calls(2)
    warehouse.load([again[0], ones[5], again[1]], at=NOON)
    expected = [group.payload for group in (*ones, *again, *twos)]
    assert payloads(warehouse) == expected
    assert payloads(warehouse, Wanted(enforcer="edge-2")) == [group.payload for group in twos]
    first = next(archive.groups(warehouse, Wanted()))
    assert (first.enforcer, first.first_sequence, first.last_sequence) == ("edge-1", 1, 8)
    assert first.previous_hash == ones[0].previous_hash
    assert archive.events_expected(warehouse, Wanted()) == 11 * 8


def test_one_event_is_found_in_a_file_and_before_it_is_in_one(
    open_warehouse: Open, history: Make
) -> None:
    warehouse = open_warehouse()
    groups = history("edge-1").calls(4)
    warehouse.load(groups[:2], at=NOON)
    archiver(warehouse).move(NOON, everything=True)
    warehouse.load(groups[2:], at=NOON)
    assert archive.payload_at(warehouse, "edge-1", 1, 9) == groups[1].payload
    assert archive.payload_at(warehouse, "edge-1", 1, 32) == groups[3].payload
    assert archive.payload_at(warehouse, "edge-1", 1, 33) is None
    assert archive.payload_at(warehouse, "edge-2", 1, 1) is None


def test_a_span_of_time_brings_every_group_with_an_event_in_it(
    open_warehouse: Open, history: Make
) -> None:
    warehouse = open_warehouse()
    groups = history("edge-1").calls(6)  # 8 events a group, a millisecond apart
    for group in groups:
        warehouse.load([group], at=NOON)
        archiver(warehouse).move(NOON, everything=group is not groups[-1])
    begin = 1_750_000_000_000_000_000
    span = Wanted(since=begin + 16_000_000, until=begin + 25_000_000)
    assert payloads(warehouse, span) == [group.payload for group in groups[1:3]]
    assert payloads(warehouse, Wanted(since=begin + 48_000_001)) == []
    assert payloads(warehouse, Wanted(since=begin + 48_000_000)) == [groups[5].payload]


def test_a_file_is_due_when_it_is_large_old_or_of_yesterday(
    open_warehouse: Open, history: Make
) -> None:
    warehouse = open_warehouse()
    groups = history("edge-1").calls(8)
    size = len(groups[0].payload)
    mover = archiver(warehouse, file_bytes=2 * size, seconds_max=60.0)
    warehouse.load([groups[0]], at=NOON)
    assert mover.move(NOON) is None
    assert mover.move(Instant(NOON + 60 * 10**9)) is not None, "it has waited"
    for group in groups[1:4]:
        warehouse.load([group], at=NOON)
    assert mover.move(NOON) is not None, "two make a file"
    assert mover.move(NOON) is None, "the third waits"
    warehouse.load([groups[4]], at=Instant(NOON + DAY))
    assert mover.move(Instant(NOON + DAY)) is not None, "no file is of two days"
    assert warehouse.reader().execute("SELECT count(*) FROM payloads").fetchall() == [(1,)]
    assert mover.move(Instant(NOON + DAY)) is None
    assert [name.partition("/")[0] for name in files(warehouse)] == ["2025-06-15"] * 3
    assert payloads(warehouse) == [group.payload for group in groups[:5]]


def test_files_of_days_that_are_not_kept_go(open_warehouse: Open, history: Make) -> None:
    warehouse = open_warehouse()
    groups = history("edge-1").calls(2)
    mover = archiver(warehouse, keep_days=7)
    warehouse.load([groups[0]], at=NOON)
    mover.move(NOON, everything=True)
    late = Instant(NOON + 7 * DAY)
    warehouse.load([groups[1]], at=late)
    mover.move(late, everything=True)
    assert mover.forget(late) == []
    assert len(mover.forget(Instant(late + DAY))) == 1
    assert payloads(warehouse) == [groups[1].payload]
    assert len(files(warehouse)) == 1


def told(warehouse: Warehouse, history: Make, decide: Callable[[], Decided]) -> None:
    """Several histories, some of it late; and an outcome that came twice, the later one first."""
    one, two = history("edge-1"), history("edge-2")
    for number in range(5):
        ones, twos = one.calls(3), two.calls(2)
        warehouse.load([twos[1], ones[0], ones[2]], at=NOON)
        warehouse.load([ones[1], twos[0]], at=NOON)
        archiver(warehouse).move(Instant(NOON + number), everything=True)
    one.restart()
    called, first, second = (
        one.seal(decide()),
        one.seal(Completed(decision_id="edge-1:2:1", outcome=Outcome.SUCCESS)),
        one.seal(Completed(decision_id="edge-1:2:1", outcome=Outcome.TIMEOUT)),
    )
    warehouse.load([called, second], at=Instant(NOON + DAY))
    warehouse.load([first, *one.calls(2)], at=Instant(NOON + DAY))  # the second one counts
    archiver(warehouse).move(Instant(NOON + DAY), everything=True)


def test_a_lost_warehouse_is_made_anew_from_its_archive(
    open_warehouse: Open, history: Make, decide: Callable[[], Decided], tmp_path: Path
) -> None:
    warehouse = open_warehouse()
    told(warehouse, history, decide)
    before, kept, held = content_hash(warehouse), payloads(warehouse), files(warehouse)
    warehouse.close()
    (tmp_path / "warehouse.duckdb").unlink()
    made = open_warehouse()
    seen: list[tuple[int, int]] = []
    taken = take_up(made, lambda done, total: seen.append((done, total)))
    assert (taken.files, taken.unreadable) == (6, [])
    assert seen[-1][0] == seen[-1][1] > 0
    assert content_hash(made) == before
    assert payloads(made) == kept
    assert files(made) == held, "what it was made from stays as it is"
    assert take_up(made).files == 0, "and is known from then on"


def test_the_hash_of_the_contents_sees_every_row(
    open_warehouse: Open, history: Make, decide: Callable[[], Decided]
) -> None:
    warehouse = open_warehouse()
    told(warehouse, history, decide)
    before = content_hash(warehouse)
    for change in (
        "UPDATE decided SET agent = 'b' WHERE sequence = 1 AND epoch = 2",
        "DELETE FROM completed WHERE enforcer = 'edge-2' AND sequence = 5",
        "UPDATE cursors SET head = head || '\\x00'::BLOB WHERE enforcer = 'edge-1'",
    ):
        warehouse.reader().execute(change)
        after = content_hash(warehouse)
        assert after != before
        before = after


def test_a_damaged_file_of_the_archive_is_left_and_said(
    open_warehouse: Open, history: Make, decide: Callable[[], Decided], tmp_path: Path
) -> None:
    warehouse = open_warehouse()
    told(warehouse, history, decide)
    path = warehouse.archive_folder / files(warehouse)[2]
    warehouse.close()
    (tmp_path / "warehouse.duckdb").unlink()
    path.chmod(0o600)
    path.write_bytes(path.read_bytes()[:-9])
    made = open_warehouse()
    taken = take_up(made)
    assert [name for name, _ in taken.unreadable] == [str(path.relative_to(made.archive_folder))]
    assert taken.files == 5
    assert path.exists()


def test_a_group_whose_file_is_gone_is_an_error_and_not_a_gap(
    open_warehouse: Open, history: Make, decide: Callable[[], Decided]
) -> None:
    warehouse = open_warehouse()
    told(warehouse, history, decide)
    (warehouse.archive_folder / files(warehouse)[0]).unlink()
    with pytest.raises(WarehouseError, match="put the file back"):
        payloads(warehouse)


MOVER = """
import sys
from pathlib import Path
from toolreeve.warehouse import archiver, payloads
from toolreeve.warehouse.store import Warehouse
from toolreeve.warehouse.take_up import take_up

def stop(*_, **__):
    print("stopped", flush=True)
    sys.stdin.read()

where = sys.argv[2]
warehouse = Warehouse.open(Path(sys.argv[1]), at=1)
if where == "written":
    archiver.describe = stop
elif where == "named":
    payloads.enter = stop
elif where == "recorded":
    payloads.drop = stop
elif where == "loaded":
    real, loads = Warehouse.load, []
    def load(*args, **options):
        loads.append(real(*args, **options))
        if len(loads) == 3:
            stop()
        return loads[-1]
    Warehouse.load = load
    take_up(warehouse)
mover = archiver.Archiver(warehouse, file_bytes=1, seconds_max=1.0)
mover.move(1_750_000_000_000_000_000, everything=True)
stop()
"""


def killed_at(path: Path, place: str) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", MOVER, str(path), place],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "stopped\n"
        process.kill()


@pytest.mark.parametrize("place", ["written", "named", "recorded", "done"])
def test_killed_while_it_moves_groups_they_are_there_once(
    place: str, open_warehouse: Open, history: Make, tmp_path: Path
) -> None:
    warehouse = open_warehouse()
    groups = history("edge-1").calls(5)
    warehouse.load(groups, at=NOON)
    warehouse.close()
    killed_at(tmp_path / "warehouse.duckdb", place)
    warehouse = open_warehouse()
    taken = take_up(warehouse)
    assert (taken.files, taken.unreadable) == (0, [])
    assert len(files(warehouse)) == (1 if place == "done" else 0)
    assert payloads(warehouse) == [group.payload for group in groups]
    archiver(warehouse).move(NOON, everything=True)
    assert len(files(warehouse)) == 1
    held = warehouse.reader().execute("SELECT sum(groups) FROM archives").fetchone()
    assert held == (5,)
    assert payloads(warehouse) == [group.payload for group in groups]


def test_killed_while_it_takes_an_archive_up_it_goes_on(
    open_warehouse: Open, history: Make, decide: Callable[[], Decided], tmp_path: Path
) -> None:
    path = tmp_path / "warehouse.duckdb"
    warehouse = open_warehouse()
    told(warehouse, history, decide)
    before, kept = content_hash(warehouse), payloads(warehouse)
    warehouse.close()
    path.unlink()
    for _ in range(2):
        killed_at(path, "loaded")
    made = open_warehouse()
    taken = take_up(made)
    assert taken.files == 2, "the one that was under way, and the last"
    assert content_hash(made) == before
    assert payloads(made) == kept


def test_a_warehouse_put_back_from_an_older_copy_takes_up_what_it_lacks(
    open_warehouse: Open, history: Make, tmp_path: Path
) -> None:
    path = tmp_path / "warehouse.duckdb"
    warehouse = open_warehouse()
    one = history("edge-1")
    warehouse.load(one.calls(3), at=NOON)
    warehouse.close()
    copy = path.read_bytes()
    warehouse = open_warehouse()
    warehouse.load(one.calls(3), at=NOON)
    archiver(warehouse).move(NOON, everything=True)
    before, kept = content_hash(warehouse), payloads(warehouse)
    warehouse.close()
    path.write_bytes(copy)
    restored = open_warehouse()
    assert take_up(restored).files == 1
    assert content_hash(restored) == before
    assert payloads(restored) == kept


def test_a_read_while_groups_move_misses_none(open_warehouse: Open, history: Make) -> None:
    warehouse = open_warehouse()
    groups = history("edge-1").calls(2_500, calls=1)
    for number in range(0, len(groups), 100):
        warehouse.load(groups[number : number + 100], at=NOON)
    reading = archive.groups(warehouse, Wanted())
    read = [next(reading).payload]
    archiver(warehouse).move(NOON, everything=True)
    read += [stored.payload for stored in reading]
    assert read == [group.payload for group in groups]
    begun = time.perf_counter()
    assert archive.payload_at(warehouse, "edge-1", 1, 2_000) == groups[999].payload
    assert time.perf_counter() - begun < 2


def test_an_archive_file_is_plain_parquet(open_warehouse: Open, history: Make) -> None:
    warehouse = open_warehouse()
    groups = history("edge-1").calls(2)
    warehouse.load(groups, at=NOON)
    name = archiver(warehouse).move(NOON, everything=True)
    assert name is not None
    row = duckdb.execute(
        "SELECT enforcer, epoch, first_sequence, last_sequence, head, payload FROM read_parquet(?)"
        " ORDER BY first_sequence LIMIT 1",
        [str(warehouse.archive_folder / name)],
    ).fetchone()
    assert row is not None
    assert row[:4] == ("edge-1", 1, 1, 8)
    assert row[4:] == (groups[1].previous_hash, groups[0].payload)
