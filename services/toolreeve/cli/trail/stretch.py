"""A block of an export's lines, checked by itself: what can be done in another process.

Nearly everything that a verifier does is to read a line, write it again, and link its bytes to the
chain. None of that needs more than the line before. So blocks are checked side by side, and only
their ends, and what is wrong, are looked at in order.
"""

from __future__ import annotations

import os

from msgspec import Struct

from toolreeve.audit import link
from toolreeve.cli.trail.forms import BY_FILE, Form
from toolreeve.wire import WireError
from toolreeve.wire.lines import Place, lacks_details

VOUCHING_KINDS = frozenset({"enforcer_started", "head_sealed", "checkpoint_made", "erasure_made"})


class Stretch(Struct):
    """Events of one epoch that follow each other, each faithful and each chained to the one before.

    `heads` stand behind every event, one after the other; `vouching` are those that vouch, by
    their sequence. So many are `detailed`, and some are `lacking` the details they commit to.
    """

    enforcer: str
    epoch: int
    first_sequence: int
    first_raw: bytes
    heads: list[bytes]
    vouching: dict[int, bytes]
    lacking: list[int]
    detailed: int = 0


def stretches_at(path: str, begin: int, length: int) -> list[Stretch] | None:
    """What `stretches` says of a part of an export's file. Raises OSError."""
    with open(path, "rb", buffering=0) as file:  # noqa: PTH123  it is asked for again and again
        block = os.pread(file.fileno(), length, begin)
    return stretches(os.path.basename(path), block) if len(block) == length else None  # noqa: PTH119


def stretches(file: str, block: bytes) -> list[Stretch] | None:
    """The block as stretches in its order; None where anything is wrong inside it."""
    form = BY_FILE[file]
    found: list[Stretch] = []
    last: Stretch | None = None
    for line in block.splitlines(keepends=True):
        try:
            place, faithful = check_line(form, line)
        except WireError:
            return None
        if not faithful:
            return None
        head = bytes.fromhex(place.head)
        if (
            last is None
            or place.sequence != last.first_sequence + len(last.heads)
            or place.epoch != last.epoch
            or place.enforcer != last.enforcer
        ):
            last = Stretch(place.enforcer, place.epoch, place.sequence, place.bytes, [head], {}, [])
            found.append(last)
        elif link(last.heads[-1], place.bytes) == head:
            last.heads.append(head)
        else:
            return None
        _note(last, place)
    return found


def check_line(form: Form, line: bytes) -> tuple[Place, bool]:
    """Where a line claims to stand, and whether it says what its bytes say. Raises WireError."""
    place = form.read(line)
    return place, form.write(place.bytes, bytes.fromhex(place.head), place.details) == line


def _note(last: Stretch, place: Place) -> None:
    if place.kind in VOUCHING_KINDS:
        last.vouching[place.sequence] = place.bytes
    if place.details is not None:
        last.detailed += 1
    elif lacks_details(place):
        last.lacking.append(place.sequence)
