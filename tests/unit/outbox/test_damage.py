"""Every byte of a small outbox is hit once: nothing that was durable may go unnoticed."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from toolreeve.audit import Position
from toolreeve.outbox.error import OutboxError
from toolreeve.outbox.frame import Group, frame_bytes
from toolreeve.outbox.journal import Journal
from toolreeve.outbox.segment import IDENTITY_BYTES
from toolreeve.outbox.settings import OutboxSettings

IDENTITY_USED_BYTES = 160


@pytest.fixture
def written(
    tmp_path: Path, open_journal: Callable[[], Journal], next_group: Callable[..., Group]
) -> list[Group]:
    """What stands in tmp_path/outbox: two segments, the second with room left."""
    journal = open_journal()
    groups: list[Group] = []
    for number in range(11):
        groups.append(next_group(journal, b"%02d records" % number + b"." * 420, count=2))
        journal.write(groups[-1])
    journal.close()
    assert [file.name for file in segments_of(tmp_path / "outbox")] == [
        "0000000001.segment",
        "0000000002.segment",
    ]
    return groups


def segments_of(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.segment"))


def read_or_error(open_journal: Callable[[], Journal]) -> tuple[list[Group], int] | OutboxError:
    try:
        journal = open_journal()
    except OutboxError as error:
        return error
    try:
        return list(journal.groups(None)), journal.torn_bytes
    except OutboxError as error:
        return error
    finally:
        journal.close()


def places(size: int) -> Iterator[int]:
    """Every byte that says something, and a sample of the identity header's zeros."""
    yield from range(IDENTITY_USED_BYTES)
    yield from range(IDENTITY_USED_BYTES, IDENTITY_BYTES, 61)
    yield from range(IDENTITY_BYTES, size)


@pytest.mark.timeout(600)  # some twelve thousand outboxes are opened, each with a flush
def test_a_flipped_bit_is_refused_or_is_a_torn_tail_and_never_shortens_the_middle(
    tmp_path: Path, written: list[Group], open_journal: Callable[[], Journal]
) -> None:
    folder = tmp_path / "outbox"
    first, last = segments_of(folder)
    there = last.read_bytes()
    last_group_ends = IDENTITY_BYTES + sum(
        frame_bytes(group) for group in written if group.payload in there
    )
    last_group_begins = last_group_ends - frame_bytes(written[-1])
    for file in (first, last):
        intact = file.read_bytes()
        for at in places(len(intact)):
            file.write_bytes(intact[:at] + bytes([intact[at] ^ (1 << at % 8)]) + intact[at + 1 :])
            found = read_or_error(open_journal)
            if isinstance(found, OutboxError):
                assert found.segment == file.name
                assert found.offset is not None
                assert found.offset <= at
                assert file is first or at < last_group_begins
            elif file is last and last_group_begins <= at < last_group_ends:
                assert found[0] == written[:-1]
                assert found[1] > 0
            else:  # zeros behind the end, of a segment that nobody writes to or that is made zero
                assert found[0] == written
                assert at >= last_group_ends if file is last else at > 7000
                assert (found[1] > 0) == (file is last)
        file.write_bytes(intact)


def test_a_segment_of_another_length_is_refused(
    tmp_path: Path, written: list[Group], open_journal: Callable[[], Journal]
) -> None:
    for file in segments_of(tmp_path / "outbox"):
        intact = file.read_bytes()
        for length in [*range(0, len(intact), 7), len(intact) - 1]:
            file.write_bytes(intact[:length])
            found = read_or_error(open_journal)
            assert isinstance(found, OutboxError)
            assert found.segment == file.name
        file.write_bytes(intact)
    assert read_or_error(open_journal) == (written, 0)


def test_a_missing_swapped_or_foreign_segment_is_refused(
    tmp_path: Path,
    written: list[Group],
    open_journal: Callable[[], Journal],
    small: OutboxSettings,
) -> None:
    folder = tmp_path / "outbox"
    first, last = segments_of(folder)
    aside = tmp_path / "aside"

    shutil.copy(last, folder / "0000000004.segment")
    assert "was made as" in str(read_or_error(open_journal))
    (folder / "0000000004.segment").unlink()

    shutil.move(first, aside)
    shutil.copy(last, first)
    assert "was made as" in str(read_or_error(open_journal))
    shutil.move(aside, first)

    with pytest.raises(OutboxError, match="belongs to 'edge-1', not to 'edge-2'"):
        Journal(folder, owner="edge-2", settings=small)

    shutil.move(last, aside)
    last.symlink_to(aside)
    assert "symbolic" in str(read_or_error(open_journal))
    last.unlink()
    shutil.move(aside, last)
    assert read_or_error(open_journal) == (written, 0)


def test_a_segment_of_another_history_that_fits_in_place_is_refused(
    tmp_path: Path,
    written: list[Group],
    open_journal: Callable[[], Journal],
    next_group: Callable[..., Group],
    small: OutboxSettings,
) -> None:
    """Same owner, same positions, same sizes: only the chain's head tells them apart."""
    other = Journal(tmp_path / "other", owner="edge-1", settings=small)
    for group in written:
        other.write(next_group(other, bytes(len(group.payload)), count=group.count))
    other.close()
    first, _ = segments_of(tmp_path / "outbox")
    shutil.copy(tmp_path / "other" / first.name, first)
    found = read_or_error(open_journal)
    assert "is not the one that 0000000002.segment goes on from" in str(found)


def test_the_loss_of_published_groups_is_noticed_at_both_ends(
    tmp_path: Path, written: list[Group], open_journal: Callable[[], Journal]
) -> None:
    folder = tmp_path / "outbox"
    journal = open_journal()
    journal.mark.advance(written[-1].last)
    journal.close()
    first, last = segments_of(folder)
    shutil.move(last, tmp_path / "aside")
    assert "was published, the last one here is" in str(read_or_error(open_journal))
    shutil.move(tmp_path / "aside", last)

    (folder / "published").unlink()
    journal = open_journal()
    journal.mark.advance(written[2].last)
    journal.close()
    first.unlink()
    assert "segments before it are missing" in str(read_or_error(open_journal))


def test_a_lost_or_damaged_mark_only_means_that_nothing_counts_as_published(
    tmp_path: Path, written: list[Group], open_journal: Callable[[], Journal]
) -> None:
    journal = open_journal()
    journal.mark.advance(written[3].last)
    journal.close()
    mark = tmp_path / "outbox" / "published"
    intact = mark.read_bytes()
    for at in range(len(intact)):
        mark.write_bytes(intact[:at] + bytes([intact[at] ^ 1]) + intact[at + 1 :])
        journal = open_journal()
        assert journal.mark.position is None
        assert list(journal.groups(None)) == written
        journal.close()
    mark.write_bytes(intact)
    journal = open_journal()
    assert journal.mark.position == Position(1, 8)
    journal.close()


def test_a_journal_of_a_later_format_is_left_to_the_program_that_wrote_it(
    tmp_path: Path, written: list[Group], open_journal: Callable[[], Journal]
) -> None:
    first, _ = segments_of(tmp_path / "outbox")
    intact = first.read_bytes()
    import struct
    import zlib

    later = struct.pack("<II", 2, zlib.crc32(intact[24:IDENTITY_BYTES], 2))
    first.write_bytes(intact[:16] + later + intact[24:])
    assert "format version 2" in str(read_or_error(open_journal))
