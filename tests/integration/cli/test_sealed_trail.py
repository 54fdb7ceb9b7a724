"""Exports of a sealed outbox against somebody who holds the disk and can chain everything anew."""

import asyncio
import json
import random
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from msgspec.structs import replace

from toolreeve.audit import (
    GENESIS,
    Decided,
    Draft,
    Effect,
    EnforcerStarted,
    Event,
    HeadSealed,
    Position,
    link,
)
from toolreeve.audit.seal import sealed_text
from toolreeve.cli.__main__ import cli
from toolreeve.decision import Instant
from toolreeve.outbox import Outbox, Sealer
from toolreeve.policy.sign import SigningKey
from toolreeve.wire import pack, read_event, write_event
from toolreeve.wire.lines import read_place, write_line

BEGIN = Instant(1_795_000_000 * 10**9)
EVENTS = "events.jsonl"
OURS = SigningKey.generate()
THEIRS = SigningKey.generate()

Edit = Callable[[list[Event]], None]


async def live(folder: Path) -> None:
    """Two epochs of an enforcer that seals after every third call; the last call is not sealed."""
    head, epoch_before = b"", 0
    for epoch in (7, 8):
        outbox = Outbox[Draft].open(folder, owner="edge-1", pack=pack("edge-1"))
        outbox.begin(epoch)
        sealer = Sealer("edge-1", outbox, epoch=epoch, now=lambda: BEGIN, signer=lambda: OURS.sign)
        started = EnforcerStarted(
            software_version="1",
            host="edge",
            servers=("truenas",),
            previous_epoch=epoch_before,
            previous_head=head,
            public_key=OURS.public.raw,
        )
        await outbox.append(Draft(BEGIN, started))
        for number in range(10):
            await outbox.append(Draft(BEGIN, decision(number)))
            if number % 3 == 2:
                await sealer.seal()
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
    )


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("edge")
    asyncio.run(live(folder / "outbox"))
    return folder


@pytest.fixture
def exported(data: Path, tmp_path: Path) -> Path:
    folder = tmp_path / "export"
    done = CliRunner().invoke(
        cli, ["audit", "export", "--data", str(data), "--output", str(folder)]
    )
    assert done.exit_code == 0, done.output
    return folder


def verified(folder: Path, *, key: SigningKey | None = OURS) -> dict[str, Any]:
    pinned = [] if key is None else ["--key", f"edge-1={key.public.text}"]
    done = CliRunner().invoke(cli, ["audit", "verify", "--json", "--export", str(folder), *pinned])
    found: dict[str, Any] = json.loads(done.output)
    assert done.exit_code == (0 if found["whole"] else 1)
    return found


def chain_anew(folder: Path, edit: Edit, key: SigningKey | None = None) -> None:
    """Change the history and make everything consistent again; seals too, with another key."""
    lines = (folder / EVENTS).read_bytes().splitlines(keepends=True)
    events = [read_event(read_place(line).bytes) for line in lines]
    edit(events)
    places: dict[int, int] = {}
    heads: dict[tuple[int, int], bytes] = {}
    head = GENESIS
    written: list[bytes] = []
    runs: dict[int, dict[str, object]] = {}
    for event in events:
        places[event.epoch] = places.get(event.epoch, 0) + 1
        placed = replace(event, sequence=places[event.epoch])
        match placed.body:
            case HeadSealed(sequence=sequence) if key is not None:
                sealed = heads[placed.epoch, min(sequence, placed.sequence - 1)]
                position = Position(placed.epoch, min(sequence, placed.sequence - 1))
                signature = key.sign(sealed_text("edge-1", position, sealed))
                body = HeadSealed(sequence=position.sequence, head=sealed, signature=signature)
                placed = replace(placed, body=body)
            case EnforcerStarted() as started if key is not None:
                placed = replace(placed, body=replace(started, public_key=key.public.raw))
            case _:
                pass
        if placed.sequence == 1:
            runs[placed.epoch] = {"head_before": head.hex(), "first_sequence": 1}
        raw = write_event(placed)
        head = link(head, raw)
        heads[placed.epoch, placed.sequence] = head
        written.append(write_line(raw, head))
        runs[placed.epoch] |= {"head_after": head.hex(), "last_sequence": placed.sequence}
    text = b"".join(written)
    (folder / EVENTS).write_bytes(text)
    manifest = json.loads((folder / "export.json").read_text())
    manifest["runs"] = [
        {"enforcer": "edge-1", "epoch": epoch, **run} for epoch, run in runs.items()
    ]
    manifest["files"] = [{"name": EVENTS, "bytes": len(text), "sha256": sha256(text).hexdigest()}]
    (folder / "export.json").write_text(json.dumps(manifest))


def other_tool(at: int) -> Edit:
    def edit(events: list[Event]) -> None:
        body = events[at].body
        assert isinstance(body, Decided)
        events[at] = replace(events[at], body=replace(body, tool="vm_status"))

    return edit


def test_a_sealed_history_says_up_to_where_and_by_whose_key(exported: Path) -> None:
    for key in (OURS, None):
        found = verified(exported, key=key)
        assert found["whole"], found
        assert found["seals"] == [
            {
                "enforcer": "edge-1",
                "seals": 6,
                "unchecked": 0,
                "sealed_until": "edge-1:8:12",
                "last": "edge-1:8:14",
                "keys": [OURS.public.text],
            }
        ]


def test_nothing_changes_where_the_history_is_only_written_again(exported: Path) -> None:
    before = (exported / EVENTS).read_bytes()
    chain_anew(exported, lambda _: None)
    assert (exported / EVENTS).read_bytes() == before


def test_a_history_that_was_chained_anew_is_not_the_one_that_was_sealed(exported: Path) -> None:
    chain_anew(exported, other_tool(6))
    found = verified(exported, key=None)["findings"][0]
    assert (found["event"], found["fault"]) == ("edge-1:7:5", "edited")
    assert found["detail"] == "from here to 8 this is not the history that was sealed"


def test_seals_by_another_key_are_foreign_to_who_knows_the_right_one(exported: Path) -> None:
    chain_anew(exported, other_tool(6), THEIRS)
    found = verified(exported, key=None)
    assert found["whole"], ("it names its own key", found)
    found = verified(exported)["findings"][0]
    assert (found["event"], found["fault"]) == ("edge-1:7:1", "foreign")


def test_a_history_without_its_seals_is_not_vouched_for(exported: Path) -> None:
    def strip(events: list[Event]) -> None:
        events[:] = [event for event in events if not isinstance(event.body, HeadSealed)]

    chain_anew(exported, strip)
    assert verified(exported)["findings"] == [
        {
            "event": "edge-1",
            "fault": "foreign",
            "detail": "no seal here is by the key that you named",
        }
    ]


def test_an_export_from_the_middle_of_an_epoch_needs_the_key(exported: Path) -> None:
    chain = (exported / EVENTS).read_bytes().splitlines(keepends=True)
    rest = [line for line in chain if read_place(line).epoch == 8][4:]
    (exported / EVENTS).write_bytes(b"".join(rest))
    manifest = json.loads((exported / "export.json").read_text())
    run = manifest["runs"][1]
    before = read_place(chain[-len(rest) - 1])
    run |= {"first_sequence": before.sequence + 1, "head_before": before.head}
    manifest["runs"] = [run]
    (exported / "export.json").write_text(json.dumps(manifest))
    seals = verified(exported)["seals"][0]
    assert (seals["seals"], seals["unchecked"]) == (2, 1), "the first names an event before"
    seals = verified(exported, key=None)["seals"][0]
    assert (seals["seals"], seals["unchecked"]) == (0, 3)


def test_five_hundred_tamperings_with_everything_chained_anew_are_found(exported: Path) -> None:
    whole = [(exported / name).read_bytes() for name in (EVENTS, "export.json")]
    chance = random.Random(20_261_121)
    sealed = 26  # lines before the last seal
    for number in range(500):
        key = THEIRS if number % 2 else None
        at, other = chance.sample(range(sealed), 2)

        def edit(events: list[Event], at: int = at, other: int = other) -> None:
            match number % 4:  # noqa: B023  called in this round only
                case 0 | 1:
                    event = events[at]
                    events[at] = replace(event, at=Instant(event.at + 1))
                case 2:
                    event = events[at]
                    if event.sequence > 1:
                        del events[at]
                    else:
                        events[at] = replace(event, at=Instant(event.at + 1))
                case _:
                    low, high = sorted((at, other))
                    if events[low].epoch == events[high].epoch and events[low].sequence > 1:
                        events[low], events[high] = (
                            replace(events[high], at=Instant(1)),
                            replace(events[low], at=Instant(2)),
                        )
                    else:
                        events[high] = replace(events[high], at=Instant(3))

        chain_anew(exported, edit, key)
        assert not verified(exported)["whole"], (number, at, other)
        for name, content in zip((EVENTS, "export.json"), whole, strict=True):
            (exported / name).write_bytes(content)


@pytest.mark.parametrize("text", ["edge-1", "=ed25519:AAAA", "edge-1=ed25519:AAAA", "edge-1=x"])
def test_a_key_that_is_none_is_a_wrong_use(exported: Path, text: str) -> None:
    arguments = ["audit", "verify", "--export", str(exported), "--key", text]
    done = CliRunner().invoke(cli, arguments)
    assert done.exit_code == 2
    assert "ed25519:<base64 of 32 bytes>" in done.output
