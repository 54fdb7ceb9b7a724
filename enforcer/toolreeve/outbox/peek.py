"""Reading an outbox that belongs to somebody else, who may be writing to it right now.

Takes no lock and changes nothing: a torn tail stays, and so does what its owner would clean up.
"""

import os
from collections.abc import Iterator
from itertools import zip_longest
from pathlib import Path

from toolreeve.outbox.error import OutboxError
from toolreeve.outbox.frame import BadFrame, Group, Tail, frame_bytes, tail
from toolreeve.outbox.reader import damage, walk
from toolreeve.outbox.segment import (
    IDENTITY_BYTES,
    Identity,
    open_existing,
    read_identity,
    read_part,
    segment_number,
)


def peek(folder: Path) -> Iterator[Group]:
    """Every group that is durable in `folder`, oldest first.

    Groups that are written meanwhile may or may not come. Raises OutboxError where there is no
    outbox, or where a group that was durable cannot be read as it was written.
    """
    segments = _segments(folder)
    if not segments:
        raise OutboxError(
            "there is no outbox here",
            remedy="name the folder called outbox below an enforcer's data folder",
            folder=folder,
        )
    for segment, behind in zip_longest(segments, segments[1:]):
        yield from _groups(folder, segment, behind)


def _segments(folder: Path) -> list[Identity]:
    found: list[Identity] = []
    try:
        names = sorted(entry.name for entry in folder.iterdir())
        for name in names:
            if segment_number(name) is not None:
                owner = found[0].owner if found else None
                found.append(read_identity(folder, name, owner=owner))
    except FileNotFoundError:  # trimmed just now, or never there
        return _segments(folder) if found else []
    except OSError as error:
        raise _unreadable(folder, None, error) from error
    return found


def _groups(folder: Path, segment: Identity, behind: Identity | None) -> Iterator[Group]:
    limit = segment.size if behind is None else behind.previous_end
    try:
        descriptor = open_existing(folder / segment.name)
    except FileNotFoundError:
        return  # trimmed just now
    except OSError as error:
        raise _unreadable(folder, segment.name, error) from error
    try:
        buffer = read_part(descriptor, IDENTITY_BYTES, limit - IDENTITY_BYTES)
    except OSError as error:
        raise _unreadable(folder, segment.name, error) from error
    finally:
        os.close(descriptor)
    end = IDENTITY_BYTES
    try:
        for group in walk(buffer, folder, segment, end, segment.after):
            yield group
            end += frame_bytes(group)
    except BadFrame as bad:
        kind, _ = tail(buffer, end - IDENTITY_BYTES, salt=segment.salt, offset=end)
        if behind is not None or kind is Tail.DAMAGED:
            raise damage(folder, segment.name, bad) from bad


def _unreadable(folder: Path, segment: str | None, error: OSError) -> OutboxError:
    return OutboxError(
        f"cannot be read ({error.strerror or error})",
        remedy="read it as the user whose enforcer it is, from a disk that works",
        folder=folder,
        segment=segment,
    )
