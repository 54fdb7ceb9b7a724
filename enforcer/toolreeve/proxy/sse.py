"""Server-sent events, taken apart as they come and put together as they came.

Events are passed on verbatim, byte for byte: ids, priming events without data, comments, whatever
line ends the upstream likes. Between taking and passing, each event's data can be looked at and,
where it must be, replaced. Only byte-order marks at the start of a stream are not passed on: some
readers skip one, others find no `data` in the line that it begins.
"""

import re
from collections.abc import Callable
from typing import Final

import msgspec

# The end of a line and an empty line after it. A lone CR ends a line too.
_EVENT_END: Final = re.compile(rb"\r\n(?:\r\n|\n|\r)|\n(?:\r\n|\n|\r)|\r(?!\n)(?:\r\n|\n|\r)")
_LINE_END: Final = re.compile(rb"\r\n|\n|\r")
_MARK: Final = b"\xef\xbb\xbf"
_DATA: Final = b"data:"


class SseEvent(msgspec.Struct, frozen=True):
    """One event with its bytes. `data` is None where the event carries none.

    `partial` marks a piece of an event that was too long to be taken whole, `last` the piece
    with its end. Of an event that is not passed in pieces, these marks come without any bytes.
    """

    raw: bytes
    data: bytes | None = None
    has_id: bool = False
    partial: bool = False
    last: bool = True

    def with_data(self, data: bytes) -> "SseEvent":
        """The same event with other data on one line."""
        lines = [line for line in _LINE_END.split(self.raw) if line and not _is_data(line)]
        # A line that begins with a byte-order mark must not become the stream's first.
        kept = [line for line in lines if not line.startswith(_MARK)]
        raw = b"\n".join((*kept, b"data: " + data, b"", b""))
        return SseEvent(raw, data, self.has_id)

    def without_data(self) -> bytes:
        """What is left of the event where its data is kept back: its id, if it has one.

        A reader that comes back for what it missed then does not ask for this event again.
        """
        if not self.has_id:
            return b""
        kept = [line for line in _LINE_END.split(self.raw) if line[:3] == b"id:"]
        return b"\n".join((*kept, b"", b""))


class SseParser:
    """Feed it bytes, take out events.

    An event of more than `event_bytes_max` is handed out in pieces where `in_pieces`, which is
    shown its beginning, says so; else it is held up to `whole_bytes_max`, and lost beyond that.
    """

    def __init__(
        self,
        event_bytes_max: int,
        *,
        whole_bytes_max: int = 0,
        in_pieces: Callable[[bytes], bool] = lambda _: True,
    ) -> None:
        self._event_bytes_max = self._held_bytes_max = event_bytes_max
        self._whole_bytes_max = whole_bytes_max
        self._in_pieces = in_pieces
        self._held = bytearray()
        self._searched = 0  # no event ends before this point
        self._through = False  # in the middle of an event that is too long
        self._lost = False  # which nobody is given
        self._after_cr = False  # a LF that comes next belongs to what has been passed
        self._begun = False  # the stream is past its byte-order marks

    def feed(self, data: bytes) -> list[SseEvent]:
        events: list[SseEvent] = []
        if self._after_cr and data:
            self._after_cr = False
            if data[:1] == b"\n":
                events.append(SseEvent(b"\n"))
                data = data[1:]
        held = self._held
        held += data
        if not self._begun and not self._begin():
            return events
        start = 0
        while (end := self._event_end(max(start, self._searched))) is not None:
            raw = bytes(held[start : end.end()])
            if self._through:
                events.append(SseEvent(b"" if self._lost else raw, partial=True))
            else:
                events.append(_event(raw))
            self._through = self._lost = False
            self._held_bytes_max = self._event_bytes_max
            start = self._searched = end.end()
        if start:
            self._after_cr = start == len(held) and held.endswith(b"\r")
            del held[:start]
        if not self._through and len(held) > self._held_bytes_max:
            self._outgrow()
        if self._through:
            # Three bytes stay behind: an event's end may have begun in them.
            cut = len(held) - min(3, len(held))
            if cut:
                raw = b"" if self._lost else bytes(held[:cut])
                events.append(SseEvent(raw, partial=True, last=False))
                del held[:cut]
        self._searched = max(0, len(held) - 3)
        return events

    def _event_end(self, start: int) -> "re.Match[bytes] | None":
        # Most of a long event holds no line end, and to see that is cheap.
        if self._held.find(b"\n", start) < 0 and self._held.find(b"\r", start) < 0:
            return None
        return _EVENT_END.search(self._held, start)

    def _outgrow(self) -> None:
        """What is held is too long: hand it out in pieces, hold more, or lose it."""
        if self._held_bytes_max == self._event_bytes_max and self._in_pieces(bytes(self._held)):
            self._through = True
        elif len(self._held) <= self._whole_bytes_max:
            self._held_bytes_max = self._whole_bytes_max
        else:
            self._through = self._lost = True

    def _begin(self) -> bool:
        """Drop the byte-order marks; False while one may have come in part."""
        held = self._held
        while held.startswith(_MARK):
            del held[: len(_MARK)]
        self._begun = not _MARK.startswith(held)
        return self._begun

    @property
    def in_pieces(self) -> bool:
        """Whether an event that is handed out, or lost, in pieces is under way."""
        return self._through

    @property
    def unfinished(self) -> int:
        """Bytes of an event whose end never came; readers throw such an event away."""
        return len(self._held)


class DataLines:
    """The data of one event that comes in pieces; feed it the event from its first byte on."""

    def __init__(self) -> None:
        self._head: bytes | None = b""  # of a line, while it is not known what line it is
        self._is_data = False

    def feed(self, piece: bytes) -> bytes:
        data: list[bytes] = []
        while piece:
            if self._head is not None:
                piece = self._begin(piece)
                continue
            end = _LINE_END.search(piece) if b"\n" in piece or b"\r" in piece else None
            if self._is_data:
                data.append(piece if end is None else piece[: end.start()] + b"\n")
            if end is None:
                break
            self._head = b""
            piece = piece[end.end() :]
        return b"".join(data)

    def _begin(self, piece: bytes) -> bytes:
        """Find out what line begins, and leave what of it is its value."""
        assert self._head is not None
        line = self._head + piece
        end = _LINE_END.search(line, 0, len(_DATA) + 1)
        if end is not None:  # an empty one, or one too short to matter
            self._head = b""
            return line[end.end() :]
        if len(line) <= len(_DATA):
            self._head = line
            return b""
        self._head = None
        self._is_data = line.startswith(_DATA)
        return line[len(_DATA) :].removeprefix(b" ") if self._is_data else line


def message_event(data: bytes) -> bytes:
    """An event of our own with one JSON-RPC message."""
    return b"event: message\ndata: %b\n\n" % data


def _event(raw: bytes) -> SseEvent:
    data: list[bytes] = []
    has_id = False
    for line in _LINE_END.split(raw):
        if _is_data(line):
            data.append(_value(line))
        elif line == b"id" or line.startswith(b"id:"):
            has_id = True
    return SseEvent(raw, b"\n".join(data) if data else None, has_id)


def _is_data(line: bytes) -> bool:
    return line == b"data" or line.startswith(b"data:")


def _value(line: bytes) -> bytes:
    value = line[5:]
    return value.removeprefix(b" ")
