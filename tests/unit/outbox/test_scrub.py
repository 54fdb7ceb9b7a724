"""An outbox that opens at once reads little; what rots in the rest is noticed later."""

import asyncio
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from toolreeve.audit import Position
from toolreeve.outbox import DamageError, Outbox, OutboxSettings, Salvage
from toolreeve.outbox.frame import Group, frame_bytes
from toolreeve.outbox.journal import Journal
from toolreeve.outbox.segment import IDENTITY_BYTES

FIRST, MIDDLE, LAST = (f"000000000{number}.segment" for number in (1, 2, 3))
IDENTITY_USED_BYTES = 160


@pytest.fixture
def written(
    tmp_path: Path, open_journal: Callable[[], Journal], next_group: Callable[..., Group]
) -> list[Group]:
    """What stands in tmp_path/outbox: three segments, all of it published."""
    journal = open_journal()
    groups: list[Group] = []
    for number in range(18):
        groups.append(next_group(journal, b"%02d records" % number + b"." * 420, count=2))
        journal.write(groups[-1])
    journal.mark.advance(groups[-1].last)
    journal.close()
    names = sorted(file.name for file in (tmp_path / "outbox").glob("*.segment"))
    assert names == [FIRST, MIDDLE, LAST]
    return groups


def opened(folder: Path, small: OutboxSettings, *, whole: bool = False) -> Outbox[bytes]:
    return Outbox[bytes].open(
        folder,
        owner="edge-1",
        pack=lambda _first, head, records: (b"".join(records), head),
        settings=small,
        whole=whole,
    )


def one_pass(outbox: Outbox[bytes]) -> list[Salvage]:
    found: list[Salvage] = []
    scrub = outbox.scrub()
    goes_on = True
    while goes_on:
        goes_on, damage = scrub.step()
        if damage is not None:
            found.append(damage)
    return found


def flip(file: Path, at: int) -> bytes:
    intact = file.read_bytes()
    file.write_bytes(intact[:at] + bytes([intact[at] ^ (1 << at % 8)]) + intact[at + 1 :])
    return intact


def places(size: int) -> Iterator[int]:
    yield from range(0, IDENTITY_USED_BYTES, 5)
    yield from range(IDENTITY_USED_BYTES, IDENTITY_BYTES, 601)
    yield from range(IDENTITY_BYTES, size, 43)


def test_a_bit_that_opening_does_not_look_at_is_found_by_the_next_pass(
    tmp_path: Path, written: list[Group], small: OutboxSettings
) -> None:
    source = tmp_path / "outbox"
    used = {
        name: IDENTITY_BYTES
        + sum(frame_bytes(one) for one in written if one.payload in (source / name).read_bytes())
        for name in (FIRST, MIDDLE)
    }
    by_scrub = by_opening = 0
    for name, end in used.items():
        for at in places(end):
            folder = tmp_path / f"{name}-{at}" / "outbox"
            shutil.copytree(source, folder)
            flip(folder / name, at)
            outbox = opened(folder, small)
            at_once = outbox.recovered.salvaged
            later = one_pass(outbox)
            asyncio.run(outbox.close())
            if at_once is not None:
                by_opening += 1
                assert at < IDENTITY_BYTES, "all identities are read"
                assert later == []
            else:
                by_scrub += 1
                (found,) = later
                assert found.lost[0].segment == name
                evidence = folder.parent / found.evidence / name
                assert evidence.read_bytes() == (folder / name).read_bytes()
            shutil.rmtree(folder.parent)
    assert by_scrub > 150
    assert by_opening > 60


def test_what_is_lost_is_said_as_far_as_it_goes_and_once(
    tmp_path: Path, written: list[Group], small: OutboxSettings
) -> None:
    folder = tmp_path / "outbox"
    size = frame_bytes(written[0])
    outbox = opened(folder, small)
    for number in (1, 2):
        flip(folder / FIRST, IDENTITY_BYTES + number * size + 100)
    flip(folder / MIDDLE, IDENTITY_BYTES + 100)
    first, second = one_pass(outbox)
    (lost,) = first.lost
    assert (lost.after, lost.before) == (written[0].last, written[3].first)
    assert second.lost[0] == lost, "not yet on record"
    assert (second.lost[1].after, second.lost[1].before) == (written[7].last, written[9].first)
    outbox.reported()
    scrub = outbox.scrub()
    scrub_twice = [scrub.step() for _ in range(40)]
    assert sum(found is not None for _, found in scrub_twice) == 2, "each segment once in a life"
    asyncio.run(outbox.close())


@pytest.mark.parametrize("seen", ["by a pass", "by a reader"])
def test_the_opening_after_damage_was_seen_reads_everything_and_sets_it_aside(
    tmp_path: Path, written: list[Group], small: OutboxSettings, seen: str
) -> None:
    folder = tmp_path / "outbox"
    outbox = opened(folder, small)
    flip(folder / FIRST, IDENTITY_BYTES + frame_bytes(written[0]) + 100)
    if seen == "by a pass":
        one_pass(outbox)
        outbox.reported()
    else:
        with pytest.raises(DamageError):
            list(outbox.groups())
    asyncio.run(outbox.close())
    again = opened(folder, small)
    assert again.recovered.salvaged is not None
    assert list(again.groups()) == [written[0], *written[2:]]
    again.reported()
    asyncio.run(again.close())
    last = opened(folder, small)
    assert last.recovered.salvaged is None
    asyncio.run(last.close())


def test_a_suspicion_that_turns_out_wrong_is_forgotten(
    tmp_path: Path, written: list[Group], small: OutboxSettings
) -> None:
    folder = tmp_path / "outbox"
    outbox = opened(folder, small)
    intact = flip(folder / FIRST, IDENTITY_BYTES + 100)
    with pytest.raises(DamageError):
        list(outbox.groups())
    asyncio.run(outbox.close())
    (folder / FIRST).write_bytes(intact)
    assert (folder / "suspect").exists()
    again = opened(folder, small)
    assert again.recovered.salvaged is None
    assert not (folder / "suspect").exists()
    assert list(again.groups()) == written
    asyncio.run(again.close())


def test_opening_reads_what_a_follower_is_about_to_read(
    tmp_path: Path, written: list[Group], small: OutboxSettings
) -> None:
    folder = tmp_path / "outbox"
    (folder / "published").unlink()
    outbox = opened(folder, small)
    outbox.published(written[10].last)
    asyncio.run(outbox.close())
    flip(folder / FIRST, IDENTITY_BYTES + 100)
    outbox = opened(folder, small)
    assert outbox.recovered.salvaged is None, "published, so nobody is about to read it"
    asyncio.run(outbox.close())
    flip(folder / MIDDLE, IDENTITY_BYTES + 4 * frame_bytes(written[0]) + 100)
    outbox = opened(folder, small)
    assert outbox.recovered.salvaged is not None
    assert len(outbox.recovered.salvaged.lost) == 2, "and now all of it was read"
    asyncio.run(outbox.close())


def test_the_end_is_found_without_reading_what_stands_before_the_last_segment(
    tmp_path: Path, written: list[Group], small: OutboxSettings
) -> None:
    for whole in (True, False):
        outbox = opened(tmp_path / "outbox", small, whole=whole)
        status = outbox.status()
        assert (status.last, status.head) == (written[-1].last, written[-1].head)
        assert list(outbox.groups(Position(1, 5))) == written[2:], "a group is never cut"
        asyncio.run(outbox.close())


def test_a_segment_that_is_trimmed_under_a_pass_is_no_damage(
    tmp_path: Path, written: list[Group], small: OutboxSettings
) -> None:
    outbox = opened(tmp_path / "outbox", small)
    scrub = outbox.scrub()
    assert scrub.step() == (True, None)
    assert outbox.trim() == 2
    goes_on = True
    while goes_on:
        goes_on, found = scrub.step()
        assert found is None
    asyncio.run(outbox.close())


def test_an_identity_that_rots_or_is_another_under_an_outbox_at_work_is_found(
    tmp_path: Path, written: list[Group], small: OutboxSettings
) -> None:
    folder = tmp_path / "outbox"
    outbox = opened(folder, small)
    intact = flip(folder / FIRST, 100)
    (found,) = one_pass(outbox)
    assert found.lost[0].segment == FIRST
    assert found.lost[0].offset == 0
    assert (found.lost[0].after, found.lost[0].before) == (None, written[8].first)
    outbox.reported()
    (folder / FIRST).write_bytes(intact)
    asyncio.run(outbox.close())
    other = Journal(tmp_path / "other", owner="edge-1", settings=small)
    for group in written:
        other.write(group)
    other.close()
    outbox = opened(folder, small)
    shutil.copy(tmp_path / "other" / MIDDLE, folder / MIDDLE)
    (found,) = one_pass(outbox)
    assert (found.lost[0].after, found.lost[0].before) == (written[7].last, written[16].first)
    asyncio.run(outbox.close())
