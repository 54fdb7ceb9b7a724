"""A damaged outbox is set aside as evidence, and everything that can be read goes on."""

import asyncio
import shutil
from collections.abc import Callable, Sequence
from hashlib import sha256
from pathlib import Path

import pytest

from toolreeve.audit import Position
from toolreeve.outbox import Outbox, OutboxError, OutboxSettings
from toolreeve.outbox.frame import Group, frame_bytes
from toolreeve.outbox.journal import Journal
from toolreeve.outbox.salvage import finish_interrupted
from toolreeve.outbox.segment import IDENTITY_BYTES

Written = tuple[Path, list[Group]]


def pack(first: Position, head: bytes, records: Sequence[bytes]) -> tuple[bytes, bytes]:
    payload = b"%d:" % first.sequence + b"".join(records)
    return payload, sha256(head + payload).digest()


@pytest.fixture
def written(
    tmp_path: Path, open_journal: Callable[[], Journal], next_group: Callable[..., Group]
) -> Written:
    """Two segments, the first one published in part."""
    journal = open_journal()
    groups: list[Group] = []
    for number in range(11):
        groups.append(next_group(journal, b"%02d records" % number + b"." * 420, count=2))
        journal.write(groups[-1])
    journal.mark.advance(groups[1].last)
    journal.close()
    return tmp_path / "outbox", groups


def opened(folder: Path, small: OutboxSettings) -> Outbox[bytes]:
    return Outbox[bytes].open(folder, owner="edge-1", pack=pack, settings=small)


def contents(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in folder.iterdir() if file.name != "lock"}


def broken(folder: Path, file: str, at: int) -> dict[str, bytes]:
    """The folder's contents with one bit of one file flipped."""
    path = folder / file
    intact = path.read_bytes()
    path.write_bytes(intact[:at] + bytes([intact[at] ^ (1 << at % 8)]) + intact[at + 1 :])
    return contents(folder)


def test_damage_in_a_segment_that_is_published_is_set_aside_too(
    tmp_path: Path, written: Written, open_journal: Callable[[], Journal], small: OutboxSettings
) -> None:
    folder, groups = written
    journal = open_journal()
    journal.mark.advance(groups[-1].last)
    journal.close()
    broken(folder, "0000000001.segment", IDENTITY_BYTES + frame_bytes(groups[0]) + 100)
    outbox = opened(folder, small)
    assert outbox.recovered.salvaged is not None
    assert list(outbox.groups()) == [groups[0], *groups[2:]]
    asyncio.run(outbox.close())


def test_damage_is_told_at_each_opening_until_it_is_on_record(
    written: Written, small: OutboxSettings
) -> None:
    folder, groups = written
    broken(folder, "0000000001.segment", IDENTITY_BYTES + frame_bytes(groups[0]) + 100)
    first = opened(folder, small)
    found = first.recovered.salvaged
    assert found is not None
    asyncio.run(first.close())  # before it could say so
    again = opened(folder, small)
    assert again.recovered.salvaged == found
    again.reported()
    asyncio.run(again.close())
    last = opened(folder, small)
    assert last.recovered.salvaged is None
    asyncio.run(last.close())


@pytest.mark.parametrize("file", ["0000000001.segment", "0000000002.segment"])
def test_one_flipped_bit_costs_the_group_it_is_in_and_no_other(
    tmp_path: Path, written: Written, small: OutboxSettings, file: str
) -> None:
    source, groups = written
    size = (source / file).stat().st_size
    salvaged = 0
    for at in [*range(16, 160, 9), *range(IDENTITY_BYTES, size, 37)]:
        folder = tmp_path / f"{file}-{at}" / "outbox"
        shutil.copytree(source, folder)
        before = broken(folder, file, at)
        outbox = opened(folder, small)
        there = list(outbox.groups())
        found = outbox.recovered.salvaged
        assert there == [group for group in groups if group in there], "in order, none made up"
        if found is None:  # the bit lies behind the end, or in the torn tail
            assert there in (groups, groups[:-1])
        else:
            salvaged += 1
            assert contents(folder.parent / found.evidence) == before
            gone = len(groups) - len(there)
            in_header = at < IDENTITY_BYTES
            assert gone >= 2 if in_header else gone <= 1
            assert found.lost[0].segment == file
            assert found.groups == len(there)
        outbox.reported()
        asyncio.run(outbox.close())
        again = opened(folder, small)
        assert list(again.groups()) == there
        assert again.recovered.salvaged is None
        asyncio.run(again.close())
    assert salvaged > 40


def test_it_goes_on_behind_a_gap_and_a_follower_gets_what_is_left(
    written: Written, small: OutboxSettings
) -> None:
    folder, groups = written
    broken(folder, "0000000001.segment", IDENTITY_BYTES + 4 * frame_bytes(groups[0]) + 100)

    async def story() -> None:
        outbox = opened(folder, small)
        salvaged = outbox.recovered.salvaged
        assert salvaged is not None
        (lost,) = salvaged.lost
        assert (lost.after, lost.before) == (groups[3].last, groups[5].first)
        assert "its payload is damaged; between epoch 1 sequence 8 and" in str(lost)
        assert outbox.recovered.next_epoch == 3
        outbox.begin(3)
        assert await outbox.append(b"new") == Position(3, 1)
        await outbox.finish()
        followed = [group.first async for group in outbox.follow()]
        expected = [group.first for group in groups if group != groups[4]]
        assert followed == [*expected, Position(3, 1)], "what was published may come again"
        await outbox.close()

    asyncio.run(story())


def test_a_missing_segment_a_lost_end_and_a_swapped_file_are_gaps(
    tmp_path: Path, written: Written, small: OutboxSettings
) -> None:
    source, groups = written
    first, last = "0000000001.segment", "0000000002.segment"
    in_first = sum(group.payload in (source / first).read_bytes() for group in groups)

    def case(name: str) -> Path:
        folder = tmp_path / name / "outbox"
        shutil.copytree(source, folder)
        return folder

    folder = case("first is missing")
    (folder / first).unlink()
    outbox = opened(folder, small)
    assert list(outbox.groups()) == groups[in_first:]
    assert outbox.recovered.salvaged is not None
    asyncio.run(outbox.close())

    folder = case("second is cut short")
    (folder / last).write_bytes((folder / last).read_bytes()[:5000])
    outbox = opened(folder, small)
    assert list(outbox.groups()) == groups[:in_first]
    assert outbox.recovered.salvaged is not None
    assert outbox.recovered.salvaged.lost[-1].before is None
    asyncio.run(outbox.close())

    folder = case("first is the second")
    shutil.copy(folder / last, folder / first)
    outbox = opened(folder, small)
    assert list(outbox.groups()) == groups[in_first:]
    asyncio.run(outbox.close())


def test_damage_while_another_process_has_it_changes_nothing(
    written: Written, small: OutboxSettings
) -> None:
    folder, _ = written
    outbox = opened(folder, small)
    before = broken(folder, "0000000001.segment", IDENTITY_BYTES + 10)
    with pytest.raises(OutboxError, match="works with it"):
        opened(folder, small)
    assert contents(folder) == before
    assert [one.name for one in folder.parent.iterdir()] == ["outbox"]
    asyncio.run(outbox.close())


def test_a_copy_that_was_whole_when_its_maker_was_killed_is_taken_up(
    written: Written, small: OutboxSettings
) -> None:
    folder, groups = written
    folder.rename(folder.with_name("outbox.salvaged"))
    finish_interrupted(folder)
    outbox = opened(folder, small)
    assert list(outbox.groups()) == groups
    asyncio.run(outbox.close())


def test_an_unfinished_copy_is_made_again(written: Written, small: OutboxSettings) -> None:
    folder, groups = written
    broken(folder, "0000000001.segment", IDENTITY_BYTES + 100)
    unfinished = folder.with_name("outbox.salvaging")
    unfinished.mkdir()
    (unfinished / "0000000001.segment").write_bytes(b"half of it")
    outbox = opened(folder, small)
    assert list(outbox.groups()) == groups[1:]
    assert not unfinished.exists()
    asyncio.run(outbox.close())
