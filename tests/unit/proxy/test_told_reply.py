"""An answer that begins with words of our own: whatever follows is an event of the same stream."""

import asyncio
from typing import Any

import pytest

from toolreeve.proxy.answers import JSON_HEADERS, SSE_HEADERS
from toolreeve.proxy.http_reply import HttpReply
from toolreeve.proxy.http_request import HttpRequest
from toolreeve.proxy.message import Message, NotAMessage, read
from toolreeve.proxy.progress import progress_token, report
from toolreeve.proxy.sse import SseParser


class Line:
    """A wire that keeps what is put on it."""

    def __init__(self) -> None:
        self.raw = b""
        self.date = b""
        self.drained: asyncio.Future[None] | None = None

    def put(self, data: bytes) -> None:
        self.raw += data

    def events(self) -> list[bytes]:
        head, _, body = self.raw.partition(b"\r\n\r\n")
        assert b"200 OK" in head
        assert b"text/event-stream" in head
        assert b"transfer-encoding: chunked" in head
        data = b""
        while body:
            size, _, rest = body.partition(b"\r\n")
            data += rest[: int(size, 16)]
            body = rest[int(size, 16) + 2 :]
        return [event.data or b"" for event in SseParser(1 << 20).feed(data)]


def told() -> tuple[Line, HttpReply]:
    line = Line()
    request = HttpRequest("")
    request.method = b"POST"
    reply = HttpReply(line, request)
    reply.tell(b"event: message\ndata: wait\n\n")
    reply.tell(b"event: message\ndata: wait more\n\n")
    return line, reply


def test_a_whole_answer_becomes_the_last_event() -> None:
    line, reply = told()
    reply.send(502, JSON_HEADERS, b'{"a":\n1}')
    assert line.events() == [b"wait", b"wait more", b'{"a": 1}']
    assert reply.started
    assert reply.ended
    line, reply = told()
    reply.send_written(b"x: y\r\n", b"{}")
    assert line.events()[-1] == b"{}"
    assert line.raw.endswith(b"0\r\n\r\n")


def test_a_stream_goes_on_as_it_comes() -> None:
    async def story() -> list[bytes]:
        line, reply = told()
        reply.start(200, SSE_HEADERS)
        await reply.write(b"data: {}\n\n")
        reply.insert(b"data: 1\n\n")
        reply.end()
        return line.events()

    assert asyncio.run(story()) == [b"wait", b"wait more", b"{}", b"1"]


def test_an_answer_in_pieces_becomes_one_event() -> None:
    async def story() -> list[bytes]:
        line, reply = told()
        reply.start(200, JSON_HEADERS, 7)
        await reply.write(b'{"a"\n')
        await reply.write(b":1}")
        reply.end()
        return line.events()

    assert asyncio.run(story()) == [b"wait", b"wait more", b'{"a" :1}']


def test_a_client_that_does_not_read_is_told_nothing_more() -> None:
    async def story() -> None:
        line, reply = told()
        before = line.raw
        line.drained = asyncio.get_running_loop().create_future()
        reply.tell(b"event: message\ndata: again\n\n")
        assert line.raw == before

    asyncio.run(story())


def call(meta: str) -> Message:
    raw = (
        '{"jsonrpc":"2.0","id":1,"method":"tools/call",'
        f'"params":{{"name":"t","arguments":{{}},"_meta":{meta}}}}}'
    )
    message = read(raw.encode())
    assert not isinstance(message, NotAMessage)
    return message


@pytest.mark.parametrize(
    ("meta", "token"),
    [
        ('{"progressToken":"a"}', "a"),
        ('{"progressToken":7}', 7),
        ('{"progressToken":true}', None),
        ('{"progressToken":1.5}', None),
        ('{"progressToken":null}', None),
        ("{}", None),
    ],
)
def test_progress_is_told_under_the_token_that_the_client_has_given(
    meta: str, token: str | int | None
) -> None:
    assert progress_token(call(meta)) == token


class Followed:
    """What `report` follows."""

    tell: Any = None

    def follow(self, tell: Any) -> None:
        self.tell = tell

    def leave(self) -> None:
        raise AssertionError("nobody has left")


def test_each_word_is_a_little_further_than_the_one_before() -> None:
    sent: list[bytes] = []
    held = Followed()
    report(held, call('{"progressToken":"a"}'), sent.append)
    held.tell("one")
    held.tell("two")
    assert sent == [
        b'{"jsonrpc":"2.0","method":"notifications/progress",'
        b'"params":{"progressToken":"a","progress":%b,"message":"%b"}}' % (step, word)
        for step, word in ((b"1e-6", b"one"), (b"2e-6", b"two"))
    ]
    silent = Followed()
    report(silent, call("{}"), sent.append)
    assert silent.tell is None
