"""Reading groups back, oldest first, while others may be written behind them."""

from collections.abc import Callable, Iterator
from pathlib import Path

from msgspec import Struct

from toolreeve.audit import Position
from toolreeve.outbox.error import DamageError, OutboxError
from toolreeve.outbox.frame import (
    HEADER_BYTES,
    BadFrame,
    Group,
    decode,
    frame_bytes,
    length_at,
    skim,
)
from toolreeve.outbox.host import HERE, Host
from toolreeve.outbox.segment import (
    EVIDENCE,
    IDENTITY_BYTES,
    Identity,
    open_existing,
    read_identity,
    read_part,
)

SLICE_BYTES = 4 << 20


class View(Struct, frozen=True):
    """What is durable at one moment: the segments, and where the last of them ends."""

    segments: tuple[Identity, ...]
    end: int
    last: Position | None
    head: bytes


class Reader:
    """Walks from behind `after` to the end that `view` names at each call.

    For one thread at a time. Raises OutboxError where a group that was durable cannot be read as
    it was written: DamageError where it is the disk that has changed it, after `on_damage`.
    """

    def __init__(
        self,
        folder: Path,
        view: Callable[[], View],
        after: Position | None,
        host: Host = HERE,
        *,
        on_damage: Callable[[], None] = lambda: None,
        slice_bytes: int = SLICE_BYTES,
    ) -> None:
        self._folder = folder
        self._view = view
        self._host = host
        self._after = after
        self._on_damage = on_damage
        self._slice_bytes = slice_bytes
        self._segment: Identity | None = None
        self._offset = IDENTITY_BYTES
        self._last: Position | None = None
        self._head = b""

    def read(self) -> list[Group]:
        """The next groups, about a slice of them; none where the end is reached for now."""
        while (groups := self._step(wanted=True)) is not None:
            if groups:
                return groups
        return []

    def prove(self) -> bool:
        """Only see that the next slice is as it was written. False where there is none for now.

        Begins with the first group of the segment that holds `after`.
        """
        return self._step(wanted=False) is not None

    def _step(self, *, wanted: bool) -> list[Group] | None:
        """Go on by one slice or into the next segment. None: there is nothing further for now."""
        view = self._view()
        if not view.segments:
            return None
        segment = self._current(view.segments)
        behind = _behind(view.segments, segment)
        limit = view.end if behind is None else behind.previous_end
        try:
            if self._offset < limit:
                return self._slice(segment, limit, wanted=wanted)
            if behind is None:
                return None
            self._check_seam(segment, behind)
        except FileNotFoundError as error:
            if segment.number >= self._view().segments[0].number:
                raise self._unreadable(segment, error) from error
            return []  # trimmed just now
        except DamageError:
            self._on_damage()
            raise
        self._enter(behind)
        return []

    def _current(self, segments: tuple[Identity, ...]) -> Identity:
        if self._segment is None:
            begins = [segment for segment in segments if reached(segment.after, self._after)]
            self._enter(begins[-1] if begins else segments[0])
        elif self._segment.number < segments[0].number:  # trimmed under a slow reader
            self._enter(segments[0])
        assert self._segment is not None
        return self._segment

    def _enter(self, segment: Identity) -> None:
        self._segment = segment
        self._offset = IDENTITY_BYTES
        self._last = segment.after
        self._head = segment.head

    def _slice(self, segment: Identity, limit: int, *, wanted: bool) -> list[Group]:
        """Groups from here on that are wanted; moves on in any case. Empty: none was wanted."""
        if not wanted and self._offset == IDENTITY_BYTES:
            self._check_identity(segment)
        length = min(self._slice_bytes, limit - self._offset)
        buffer = self._bytes(segment, length)
        needed = length_at(buffer, 0, salt=segment.salt, offset=self._offset)
        if needed is not None and length < needed <= limit - self._offset:
            buffer = self._bytes(segment, needed)
        groups: list[Group] = []
        begin = self._offset
        if not (wanted and reached(self._after, self._last)):
            self._skim(buffer, segment, self._after if wanted else None)
        try:
            at = self._offset - begin
            for group in walk(buffer, self._folder, segment, begin, self._last, at=at):
                self._offset += frame_bytes(group)
                self._last, self._head = group.last, group.head
                groups.append(group)
        except BadFrame as bad:
            cut_short = begin + len(buffer) < limit and self._cut_short(buffer, segment, begin)
            if not (cut_short and self._offset > begin):
                raise damage(self._folder, segment.name, bad) from bad
        return groups

    def _skim(self, buffer: bytes, segment: Identity, up_to: Position | None) -> None:
        """Go on over what nobody wants to have."""
        begin = self._offset
        skimmed = skim(
            buffer,
            salt=segment.salt,
            offset=begin,
            last=self._last,
            head=self._head,
            up_to=up_to,
        )
        self._offset += skimmed.at
        self._last, self._head = skimmed.last, skimmed.head

    def _check_identity(self, segment: Identity) -> None:
        try:
            there = read_identity(self._folder, segment.name, owner=segment.owner, host=self._host)
        except FileNotFoundError:
            raise
        except OSError as error:
            raise self._unreadable(segment, error) from error
        if there != segment:
            raise DamageError(
                "its identity header is not the one that was read when the outbox was opened",
                remedy=EVIDENCE,
                folder=self._folder,
                segment=segment.name,
                offset=0,
            )

    def _cut_short(self, buffer: bytes, segment: Identity, begin: int) -> bool:
        """Whether the frame here is only cut off by the end of the slice."""
        at = self._offset - begin
        if len(buffer) - at < HEADER_BYTES:
            return True
        length = length_at(buffer, at, salt=segment.salt, offset=self._offset)
        return length is not None and at + length > len(buffer)

    def _bytes(self, segment: Identity, length: int) -> bytes:
        try:
            descriptor = open_existing(self._folder / segment.name, host=self._host)
            try:
                return read_part(descriptor, self._offset, length, self._host)
            finally:
                self._host.close(descriptor)
        except FileNotFoundError:
            raise
        except OSError as error:
            raise self._unreadable(segment, error) from error

    def _unreadable(self, segment: Identity, error: OSError) -> OutboxError:
        return OutboxError(
            f"cannot be read ({error.strerror})",
            remedy="look at the disk",
            folder=self._folder,
            segment=segment.name,
            offset=self._offset,
        )

    def _check_seam(self, segment: Identity, behind: Identity) -> None:
        if behind.gap:
            return
        ends = (self._offset, self._last, self._head)
        if ends != (behind.previous_end, behind.after, behind.head):
            raise DamageError(
                f"its last group is not the one that {behind.name} goes on from",
                remedy=EVIDENCE,
                folder=self._folder,
                segment=segment.name,
                offset=self._offset,
            )


def walk(
    buffer: bytes,
    folder: Path,
    segment: Identity,
    offset: int,
    last: Position | None,
    *,
    at: int = 0,
) -> Iterator[Group]:
    """The groups from `buffer[at]` on, behind position `last`; `buffer` begins at `offset`.

    Raises BadFrame where no good frame stands before the buffer's end, OutboxError where a good
    frame stands in a place that is not its own.
    """
    while at < len(buffer):
        group = decode(buffer, at, salt=segment.salt, offset=offset + at)
        if not _follows(last, group):
            raise DamageError(
                f"the group there begins with {words(group.first)} and follows {words(last)}",
                remedy=EVIDENCE,
                folder=folder,
                segment=segment.name,
                offset=offset + at,
            )
        yield group
        last = group.last
        at += frame_bytes(group)


def damage(folder: Path, segment: str, bad: BadFrame) -> DamageError:
    """The error for a frame that was good once."""
    return DamageError(
        f"a group that was durable is damaged: {bad.reason}",
        remedy=EVIDENCE,
        folder=folder,
        segment=segment,
        offset=bad.offset,
    )


def reached(position: Position | None, by: Position | None) -> bool:
    """Whether `position` is not ahead of `by`; None stands before every position."""
    return position is None or (by is not None and position <= by)


def _behind(segments: tuple[Identity, ...], segment: Identity) -> Identity | None:
    index = segment.number - segments[0].number + 1
    return segments[index] if index < len(segments) else None


def _follows(last: Position | None, group: Group) -> bool:
    first = group.first
    if group.count < 1:
        return False
    if last is not None and first.epoch == last.epoch:
        return first.sequence == last.sequence + 1
    return first.sequence == 1 and (last is None or first.epoch > last.epoch)


def words(position: Position | None) -> str:
    """A position for people."""
    if position is None:
        return "nothing"
    return f"epoch {position.epoch} sequence {position.sequence}"
