"""What is missing of a history, by what is there."""

from toolreeve.audit import GENESIS, Position
from toolreeve.audit.span import EpochSpan, Missing
from toolreeve.worker.holes import Break, EpochRun, Walk, spans, walk

BEFORE_ALL = Position(0, 0)


def head(epoch: int, sequence: int) -> bytes:
    return b"%d:%d" % (epoch, sequence)


def run(epoch: int, first: int, last: int, *, follows: bytes | None = None) -> EpochRun:
    before = head(epoch, first - 1) if follows is None else follows
    return EpochRun(epoch, first, last, before, head(epoch, last))


def seen(
    *runs: EpochRun,
    kept_after: Position = BEFORE_ALL,
    kept_after_head: bytes = b"",
    heads: tuple[bytes, ...] = (),
) -> Walk:
    return walk(
        runs,
        kept_after=kept_after,
        kept_after_head=kept_after_head,
        was_head=heads.__contains__,
    )


FIRST = run(1, 1, 10, follows=GENESIS)


def test_epochs_that_follow_one_another_by_their_heads_miss_nothing() -> None:
    found = seen(FIRST, run(5, 1, 7, follows=head(1, 10)), run(9, 1, 2, follows=head(5, 7)))
    assert found == Walk(Position(9, 2), (), ())
    assert found.has(Position(9, 2))
    assert not found.has(Position(9, 3))


def test_a_gap_within_an_epoch_is_missing() -> None:
    found = seen(FIRST, run(1, 14, 20))
    assert found.missing == (Missing(Position(1, 10), Position(1, 13)),)
    assert found.has(Position(1, 10))
    assert not found.has(Position(1, 20)), "it lies behind a gap"


def test_the_end_of_an_epoch_that_the_next_one_follows_is_missing() -> None:
    found = seen(FIRST, run(5, 1, 7, follows=head(1, 12)))
    assert found.missing == (Missing(Position(1, 10), Position(5, 0)),)
    assert not found.breaks


def test_the_beginning_is_missing_where_the_outbox_still_has_it() -> None:
    assert seen(run(5, 4, 7)).missing == (Missing(BEFORE_ALL, Position(5, 3)),)
    assert seen().lacks(Position(5, 7)) == (Missing(BEFORE_ALL, Position(5, 7)),)
    assert seen(run(5, 1, 7, follows=head(1, 10)), heads=()).missing


def test_nobody_is_asked_for_what_the_outbox_no_longer_has() -> None:
    assert not seen(run(5, 4, 7), kept_after=Position(5, 3), kept_after_head=b"").missing
    assert not seen(run(5, 2, 7), kept_after=Position(5, 3), kept_after_head=b"").missing
    found = seen(
        run(1, 1, 3, follows=GENESIS),
        run(5, 1, 7, follows=head(1, 10)),
        kept_after=Position(1, 10),
        kept_after_head=head(1, 10),
    )
    assert not found.missing


def test_what_has_left_and_not_arrived_is_missing_at_the_end() -> None:
    found = seen(FIRST)
    assert found.lacks(Position(1, 10)) == ()
    assert found.lacks(Position(1, 12)) == (Missing(Position(1, 10), Position(1, 12)),)
    assert found.lacks(Position(3, 2)) == (Missing(Position(1, 10), Position(3, 2)),)


def test_an_outbox_that_was_put_back_misses_nothing_and_breaks_the_history() -> None:
    found = seen(FIRST, run(5, 1, 7, follows=head(1, 4)), heads=(head(1, 4),))
    assert found.breaks == (Break(Position(1, 10), Position(5, 1)),)
    assert not found.missing


def test_an_outbox_that_was_made_anew_breaks_the_history() -> None:
    found = seen(FIRST, run(5, 1, 7, follows=GENESIS))
    assert found.breaks == (Break(Position(1, 10), Position(5, 1)),)
    assert not found.missing


def test_two_histories_of_one_epoch_that_were_not_joined_are_a_break() -> None:
    found = seen(FIRST, run(1, 11, 12, follows=b"another"))
    assert found.breaks == (Break(Position(1, 10), Position(1, 11)),)
    assert not found.missing


def test_spans_are_what_is_loaded() -> None:
    assert spans((FIRST, run(1, 14, 20))) == (EpochSpan(1, 1, 10), EpochSpan(1, 14, 20))
