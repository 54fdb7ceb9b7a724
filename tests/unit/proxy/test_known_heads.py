"""A head that was read once stands later for what the parser makes of the same bytes."""

import httptools
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from toolreeve.proxy.gate import Caller
from toolreeve.proxy.http_request import HttpRequest
from toolreeve.proxy.known_heads import (
    ANSWERS_MAX,
    HEAD_BYTES_MAX,
    HEADS_MAX,
    KnownAnswers,
    KnownHeads,
)

HEAD = (
    b"POST /flat/mcp?a=b HTTP/1.1\r\nHost: localhost\r\nAccept: a, b\r\nX-Two: 1\r\nX-Two: 2\r\n"
    b"Content-Length: %b\r\nAuthorization: Bearer one\r\n\r\n"
)
ANSWER = (
    b"HTTP/1.1 200 OK\r\ndate: Sat, 21 Nov 2026 18:00:0%d GMT\r\ncontent-length: %d\r\n"
    b"content-type: application/json\r\n\r\n%b"
)
BODY = b'{"a":1}'


def message(body: bytes = BODY, head: bytes = HEAD) -> bytes:
    return head % (b"%d" % len(body)) + body


class Whole(HttpRequest):
    """Reads one request with the parser."""

    def __init__(self, data: bytes) -> None:
        super().__init__("peer")
        self.ended = 0
        self.version = ""
        self.parser = httptools.HttpRequestParser(self)
        self.parser.feed_data(data)
        self.body = b"".join(self.chunks)
        self.caller = Caller("g", "a")

    def on_url(self, url: bytes) -> None:
        self.target += url

    def on_header(self, name: bytes, value: bytes) -> None:
        self.add_header(name, value)

    def on_headers_complete(self) -> None:
        self.method = self.parser.get_method()
        self.close = not self.parser.should_keep_alive()
        self.version = self.parser.get_http_version()

    def on_body(self, body: bytes) -> None:
        self.chunks.append(body)

    def on_message_complete(self) -> None:
        self.ended += 1


def heads(body_bytes_max: int = 1_000_000) -> KnownHeads:
    return KnownHeads(header_bytes_max=16_384, body_bytes_max=body_bytes_max)


def knowing(data: bytes) -> KnownHeads:
    known = heads()
    known.keep(data, Whole(data))
    return known


def as_read(request: HttpRequest) -> object:
    headers = {name: it for name, it in request.headers.items() if name != b"content-length"}
    return request.method, request.target, headers, request.body, request.close


@given(st.binary(max_size=2_000), st.binary(max_size=2_000))
def test_a_known_head_with_another_body_reads_as_the_parser_reads_it(
    first: bytes, second: bytes
) -> None:
    found = knowing(message(first)).request(message(second), "peer")
    assert found is not None
    assert as_read(found) == as_read(Whole(message(second)))


@st.composite
def spoilt(draw: st.DrawFn) -> bytes:
    """A message with something changed in it, most often around the length."""
    data = bytearray(message(draw(st.binary(max_size=30))))
    pieces = st.sampled_from(
        (
            b"\r\n",
            b"\n",
            b" ",
            b"\t",
            b":",
            b"0",
            b"7",
            b"content-length: 7\r\n",
            b"\r\n\r\n",
            b"\0",
        )
    )
    for _ in range(draw(st.integers(1, 3))):
        near = draw(st.sampled_from((bytes(data).find(b"ength"), 0, len(data) // 2)))
        at = min(max(near + draw(st.integers(-12, 12)), 0), len(data))
        match draw(st.integers(0, 2)):
            case 0:
                data[at:at] = draw(pieces | st.binary(min_size=1, max_size=2))
            case 1:
                del data[at : at + draw(st.integers(1, 3))]
            case _:
                data[at : at + 1] = draw(pieces)
    return bytes(data)


@settings(max_examples=2_000)
@given(st.lists(spoilt(), min_size=1, max_size=3))
def test_nothing_is_read_of_a_known_head_that_the_parser_reads_otherwise(seen: list[bytes]) -> None:
    known = heads()
    for data in (message(), *seen):
        try:
            read: Whole | None = Whole(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            read = None
        if read is not None and read.ended == 1 and read.version == "1.1" and read.refused is None:
            known.keep(data, read)
        found = known.request(data, "peer")
        if found is not None:
            assert read is not None
            assert read.ended == 1
            assert as_read(found) == as_read(read)


@pytest.mark.parametrize(
    "changed",
    [
        message()[:-1],
        message() + b"P",
        message() * 2,
        message().replace(b"Content-Length: 7", b"Content-Length: 07"),
        message().replace(b"Content-Length: 7", b"Content-Length:  7"),
        message().replace(b"localhost", b"Localhost"),
        message().replace(b"Bearer one", b"Bearer two"),
        message().replace(b"POST", b"PUT "),
    ],
)
def test_only_one_whole_message_with_the_very_bytes_is_known(changed: bytes) -> None:
    assert knowing(message()).request(changed, "peer") is None


def test_a_body_beyond_the_bound_is_left_to_the_parser() -> None:
    known = heads(body_bytes_max=7)
    known.keep(message(), Whole(message()))
    assert known.request(message(b"1234567"), "peer") is not None
    assert known.request(message(b"12345678"), "peer") is None


@pytest.mark.parametrize(
    "line",
    [b"Connection: close\r\n", b"Expect: 100-continue\r\n", b"X-Long: %b\r\n" % (b"x" * 2_048)],
)
def test_a_head_that_asks_for_more_than_an_answer_is_not_kept(line: bytes) -> None:
    data = message(head=HEAD.replace(b"Accept", line + b"Accept"))
    assert len(knowing(data)) == 0


def test_the_head_of_a_stranger_is_not_kept() -> None:
    known, request = heads(), Whole(message())
    request.caller = None
    known.keep(message(), request)
    assert len(known) == 0


def test_a_listener_keeps_no_more_heads_than_it_has_room_for() -> None:
    known = heads()
    for number in range(HEADS_MAX + 5):
        data = message(head=HEAD.replace(b"one", b"%d" % number))
        known.keep(data, Whole(data))
    assert 0 < len(known) <= HEADS_MAX
    assert len(HEAD) < HEAD_BYTES_MAX


class Answer:
    def __init__(self, data: bytes) -> None:
        self.headers: dict[bytes, bytes] = {}
        parser = httptools.HttpResponseParser(self)
        parser.feed_data(data)
        self.status = parser.get_status_code()

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers.setdefault(name.lower(), value)


def test_an_answer_of_another_second_and_length_has_the_same_head() -> None:
    known = KnownAnswers(header_bytes_max=65_536)
    first = ANSWER % (1, 2, b"{}")
    known.keep(first, Answer(first))
    found = known.find(ANSWER % (2, 7, BODY))
    assert found is not None
    head, body = found
    assert (head.status, body) == (200, BODY)
    assert head.headers[b"content-type"] == b"application/json"
    assert known.find((ANSWER % (2, 7, BODY)).replace(b"200", b"201")) is None
    assert known.find((ANSWER % (2, 7, BODY))[:-1]) is None
    for number in range(ANSWERS_MAX + 5):
        other = first.replace(b"json", b"json%d" % number)
        known.keep(other, Answer(other))
    assert 0 < len(known) <= ANSWERS_MAX
