"""Events come out as they went in, however the bytes were cut."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from toolreeve.proxy.sse import SseEvent, SseParser, message_event

STREAM = (
    b": hello\r\n\r\n"
    b"id: 1\r\ndata:\r\n\r\n"
    b'event: message\r\nid: 2\r\ndata: {"a":1}\r\n\r\n'
    b'data:{"b":\ndata: 2}\n\n'
    b"retry: 500\r\r"
    b"data: last\n\r\n"
)
DATA = [None, b"", b'{"a":1}', b'{"b":\n2}', None, b"last"]


def test_events_are_told_apart_and_kept_verbatim() -> None:
    events = SseParser(1000).feed(STREAM)
    assert [event.data for event in events] == DATA
    assert [event.has_id for event in events] == [False, True, True, False, False, False]
    assert b"".join(event.raw for event in events) == STREAM


@given(st.lists(st.integers(0, len(STREAM)), max_size=8))
def test_it_does_not_matter_where_the_bytes_are_cut(cuts: list[int]) -> None:
    parser = SseParser(1000)
    edges = [0, *sorted(cuts), len(STREAM)]
    events: list[SseEvent] = []
    for start, end in itertools.pairwise(edges):
        events += parser.feed(STREAM[start:end])
    assert b"".join(event.raw for event in events) == STREAM
    assert [event.data for event in events if event.data] == [one for one in DATA if one]


def test_one_byte_at_a_time_makes_the_same_events() -> None:
    parser = SseParser(1000)
    events = [event for byte in STREAM for event in parser.feed(bytes([byte]))]
    assert [event.data for event in events if event.data] == [one for one in DATA if one]
    assert parser.unfinished == 0


@pytest.mark.parametrize("size", [1, 7, 100, 4000])
def test_an_event_that_is_too_long_goes_through_in_pieces(size: int) -> None:
    stream = b"data: " + b"x" * 3000 + b"\n\ndata: short\n\n"
    parser = SseParser(500)
    events: list[SseEvent] = []
    for start in range(0, len(stream), size):
        events += parser.feed(stream[start : start + size])
    assert b"".join(event.raw for event in events) == stream
    assert events[-1].data == b"short"
    if size < 3000:
        assert [event.last for event in events if event.partial].count(True) == 1


def test_data_can_be_replaced_and_the_rest_of_the_event_stays() -> None:
    event = SseParser(1000).feed(b"event: message\r\nid: 9\r\ndata: a\r\ndata: b\r\n\r\n")[0]
    assert event.with_data(b"{}").raw == b"event: message\nid: 9\ndata: {}\n\n"


def test_an_event_of_our_own_is_read_as_one() -> None:
    events = SseParser(1000).feed(message_event(b'{"jsonrpc":"2.0"}'))
    assert [event.data for event in events] == [b'{"jsonrpc":"2.0"}']


MARK = b"\xef\xbb\xbf"


@pytest.mark.parametrize("size", [1, 2, 100])
def test_byte_order_marks_before_a_stream_are_not_passed_on_and_hide_no_data(size: int) -> None:
    stream = MARK * 2 + b"data: {}\n\n" + MARK + b"data: 1\n\n"
    parser = SseParser(1000)
    events: list[SseEvent] = []
    for start in range(0, len(stream), size):
        events += parser.feed(stream[start : start + size])
    assert [event.data for event in events] == [b"{}", None]
    assert b"".join(event.raw for event in events) == stream.removeprefix(MARK * 2)


def test_a_line_after_a_mark_does_not_become_the_first_when_data_is_replaced() -> None:
    event = SseParser(1000).feed(b"data: a\n" + MARK + b"data: b\nid: 9\n\n")[0]
    assert event.with_data(b"{}").raw == b"id: 9\ndata: {}\n\n"
