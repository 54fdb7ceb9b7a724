"""kill -9 in the middle of loading, again and again: the file opens, and is exact."""

import random
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import pytest

from toolreeve.decision import Instant
from toolreeve.warehouse.store import Warehouse

LOADER = """
import sys
from pathlib import Path
from toolreeve.audit import GENESIS, Completed, Decided, Draft, Effect, Outcome, Position
from toolreeve.warehouse.store import Warehouse
from toolreeve.wire import pack, unpack

warehouse = Warehouse.open(Path(sys.argv[1]), at=1)
head, groups = GENESIS, []
for number in range(400):
    first = 1 + number * 4
    decided = Decided(server="s", grant="g", agent="a", request_id="1", tool="t", wire_tool="t",
                      effect=Effect.ALLOW, code="allowed")
    ended = Completed(decision_id=f"edge-1:1:{first}", outcome=Outcome.SUCCESS)
    drafts = [Draft(1_000_000 * first, body) for body in (decided, decided, ended, decided)]
    payload, head = pack("edge-1")(Position(1, first), head, drafts)
    groups.append(unpack(payload))
print("loading", flush=True)
done = 0
while done < len(groups):
    warehouse.load(groups[max(0, done - 8) : done + 4], at=1, marks={"detected": done})
    done += 4
    if done % 40 == 0:
        warehouse.checkpoint(bytes_min=0)
    print(done, flush=True)
print("done", flush=True)
"""


def test_killed_at_any_point_it_holds_whole_loads_and_takes_the_rest_exactly_once(
    tmp_path: Path, at: Instant
) -> None:
    path = tmp_path / "warehouse.duckdb"
    dice = random.Random(7)
    for _ in range(8):
        loader = subprocess.Popen(
            [sys.executable, "-c", LOADER, str(path)], stdout=subprocess.PIPE, text=True
        )
        assert loader.stdout is not None
        assert loader.stdout.readline() == "loading\n"
        time.sleep(dice.uniform(0, 0.25))
        loader.kill()
        said = [int(line) for line in loader.stdout.read().split() if line.isdigit()]
        loader.stdout.close()
        loader.wait()
        warehouse = Warehouse.open(path, at=at)
        try:
            reader = warehouse.reader()
            counted = reader.execute(
                "SELECT count(*), count(DISTINCT sequence), count(outcome) FROM decisions"
            ).fetchone()
            assert counted is not None
            marks = warehouse.watermarks()  # none where it was killed before the first load
            groups = sum(mark.position.sequence for mark in marks) // 4
            assert counted == (groups * 3, groups * 3, groups)
            assert groups >= max(said, default=0)  # what was said to be loaded is there
            assert reader.execute("FROM integrity").fetchall() == []
        finally:
            warehouse.close()
    finished = subprocess.run(
        [sys.executable, "-c", LOADER, str(path)], stdout=subprocess.PIPE, text=True, check=True
    )
    assert finished.stdout.endswith("done\n")
    warehouse = Warehouse.open(path, at=at)
    reader = warehouse.reader()
    assert reader.execute("SELECT count(*), count(outcome) FROM decisions").fetchall() == [
        (1200, 400)
    ]
    warehouse.close()


def test_a_load_that_fails_adds_nothing_and_can_be_made_again(
    open_warehouse: Callable[[], Warehouse], history: Callable[[str], Any], at: Instant
) -> None:
    warehouse = open_warehouse()
    edge = history("edge-1")
    groups = edge.calls(2)
    warehouse.load(groups[:1], at=at)
    warehouse.reader().execute("ALTER TABLE completed RENAME TO away")
    with pytest.raises(duckdb.Error, match="completed"):
        warehouse.load(groups[1:], at=at)
    warehouse.reader().execute("ALTER TABLE away RENAME TO completed")
    report = warehouse.load(groups[1:], at=at)
    assert len(report.events) == 8
    assert warehouse.reader().execute("SELECT count(*) FROM decisions").fetchall() == [(8,)]


FULL = """
import resource, signal, sys
from pathlib import Path
import duckdb
from toolreeve.audit import GENESIS, Decided, Draft, Effect, Position
from toolreeve.warehouse.store import Warehouse
from toolreeve.wire import pack, unpack

signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
warehouse = Warehouse.open(Path(sys.argv[1]), at=1)
head, groups = GENESIS, []
for number in range(40):
    drafts = [
        Draft(1, Decided(server="s", grant="g", agent="a", request_id="1", tool="t", wire_tool="t",
                         effect=Effect.ALLOW, code="allowed", reason=f"{number} {n}" * 40))
        for n in range(100)
    ]
    payload, head = pack("edge-1")(Position(1, 1 + number * 100), head, drafts)
    groups.append(unpack(payload))

def allow(size):
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))

allow(1_500_000)
loaded = refused = 0
while loaded < len(groups):
    try:
        warehouse.load([groups[loaded]], at=1)
        loaded += 1
    except duckdb.Error:
        refused += 1
        if refused == 3:
            allow(resource.RLIM_INFINITY)
assert refused == 3, refused
assert warehouse.reader().execute("SELECT count(*) FROM decided").fetchone() == (4000,)
warehouse.close()
"""


def test_a_full_disk_refuses_loads_and_takes_the_same_ones_when_it_has_room(
    tmp_path: Path, at: Instant
) -> None:
    """The kernel's bound on the size of a file stands for the disk."""
    path = tmp_path / "warehouse.duckdb"
    subprocess.run([sys.executable, "-c", FULL, str(path)], check=True)
    warehouse = Warehouse.open(path, at=at)
    (mark,) = warehouse.watermarks()
    assert mark.position.sequence == 4_000
    counted = warehouse.reader().execute("SELECT count(DISTINCT sequence) FROM decided").fetchone()
    assert counted == (4_000,)
    warehouse.close()
