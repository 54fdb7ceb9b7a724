"""The segments of one folder as one history: opened with care, written at its end.

One thread writes. A write that fails ends the segment: after an error of the disk nobody knows
what a descriptor's pages hold, so nothing more is written through it. The next write reads the
durable part again and goes on behind it in a new segment, whose header says where the old one
ends.
"""

from collections.abc import Iterator
from contextlib import ExitStack
from itertools import pairwise
from pathlib import Path
from threading import Lock

import structlog

from toolreeve.audit import Position
from toolreeve.outbox.error import NoRoomError, OutboxError
from toolreeve.outbox.folder import lock_folder, open_folder
from toolreeve.outbox.frame import Group, encode, frame_bytes
from toolreeve.outbox.host import HERE, Host
from toolreeve.outbox.mark import Mark
from toolreeve.outbox.reader import SLICE_BYTES, Reader, View, reached
from toolreeve.outbox.retention import Retention
from toolreeve.outbox.room import Room
from toolreeve.outbox.segment import (
    IDENTITY_BYTES,
    SALT_BYTES,
    Identity,
    create,
    open_existing,
    write_durably,
)
from toolreeve.outbox.settings import OutboxSettings
from toolreeve.outbox.stock import take_stock
from toolreeve.outbox.suspicion import suspect

log = structlog.get_logger()

RESERVED_PART = 8


class Journal:
    """An opened folder. `write` belongs to one thread; the rest may be used by any."""

    def __init__(
        self,
        folder: Path,
        *,
        owner: str,
        settings: OutboxSettings,
        whole: bool = True,
        host: Host = HERE,
    ) -> None:
        """See `Outbox.open`. Raises OutboxError: DamageError where a part that it reads is bad."""
        self.folder = folder
        self.retention = Retention()
        self._host = host
        self._owner = owner
        self._settings = settings
        self._descriptor: int | None = None  # the last segment's, while it may be written
        self._retry_after = 0.0  # monotonic; no new segment is tried before
        self._opened_at = host.time() - host.monotonic()
        self._ended: dict[int, float] = {}  # monotonic, by the number of a segment
        self._view_lock = Lock()
        with ExitStack() as undo:
            self._directory = open_folder(folder, host)
            undo.callback(host.close, self._directory)
            undo.callback(host.close, lock_folder(folder, self._directory, host))
            try:
                self.mark = Mark(self._directory, host)
                undo.callback(self.mark.close)
                found = take_stock(
                    folder,
                    self._directory,
                    owner=owner,
                    mark=self.mark,
                    settings=settings,
                    whole=whole,
                    host=host,
                )
                self.view, self.torn_bytes = found.view, found.torn_bytes
                if found.has_room:
                    name = folder / found.view.segments[-1].name
                    self._descriptor = open_existing(name, writable=True, host=host)
            except OSError as error:
                raise OutboxError(
                    f"cannot be opened ({error})",
                    remedy="let this user write there, and keep symbolic links out",
                    folder=folder,
                ) from error
            self._room = Room(self._directory, settings, host)
            self._opened = undo.pop_all()

    def reader(self, after: Position | None) -> Reader:
        """Reads the groups behind `after`, also those that are written later."""
        return self.prover(after, slice_bytes=SLICE_BYTES)

    def prover(self, after: Position | None, *, slice_bytes: int) -> Reader:
        """The same, in pieces of another size."""
        return Reader(
            self.folder,
            lambda: self.view,
            after,
            self._host,
            on_damage=self._suspect,
            slice_bytes=slice_bytes,
        )

    def groups(self, after: Position | None) -> Iterator[Group]:
        """The groups behind `after` that are durable when they are reached."""
        reader = self.reader(after)
        while groups := reader.read():
            yield from groups

    def bytes_on_disk(self) -> int:
        """The size of all segments, used and preallocated."""
        return sum(segment.size for segment in self.view.segments)

    def write(self, group: Group, *, reserved: bool = True) -> None:
        """Put the group behind the last one; it is durable when this returns.

        Where no further segment can be had, the last eighth of this one is for groups that are
        `reserved`. Raises OutboxError, and then the group is not part of the history: NoRoomError
        where a reserved one would be taken.
        """
        if not reserved:
            self._check_reserve(frame_bytes(group))
        if self._descriptor is None or self.view.end + frame_bytes(group) > self._size():
            self._begin_segment()
        view = self.view
        segment = view.segments[-1]
        assert self._descriptor is not None
        header = encode(group, salt=segment.salt, offset=view.end)
        try:
            write_durably(self._descriptor, [header, group.payload], view.end, self._host)
        except OSError as error:
            self._give_up_descriptor()
            raise self._disk_error(error, "written", segment=segment.name) from error
        end = view.end + frame_bytes(group)
        with self._view_lock:
            self.view = View(self.view.segments, end, group.last, group.head)
        if end > segment.size // 2:
            self._room.prepare(self.bytes_on_disk())

    def skip_to(self, first: Position) -> None:
        """Let `first` come next though something before it is missing; begins a new segment.

        For `salvage`, which has the missing part elsewhere as evidence. Raises OutboxError.
        """
        if first.sequence > 1:
            after: Position | None = Position(first.epoch, first.sequence - 1)
        else:
            after = self.view.last
        self._begin_segment(after, gap=True)

    def trim(self) -> int:
        """Delete segments older than the settings keep them, and published or materialised where
        they are to be.

        Returns how many. The last segment stays. Raises OSError, and OutboxError where a segment
        has to be read and cannot.
        """
        held = self._settings.keep_until == "materialised"
        if held and len(self.view.segments) > 1:
            oldest, behind = self.view.segments[:2]
            self.retention.look_into(oldest, behind, self.groups)
        with self._view_lock:
            published = self.mark.position
            view = self.view
            old: list[Identity] = []
            written = 0.0  # no segment was written to before the one in front of it
            for segment, behind in pairwise(view.segments):
                sent = published is not None and reached(behind.after, published)
                if self._settings.publishes and not sent:
                    break
                if held and not self.retention.frees(segment, behind):
                    break
                written = max(written, self._written(segment))
                if self._age(segment, written) < self._settings.keep_seconds:
                    break
                old.append(segment)
                if not sent and behind.after is not None:
                    self.mark.advance(behind.after)  # nobody will ask for it any more
            if old:
                self.mark.settle()  # or the missing segments would look like a loss
                self.view = View(view.segments[len(old) :], view.end, view.last, view.head)
                for segment in old:
                    self._ended.pop(segment.number, None)
                    self._host.unlink(segment.name, dir_fd=self._directory)
        return len(old)

    def close(self) -> None:
        """Let go of everything, the lock last. What is durable stays so."""
        if self._directory < 0:
            return
        self._room.close()
        if self._descriptor is not None:
            self._host.close(self._descriptor)
            self._descriptor = None
        self._directory = -1
        self._opened.close()

    def _suspect(self) -> None:
        if self._directory >= 0:
            suspect(self._directory, self._host)

    def _written(self, segment: Identity) -> float:
        return self._host.stat(segment.name, dir_fd=self._directory).st_mtime

    def _age(self, segment: Identity, written: float) -> float:
        """Seconds since it was written to, and no more because a wall clock was set forward.

        What the segments say is what limits are counted from after a restart.
        """
        elapsed = self._host.monotonic()
        age = min(self._host.time(), self._opened_at + elapsed) - written
        return min(age, elapsed - self._ended.get(segment.number, elapsed - age))

    # Writing

    def _check_reserve(self, needed: int) -> None:
        size = self._size() if self._descriptor is not None else 0
        if self.view.end + needed <= size - size // RESERVED_PART or size == 0:
            return
        if not self._room.has_next(self.bytes_on_disk()):
            raise NoRoomError(
                "there is no room for more segments, and what is left here is reserved",
                remedy="make room on the disk, bring back whoever takes the groups, or raise the"
                " bound; the outbox goes on by itself",
                folder=self.folder,
            )

    def _size(self) -> int:
        return self.view.segments[-1].size

    def _begin_segment(self, after: Position | None = None, *, gap: bool = False) -> None:
        if self._host.monotonic() < self._retry_after:
            raise OutboxError(
                "the last write failed and the next attempt is not due",
                remedy="look at the disk; the outbox tries again by itself",
                folder=self.folder,
            )
        if self.view.segments and self._room.at_bound(self.bytes_on_disk()):
            self._trim_now_and_then()
        if self.view.segments and self._room.at_bound(self.bytes_on_disk()):
            raise OutboxError(
                f"it has {self.bytes_on_disk()} bytes, its bound",
                remedy="bring back whoever takes its groups, or raise the bound",
                folder=self.folder,
            )
        self._retry_after = self._host.monotonic() + self._settings.retry_seconds
        view = self.view
        last = view.segments[-1] if view.segments else None
        replaced = False
        if self._descriptor is None and last is not None:
            for _ in self.groups(last.after):  # is what was durable still there?
                pass
            replaced = view.end == IDENTITY_BYTES  # no group ever stood in it
        if last is None:
            number, previous_end = 1, 0
        elif replaced:
            number, previous_end = last.number, last.previous_end
        else:
            number, previous_end = last.number + 1, view.end
        identity = Identity(
            owner=self._owner,
            number=number,
            size=self._settings.segment_bytes,
            after=after if gap else view.last,
            head=view.head,
            previous_end=previous_end,
            salt=self._host.urandom(SALT_BYTES),
            gap=gap or (replaced and last is not None and last.gap),
        )
        try:
            descriptor = create(self._directory, identity, blank=self._room.take(), host=self._host)
        except OSError as error:
            raise self._disk_error(error, "begun", segment=identity.name) from error
        if self._descriptor is not None:
            self._host.close(self._descriptor)
        self._descriptor = descriptor
        if last is not None:
            self._ended[last.number] = self._host.monotonic()
        with self._view_lock:
            before = self.view.segments[:-1] if replaced else self.view.segments
            self.view = View((*before, identity), IDENTITY_BYTES, identity.after, view.head)
        self._retry_after = 0.0
        log.debug("outbox.segment_begun", segment=identity.name)
        self._trim_now_and_then()

    def _trim_now_and_then(self) -> None:
        try:
            self.trim()
        except (OSError, OutboxError) as error:
            log.warning("outbox.not_trimmed", folder=str(self.folder), error=str(error))

    def _give_up_descriptor(self) -> None:
        if self._descriptor is not None:
            descriptor, self._descriptor = self._descriptor, None
            self._host.close(descriptor)
        self._retry_after = self._host.monotonic() + self._settings.retry_seconds

    def _disk_error(self, error: OSError, done: str, *, segment: str) -> OutboxError:
        return OutboxError(
            f"cannot be {done} ({error.strerror or error})",
            remedy="make room or mend the disk; the outbox goes on by itself in a new segment",
            folder=self.folder,
            segment=segment,
        )
