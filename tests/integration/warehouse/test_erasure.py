"""Details that are erased: gone wherever a warehouse has them, with the history as it was."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from toolreeve.audit import (
    Arguments,
    Decided,
    Effect,
    ErasedEvents,
    ErasureMade,
    Redaction,
    fold,
    redact,
)
from toolreeve.audit.redact import key_id, value_hash
from toolreeve.decision import Instant
from toolreeve.warehouse import archive
from toolreeve.warehouse.archive import Wanted
from toolreeve.warehouse.archiver import Archiver
from toolreeve.warehouse.choosing import ByAgent, ByGrant, ByValue, choose, in_the_chain
from toolreeve.warehouse.contents import content_hash
from toolreeve.warehouse.erasure import Eraser
from toolreeve.warehouse.errors import WarehouseError
from toolreeve.warehouse.parts import Parts
from toolreeve.warehouse.store import Warehouse
from toolreeve.warehouse.take_up import take_up
from toolreeve.wire import Group, unpack

Open = Callable[[], Warehouse]
Make = Callable[[str], Any]

NOON = Instant(1_750_032_000 * 10**9)
KEY = b"k" * 32
ADA, GRACE = "ada-lovelace-1815", "grace-hopper-1906"


def looked_up(name: str, *, agent: str = "a", grant: str = "g-1") -> Decided:
    kept = redact({"name": name, "secret": f"s-{name}"}, Redaction(keep=("/name",), key=KEY))
    return Decided(
        server="hr",
        grant=grant,
        agent=agent,
        request_id="1",
        tool="look_up",
        wire_tool="look_up",
        effect=Effect.ALLOW,
        code="allowed",
        arguments=kept,
    )


def groups(made: Any, count: int = 4) -> list[Group]:
    """Each group has a call about Ada and one about Grace."""
    return [made.seal(looked_up(ADA), looked_up(GRACE)) for _ in range(count)]


def erasure(chosen: list[ErasedEvents]) -> ErasureMade:
    return ErasureMade(
        erasure_id="e-1", actor="dpo", reason="asked", selector="a value", erased=tuple(chosen)
    )


def everything(warehouse: Warehouse) -> bytes:
    """What the warehouse hands out, and every file beside its own."""
    handed = b"".join(stored.payload for stored in archive.groups(warehouse, Wanted()))
    rows = warehouse.reader().execute("SELECT arguments::VARCHAR FROM decided").fetchall()
    return handed + repr(rows).encode()


def parquet_of(folder: Path) -> str:
    """The rows of copies and archive files, with what is compressed in them."""
    import duckdb

    found: list[str] = []
    with duckdb.connect() as connection:
        for path in sorted(folder.glob("**/*.parquet")):
            rows = connection.execute("SELECT * FROM read_parquet(?)", [str(path)]).fetchall()
            found.append(f"{path.name}: {rows}")
    return "\n".join(found)


@pytest.fixture
def warehouse(open_warehouse: Open) -> Warehouse:
    return open_warehouse()


@pytest.fixture
def eraser(warehouse: Warehouse, tmp_path: Path) -> Eraser:
    parts = Parts(warehouse, tmp_path / "parts")
    parts.release(parts.snapshot())
    return Eraser(warehouse, parts, "worker")


def state(warehouse: Warehouse) -> list[tuple[Any, ...]]:
    sql = "SELECT details, count(*) FROM decided GROUP BY 1 ORDER BY 1"
    return warehouse.reader().execute(sql).fetchall()


def test_what_is_erased_is_gone_everywhere_and_the_chain_is_whole(
    warehouse: Warehouse, tmp_path: Path, history: Make
) -> None:
    edge, worker = history("edge-1"), history("worker")
    sealed = groups(edge, 6)
    warehouse.load(sealed[:2], at=NOON)
    mover = Archiver(warehouse, file_bytes=1 << 20, seconds_max=1.0)
    assert mover.move(NOON, everything=True) is not None
    warehouse.load(sealed[2:], at=NOON)
    parts = Parts(warehouse, tmp_path / "parts")
    parts.release(parts.snapshot())
    eraser = Eraser(warehouse, parts, "worker")
    assert ADA in parquet_of(tmp_path / "parts")

    chosen = choose(warehouse, ByValue(text=ADA))
    assert chosen == [ErasedEvents(enforcer="edge-1", epoch=1, sequences=(1, 3, 5, 7, 9, 11))]
    warehouse.load([worker.seal(erasure(chosen))], at=NOON)
    assert [eraser.pending, eraser.carry_out(NOON), eraser.pending] == [True, 6, False]

    assert state(warehouse) == [("erased", 6), ("here", 6)]
    assert ADA.encode() not in everything(warehouse)
    assert GRACE.encode() in everything(warehouse)
    assert ADA not in parquet_of(tmp_path), "neither in copies nor in the archive"
    assert GRACE in parquet_of(tmp_path / "archive")
    assert GRACE in parquet_of(tmp_path / "parts")
    handed = [
        unpack(stored.payload) for stored in archive.groups(warehouse, Wanted(enforcer="edge-1"))
    ]
    assert [group.raws for group in handed] == [group.raws for group in sealed]
    assert fold(bytes(32), [raw for group in handed for raw in group.raws]) == edge.head
    assert all(set(group.beside) == {1} for group in handed)
    assert len([*(tmp_path / "archive").glob("*/*")]) == 1, "the file as it was is gone"
    log = tmp_path / "warehouse.duckdb.wal"
    assert not log.exists() or ADA.encode() not in log.read_bytes()
    (row,) = warehouse.reader().execute("SELECT erasure_id, actor, events FROM erasures").fetchall()
    assert row == ("e-1", "dpo", 6)
    assert choose(warehouse, ByValue(text=ADA)) == [], "a second time there is nothing"
    assert eraser.carry_out(NOON) == 0


@pytest.mark.parametrize("way", ["archive", "stream", "other way round"])
def test_a_warehouse_made_anew_does_not_have_it_again(
    way: str, warehouse: Warehouse, eraser: Eraser, tmp_path: Path, history: Make
) -> None:
    edge, worker = history("edge-1"), history("worker")
    sealed = groups(edge)
    warehouse.load(sealed, at=NOON)
    chosen = choose(warehouse, ByValue(text=ADA))
    said = worker.seal(erasure(chosen))
    Archiver(warehouse, file_bytes=1 << 20, seconds_max=1.0).move(NOON, everything=True)
    warehouse.load([said], at=Instant(NOON + 1))
    eraser.carry_out(NOON)
    Archiver(warehouse, file_bytes=1 << 20, seconds_max=1.0).move(
        Instant(NOON + 1), everything=True
    )
    before = content_hash(warehouse)

    folder = tmp_path / "again"
    shelf = warehouse.archive_folder if way == "archive" else folder / "archive"
    with_closing = Warehouse.open(folder / "warehouse.duckdb", at=NOON, archive=shelf)
    try:
        again = Eraser(with_closing, Parts(with_closing, folder / "parts"), "worker")
        if way == "archive":
            take_up(with_closing)
        elif way == "stream":  # which has all of it
            with_closing.load([*sealed, said], at=NOON)
        else:
            with_closing.load([said], at=NOON)
            again.carry_out(NOON)
            with_closing.load(sealed, at=NOON)
        again.carry_out(NOON)
        assert content_hash(with_closing) == before
        assert ADA.encode() not in everything(with_closing)
        assert state(with_closing) == [("erased", 4), ("here", 4)]
    finally:
        with_closing.close()


def test_an_enforcer_cannot_erase(warehouse: Warehouse, eraser: Eraser, history: Make) -> None:
    edge = history("edge-1")
    warehouse.load(groups(edge, 1), at=NOON)
    chosen = choose(warehouse, ByValue(text=ADA))
    warehouse.load([history("edge-2").seal(erasure(chosen))], at=NOON)
    assert eraser.carry_out(NOON) == 0
    assert state(warehouse) == [("here", 2)]
    assert ADA.encode() in everything(warehouse)


def test_events_are_chosen_by_value_pointer_hash_grant_or_agent(
    warehouse: Warehouse, history: Make
) -> None:
    edge = history("edge-1")
    sealed = edge.seal(
        looked_up(ADA),
        looked_up(GRACE, agent="b"),
        looked_up(GRACE, grant="g-2"),
        replace(looked_up(ADA), arguments=Arguments()),
    )
    warehouse.load([sealed], at=NOON)

    def chosen(selector: Any) -> list[int]:
        return [one for events in choose(warehouse, selector) for one in events.sequences]

    assert chosen(ByValue(text=ADA)) == [1]
    assert chosen(ByValue(text=ADA, pointer="/name")) == [1]
    assert chosen(ByValue(text=ADA, pointer="/secret")) == []
    assert chosen(ByValue(text=f"s-{GRACE}")) == [], "only a hash of it was kept"
    hashes = ((key_id(KEY), value_hash(f'"s-{GRACE}"'.encode(), KEY)),)
    assert chosen(ByValue(text=f"s-{GRACE}", hashes=hashes)) == [2, 3]
    assert chosen(ByValue(text=f"s-{GRACE}", pointer="/secret", hashes=hashes)) == [2, 3]
    assert chosen(ByValue(text=f"s-{GRACE}", pointer="/name", hashes=hashes)) == []
    other = ((key_id(b"x" * 32), hashes[0][1]),)
    assert chosen(ByValue(text=f"s-{GRACE}", hashes=other)) == []
    assert chosen(ByAgent("b")) == [2]
    assert chosen(ByGrant("g-2")) == [3]
    assert chosen(ByValue(text='it\'s "odd"', pointer='/a"b')) == []


def test_details_that_came_wrong_or_not_at_all_are_not_believed(
    warehouse: Warehouse, history: Make
) -> None:
    edge = history("edge-1")
    one, two = edge.seal(looked_up(ADA)), edge.seal(looked_up(GRACE))
    warehouse.load([replace(one, beside=two.beside)], at=NOON)
    report = warehouse.load([replace(two, beside={})], at=NOON)
    assert [(found.kind, found.first_sequence) for found in report.anomalies] == [("details", 2)]
    rows = warehouse.reader().execute("SELECT details, arguments::VARCHAR FROM decided").fetchall()
    assert rows == [("missing", "{}")] * 2


def test_what_older_versions_hold_in_the_chain_is_counted(
    warehouse: Warehouse, history: Make
) -> None:
    edge = history("edge-1")
    sealed = edge.seal(looked_up(ADA))
    body = looked_up(ADA)
    warehouse.load([sealed], at=NOON)
    connection = warehouse.reader()
    connection.execute("UPDATE decided SET details = 'none'")  # as one of before would be loaded
    assert body.arguments.kept
    assert choose(warehouse, ByValue(text=ADA)) == []
    assert in_the_chain(warehouse, ByValue(text=ADA)) == 1
    assert in_the_chain(warehouse, ByAgent("a")) == 1
    assert in_the_chain(warehouse, ByValue(text=GRACE)) == 0


KILLED = """
import os, sys
from pathlib import Path
from toolreeve.decision import Instant
from toolreeve.warehouse import archiver, erasure
from toolreeve.warehouse.parts import Parts
from toolreeve.warehouse.store import Warehouse

folder, point = Path(sys.argv[1]), sys.argv[2]
warehouse = Warehouse.open(folder / "warehouse.duckdb", at=Instant(1))
parts = Parts(warehouse, folder / "parts")

def die(*_, **__):
    os._exit(9)

if point == "files":
    erasure._replace = die
elif point == "parts":
    parts.renew = die
elif point == "mark":
    warehouse.load = die
else:
    warehouse.checkpoint = die
erasure.Eraser(warehouse, parts, "worker").carry_out(Instant(2))
"""


@pytest.mark.parametrize("point", ["files", "parts", "checkpoint", "mark"])
def test_an_erasure_that_is_cut_off_is_finished_at_the_next_start(
    point: str, open_warehouse: Open, tmp_path: Path, history: Make
) -> None:
    warehouse = open_warehouse()
    edge, worker = history("edge-1"), history("worker")
    sealed = groups(edge)
    warehouse.load(sealed[:2], at=NOON)
    Archiver(warehouse, file_bytes=1 << 20, seconds_max=1.0).move(NOON, everything=True)
    warehouse.load(sealed[2:], at=NOON)
    chosen = choose(warehouse, ByValue(text=ADA))
    warehouse.load([worker.seal(erasure(chosen))], at=NOON)
    parts = Parts(warehouse, tmp_path / "parts")
    parts.release(parts.snapshot())
    warehouse.close()
    killed = subprocess.run(
        [sys.executable, "-c", KILLED, str(tmp_path), point], capture_output=True, check=False
    )
    assert killed.returncode == 9, killed.stderr.decode()

    warehouse = open_warehouse()
    take_up(warehouse)
    parts = Parts(warehouse, tmp_path / "parts")
    eraser = Eraser(warehouse, parts, "worker")
    assert eraser.pending
    eraser.carry_out(NOON)
    parts.release(parts.snapshot())
    assert state(warehouse) == [("erased", 4), ("here", 4)]
    assert ADA.encode() not in everything(warehouse)
    assert ADA not in parquet_of(tmp_path)
    assert GRACE in parquet_of(tmp_path / "archive")
    handed = [stored.payload for stored in archive.groups(warehouse, Wanted(enforcer="edge-1"))]
    assert [unpack(payload).raws for payload in handed] == [group.raws for group in sealed]


def test_a_value_in_the_chain_of_alerts_and_holds_is_counted(
    warehouse: Warehouse, history: Make
) -> None:
    from toolreeve.audit import AlertRaised, Hold, HoldPlaced

    hold = Hold(
        hold_id="h",
        server="hr",
        argument_pointer="/name",
        argument_value_json=f'"{ADA}"',
        actor="ops",
        reason="r",
    )
    alert = AlertRaised(
        alert_id="a",
        rule="r",
        detector="burst",
        severity="warning",
        summary="s",
        labels=(("/name", ADA),),
        since_at=NOON,
        crossed_at=NOON,
        observed=1.0,
        threshold=1.0,
    )
    warehouse.load([history("edge-1").seal(HoldPlaced(hold=hold), alert)], at=NOON)
    assert in_the_chain(warehouse, ByValue(text=ADA)) == 2
    assert in_the_chain(warehouse, ByValue(text=GRACE)) == 0


def test_a_file_that_cannot_be_read_keeps_an_erasure_open_and_nothing_else(
    warehouse: Warehouse, eraser: Eraser, history: Make
) -> None:
    edge, worker = history("edge-1"), history("worker")
    sealed = groups(edge, 3)
    mover = Archiver(warehouse, file_bytes=1 << 20, seconds_max=1.0)
    names: list[str] = []
    for at, group in enumerate(sealed):
        warehouse.load([group], at=Instant(NOON + at))
        names.append(mover.move(Instant(NOON + at), everything=True) or "")
    chosen = choose(warehouse, ByValue(text=ADA))
    warehouse.load([worker.seal(erasure(chosen))], at=NOON)
    gone, damaged = (warehouse.archive_folder / name for name in names[:2])
    gone.unlink()
    whole = damaged.read_bytes()
    damaged.chmod(0o600)
    damaged.write_bytes(whole[:40])
    with pytest.raises(WarehouseError, match=names[1]):
        eraser.carry_out(NOON)
    assert state(warehouse) == [("erased", 3), ("here", 3)]
    assert eraser.pending
    damaged.write_bytes(whole)
    assert eraser.carry_out(NOON) == 3
    assert ADA not in parquet_of(warehouse.archive_folder)


def test_whoever_reads_while_a_file_is_written_again_reads_the_new_one(
    warehouse: Warehouse, eraser: Eraser, history: Make
) -> None:
    edge, worker = history("edge-1"), history("worker")
    sealed = groups(edge, 3)
    for at, group in enumerate(sealed):
        warehouse.load([group], at=Instant(NOON + at))
    Archiver(warehouse, file_bytes=1 << 20, seconds_max=1.0).move(NOON, everything=True)
    warehouse.load([worker.seal(erasure(choose(warehouse, ByValue(text=ADA))))], at=NOON)
    handed: list[bytes] = []
    reading = archive.groups(warehouse, Wanted(enforcer="edge-1"))
    handed.append(next(reading).payload)
    eraser.carry_out(NOON)
    handed += [stored.payload for stored in reading]
    assert [unpack(payload).raws for payload in handed] == [group.raws for group in sealed]
    (again,) = [stored.payload for stored in archive.groups(warehouse, Wanted(enforcer="edge-1"))][
        :1
    ]
    assert ADA.encode() not in again
