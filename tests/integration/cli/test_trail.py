"""Exports of a real outbox, checked and tampered with."""

import asyncio
import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from click.testing import CliRunner

from toolreeve.audit import (
    Arguments,
    Completed,
    Decided,
    Draft,
    Effect,
    EnforcerStarted,
    KeptArgument,
    Outcome,
)
from toolreeve.cli.__main__ import cli
from toolreeve.decision import Instant
from toolreeve.outbox import Outbox, OutboxSettings
from toolreeve.wire import pack

SECOND = 10**9
BEGIN = 1_795_000_000 * SECOND
EVENTS = "events.jsonl"


async def live(folder: Path, *, epochs: int, calls: int) -> None:
    """An enforcer's life: starts, decisions and outcomes, a call a second."""
    small = OutboxSettings(segment_bytes=65_536, bytes_max=16_384)
    at, head, epoch_before = BEGIN, b"", 0
    for epoch in range(7, 7 + epochs):
        outbox = Outbox[Draft].open(folder, owner="edge-1", pack=pack("edge-1"), settings=small)
        outbox.begin(epoch)
        started = EnforcerStarted(
            software_version="1",
            host="edge",
            servers=("truenas",),
            previous_epoch=epoch_before,
            previous_head=head,
        )
        await outbox.append(Draft(Instant(at), started))
        for number in range(calls):
            at += SECOND
            position = await outbox.append(Draft(Instant(at), decision(number)))
            done = Completed(
                decision_id=f"edge-1:{position.epoch}:{position.sequence}", outcome=Outcome.SUCCESS
            )
            outbox.append(Draft(Instant(at), done), lingers=True)
        await outbox.close()
        head, epoch_before = outbox.status().head, epoch


def decision(number: int) -> Decided:
    return Decided(
        server="truenas",
        grant="local",
        agent="night-shift",
        request_id=str(number),
        tool="vm_restart",
        wire_tool="truenas",
        effect=Effect.ALLOW,
        code="allowed",
        arguments=Arguments(
            names=("id",), kept=(KeptArgument("/id", str(number)),), keyed_hash=bytes(32)
        ),
    )


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("edge")
    asyncio.run(live(folder / "outbox", epochs=3, calls=12))
    return folder


@pytest.fixture
def exported(data: Path, tmp_path: Path) -> Path:
    folder = tmp_path / "export"
    done = run("audit", "export", "--data", data, "--output", folder)
    assert done[0] == 0
    assert done[1].splitlines() == [
        f"75 events of 3 runs are in {folder}",
        f"check them with: toolreeve audit verify --export {folder}",
    ]
    return folder


def run(*arguments: object) -> tuple[int, str]:
    done = CliRunner().invoke(cli, [str(one) for one in arguments])
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        return 2, str(done.exception)
    return done.exit_code, done.output


def verified(folder: Path) -> dict[str, Any]:
    code, output = run("audit", "verify", "--json", "--export", folder)
    found: dict[str, Any] = json.loads(output)
    assert code == (0 if found["whole"] else 1)
    return found


def first_fault(folder: Path) -> tuple[str, str]:
    finding = verified(folder)["findings"][0]
    return finding["event"], finding["fault"]


def test_an_export_is_whole_and_every_line_can_be_read(exported: Path) -> None:
    found = verified(exported)
    assert (found["whole"], found["events"], found["findings"]) == (True, 75, [])
    assert [run["epoch"] for run in found["runs"]] == [7, 8, 9]
    lines = [json.loads(line) for line in (exported / EVENTS).read_text().splitlines()]
    assert {"event_id", "kind", "enforcer", "epoch", "sequence", "time"} <= lines[1].keys()
    assert lines[1]["event_id"] == "edge-1:7:2"
    assert (lines[1]["kind"], lines[1]["body"]["tool"]) == ("decided", "vm_restart")
    assert lines[1]["time"] == "2026-11-18T11:06:41.000000000Z"


def test_an_outbox_that_is_being_written_can_be_exported(tmp_path: Path) -> None:
    async def story() -> None:
        outbox = Outbox[Draft].open(tmp_path / "outbox", owner="edge-1", pack=pack("edge-1"))
        outbox.begin(1)
        await outbox.append(Draft(Instant(BEGIN), decision(1)))
        done = await asyncio.to_thread(
            run, "audit", "export", "--data", tmp_path, "--output", tmp_path / "export"
        )
        assert done[0] == 0
        await outbox.append(Draft(Instant(BEGIN), decision(2)))
        await outbox.close()

    asyncio.run(story())
    assert verified(tmp_path / "export")["events"] == 1


def test_a_span_of_time_is_a_run_that_stands_for_itself(data: Path, tmp_path: Path) -> None:
    span = ["--from", "2026-11-18T11:06:44Z", "--to", "2026-11-18T11:06:49Z"]
    run("audit", "export", "--data", data, "--output", tmp_path / "export", *span)
    found = verified(tmp_path / "export")
    assert found["whole"]
    assert 10 <= found["events"] <= 12, "five calls, in whole groups"
    assert found["runs"][0]["first_sequence"] > 1


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["export", "--data", "{there}", "--output", "{there}"], "is not empty; name a folder"),
        (["export", "--data", "{nothing}", "--output", "{new}"], "there is no outbox here"),
        (["verify", "--export", "{nothing}"], "export.json is not there; name a folder"),
        (["export", "--data", "{there}", "--output", "{new}", "--from", "now"], "no point in time"),
    ],
)
def test_what_cannot_be_done_is_said_with_a_remedy(
    arguments: list[str], says: str, data: Path, tmp_path: Path
) -> None:
    places = {"{there}": data, "{nothing}": tmp_path / "nothing", "{new}": tmp_path / "new"}
    code, output = run("audit", *(str(places.get(one, one)) for one in arguments))
    assert (code, says in output) == (2, True), output


Tamper = Callable[[list[bytes]], object]
NAMED: dict[str, tuple[Tamper, tuple[str, str]]] = {
    "a value in the text": (
        lambda lines: lines.__setitem__(3, lines[3].replace(b"night-shift", b"day-shift")),
        ("edge-1:7:4", "edited"),
    ),
    "an event taken out": (lambda lines: lines.pop(9), ("edge-1:7:10", "deleted")),
    "two events exchanged": (
        lambda lines: lines.__setitem__(slice(9, 11), [lines[10], lines[9]]),
        ("edge-1:7:10", "reordered"),
    ),
    "the end cut off": (
        lambda lines: lines.__delitem__(slice(-3, None)),
        ("edge-1:9:23", "truncated"),
    ),
    "an event told twice": (lambda lines: lines.insert(24, lines[20]), ("edge-1:7:21", "repeated")),
}


@pytest.mark.parametrize("name", NAMED)
def test_tampering_is_named_at_the_first_event_concerned(exported: Path, name: str) -> None:
    tamper, expected = NAMED[name]
    lines = (exported / EVENTS).read_bytes().splitlines(keepends=True)
    tamper(lines)
    (exported / EVENTS).write_bytes(b"".join(lines))
    assert first_fault(exported) == expected


def test_bytes_that_were_forged_with_their_text_break_the_chain(exported: Path) -> None:
    from toolreeve.wire.lines import read_place, write_line

    lines = (exported / EVENTS).read_bytes().splitlines(keepends=True)
    place = read_place(lines[48])
    forged = place.bytes.replace(b"night-shift", b"late--shift")
    lines[48] = write_line(forged, bytes.fromhex(place.head))
    assert lines[48] != place.bytes
    (exported / EVENTS).write_bytes(b"".join(lines))
    assert first_fault(exported) == ("edge-1:8:24", "edited")


def test_a_history_that_goes_on_from_another_one_is_a_fork(exported: Path) -> None:
    path = exported / "export.json"
    manifest = json.loads(path.read_text())
    manifest["runs"][1]["head_before"] = "ab" * 32
    path.write_text(json.dumps(manifest))
    assert first_fault(exported) == ("edge-1:8:1", "forked")


def test_events_behind_the_end_of_their_run_are_foreign(exported: Path) -> None:
    lines = (exported / EVENTS).read_bytes().splitlines()
    path = exported / "export.json"
    manifest = json.loads(path.read_text())
    manifest["runs"][0]["last_sequence"] = 20
    manifest["runs"][0]["head_after"] = json.loads(lines[19])["head"]
    path.write_text(json.dumps(manifest))
    assert first_fault(exported) == ("edge-1:7:21", "foreign")


@pytest.mark.parametrize("block_bytes", [2 << 20, 4_000])
def test_a_thousand_random_tamperings_are_all_found(
    block_bytes: int, exported: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("toolreeve.cli.trail.bundle.BLOCK_BYTES", block_bytes)
    chance = random.Random(20_261_121)
    whole = (exported / EVENTS).read_bytes()
    lines = whole.splitlines(keepends=True)
    for number in range(500):
        kind = number % 5
        at, other = chance.sample(range(len(lines)), 2)
        changed = [*lines]
        if kind == 0:
            place = chance.randrange(len(lines[at]))
            letter = chance.choice([one for one in range(32, 127) if one != lines[at][place]])
            changed[at] = lines[at][:place] + bytes([letter]) + lines[at][place + 1 :]
        elif kind == 1:
            del changed[at]
        elif kind == 2:
            changed[at], changed[other] = changed[other], changed[at]
        elif kind == 3:
            changed.insert(other, lines[at])
        else:
            del changed[at:]
        (exported / EVENTS).write_bytes(b"".join(changed))
        code, output = run("audit", "verify", "--export", exported)
        assert code == 1, (number, kind, at, other, output)


def test_lines_are_written_again_byte_for_byte(exported: Path) -> None:
    from toolreeve.wire.lines import read_place, write_line

    for line in (exported / EVENTS).read_bytes().splitlines(keepends=True):
        place = read_place(line)
        assert write_line(place.bytes, bytes.fromhex(place.head), place.details) == line
        assert msgspec.json.decode(line)["kind"] == place.kind


@pytest.mark.parametrize("name", NAMED)
@pytest.mark.parametrize("alone", [0, 1 << 30])
def test_blocks_that_are_checked_side_by_side_say_the_same(
    name: str, alone: int, exported: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("toolreeve.cli.trail.bundle.BLOCK_BYTES", 5_000)
    monkeypatch.setattr("toolreeve.cli.trail.checking.ALONE_BYTES_MAX", alone)
    tamper, expected = NAMED[name]
    lines = (exported / EVENTS).read_bytes().splitlines(keepends=True)
    tamper(lines)
    (exported / EVENTS).write_bytes(b"".join(lines))
    assert first_fault(exported) == expected
