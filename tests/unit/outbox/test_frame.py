"""Frames as bytes: what is a good one, what is a torn tail, what is damage."""

import os
from hashlib import sha256

import pytest

from toolreeve.audit import Position
from toolreeve.outbox.frame import (
    HEADER_BYTES,
    MAGIC,
    BadFrame,
    Group,
    Tail,
    decode,
    encode,
    frame_bytes,
    tail,
)

SALT = b"8 bytes!"
ROOM = 4096


def group_of(first: int, payload: bytes) -> Group:
    return Group(Position(3, first), 2, sha256(payload).digest(), payload)


def laid_out(*groups: Group, salt: bytes = SALT) -> bytes:
    """The groups one behind the other from offset 0, then zeros."""
    written = b""
    for group in groups:
        written += encode(group, salt=salt, offset=len(written)) + group.payload
    return written.ljust(ROOM, b"\0")


def changed(buffer: bytes, at: int, *, bit: int = 0) -> bytes:
    return buffer[:at] + bytes([buffer[at] ^ (1 << bit)]) + buffer[at + 1 :]


def test_a_group_is_read_back_as_it_was_written() -> None:
    group = group_of(7, b"some records")
    buffer = laid_out(group)
    assert decode(buffer, 0, salt=SALT, offset=0) == group
    assert group.last == Position(3, 8)
    assert frame_bytes(group) == HEADER_BYTES + 12


@pytest.mark.parametrize("payload", [b"", b"\0\0\0", b"some records", MAGIC * 20])
def test_no_bit_of_a_frame_can_flip_unnoticed(payload: bytes) -> None:
    group = group_of(1, payload)
    buffer = laid_out(group)
    for at in range(frame_bytes(group)):
        for bit in range(8):
            with pytest.raises(BadFrame):
                decode(changed(buffer, at, bit=bit), 0, salt=SALT, offset=0)


def test_a_frame_is_good_only_in_its_own_segment_and_place() -> None:
    group = group_of(1, b"records")
    buffer = laid_out(group)
    with pytest.raises(BadFrame):
        decode(buffer, 0, salt=b"another!", offset=0)
    with pytest.raises(BadFrame):
        decode(buffer, 0, salt=SALT, offset=512)


def test_a_frame_that_ends_behind_the_buffer_is_bad() -> None:
    group = group_of(1, b"records")
    whole = laid_out(group)[: frame_bytes(group)]
    for length in range(len(whole)):
        with pytest.raises(BadFrame):
            decode(whole[:length], 0, salt=SALT, offset=0)


def test_zeros_behind_the_last_group_are_a_clean_end() -> None:
    group = group_of(1, b"records")
    end = frame_bytes(group)
    assert tail(laid_out(group), end, salt=SALT, offset=end) == (Tail.CLEAN, 0)


def test_any_part_of_a_last_frame_is_a_torn_tail() -> None:
    group = group_of(1, os.urandom(300))
    whole = laid_out(group)[: frame_bytes(group)]
    for length in range(1, len(whole)):
        begun = whole[:length].ljust(ROOM, b"\0")
        kind, written = tail(begun, 0, salt=SALT, offset=0)
        assert kind in {Tail.TORN, Tail.CLEAN}
        assert written == len(whole[:length].rstrip(b"\0"))


def test_a_last_frame_whose_first_sectors_are_missing_is_a_torn_tail() -> None:
    group = group_of(1, os.urandom(2000))
    buffer = bytes(1024) + laid_out(group)[1024:]
    assert tail(buffer, 0, salt=SALT, offset=0) == (Tail.TORN, frame_bytes(group))


def test_a_bad_frame_before_a_good_one_is_damage_wherever_it_is_hit() -> None:
    first, second = group_of(1, b"first records"), group_of(3, b"second")
    buffer = laid_out(first, second)
    for at in range(frame_bytes(first)):
        kind, _ = tail(changed(buffer, at), 0, salt=SALT, offset=0)
        assert kind is Tail.DAMAGED


def test_two_bad_payloads_at_the_end_are_damage_because_the_first_was_durable() -> None:
    first, second = group_of(1, b"first records"), group_of(3, b"second")
    buffer = laid_out(first, second)
    buffer = changed(buffer, frame_bytes(first) - 1)
    buffer = changed(buffer, frame_bytes(first) + frame_bytes(second) - 1)
    assert tail(buffer, 0, salt=SALT, offset=0)[0] is Tail.DAMAGED


def test_a_frame_that_somebody_wrote_into_a_record_is_not_taken_for_one() -> None:
    """The writer of an argument does not know the salt, so the torn tail stays a torn tail."""
    forged = laid_out(group_of(3, b"not from here"), salt=b"guessed!")[:200]
    group = group_of(1, os.urandom(64) + forged + os.urandom(64))
    buffer = laid_out(group)
    for at in (0, 5, 20, HEADER_BYTES):
        assert tail(changed(buffer, at), 0, salt=SALT, offset=0)[0] is Tail.TORN
