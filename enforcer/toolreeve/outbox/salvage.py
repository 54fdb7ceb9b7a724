"""What becomes of an outbox that was damaged: evidence beside it, and everything readable goes on.

A group that cannot be read as it was written is gone; the groups around it are not, for every
frame proves itself. So the readable groups are copied, bytes and positions unchanged, into a new
folder; the damaged folder is set aside as it is and never touched again; the new one takes its
name. Whoever follows sends what was not yet published, and a reader of the history sees the gap.

A crash in between is harmless: the copy gets its name when it is whole, and the damaged folder
loses its own only when the copy stands. What was found lies in the copy, until it is on record.
"""

import os
from collections.abc import Iterator
from contextlib import suppress
from fcntl import LOCK_EX, LOCK_NB
from pathlib import Path

import msgspec
import structlog
from msgspec import Struct
from msgspec.structs import replace

from toolreeve.audit import Position
from toolreeve.outbox.error import DamageError, OutboxError
from toolreeve.outbox.frame import BadFrame, Group, Tail, decode, frame_bytes, next_frame, tail
from toolreeve.outbox.host import HERE, Host, make_folder, settle
from toolreeve.outbox.journal import Journal
from toolreeve.outbox.reader import words
from toolreeve.outbox.segment import (
    IDENTITY_BYTES,
    Identity,
    open_existing,
    read_identity,
    read_part,
    segment_number,
    write_durably,
)
from toolreeve.outbox.settings import OutboxSettings

log = structlog.get_logger()

EVIDENCE_MARK = ".damaged-"
_COPY = ".salvaged"
_UNFINISHED = ".salvaging"
_FOUND = "damage"


class Lost(Struct, frozen=True, kw_only=True):
    """A part of the history that cannot be read any more.

    It lies behind `after` and before `before`: None where nothing readable stands on that side.
    """

    segment: str
    offset: int
    reason: str
    after: Position | None
    before: Position | None

    def __str__(self) -> str:
        before = "the end" if self.before is None else words(self.before)
        place = f"{self.segment} at offset {self.offset}"
        return f"{place}: {self.reason}; between {words(self.after)} and {before}"


class Salvage(Struct, frozen=True):
    """What was done: the evidence's name beside it, what is lost, how many groups were kept."""

    evidence: str
    lost: tuple[Lost, ...]
    groups: int


def salvage(
    folder: Path,
    *,
    owner: str,
    settings: OutboxSettings,
    found: DamageError,
    host: Host = HERE,
) -> Salvage:
    """Set `folder` aside and put what can be read of it in its place.

    Raises OutboxError where another process works with it or there is no room for the copy; then
    the folder is as it was.
    """
    copy, unfinished = _beside(folder, _COPY), _beside(folder, _UNFINISHED)
    lock = host.open(folder / "lock", os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        host.flock(lock, LOCK_EX | LOCK_NB)
        for left_over in (copy, unfinished):
            host.remove_folder(left_over)
        lost, groups = _copy(folder, unfinished, owner, settings, found, host=host)
        evidence = _free(folder, host)
        before = unreported(folder, host)
        done = Salvage(evidence.name, (*(() if before is None else before.lost), *lost), groups)
        _remember(unfinished, done, host)
        host.rename(unfinished, copy)
        host.rename(folder, evidence)
        host.rename(copy, folder)
        settle(folder.parent, host)
    except OSError as error:
        raise OutboxError(
            f"is damaged ({found.problem}), and what can be read cannot be copied ({error})",
            remedy="make room beside it, or move it away as evidence and start with an empty one",
            folder=folder,
        ) from error
    finally:
        host.close(lock)
    return done


def keep_evidence(
    folder: Path,
    segment: Identity,
    limit: int,
    *,
    before: Position | None,
    found: DamageError,
    host: Host = HERE,
) -> Salvage:
    """Copy a segment that was found damaged while others work with the folder; say what is lost.

    `limit` is where its groups end, `before` what comes next in the history. The folder stays as it
    is. Raises OSError.
    """
    evidence = _free(folder, host)
    make_folder(evidence, host)
    source = open_existing(folder / segment.name, host=host)
    try:
        content = read_part(source, 0, segment.size, host)
    finally:
        host.close(source)
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    target = host.open(evidence / segment.name, flags, 0o600)
    try:
        write_durably(target, [content], 0, host)
        host.fsync(target)
    finally:
        host.close(target)
    settle(evidence, host)
    lost: list[Lost] = []
    bad: Lost | None = None
    last, groups = segment.after, 0
    for one in _groups(folder, segment, limit, last=False, host=host):
        if isinstance(one, Lost):
            bad = bad or one
            continue
        if bad is not None:
            lost.append(replace(bad, after=last, before=one.first))
            bad = None
        last, groups = one.last, groups + 1
    if bad is not None:
        lost.append(replace(bad, after=last, before=before))
    elif not lost:  # every group proves itself, and the next opening may not find one of them
        whole = _lost(segment.name, found.offset or 0, found.problem)
        lost.append(replace(whole, after=segment.after, before=before))
    earlier = unreported(folder, host)
    done = Salvage(evidence.name, (*(() if earlier is None else earlier.lost), *lost), groups)
    _remember(folder, done, host)
    return done


def unreported(folder: Path, host: Host = HERE) -> Salvage | None:
    """What was found in this outbox and is not on record yet. Raises OSError."""
    try:
        descriptor = host.open(folder / _FOUND, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    try:
        text = read_part(descriptor, 0, host.fstat(descriptor).st_size, host)
    finally:
        host.close(descriptor)
    try:
        return msgspec.json.decode(text, type=Salvage)
    except msgspec.MsgspecError as error:  # the evidence says more than this did
        log.error("outbox.damage_not_read", folder=str(folder), error=str(error))
        return None


def reported(folder: Path, host: Host = HERE) -> None:
    """It is on record: nobody has to be told again."""
    with suppress(OSError):  # to be told twice harms nobody
        host.unlink(str(folder / _FOUND))


def _remember(folder: Path, found: Salvage, host: Host) -> None:
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
    descriptor = host.open(folder / _FOUND, flags, 0o600)
    try:
        write_durably(descriptor, [msgspec.json.encode(found)], 0, host)
        host.fsync(descriptor)
    finally:
        host.close(descriptor)
    settle(folder, host)


def finish_interrupted(folder: Path, host: Host = HERE) -> None:
    """Take up a copy that was whole when the process that made it was killed."""
    copy = _beside(folder, _COPY)
    if host.exists(copy) and not host.exists(folder):
        host.rename(copy, folder)
        settle(folder.parent, host)


def _copy(
    folder: Path,
    target: Path,
    owner: str,
    settings: OutboxSettings,
    found: DamageError,
    *,
    host: Host,
) -> tuple[tuple[Lost, ...], int]:
    kept_whole = replace(settings, publishes=True, retry_seconds=0.0)
    journal = Journal(target, owner=owner, settings=kept_whole, host=host)
    lost: list[Lost] = []
    groups = 0
    try:
        bad: Lost | None = None
        for one in _readable(folder, owner, host):
            if isinstance(one, Lost):
                bad = bad or one
                continue
            last = journal.view.last
            if last is not None and one.first <= last:
                continue  # an older copy of something that stands here already
            if last is None and bad is None and one.first.sequence > 1:
                journal.skip_to(one.first)  # what stood before it was published and trimmed
            elif bad is not None or not _follows(last, one):
                bad = bad or _lost(found.segment or folder.name, found.offset or 0, found.problem)
                lost.append(replace(bad, after=last, before=one.first))
                journal.skip_to(one.first)
                bad = None
            journal.write(one)
            groups += 1
        if bad is not None:
            lost.append(replace(bad, after=journal.view.last))
    finally:
        journal.close()
    if not lost:  # every group is there; something around them was wrong
        lost.append(_lost(found.segment or folder.name, found.offset or 0, found.problem))
    return tuple(lost), groups


def _readable(folder: Path, owner: str, host: Host) -> Iterator[Group | Lost]:
    """Every group that proves itself, in the order of the files, and a Lost where one does not."""
    names = sorted(host.listdir(folder))
    numbers = [name for name in names if segment_number(name) is not None]
    identities: list[Identity | DamageError] = []
    for name in numbers:
        try:
            identities.append(read_identity(folder, name, owner=owner, host=host))
        except DamageError as error:
            identities.append(error)
    for index, (name, identity) in enumerate(zip(numbers, identities, strict=True)):
        if isinstance(identity, DamageError):
            yield _lost(name, 0, identity.problem)
            continue
        behind = identities[index + 1] if index + 1 < len(identities) else None
        limit = identity.size
        if isinstance(behind, Identity) and behind.number == identity.number + 1:
            limit = behind.previous_end
        last = index + 1 == len(identities)
        yield from _groups(folder, identity, limit, last=last, host=host)


def _groups(
    folder: Path, segment: Identity, limit: int, *, last: bool, host: Host
) -> Iterator[Group | Lost]:
    descriptor = open_existing(folder / segment.name, host=host)
    try:
        buffer = read_part(descriptor, IDENTITY_BYTES, limit - IDENTITY_BYTES, host)
    finally:
        host.close(descriptor)
    at = 0
    while at < len(buffer):
        offset = IDENTITY_BYTES + at
        try:
            group = decode(buffer, at, salt=segment.salt, offset=offset)
        except BadFrame as bad:
            kind, _ = tail(buffer, at, salt=segment.salt, offset=offset)
            if kind is Tail.CLEAN or (kind is Tail.TORN and last):
                return  # the end, or a group that nobody was told of
            yield _lost(segment.name, offset, bad.reason)
            at = next_frame(buffer, at, salt=segment.salt, offset=offset)
        else:
            yield group
            at += frame_bytes(group)


def _follows(last: Position | None, group: Group) -> bool:
    if last is not None and group.first.epoch == last.epoch:
        return group.first.sequence == last.sequence + 1
    return group.first.sequence == 1


def _lost(segment: str, offset: int, reason: str) -> Lost:
    return Lost(segment=segment, offset=offset, reason=reason, after=None, before=None)


def _beside(folder: Path, ending: str) -> Path:
    return folder.with_name(folder.name + ending)


def _free(folder: Path, host: Host) -> Path:
    number = 1
    while host.exists(evidence := _beside(folder, f"{EVIDENCE_MARK}{number}")):
        number += 1
    return evidence
