"""What stands in a folder, found out with care before anything is written behind it."""

from itertools import pairwise
from pathlib import Path

import structlog
from msgspec import Struct

from toolreeve.audit import GENESIS, Position
from toolreeve.outbox.error import DamageError, OutboxError
from toolreeve.outbox.frame import BadFrame, Tail, skim, tail
from toolreeve.outbox.host import Host
from toolreeve.outbox.mark import Mark
from toolreeve.outbox.reader import Reader, View, damage, reached, walk, words
from toolreeve.outbox.segment import (
    EVIDENCE,
    IDENTITY_BYTES,
    UNFINISHED,
    Identity,
    open_existing,
    read_identity,
    read_part,
    segment_number,
    write_durably,
)
from toolreeve.outbox.settings import OutboxSettings
from toolreeve.outbox.suspicion import cleared, suspected

log = structlog.get_logger()


class Stock(Struct, frozen=True):
    """What is durable, and how many bytes of a torn tail were made zero behind it."""

    view: View
    torn_bytes: int

    @property
    def has_room(self) -> bool:
        """Whether the last segment can be gone on with."""
        return bool(self.view.segments) and self.view.end < self.view.segments[-1].size


def take_stock(
    folder: Path,
    directory: int,
    *,
    owner: str,
    mark: Mark,
    settings: OutboxSettings,
    whole: bool,
    host: Host,
) -> Stock:
    """Read a folder that is ours, and cut off a torn tail.

    `whole`: all of it; else the last segment, and what a follower is about to read. Raises
    DamageError where that is not as it was written, OutboxError and OSError.
    """
    whole = whole or suspected(folder, host)
    segments = _identities(folder, directory, owner, host)
    _check_order(folder, segments)
    if not segments:
        _check_mark(folder, mark, segments, None)
        return Stock(View((), 0, None, GENESIS), 0)
    stock = _find_end(folder, directory, segments, host)
    view = stock.view
    _check_mark(folder, mark, segments, view.last)
    # Damage must show while the folder can be set aside, and not when somebody waits for a group.
    after = None if whole else mark.position
    follows = settings.publishes and not reached(segments[-1].after, after)
    if whole or follows:
        reader = Reader(folder, lambda: view, after, host)
        while reader.prove():
            pass
    if whole:
        cleared(directory, host)
    return stock


def _identities(folder: Path, directory: int, owner: str, host: Host) -> tuple[Identity, ...]:
    names = sorted(host.listdir(folder))
    for name in names:
        if name.endswith(UNFINISHED):
            host.unlink(name, dir_fd=directory)
    return tuple(
        read_identity(folder, name, owner=owner, host=host)
        for name in names
        if segment_number(name) is not None
    )


def _check_order(folder: Path, segments: tuple[Identity, ...]) -> None:
    for segment, behind in pairwise(segments):
        if behind.number != segment.number + 1:
            raise _refusal(folder, behind, "the segment before it is missing")
        if not reached(segment.after, behind.after):
            raise _refusal(folder, behind, "it begins earlier than the segment before it")
    if segments and segments[0].number == 1 and segments[0].after and not segments[0].gap:
        raise _refusal(folder, segments[0], "it is the first and does not begin the history")


def _check_mark(
    folder: Path, mark: Mark, segments: tuple[Identity, ...], last: Position | None
) -> None:
    published = mark.position
    if published is None:
        if segments and segments[0].number > 1:  # trimmed, so there was a mark
            log.warning("outbox.mark_lost", folder=str(folder))
        return
    if not reached(published, last):
        raise DamageError(
            f"{words(published)} was published, the last one here is {words(last)}",
            remedy=EVIDENCE,
            folder=folder,
            segment=segments[-1].name if segments else None,
        )
    if not reached(segments[0].after, published):
        raise _refusal(folder, segments[0], "segments before it are missing, not yet published")


def _refusal(folder: Path, segment: Identity, problem: str) -> DamageError:
    return DamageError(problem, remedy=EVIDENCE, folder=folder, segment=segment.name, offset=0)


def _find_end(folder: Path, directory: int, segments: tuple[Identity, ...], host: Host) -> Stock:
    """Where the last segment's good groups end. A torn tail behind them is made zero."""
    segment = segments[-1]
    torn_bytes = 0
    descriptor = open_existing(folder / segment.name, writable=True, host=host)
    try:
        buffer = read_part(descriptor, IDENTITY_BYTES, segment.size - IDENTITY_BYTES, host)
        good = skim(
            buffer,
            salt=segment.salt,
            offset=IDENTITY_BYTES,
            last=segment.after,
            head=segment.head,
        )
        end = IDENTITY_BYTES + good.at
        try:  # what is wrong there, unless it is the file's end
            next(walk(buffer, folder, segment, IDENTITY_BYTES, good.last, at=good.at), None)
        except BadFrame as bad:
            kind, written = tail(buffer, good.at, salt=segment.salt, offset=end)
            if kind is Tail.DAMAGED:
                raise damage(folder, segment.name, bad) from bad
            if kind is Tail.TORN:
                log.warning("outbox.torn_tail_cut", segment=segment.name, offset=end, size=written)
                write_durably(descriptor, [bytes(written)], end, host)
                torn_bytes = written
        # Whoever wrote it may have been killed before it was durable, and then it may be in the
        # kernel's memory alone. From here on somebody may be told of it.
        host.fsync(directory)
        if good.begin < good.at:
            frame = buffer[good.begin : good.at]
            write_durably(descriptor, [frame], IDENTITY_BYTES + good.begin, host)
    except OSError as error:
        raise OutboxError(
            f"cannot be opened ({error.strerror or error})",
            remedy="make room or mend the disk",
            folder=folder,
            segment=segment.name,
        ) from error
    finally:
        host.close(descriptor)
    return Stock(View(segments, end, good.last, good.head), torn_bytes)
