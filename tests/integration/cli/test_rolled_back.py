"""An older copy of a history that is put back is named as one, wherever somebody has seen more."""

import asyncio
import json
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from toolreeve.audit import (
    Body,
    CheckpointMade,
    Decided,
    Draft,
    Effect,
    EnforcerStarted,
    LoggedGroups,
)
from toolreeve.audit.merkle import Frontier, leaf_hash
from toolreeve.audit.note import Checkpoint, NamedKey, sign_note
from toolreeve.cli.__main__ import cli
from toolreeve.cli.trail.bundle import Writer
from toolreeve.decision import Instant
from toolreeve.outbox import Outbox
from toolreeve.policy.sign import SigningKey
from toolreeve.wire import pack

BEGIN = Instant(1_795_000_000 * 10**9)
KEY = SigningKey.generate()
THEIRS = SigningKey.generate()


def started(key: SigningKey | None = None) -> EnforcerStarted:
    public = b"" if key is None else key.public.raw
    return EnforcerStarted(software_version="1", host="h", servers=(), public_key=public)


def decided(number: int) -> Decided:
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


def checkpoint(size: int, added: tuple[LoggedGroups, ...], key: SigningKey = KEY) -> CheckpointMade:
    """Signed over so many leaves, which nobody looks at here."""
    root = Frontier().append(leaf_hash(b"%d" % number) for number in range(size)).root
    name = NamedKey("worker", key.public.raw, key.public.verifies)
    return CheckpointMade(
        note=sign_note(Checkpoint("worker", size, root).text, name, key.sign), added=added
    )


class Owner:
    """Somebody's outbox, written one event a group."""

    def __init__(self, home: Path, name: str) -> None:
        self.data = home / name
        self.name = name

    def live(self, epoch: int, bodies: Sequence[Body]) -> None:
        async def story() -> None:
            outbox = Outbox[Draft].open(self.data / "outbox", owner=self.name, pack=pack(self.name))
            outbox.begin(epoch)
            for body in bodies:
                await outbox.append(Draft(BEGIN, body))
            await outbox.close()

        asyncio.run(story())

    def copied(self, name: str) -> "Owner":
        """As a backup of now."""
        shutil.copytree(self.data, self.data.with_name(name))
        copy = Owner(self.data.parent, self.name)
        copy.data = self.data.with_name(name)
        return copy

    def payloads(self) -> Iterator[bytes]:
        outbox = Outbox[Draft].open(self.data / "outbox", owner=self.name, pack=pack(self.name))
        yield from [group.payload for group in outbox.groups()]
        asyncio.run(outbox.close())


def export(folder: Path, *owners: Owner, until: str | None = None) -> Path:
    """Everybody's history, as the worker would hand it out."""
    with Writer(folder) as writer:
        for owner in owners:
            for payload in owner.payloads():
                writer.take(payload)
        writer.finish("2026-11-21T00:00:00Z", None, until)
    return folder


def verified(folder: Path, *arguments: object) -> list[tuple[str, str, str]]:
    given = [str(one) for one in arguments]
    done = CliRunner().invoke(cli, ["audit", "verify", "--json", "--export", str(folder), *given])
    found: dict[str, Any] = json.loads(done.output)
    assert done.exit_code == (0 if found["whole"] else 1)
    return [(one["event"], one["fault"], one["detail"]) for one in found["findings"]]


@pytest.fixture
def edge(tmp_path: Path) -> Owner:
    owner = Owner(tmp_path, "edge-1")
    owner.live(7, [started(), *map(decided, range(9))])
    return owner


@pytest.fixture
def worker(tmp_path: Path) -> Owner:
    return Owner(tmp_path, "worker")


def logged(epoch: int, first: int, last: int) -> tuple[LoggedGroups, ...]:
    counts = (1,) * (last - first + 1)
    return (LoggedGroups(enforcer="edge-1", epoch=epoch, first_sequence=first, events=counts),)


def test_a_checkpoint_shows_that_the_history_beside_it_is_an_older_copy(
    tmp_path: Path, edge: Owner, worker: Owner
) -> None:
    backup = edge.copied("backup")
    edge.live(8, [started(), *map(decided, range(3))])
    worker.live(3, [started(KEY), checkpoint(10, logged(7, 1, 10))])
    assert verified(export(tmp_path / "then", backup, worker)) == []
    worker.live(4, [started(KEY), checkpoint(14, logged(8, 1, 4))])
    assert verified(export(tmp_path / "now", edge, worker)) == []
    assert verified(export(tmp_path / "put back", backup, worker)) == [
        (
            "edge-1:8:1",
            "rolled back",
            "the checkpoint worker:4:2 has events up to 4: this is an older copy",
        )
    ]


def test_one_event_is_enough(tmp_path: Path, edge: Owner, worker: Owner) -> None:
    worker.live(3, [started(KEY), checkpoint(10, logged(7, 1, 10))])
    assert verified(export(tmp_path / "all", edge, worker)) == []
    worker.live(4, [started(KEY), checkpoint(11, logged(7, 11, 11))])
    found = verified(export(tmp_path / "one less", edge, worker))
    assert [one[:2] for one in found] == [("edge-1:7:11", "rolled back")]


def test_an_older_copy_that_was_gone_on_with_is_known_too(
    tmp_path: Path, edge: Owner, worker: Owner
) -> None:
    worker.live(3, [started(KEY), checkpoint(10, logged(7, 1, 10))])
    fresh = Owner(tmp_path / "fresh", "edge-1")
    fresh.live(7, [started(), *map(decided, range(4))])
    fresh.live(9, [started(), *map(decided, range(20))])
    found = verified(export(tmp_path / "export", fresh, worker))
    assert [one[:2] for one in found] == [("edge-1:7:6", "rolled back")]


def test_what_was_left_out_on_purpose_is_not_missing(
    tmp_path: Path, edge: Owner, worker: Owner
) -> None:
    worker.live(3, [started(KEY), checkpoint(20, logged(7, 1, 20))])
    assert verified(export(tmp_path / "bounded", edge, worker, until="2026-11-20T00:00Z")) == []
    assert verified(export(tmp_path / "others", worker)) == [], "nothing of that enforcer is here"
    worker.live(4, [checkpoint(25, logged(5, 1, 5))])
    later = export(tmp_path / "later", edge, worker)
    assert [one[0] for one in verified(later)] == ["edge-1:7:11"], "earlier epochs may be gone"


def test_an_export_that_was_kept_shows_an_older_outbox(tmp_path: Path, edge: Owner) -> None:
    backup = edge.copied("backup")
    edge.live(8, [started(), *map(decided, range(3))])
    kept = export(tmp_path / "kept", edge)
    old = export(tmp_path / "old", backup)
    assert verified(old) == [], "it is whole by itself"
    ((event, fault, detail),) = verified(old, "--against", kept)
    assert (event, fault) == ("edge-1:8:1", "rolled back")
    assert f"the export {kept} has events up to 4" in detail
    edge.live(9, [started()])
    assert verified(export(tmp_path / "new", edge), "--against", kept, "--against", old) == []


def test_another_history_than_the_one_that_was_kept_is_a_fork(tmp_path: Path, edge: Owner) -> None:
    kept = export(tmp_path / "kept", edge)
    other = Owner(tmp_path / "other", "edge-1")
    other.live(7, [started(), *map(decided, range(100, 120))])
    found = verified(export(tmp_path / "export", other), "--against", kept)
    assert [one[:2] for one in found] == [("edge-1:7:10", "forked")]


def witness(path: Path, *made: CheckpointMade) -> Path:
    lines = [json.dumps({"note": one.note}) for one in made]
    path.write_text("\n".join(["", "no json", *lines, ""]))
    return path


def test_a_witness_knows_an_older_copy_of_the_log(
    tmp_path: Path, edge: Owner, worker: Owner
) -> None:
    first, second = checkpoint(4, logged(7, 1, 4)), checkpoint(10, logged(7, 5, 10))
    worker.live(3, [started(KEY), first])
    old = export(tmp_path / "old", edge, worker)
    worker.live(4, [second])
    new = export(tmp_path / "new", edge, worker)
    seen = witness(tmp_path / "witness.jsonl", first, second, checkpoint(99, (), THEIRS))
    assert verified(new, "--against", seen) == []
    ((event, fault, detail),) = verified(old, "--against", seen)
    assert (event, fault) == ("worker:3:2", "rolled back")
    assert "a checkpoint over 10 groups, the last one here is over 4" in detail
    other = checkpoint(4, (), KEY)
    forked = witness(tmp_path / "forked.jsonl", other)
    assert verified(old, "--against", forked) == [], "the same root"


def test_what_cannot_be_compared_is_said(tmp_path: Path, edge: Owner, worker: Owner) -> None:
    worker.live(3, [started(KEY), checkpoint(4, logged(7, 1, 4))])
    whole = export(tmp_path / "whole", edge, worker)
    bounded = export(tmp_path / "bounded", edge, worker, until="2026-11-20T00:00Z")
    broken = export(tmp_path / "broken", edge)
    (broken / "events.jsonl").write_bytes((broken / "events.jsonl").read_bytes()[:-400])
    foreign = witness(tmp_path / "foreign.jsonl", checkpoint(9, (), THEIRS))
    for folder, against, says in (
        (bounded, whole, "cannot be told from an older copy"),
        (whole, tmp_path / "nothing", "cannot be read"),
        (whole, broken, "is not whole itself"),
        (whole, foreign, "no checkpoint of the witness is by a key of this history"),
    ):
        arguments = ["audit", "verify", "--export", str(folder), "--against", str(against)]
        done = CliRunner().invoke(cli, arguments)
        assert done.exit_code != 0
        assert says in done.output + str(done.exception), (done.output, done.exception)
