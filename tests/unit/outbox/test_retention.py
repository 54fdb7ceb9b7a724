"""Segments are held until the warehouse has all of their events."""

from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from toolreeve.audit import Position
from toolreeve.audit.span import EpochSpan, covers
from toolreeve.outbox.error import OutboxError
from toolreeve.outbox.frame import Group
from toolreeve.outbox.journal import Journal
from toolreeve.outbox.settings import OutboxSettings


@pytest.fixture
def held(small: OutboxSettings, tmp_path: Path) -> Journal:
    """A journal whose segments hold two groups each, all of it published."""
    settings = replace(small, keep_until="materialised")
    return Journal(tmp_path / "outbox", owner="edge-1", settings=settings)


def fill(journal: Journal, next_group: Callable[..., Group], *epochs: int) -> None:
    for epoch in epochs:
        journal.write(next_group(journal, bytes(1_500), epoch=epoch))
    assert journal.view.last is not None
    journal.mark.advance(journal.view.last)


def kept(journal: Journal) -> list[Position]:
    return [group.first for group in journal.groups(None)]


def test_nothing_goes_while_nobody_says_what_is_materialised(
    held: Journal, next_group: Callable[..., Group]
) -> None:
    fill(held, next_group, *[1] * 8)
    assert held.trim() == 0
    assert len(kept(held)) == 8


def test_a_segment_goes_when_its_last_event_is_materialised(
    held: Journal, next_group: Callable[..., Group]
) -> None:
    fill(held, next_group, *[1] * 8)
    held.retention.hear((EpochSpan(1, 1, 3),))
    assert held.trim() == 1
    assert kept(held)[0] == Position(1, 3), "only the second segment's first event is there"
    held.retention.hear((EpochSpan(1, 1, 4),))
    assert held.trim() == 1


def test_a_warehouse_that_was_lost_holds_everything_again(
    held: Journal, next_group: Callable[..., Group]
) -> None:
    fill(held, next_group, *[1] * 8)
    held.retention.hear((EpochSpan(1, 1, 8),))
    held.retention.hear(())
    assert held.trim() == 0


def test_a_segment_of_several_epochs_is_looked_into(
    held: Journal, next_group: Callable[..., Group]
) -> None:
    fill(held, next_group, 1, 2, 2, 3, 4, 4)
    held.retention.hear((EpochSpan(1, 1, 1), EpochSpan(2, 2, 2), EpochSpan(3, 1, 1)))
    assert held.trim() == 0, "2:1 is missing"
    held.retention.hear((EpochSpan(1, 1, 1), EpochSpan(2, 1, 1), EpochSpan(2, 2, 2)))
    assert held.trim() == 1
    assert kept(held)[0] == Position(2, 2)


def test_at_the_bound_what_is_not_materialised_is_kept_and_writing_is_refused(
    small: OutboxSettings, tmp_path: Path, next_group: Callable[..., Group]
) -> None:
    settings = replace(small, keep_until="materialised", bytes_on_disk_max=3 * 8192)
    journal = Journal(tmp_path / "outbox", owner="edge-1", settings=settings)
    fill(journal, next_group, *[1] * 6)
    with pytest.raises(OutboxError, match="its bound"):
        fill(journal, next_group, 1)
    assert len(kept(journal)) == 6
    journal.retention.hear((EpochSpan(1, 1, 6),))
    fill(journal, next_group, 1)
    assert kept(journal)[-1] == Position(1, 7)


@given(
    spans=st.lists(st.tuples(st.integers(1, 2), st.integers(1, 9), st.integers(1, 9)), max_size=4),
    epoch=st.integers(1, 2),
    first=st.integers(1, 9),
    more=st.integers(0, 4),
)
def test_events_are_covered_only_where_one_span_has_them_all(
    spans: list[tuple[int, int, int]], epoch: int, first: int, more: int
) -> None:
    wanted = [(epoch, sequence) for sequence in range(first, first + more + 1)]
    whole = any(
        all(one == had_epoch and low <= sequence <= high for one, sequence in wanted)
        for had_epoch, low, high in spans
    )
    had = [EpochSpan(*span) for span in spans]
    assert covers(had, Position(epoch, first), Position(epoch, first + more)) == whole
