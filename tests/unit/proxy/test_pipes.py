"""Lines are whole, however they arrive."""

from hypothesis import given
from hypothesis import strategies as st

from toolreeve.proxy.pipes import LineSplitter


def test_a_line_ends_with_a_line_feed_and_perhaps_one_carriage_return() -> None:
    splitter = LineSplitter(100)
    assert splitter.feed(b"one\ntwo\r\nthr") == [b"one", b"two"]
    assert splitter.feed(b"ee\n") == [b"three"]


def test_other_carriage_returns_stay_to_be_refused() -> None:
    assert LineSplitter(100).feed(b"a\rb\r\r\n") == [b"a\rb\r"]


@given(st.lists(st.binary(max_size=6)))
def test_cutting_does_not_matter(pieces: list[bytes]) -> None:
    whole = b"".join(pieces)
    splitter = LineSplitter(1000)
    lines = [line for piece in pieces for line in splitter.feed(piece)]
    assert lines == LineSplitter(1000).feed(whole)
    assert splitter.unfinished == len(whole.rpartition(b"\n")[2])


def test_a_line_that_is_too_long_is_told_once_and_the_next_one_is_read() -> None:
    splitter = LineSplitter(10)
    assert splitter.feed(b"before\n" + b"x" * 11) == [b"before"]
    assert splitter.feed(b"x" * 50) == [None]
    assert splitter.feed(b"x" * 50) == []
    assert splitter.feed(b"x" * 5 + b"\nne") == []
    assert splitter.feed(b"xt\n" + b"y" * 11 + b"\nlast\n") == [b"next", None, b"last"]
