"""`toolreeve audit proof`: asked of a real worker, checked with nothing running."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from tests.integration.worker.conftest import Fleet, Worker

from toolreeve.cli.__main__ import cli
from toolreeve.cli.failure import BAD_INPUT, CommandError
from toolreeve.decision import Instant
from toolreeve.policy.sign import SigningKey


def proof(*words: object) -> Result:
    return CliRunner().invoke(cli, ["audit", "proof", *map(str, words)])


@pytest.fixture
def worker(start_worker: Callable[..., Worker], fleet: Fleet, now: Instant) -> Worker:
    started = start_worker(checkpoints={"seconds": 0.2})
    for enforcer in ("edge-1", "edge-2"):
        fleet.publish(enforcer, fleet.calls(enforcer, 20, at=now))
    started.wait_for("SELECT count(*) FROM audit_log WHERE enforcer LIKE 'edge-%'", [[40]])
    return started


@pytest.fixture
def proved(worker: Worker, tmp_path: Path) -> Path:
    file = tmp_path / "proof.json"
    done = proof("edge-1:1:7", "--query", worker.address, "--output", file)
    assert done.exit_code == 0, done.output
    return file


def key(tmp_path: Path) -> str:
    return (tmp_path / "data" / "worker.pub").read_text().strip()


def test_a_proof_holds_for_whoever_has_the_key(proved: Path, tmp_path: Path) -> None:
    done = proof("--check", proved, "--key", key(tmp_path), "--json")
    said = json.loads(done.output)
    assert (done.exit_code, said["holds"], said["log"]) == (0, True, "worker")
    assert said["event"]["event_id"] == "edge-1:1:7"
    assert said["event"]["kind"] == "decided"
    told = proof("--check", proved).output
    assert "compare it with worker.pub" in told
    assert key(tmp_path) in told


def test_every_event_can_be_proved(worker: Worker, tmp_path: Path) -> None:
    for sequence in (1, 2, 20, 39, 40):
        file = tmp_path / f"{sequence}.json"
        event = f"edge-2:1:{sequence}"
        assert proof(event, "--query", worker.address, "--output", file).exit_code == 0
        assert proof("--check", file, "--key", key(tmp_path)).exit_code == 0


@pytest.mark.parametrize("member", ["event_id", "group", "leaf_index", "hashes", "note", "key"])
def test_a_proof_that_was_changed_does_not_hold(proved: Path, tmp_path: Path, member: str) -> None:
    said = json.loads(proved.read_text())
    pinned = key(tmp_path)
    match member:
        case "event_id":
            said["event_id"] = "edge-1:1:9"
        case "group":
            said["group"] = said["group"][:-8] + "AAAAAAA="
        case "leaf_index":
            said["leaf_index"] += 1
        case "hashes":
            said["hashes"][0] = "00" * 32
        case "note":
            said["note"] = said["note"].replace("\n4", "\n5", 1)
        case _:
            pinned = SigningKey.generate().public.text
    proved.write_text(json.dumps(said))
    done = proof("--check", proved, "--key", pinned)
    assert done.exit_code == 1
    assert "does not hold" in done.output


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ([], "name an event, or a file to --check"),
        (["edge-1:1:7", "--check", "x"], "name an event, or a file to --check"),
        (["--check", "nothing.json"], "is no proof"),
    ],
)
def test_wrong_use_is_said(words: list[str], says: str) -> None:
    error = proof(*words).exception
    assert isinstance(error, CommandError)
    assert error.exit_code == BAD_INPUT
    assert says in str(error)


def test_a_worker_whose_proof_does_not_hold_hands_out_none(worker: Worker, tmp_path: Path) -> None:
    file = tmp_path / "proof.json"
    theirs = SigningKey.generate().public.text
    done = proof("edge-1:1:7", "--query", worker.address, "--output", file, "--key", theirs)
    assert isinstance(done.exception, CommandError)
    assert "does not hold" in str(done.exception)
    assert not file.exists()


def test_what_is_not_there_cannot_be_proved(worker: Worker) -> None:
    for event, says in (("edge-1:1:999", "no checkpoint has"), ("nonsense", "is no event")):
        done = proof(event, "--query", worker.address)
        assert done.exit_code != 0
        assert says in done.output + str(done.exception)
