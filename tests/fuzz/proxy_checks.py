"""What must hold of any bytes that come over a wire: messages, events, lines and header values.

Each check takes bytes, returns, and raises AssertionError where something is found; anything else
that it raises is a finding too.
"""

import importlib
import io
import itertools
import json
import random
import re
import zlib
from collections.abc import Callable, Iterator
from typing import Any

from mcp.shared.inbound import decode_header_value, encode_header_value
from tests.fuzz.differential import Differential

from toolreeve.proxy.mcp_headers import decode_header
from toolreeve.proxy.message import Message, read
from toolreeve.proxy.pipes import LineSplitter
from toolreeve.proxy.sse import DataLines, SseEvent, SseParser


def check_message(data: bytes) -> None:
    """What is taken means one thing to everybody who reads in this process."""
    differential = Differential(None)
    differential.compare([data])
    assert not differential.tally.findings, differential.tally.findings


def _pieces(data: bytes) -> Iterator[bytes]:
    """The bytes cut anywhere, the same way for the same bytes."""
    chance = random.Random(zlib.crc32(data))
    cuts = sorted(chance.randint(0, len(data)) for _ in range(chance.choice((0, 1, 3, 9))))
    for start, end in itertools.pairwise([0, *cuts, len(data)]):
        yield data[start:end]


# Server-sent events.


def read_events(stream: bytes) -> list[str]:
    """The data of every event that a reader dispatches, as the standard says to read a stream."""
    text = stream.decode("utf-8", "replace").removeprefix("\ufeff")
    *lines, _unfinished = re.split(r"\r\n|\n|\r", text)
    found: list[str] = []
    data: list[str] = []
    for line in lines:
        name, _, value = line.partition(":")
        if line == "":
            if any(data) or len(data) > 1:
                found.append("\n".join(data))
            data = []
        elif name == "data":
            data.append(value.removeprefix(" "))
    return found


def read_events_by_the_sdk(stream: bytes) -> list[str]:
    """The same by the reader that the MCP SDK for Python uses."""
    reader: Any = importlib.import_module("httpx2._sse")._SSEParser()
    events = itertools.chain(reader.decode(stream.decode("utf-8", "replace")), reader.flush())
    return [event.data for event in events if event.data]


EVENT_READERS: dict[str, Callable[[bytes], list[str]]] = {
    "standard": read_events,
    "sdk": read_events_by_the_sdk,
}


def check_events(data: bytes) -> None:
    """Whatever message a client finds in what is passed on, we have looked at."""
    most = (40, 400, 100_000)[zlib.crc32(data) % 3]
    parser = SseParser(most)
    events = [event for piece in _pieces(data) for event in parser.feed(piece)]
    passed = b"".join(event.raw for event in events)
    kept = data
    while kept.startswith(b"\xef\xbb\xbf"):
        kept = kept[3:]
    assert kept.startswith(passed), "something is passed on that did not come"
    assert len(kept) - len(passed) == parser.unfinished, "something is lost"
    looked_at = [event.data.decode("utf-8", "replace") for event in events if event.data]
    too_long = sum(event.partial and event.last for event in events)
    too_long += bool(events) and not events[-1].last
    for name, reader in EVENT_READERS.items():
        found = reader(passed)
        if too_long:
            rest = iter(found)
            assert all(one in rest for one in looked_at), (name, found, looked_at)
            assert len(found) - len(looked_at) <= too_long, (name, found, looked_at)
        else:
            assert found == looked_at, (name, found, looked_at)
    for event in events:
        if event.data and not event.partial:
            _replaced(event)
    _taken_in_pieces(events)


def _replaced(event: SseEvent) -> None:
    """An event whose data is replaced, or kept back, says the new data and nothing else."""
    for name, reader in EVENT_READERS.items():
        assert reader(event.with_data(b"{}").raw) == ["{}"], (name, event)
        assert reader(event.without_data()) == [], (name, event)


def _taken_in_pieces(events: list[SseEvent]) -> None:
    """The data of an event that comes in pieces is what a reader makes of the whole."""
    lines, raw, data = DataLines(), b"", b""
    for event in events:
        if not event.partial:
            continue
        raw += event.raw
        data += lines.feed(event.raw)
        if event.last:
            found = "".join(read_events(raw)).replace("\n", "")
            assert found == data.decode("utf-8", "replace").replace("\n", ""), (raw, data)
            lines, raw, data = DataLines(), b"", b""


# Lines, as stdio has them.


def python_lines(text: str) -> list[str]:
    """A text file opened in the usual way."""
    return list(io.TextIOWrapper(io.BytesIO(text.encode("utf-8", "replace")), "utf-8"))


def node_lines(text: str) -> list[str]:
    """Node's readline."""
    return re.split(r"\r\n|\n|\r|\u2028|\u2029", text)


LINE_READERS: dict[str, Callable[[str], list[str]]] = {
    "python": python_lines,
    "splitlines": str.splitlines,
    "node": node_lines,
}


def check_lines(data: bytes) -> None:
    """However a program ends its lines, it finds no message in one that was let through."""
    splitter = LineSplitter(10_000)
    lines = [line for piece in _pieces(data) for line in splitter.feed(piece)]
    *whole, rest = data.split(b"\n")
    if max(map(len, [*whole, rest])) < 10_000:
        assert lines == [line.removesuffix(b"\r") for line in whole]
        assert splitter.unfinished == len(rest)
    for line in lines:
        message = read(line) if line is not None and b"\r" not in line else None
        if not isinstance(message, Message):
            continue
        assert b"\n" not in message.raw
        text = message.raw.decode("utf-8") + "\n"
        for name, reader in LINE_READERS.items():
            pieces = [piece for piece in reader(text) if piece.strip()]
            if len(pieces) > 1:
                assert not any(map(_is_object, pieces)), (name, pieces)


def _is_object(text: str) -> bool:
    try:
        return isinstance(json.loads(text), dict)
    except ValueError:
        return False


# Header values.


def check_header(data: bytes) -> None:
    """A header's value means to us what it means to the MCP SDK, or nothing."""
    value = data.decode("latin-1")
    ours = decode_header(value)
    try:
        theirs = decode_header_value(value)
    except ValueError:
        theirs = None  # it does not expect letters beyond ASCII inside the wrapping
    # No header holds a line end: HTTP would have ended it there.
    assert ours == theirs or "\n" in value or "\r" in value, (ours, theirs)
    text = data.decode("utf-8", "replace")
    assert decode_header(encode_header_value(text)) == text
