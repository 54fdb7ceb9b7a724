"""`audit match`, `audit erase` and what `audit verify` says afterwards, on a real worker."""

import base64
import json
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from toolreeve.audit import Decided, Draft, Effect, Redaction, redact
from toolreeve.cli.__main__ import cli
from toolreeve.cli.failure import CommandError
from toolreeve.decision import Instant
from toolreeve.runtime.hashkeys import newest_or_first, rotate
from toolreeve.wire import unpack, without

Start = Callable[..., Any]

ADA, GRACE = "ada-lovelace", "grace-hopper"
ERASED = "SELECT details, count(*) FROM decisions GROUP BY 1 ORDER BY 1"


def run(*arguments: object) -> tuple[int, str]:
    done = CliRunner().invoke(cli, [str(one) for one in arguments])
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    return done.exit_code, done.output


def told(*arguments: object) -> Any:
    code, output = run(*arguments, "--json")
    return {"code": code, "told": json.loads(output)}


def call(name: str, key: bytes, at: int) -> Draft:
    decided = Decided(
        server="hr",
        grant="g-1",
        agent=f"agent-of-{name}",
        request_id="1",
        tool="look_up",
        wire_tool="look_up",
        effect=Effect.ALLOW,
        code="allowed",
        arguments=redact(
            {"name": name, "phone": f"+1-{name}"}, Redaction(keep=("/name",), key=key)
        ),
    )
    return Draft(Instant(at), decided)


@pytest.fixture
def keys(tmp_path: Path) -> Path:
    """Two keys, both of which were in use."""
    path = tmp_path / "hash.keys"
    newest_or_first(path, 0)
    return path


@pytest.fixture
def groups(fleet: Any, keys: Path, now: Instant) -> list[bytes]:
    """Calls about two people, half of them under a newer key."""
    old = newest_or_first(keys, 0).key
    new = rotate(keys, 1).key
    return [
        fleet.seal("edge-1", [call(name, key, now + at * 10**6)])
        for at, (name, key) in enumerate([(ADA, old), (GRACE, old), (ADA, new), (GRACE, new)])
    ]


@pytest.fixture
def worker(start_worker: Start, fleet: Any, groups: list[bytes]) -> Any:
    started = start_worker(archive={"seconds_max": 0.3}, checkpoints={"seconds": 0.5})
    fleet.publish("edge-1", groups)
    started.wait_for(ERASED, [["here", 4]])
    return started


def erase(worker: Any, *more: object) -> Any:
    base = ("audit", "erase", "--query", worker.address, "--reason", "asked for", "--actor", "dpo")
    return told(*base, *more)["told"]


def test_a_value_is_found_by_whoever_knows_it_under_every_key(worker: Any, keys: Path) -> None:
    match = ("audit", "match", "--query", worker.address)
    found = told(*match, "--value", ADA)["told"]
    assert [(one["decision_id"], one["found_by"]) for one in found] == [
        ("edge-1:1:3", "value"),
        ("edge-1:1:1", "value"),
    ]
    assert told(*match, "--value", f"+1-{GRACE}")["told"] == [], "only hashes of it were kept"
    keyed = (*match, "--value", f"+1-{GRACE}", "--key-file", keys)
    found = told(*keyed)["told"]
    assert [(one["decision_id"], one["found_by"]) for one in found] == [
        ("edge-1:1:4", "hash"),
        ("edge-1:1:2", "hash"),
    ]
    assert len(told(*keyed, "--pointer", "/phone")["told"]) == 2
    assert told(*keyed, "--pointer", "/name")["told"] == []
    assert len(told(*keyed, "--last", 1)["told"]) == 1
    assert told(*keyed, "--since", "2999-01-01")["told"] == []
    lines = keys.read_text().splitlines(keepends=True)
    keys.write_text(lines[1])
    found = told(*keyed)["told"]
    assert [one["decision_id"] for one in found] == ["edge-1:1:4"], "without its key it is lost"
    assert told(*match, "--value", 'it\'s "none"; --')["told"] == []


def test_what_is_erased_is_gone_and_the_history_is_whole(worker: Any, tmp_path: Path) -> None:
    before = told("audit", "verify", "--query", worker.address)["told"]["runs"][0]
    assert erase(worker, "--value", ADA, "--dry-run") == {
        "erasure_id": None,
        "events": 2,
        "done": False,
        "in_the_chain": 0,
    }
    worker.wait_for(ERASED, [["here", 4]])
    answer = erase(worker, "--value", ADA)
    assert (answer["events"], answer["done"]) == (2, True)
    assert worker.rows(ERASED) == [["erased", 2], ["here", 2]]
    asked = "SELECT erasure_id, actor, reason, selector, events FROM erasures"
    assert worker.rows(asked) == [[answer["erasure_id"], "dpo", "asked for", "a value", 2]]
    found = told("audit", "verify", "--query", worker.address)
    assert found["code"] == 0, found
    assert found["told"]["details"] == {"kept": 2, "erased": 2, "unexplained": 0}
    assert found["told"]["runs"][0] == before, "the same head, of the same events"
    assert told("audit", "match", "--query", worker.address, "--value", ADA)["told"] == []
    assert erase(worker, "--value", ADA)["events"] == 0, "again there is nothing"
    for form in ("jsonl", "ocsf", "parquet"):
        folder = tmp_path / form
        code, _ = run(
            "audit", "export", "--query", worker.address, "--output", folder, "--format", form
        )
        assert code == 0
        found = told("audit", "verify", "--export", folder)
        assert (found["code"], found["told"]["details"]["erased"]) == (0, 2), found
        if form != "parquet":
            (text,) = [path.read_text() for path in folder.glob("events.*")]
            assert ADA not in text.replace(f"agent-of-{ADA}", "")
            assert GRACE in text.replace(f"agent-of-{GRACE}", "")


def test_an_agents_or_a_grants_calls_can_be_erased(worker: Any) -> None:
    assert erase(worker, "--agent", f"agent-of-{ADA}")["events"] == 2
    assert erase(worker, "--grant", "g-1")["events"] == 2
    worker.wait_for(ERASED, [["erased", 4]])
    assert worker.rows("SELECT selector FROM erasures ORDER BY time") == [
        [f"agent agent-of-{ADA}"],
        ["grant g-1"],
    ]


def test_details_that_are_gone_without_a_record_are_missed(
    start_worker: Start, fleet: Any, groups: list[bytes], tmp_path: Path
) -> None:
    worker = start_worker()
    stripped = without(unpack(groups[0]), [1]).payload
    fleet.publish("edge-1", [stripped, *groups[1:]])
    worker.wait_for(ERASED, [["here", 3], ["missing", 1]])
    worker.wait_for("SELECT problem, first_sequence FROM integrity", [["details", 1]])
    found = told("audit", "verify", "--query", worker.address)
    assert found["code"] == 1
    assert [(one["event"], one["fault"]) for one in found["told"]["findings"]] == [
        ("edge-1:1:1", "details missing")
    ]
    part = told("audit", "verify", "--query", worker.address, "--enforcer", "edge-1")
    assert (part["code"], part["told"]["details"]["unexplained"]) == (0, 1)
    run("audit", "export", "--query", worker.address, "--output", tmp_path / "export")
    found = told("audit", "verify", "--export", tmp_path / "export")
    assert (found["code"], found["told"]["findings"][0]["fault"]) == (1, "details missing")


def test_changed_details_are_found_online_and_in_an_export(
    start_worker: Start, fleet: Any, groups: list[bytes], tmp_path: Path
) -> None:
    worker = start_worker()
    fleet.publish("edge-1", [groups[0].replace(b'"ada', b'"eve'), *groups[1:]])
    worker.wait_for(ERASED, [["here", 3], ["missing", 1]])
    found = told("audit", "verify", "--query", worker.address)
    assert (found["code"], found["told"]["findings"][0]["event"]) == (1, "edge-1:1:1")
    folder = tmp_path / "export"
    run("audit", "export", "--query", worker.address, "--output", folder)
    events = folder / "events.jsonl"
    lines = [json.loads(line) for line in events.read_text().splitlines()]
    details = [line["details"] for line in lines if "details" in line]
    assert len(details) == 3
    text = events.read_text()
    content = details[0]["content"]
    events.write_text(text.replace(content, content[:-4] + "AAAA"))
    found = told("audit", "verify", "--export", folder)
    assert found["code"] == 1
    assert {one["fault"] for one in found["told"]["findings"]} >= {"edited"}


def test_a_proof_shows_its_own_details_and_nobody_elses(
    worker: Any, fleet: Any, keys: Path, now: Instant
) -> None:
    key = newest_or_first(keys, 0).key
    fleet.publish("edge-3", [fleet.seal("edge-3", [call(ADA, key, now), call(GRACE, key, now)])])
    worker.wait_for("SELECT count(*) FROM audit_log WHERE enforcer = 'edge-3'", [[1]])
    code, output = run("audit", "proof", "edge-3:1:2", "--query", worker.address)
    assert code == 0, output
    shown = base64.b64decode(json.loads(output)["group"])
    assert f'"{GRACE}"'.encode() in shown
    assert f'"{ADA}"'.encode() not in shown
    assert erase(worker, "--value", GRACE)["done"]
    code, output = run("audit", "proof", "edge-3:1:2", "--query", worker.address)
    assert code == 0, output
    assert f'"{GRACE}"'.encode() not in base64.b64decode(json.loads(output)["group"])


@pytest.mark.parametrize("seconds", [0.03, 0.3])
def test_an_erasure_survives_a_kill_and_a_warehouse_made_anew(
    *, seconds: float, worker: Any, fleet: Any, tmp_path: Path, now: Instant, keys: Path
) -> None:
    key = newest_or_first(keys, 0).key
    many = [fleet.seal("edge-2", [call(ADA, key, now + at) for at in range(40)]) for _ in range(20)]
    fleet.publish("edge-2", many)
    worker.wait_for(ERASED, [["here", 804]])

    def ask() -> None:
        with suppress(CommandError):
            erase(worker, "--value", ADA)

    asking = threading.Thread(target=ask)
    asking.start()
    asking.join(seconds)
    worker.kill()  # before it is recorded, before it is carried out, or after
    asking.join()
    worker.start()
    while erase(worker, "--value", ADA)["events"]:
        pass
    worker.wait_for(ERASED, [["erased", 802], ["here", 2]])
    assert told("audit", "verify", "--query", worker.address)["code"] == 0

    assert worker.stop() == 0
    for path in (tmp_path / "data").glob("warehouse.duckdb*"):
        path.unlink()
    worker.start()
    worker.wait_for(ERASED, [["erased", 802], ["here", 2]])
    found = told("audit", "verify", "--query", worker.address)
    assert (found["code"], found["told"]["details"]["erased"]) == (0, 802)


@pytest.mark.parametrize(
    "wrong",
    [
        (),
        ("--value", "x", "--grant", "g"),
        ("--grant", "g", "--pointer", "/id"),
        ("--value", "x", "--pointer", "id"),
        ("--value", ""),
        ("--value", '""'),
    ],
)
def test_an_erasure_must_say_what_it_means(wrong: tuple[str, ...]) -> None:
    with pytest.raises(CommandError):
        run("audit", "erase", "--reason", "r", *wrong)
    assert run("audit", "erase", "--value", "x")[0] == 2, "and why"
