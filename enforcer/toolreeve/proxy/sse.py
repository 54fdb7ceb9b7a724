"""Server-sent events, taken apart as they come and put together as they came.

Events are passed on verbatim, byte for byte: ids, priming events without data, comments, whatever
line ends the upstream likes. Between taking and passing, each event's data can be looked at and,
where it must be, replaced.
"""

import re
from typing import Final

import msgspec

# The end of a line and an empty line after it. A lone CR ends a line too.
_EVENT_END: Final = re.compile(rb"\r\n(?:\r\n|\n|\r)|\n(?:\r\n|\n|\r)|\r(?!\n)(?:\r\n|\n|\r)")
_LINE_END: Final = re.compile(rb"\r\n|\n|\r")


class SseEvent(msgspec.Struct, frozen=True):
    """One event with its bytes. `data` is None where the event carries none.

    `partial` marks a piece of an event that was too long to be taken whole, `last` the piece
    with its end.
    """

    raw: bytes
    data: bytes | None = None
    has_id: bool = False
    partial: bool = False
    last: bool = True

    def with_data(self, data: bytes) -> "SseEvent":
        """The same event with other data on one line."""
        kept = [line for line in _LINE_END.split(self.raw) if line and not _is_data(line)]
        raw = b"\n".join((*kept, b"data: " + data, b"", b""))
        return SseEvent(raw, data, self.has_id)


class SseParser:
    """Feed it bytes, take out events. Holds at most `event_bytes_max` of an unfinished one."""

    def __init__(self, event_bytes_max: int) -> None:
        self._event_bytes_max = event_bytes_max
        self._held = bytearray()
        self._searched = 0  # no event ends before this point
        self._through = False  # in the middle of an event that is too long
        self._after_cr = False  # a LF that comes next belongs to what has been passed

    def feed(self, data: bytes) -> list[SseEvent]:
        events: list[SseEvent] = []
        if self._after_cr and data:
            self._after_cr = False
            if data[:1] == b"\n":
                events.append(SseEvent(b"\n"))
                data = data[1:]
        held = self._held
        held += data
        start = 0
        while (end := _EVENT_END.search(held, max(start, self._searched))) is not None:
            raw = bytes(held[start : end.end()])
            events.append(SseEvent(raw, partial=True) if self._through else _event(raw))
            self._through = False
            start = self._searched = end.end()
        if start:
            self._after_cr = start == len(held) and held.endswith(b"\r")
            del held[:start]
        if self._through or len(held) > self._event_bytes_max:
            # Three bytes stay behind: an event's end may have begun in them.
            keep = min(3, len(held))
            cut = len(held) - keep
            if cut:
                events.append(SseEvent(bytes(held[:cut]), partial=True, last=False))
                del held[:cut]
            self._through = True
        self._searched = max(0, len(held) - 3)
        return events

    @property
    def unfinished(self) -> int:
        """Bytes of an event whose end never came; readers throw such an event away."""
        return len(self._held)


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
