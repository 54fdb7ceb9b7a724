"""The log of all histories: signed, taken up again, and compared with what a witness remembers."""

import json
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import duckdb
import pytest
from tests.integration.worker.conftest import Fleet, Worker

from toolreeve.audit import Position
from toolreeve.audit.merkle import leaf_hash, root_of
from toolreeve.audit.note import NamedKey, read_checkpoint, verify_note
from toolreeve.audit.seal import logged_text
from toolreeve.decision import Instant
from toolreeve.policy.sign import PublicKey

OFTEN = {"checkpoints": {"seconds": 0.2}}
SIZES = "SELECT DISTINCT size FROM checkpoints ORDER BY size"


def tree(worker: Worker, size: int) -> bytes:
    """The root over the first leaves, from what anybody can ask by SQL."""
    rows = worker.rows(
        "SELECT enforcer, epoch, first_sequence, last_sequence, head FROM audit_log ORDER BY leaf"
    )
    texts = [
        logged_text(enforcer, Position(int(epoch), int(first)), int(last), bytes.fromhex(head))
        for enforcer, epoch, first, last, head in rows[:size]
    ]
    return root_of(map(leaf_hash, texts))


def logged(worker: Worker, enforcer: str, groups: int) -> None:
    worker.wait_for(
        f"SELECT count(*) FROM audit_log WHERE enforcer = '{enforcer}'",
        [[groups]],
    )


def test_every_checkpoint_is_signed_and_vouches_for_every_group(
    start_worker: Callable[..., Worker], fleet: Fleet, now: Instant, tmp_path: Path
) -> None:
    worker = start_worker(**OFTEN)
    for part in range(3):
        fleet.publish("edge-1", fleet.calls("edge-1", 20, at=now))
        fleet.publish("edge-2", fleet.calls("edge-2", 5, at=now))
        logged(worker, "edge-1", 20 * (part + 1))
        logged(worker, "edge-2", 5 * (part + 1))
    public = PublicKey.parse((tmp_path / "data" / "worker.pub").read_text())
    key = NamedKey("worker", public.raw, public.verifies)
    notes = worker.rows("SELECT note, size, root FROM checkpoints ORDER BY size")
    assert len(notes) >= 3
    for note, size, root in notes:
        text, signers = verify_note(note, [key])
        said = read_checkpoint(text)
        assert (signers, said.origin, said.size) == (("worker",), "worker", size)
        assert said.root.hex() == root
        assert said.root == tree(worker, size)


def test_a_worker_that_was_killed_goes_on_with_the_same_log(
    start_worker: Callable[..., Worker], fleet: Fleet, now: Instant
) -> None:
    worker = start_worker(**OFTEN)
    for part in range(4):
        fleet.publish("edge-1", fleet.calls("edge-1", 10, at=now))
        logged(worker, "edge-1", 10 * (part + 1))
        worker.kill()
        worker.start()
    fleet.publish("edge-1", fleet.calls("edge-1", 10, at=now))
    logged(worker, "edge-1", 50)
    places = worker.rows("SELECT count(*), count(DISTINCT leaf), max(leaf) + 1 FROM audit_log")[0]
    assert len({int(place) for place in places}) == 1, "every place once, and no gap"
    for size, root in worker.rows("SELECT size, root FROM checkpoints ORDER BY size"):
        assert tree(worker, size).hex() == root
    assert worker.rows("SELECT * FROM alerts") == []


def test_a_quiet_worker_does_not_feed_on_its_own_checkpoints(
    start_worker: Callable[..., Worker], fleet: Fleet, now: Instant
) -> None:
    worker = start_worker(**OFTEN)
    fleet.publish("edge-1", fleet.calls("edge-1", 3, at=now))
    logged(worker, "edge-1", 3)
    time.sleep(1.5)
    before = worker.rows(SIZES)
    time.sleep(1.5)
    assert worker.rows(SIZES) == before


def changed(worker: Worker) -> None:
    worker.wait_for("SELECT rule, severity FROM alerts", [["audit-log-changed", "critical"]])


def test_a_head_that_was_changed_in_the_warehouse_raises_an_alert(
    start_worker: Callable[..., Worker], fleet: Fleet, now: Instant, tmp_path: Path
) -> None:
    worker = start_worker(**OFTEN)
    fleet.publish("edge-1", fleet.calls("edge-1", 10, at=now))
    logged(worker, "edge-1", 10)
    assert worker.stop() == 0
    with duckdb.connect(str(tmp_path / "data" / "warehouse.duckdb")) as warehouse:
        warehouse.execute(
            "UPDATE groups SET head = sha256('forged')::BLOB"
            " WHERE enforcer = 'edge-1' AND first_sequence = 5"
        )
    worker.start()
    changed(worker)


def test_a_witness_remembers_what_a_worker_put_back_from_a_copy_has_forgotten(
    start_worker: Callable[..., Worker], fleet: Fleet, now: Instant, tmp_path: Path
) -> None:
    witness = tmp_path / "witness.jsonl"
    worker = start_worker(checkpoints={"seconds": 0.2, "witness_file": str(witness)})
    fleet.publish("edge-1", fleet.calls("edge-1", 10, at=now))
    logged(worker, "edge-1", 10)
    sizes = [int(size) for (size,) in worker.rows(SIZES)]
    assert worker.stop() == 0
    notes = [json.loads(line)["note"] for line in witness.read_text().splitlines()]
    remembered = [int(note.split("\n")[1]) for note in notes]
    assert remembered[: len(sizes)] == sizes
    worker.start()
    fleet.publish("edge-1", fleet.calls("edge-1", 10, at=now))
    logged(worker, "edge-1", 20)
    assert worker.rows("SELECT * FROM alerts") == []
    forged = tmp_path / "data" / "warehouse.duckdb"
    assert worker.stop() == 0
    with duckdb.connect(str(forged)) as warehouse:
        warehouse.execute("DELETE FROM leaves WHERE leaf >= 4")
        warehouse.execute("DELETE FROM checkpoint_events WHERE size > 4")
    worker.start()
    changed(worker)


@pytest.mark.parametrize("line", ["", "no json\n", '{"note": "worker\\n9\\nAAAA\\n\\n"}\n'])
def test_what_a_witness_has_that_was_never_signed_here_says_nothing(
    start_worker: Callable[..., Worker], fleet: Fleet, now: Instant, tmp_path: Path, line: str
) -> None:
    witness = tmp_path / "witness.jsonl"
    witness.write_text(line)
    worker = start_worker(checkpoints={"seconds": 0.2, "witness_file": str(witness)})
    fleet.publish("edge-1", fleet.calls("edge-1", 2, at=now))
    logged(worker, "edge-1", 2)
    assert worker.rows("SELECT * FROM alerts") == []


def test_a_witness_that_is_away_holds_nothing_up(
    start_worker: Callable[..., Worker], fleet: Fleet, now: Instant, tmp_path: Path
) -> None:
    away = tmp_path / "mounted"
    worker = start_worker(checkpoints={"seconds": 0.2, "witness_file": str(away / "log.jsonl")})
    fleet.publish("edge-1", fleet.calls("edge-1", 2, at=now))
    logged(worker, "edge-1", 2)
    assert "witness.away" in worker.log
    shutil.rmtree(away, ignore_errors=True)
