"""Going over frames says of each what reading it says."""

from contextlib import suppress
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from toolreeve.audit import Position
from toolreeve.outbox.error import DamageError
from toolreeve.outbox.frame import BadFrame, Group, encode, frame_bytes, skim
from toolreeve.outbox.reader import reached, walk
from toolreeve.outbox.segment import Identity

SALT = b"8 bytes!"
OFFSET = 4096
SEGMENT = Identity(
    owner="edge-1", number=1, size=1 << 16, after=None, head=bytes(32), previous_end=0, salt=SALT
)


@st.composite
def groups(draw: st.DrawFn) -> tuple[Position | None, list[Group]]:
    """Mostly in order: now and then a place is passed over, comes again, or has no record."""
    last = draw(st.sampled_from([None, Position(0, 4), Position(3, 7)]))
    epoch, sequence = (3, 0) if last is None else (last.epoch, last.sequence)
    made: list[Group] = []
    for _ in range(draw(st.integers(0, 6))):
        if draw(st.integers(0, 9)) == 0:
            epoch, sequence = epoch + draw(st.sampled_from([1, 1, 2, -1])), 0
        sequence += draw(st.sampled_from([1] * 12 + [0, 2]))
        count = draw(st.sampled_from([1, 1, 2, 5, 0]))
        payload = draw(st.sampled_from([b"", b"tRg1", b"records" * 9]))
        made.append(Group(Position(max(0, epoch), max(0, sequence)), count, bytes(32), payload))
        sequence += max(0, count - 1)
    return last, made


@given(groups(), st.integers(0, 40), st.integers(0, 10_000), st.booleans())
def test_both_ways_go_as_far_and_come_to_the_same(
    drawn: tuple[Position | None, list[Group]], zeros: int, place: int, flips: bool
) -> None:
    last, made = drawn
    written = b""
    for group in made:
        written += encode(group, salt=SALT, offset=OFFSET + len(written)) + group.payload
    written += bytes(zeros)
    if flips and written:
        at = place % len(written)
        written = written[:at] + bytes([written[at] ^ (1 << place % 8)]) + written[at + 1 :]
    read: list[Group] = []
    with suppress(BadFrame, DamageError):
        for group in walk(written, Path("outbox"), SEGMENT, OFFSET, last):
            read.append(group)
    good = skim(written, salt=SALT, offset=OFFSET, last=last, head=b"before")
    assert good.at == sum(map(frame_bytes, read))
    assert good.begin == sum(map(frame_bytes, read[:-1]))
    assert good.last == (read[-1].last if read else last)
    assert good.head == (read[-1].head if read else b"before")
    for wanted in read:
        before = [one for one in read if reached(one.last, wanted.last)]
        part = skim(written, salt=SALT, offset=OFFSET, last=last, head=b"before", up_to=wanted.last)
        assert part.at == sum(map(frame_bytes, before))
