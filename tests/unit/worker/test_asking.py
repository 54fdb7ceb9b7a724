"""When what is missing is asked for."""

from itertools import pairwise

from toolreeve.audit import Position
from toolreeve.audit.span import Missing
from toolreeve.worker.asking import Asker, StreamPlace

HOLE = Missing(Position(1, 3), Position(1, 9))
GROWN = Missing(Position(1, 3), Position(1, 20))


def test_what_may_still_be_in_the_stream_is_waited_for() -> None:
    asker = Asker()
    assert asker.due([HOLE], StreamPlace(last=50, loaded=40), 0.0) == ()
    assert asker.due([HOLE], StreamPlace(last=60, loaded=49), 2.0) == ()
    assert asker.due([GROWN], StreamPlace(last=70, loaded=50), 4.0) == (GROWN,)


def test_a_stream_that_has_become_shorter_is_not_waited_for() -> None:
    asker = Asker()
    assert asker.due([HOLE], StreamPlace(last=50, loaded=40), 0.0) == ()
    assert asker.due([HOLE], StreamPlace(last=2, loaded=2), 2.0) == (HOLE,)


def test_nothing_is_asked_for_while_the_stream_cannot_be_seen() -> None:
    asker = Asker()
    assert asker.due([HOLE], None, 0.0) == ()
    assert asker.due([HOLE], StreamPlace(last=5, loaded=5), 1.0) == (), "seen for the first time"
    assert asker.due([HOLE], None, 2.0) == ()


def test_what_does_not_come_is_asked_for_with_growing_pauses() -> None:
    asker, place = Asker(), StreamPlace(last=5, loaded=5)
    asked = [now for now in range(2_000) if asker.due([HOLE], place, float(now))]
    pauses = [late - early for early, late in pairwise(asked)]
    assert pauses == [10, 20, 40, 80, 160, 320, 600, 600]


def test_a_hole_that_moves_is_on_its_way_to_be_filled() -> None:
    asker = Asker()
    for sequence in range(3, 9):
        hole = Missing(Position(1, sequence), Position(1, 9))
        assert asker.due([hole], StreamPlace(last=5, loaded=5), float(sequence)) == ()
