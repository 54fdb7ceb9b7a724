"""A block of an export's lines, checked by itself: what can be done in another process.

Nearly everything that a verifier does is to read a line, write it again, and link its bytes to the
chain. None of that needs more than the line before. So blocks are checked side by side, and only
their ends, and what is wrong, are looked at in order.
"""

from __future__ import annotations

from msgspec import Struct

from toolreeve.audit import link
from toolreeve.cli.trail.forms import BY_FILE, Form
from toolreeve.wire import WireError
from toolreeve.wire.lines import Place

VOUCHING_KINDS = frozenset({"enforcer_started", "head_sealed", "checkpoint_made"})


class Stretch(Struct):
    """Events of one epoch that follow each other, each faithful and each chained to the one before.

    `heads` stand behind every event, one after the other; `vouching` are those that vouch, by
    their sequence.
    """

    enforcer: str
    epoch: int
    first_sequence: int
    first_raw: bytes
    heads: list[bytes]
    vouching: dict[int, bytes]


def stretches(file: str, block: bytes) -> list[Stretch] | None:
    """The block as stretches in its order; None where anything is wrong inside it."""
    form = BY_FILE[file]
    found: list[Stretch] = []
    for line in block.splitlines(keepends=True):
        try:
            place, faithful = check_line(form, line)
        except WireError:
            return None
        if not faithful or not _add(found, place):
            return None
    return found


def check_line(form: Form, line: bytes) -> tuple[Place, bool]:
    """Where a line claims to stand, and whether it says what its bytes say. Raises WireError."""
    place = form.read(line)
    return place, form.write(place.bytes, bytes.fromhex(place.head)) == line


def _add(found: list[Stretch], place: Place) -> bool:
    head = bytes.fromhex(place.head)
    last = found[-1] if found else None
    if last is not None and (place.enforcer, place.epoch, place.sequence) == (
        last.enforcer,
        last.epoch,
        last.first_sequence + len(last.heads),
    ):
        if link(last.heads[-1], place.bytes) != head:
            return False
        last.heads.append(head)
    else:
        last = Stretch(place.enforcer, place.epoch, place.sequence, place.bytes, [head], {})
        found.append(last)
    if place.kind in VOUCHING_KINDS:
        last.vouching[place.sequence] = place.bytes
    return True
