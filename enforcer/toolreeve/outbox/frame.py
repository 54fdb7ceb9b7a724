"""How one group of records lies in a segment, and how a torn tail is told from damage.

A frame is a header and the group's payload, back to back with the next frame; behind the last one
the segment is zero. Two checksums stand in the header: one over the header itself, so that a
payload's length can be believed when the payload cannot, and one over the payload. Both are seeded
with the segment's random salt and the frame's own offset, so a frame that was copied from
elsewhere, or that somebody wrote into an argument of a tool call, is no frame here.

Group k+1 is written only after group k is durable. So whatever a crash leaves behind is one
unfinished frame with nothing behind it: that is a torn tail, nobody was told that it is there, and
it may be cut off. A bad frame with something written behind it was durable once: that is damage,
and nobody may pretend that the records were never there.

The checksum is CRC-32 as zlib computes it (in C, about 1 GB/s): against the faults of a disk as
good as CRC-32C, and in the standard library. Forgery is the hash chain's business.
"""

import struct
import zlib
from enum import Enum

from msgspec import Struct

from toolreeve.audit import Position

MAGIC = b"tRg1"
_FIELDS = struct.Struct("<IIIQQ32s")  # payload's checksum, length, count, epoch, first, head
_PLACE = struct.Struct("<8sQ")
_U32 = struct.Struct("<I")
_FIELDS_AT = len(MAGIC) + _U32.size
HEADER_BYTES = _FIELDS_AT + _FIELDS.size
_WHOLE = struct.Struct("<4sI" + _FIELDS.format[1:])


class Group(Struct, frozen=True):
    """Records that became durable together, and travel together from then on.

    `first` is the position of the first record, `head` the chain's head behind the last one.
    `payload` is what `pack` made of them; the outbox never looks inside.
    """

    first: Position
    count: int
    head: bytes
    payload: bytes

    @property
    def last(self) -> Position:
        """Position of the group's last record."""
        return Position(self.first.epoch, self.first.sequence + self.count - 1)


class BadFrame(Exception):  # noqa: N818  (an answer to the reader, who knows what it means)
    """No good frame stands at `offset`."""

    def __init__(self, offset: int, reason: str) -> None:
        super().__init__(reason)
        self.offset = offset
        self.reason = reason


class Skimmed(Struct, frozen=True):
    """How far frames were found to be good: up to `at`, where `last` and `head` stand.

    The last good one begins at `begin`, which is `at` where there was none.
    """

    begin: int
    at: int
    last: Position | None
    head: bytes


class Tail(Enum):
    """What lies behind the last good frame."""

    CLEAN = "clean"
    TORN = "torn"
    DAMAGED = "damaged"


class _Header(Struct, frozen=True):
    """A header whose own checksum holds."""

    payload_sum: int
    length: int
    count: int
    epoch: int
    first: int
    head: bytes


def encode(group: Group, *, salt: bytes, offset: int) -> bytes:
    """The header that goes before `group.payload` at `offset` of the segment with this salt."""
    seed = _seed(salt, offset)
    payload_sum = zlib.crc32(group.payload, seed)
    first = group.first
    fields = _FIELDS.pack(
        payload_sum, len(group.payload), group.count, first.epoch, first.sequence, group.head
    )
    return MAGIC + _U32.pack(zlib.crc32(fields, seed)) + fields


def decode(buffer: bytes, at: int, *, salt: bytes, offset: int) -> Group:
    """The group whose frame begins at `buffer[at]`, which is `offset` in its segment.

    Raises BadFrame: also where the buffer ends before the frame does.
    """
    header = _header(buffer, at, salt, offset)
    if header is None:
        raise BadFrame(offset, "its header is damaged")
    begin = at + HEADER_BYTES
    end = begin + header.length
    if end > len(buffer):
        raise BadFrame(offset, "it ends beyond the written part")
    payload = buffer[begin:end]
    if zlib.crc32(payload, _seed(salt, offset)) != header.payload_sum:
        raise BadFrame(offset, "its payload is damaged")
    return Group(Position(header.epoch, header.first), header.count, header.head, payload)


def skim(
    buffer: bytes,
    *,
    salt: bytes,
    offset: int,
    last: Position | None,
    head: bytes,
    up_to: Position | None = None,
) -> Skimmed:
    """Prove the frames in `buffer`, which begins at `offset` of its segment, behind `last`.

    As `decode` does, each behind the one before, but no groups are made: a fifth of the work. Stops
    before the first frame that is not good or not in its place, and `decode` says why; and before
    the first one that ends behind `up_to`.
    """
    begin = at = 0
    size = len(buffer)
    view = memoryview(buffer)
    crc32, fields_of, place_of = zlib.crc32, _WHOLE.unpack_from, _PLACE.pack
    epoch, sequence = (-1, 0) if last is None else (last.epoch, last.sequence)
    epoch_max, sequence_max = (1 << 64, 0) if up_to is None else (up_to.epoch, up_to.sequence)
    while size - at >= HEADER_BYTES:
        magic, header_sum, payload_sum, length, count, its_epoch, first, its_head = fields_of(
            buffer, at
        )
        seed = crc32(place_of(salt, offset + at))
        payload_at = at + HEADER_BYTES
        end = payload_at + length
        if magic != MAGIC or crc32(view[at + _FIELDS_AT : payload_at], seed) != header_sum:
            break
        if end > size or crc32(view[payload_at:end], seed) != payload_sum or count < 1:
            break
        if first != (sequence + 1 if its_epoch == epoch else 1) or its_epoch < epoch:
            break
        its_last = first + count - 1
        if its_epoch > epoch_max or (its_epoch == epoch_max and its_last > sequence_max):
            break
        epoch, sequence, head = its_epoch, its_last, its_head
        begin, at = at, end
    return Skimmed(begin, at, Position(epoch, sequence) if at else last, head)


def frame_bytes(group: Group) -> int:
    """How much room a group takes in a segment."""
    return HEADER_BYTES + len(group.payload)


def length_at(buffer: bytes, at: int, *, salt: bytes, offset: int) -> int | None:
    """How long the frame at `buffer[at]` says it is, when its header can be believed."""
    header = _header(buffer, at, salt, offset)
    return None if header is None else HEADER_BYTES + header.length


def tail(buffer: bytes, at: int, *, salt: bytes, offset: int) -> tuple[Tail, int]:
    """What lies from `buffer[at]`, where no good frame begins, to the end of the segment.

    Also says how many bytes of it, counted from `at`, are not simply zero.
    """
    written = _written_bytes(buffer, at)
    if written == 0:
        return Tail.CLEAN, 0
    header = _header(buffer, at, salt, offset)
    if header is not None:  # its length is true: whatever lies behind it came later
        torn = written <= HEADER_BYTES + header.length <= len(buffer) - at
        return (Tail.TORN if torn else Tail.DAMAGED), written
    damaged = next_frame(buffer, at, salt=salt, offset=offset) < len(buffer)
    return (Tail.DAMAGED if damaged else Tail.TORN), written


def next_frame(buffer: bytes, at: int, *, salt: bytes, offset: int) -> int:
    """Where the next frame begins whose header proves itself, behind a bad one at `buffer[at]`.

    The length of the buffer where there is none.
    """
    later = buffer.find(MAGIC, at + 1)
    while later >= 0:
        if _header(buffer, later, salt, offset + later - at) is not None:
            return later
        later = buffer.find(MAGIC, later + 1)
    return len(buffer)


def _header(buffer: bytes, at: int, salt: bytes, offset: int) -> _Header | None:
    if len(buffer) - at < HEADER_BYTES or not buffer.startswith(MAGIC, at):
        return None
    (header_sum,) = _U32.unpack_from(buffer, at + len(MAGIC))
    fields = buffer[at + _FIELDS_AT : at + HEADER_BYTES]
    if zlib.crc32(fields, _seed(salt, offset)) != header_sum:
        return None
    return _Header(*_FIELDS.unpack(fields))


def _seed(salt: bytes, offset: int) -> int:
    return zlib.crc32(_PLACE.pack(salt, offset))


def _written_bytes(buffer: bytes, at: int) -> int:
    """The distance from `at` to behind the last byte that is not zero."""
    step = 1 << 20
    zeros = bytes(step)
    for begin in range(at + (len(buffer) - at - 1) // step * step, at - 1, -step):
        chunk = buffer[begin : begin + step]
        if chunk != zeros[: len(chunk)]:
            return begin + len(chunk.rstrip(b"\0")) - at
    return 0
