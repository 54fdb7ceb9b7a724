"""Where an arriving group belongs, against a model that remembers every sequence."""

from hashlib import sha256
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from toolreeve.warehouse.runs import Duplicate, Fork, Placed, Run, Span, place

GENESIS = bytes(32)


def head_of(sequence: int, history: str = "true") -> bytes:
    """The head behind an event; another history has other heads."""
    return GENESIS if sequence == 0 else sha256(f"{history}{sequence}".encode()).digest()


def heads(first: int, last: int, history: str = "true") -> list[bytes]:
    return [head_of(sequence, history) for sequence in range(first - 1, last + 1)]


def run(first: int, last: int) -> Run:
    return Run(first, last, head_of(first - 1), head_of(last))


def test_the_first_group_begins_the_watermark() -> None:
    assert place((), 1, heads(1, 4)) == Placed((run(1, 4),), (Span(1, 4),))


def test_the_next_group_makes_the_run_longer() -> None:
    assert place((run(1, 4),), 5, heads(5, 6)) == Placed((run(1, 6),), (Span(5, 6),))


def test_a_group_behind_a_gap_stands_alone_and_names_what_is_missing() -> None:
    placed = place((run(1, 4),), 9, heads(9, 9))
    assert placed == Placed((run(1, 4), run(9, 9)), (Span(9, 9),), gap=Span(5, 8))


def test_a_group_that_fills_a_gap_joins_the_runs() -> None:
    placed = place((run(1, 4), run(9, 9)), 5, heads(5, 8))
    assert placed == Placed((run(1, 9),), (Span(5, 8),), filled=(Span(5, 8),))


def test_a_group_of_other_bounds_brings_only_what_is_missing() -> None:
    placed = place((run(1, 4), run(7, 7)), 3, heads(3, 9))
    assert isinstance(placed, Placed)
    assert placed.runs == (run(1, 9),)
    assert placed.missing == (Span(5, 6), Span(8, 9))


def test_what_is_loaded_is_a_duplicate() -> None:
    assert place((run(1, 9),), 3, heads(3, 6)) == Duplicate()


def test_another_history_behind_a_run_is_a_fork() -> None:
    assert place((run(1, 4),), 5, heads(5, 6, "other")) == Fork(behind=4)


def test_a_true_group_before_a_false_run_is_loaded_and_the_break_stays() -> None:
    false = Run(5, 6, head_of(4, "other"), head_of(6, "other"))
    placed = place((run(1, 2), false), 3, heads(3, 4))
    assert isinstance(placed, Placed)
    assert placed.runs == (run(1, 4), false)
    assert placed.broken == (5,)


@given(st.lists(st.tuples(st.integers(1, 30), st.integers(1, 8)), max_size=25))
def test_whatever_comes_each_sequence_is_loaded_once_and_runs_say_which(
    groups: list[tuple[int, int]],
) -> None:
    runs: tuple[Run, ...] = ()
    loaded: set[int] = set()
    for first, size in groups:
        last = first + size - 1
        wanted = set(range(first, last + 1))
        placed = place(runs, first, heads(first, last))
        if wanted <= loaded:
            assert placed == Duplicate()
            continue
        assert isinstance(placed, Placed)
        fresh = {n for span in placed.missing for n in range(span.first, span.last + 1)}
        assert fresh == wanted - loaded
        assert placed.broken == ()
        loaded |= fresh
        runs = placed.runs
        assert {n for each in runs for n in range(each.first, each.last + 1)} == loaded
        assert all(left.last + 1 < right.first for left, right in pairwise(runs))
        assert all(each.head == head_of(each.last) for each in runs)
