"""Any order of writing, crashing, failing, publishing and trimming keeps what was durable."""

import os
import shutil
import tempfile
from hashlib import sha256
from pathlib import Path

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
)

from toolreeve.audit import Position
from toolreeve.outbox.error import OutboxError
from toolreeve.outbox.frame import Group, encode
from toolreeve.outbox.journal import Journal
from toolreeve.outbox.segment import segment_name
from toolreeve.outbox.settings import OutboxSettings

SETTINGS = OutboxSettings(segment_bytes=8192, bytes_max=3000, retry_seconds=0.0, keep_seconds=0.0)
SIZES = st.sampled_from([0, 1, 60, 1000, 1300, 3000])


class JournalHistories(RuleBasedStateMachine):
    """`durable` is the model: what was written and not trimmed, as groups in order."""

    def __init__(self) -> None:
        super().__init__()
        self.home = Path(tempfile.mkdtemp(prefix="toolreeve-journal-"))
        self.durable: list[Group] = []
        self.epoch = 1
        self.journal = self.opened()
        self.reader = self.journal.reader(None)
        self.followed: list[Group] = []

    def opened(self) -> Journal:
        return Journal(self.home / "outbox", owner="edge-1", settings=SETTINGS)

    def reopened(self) -> None:
        self.journal = self.opened()
        self.reader = self.journal.reader(self.followed[-1].last if self.followed else None)

    def next_group(self, size: int, count: int) -> Group:
        last = self.journal.view.last
        same_epoch = last is not None and last.epoch == self.epoch
        sequence = last.sequence + 1 if last is not None and same_epoch else 1
        payload = os.urandom(size)
        head = sha256(self.journal.view.head + payload).digest()
        return Group(Position(self.epoch, sequence), count, head, payload)

    @rule(size=SIZES, count=st.integers(1, 3))
    def write(self, size: int, count: int) -> None:
        group = self.next_group(size, count)
        self.journal.write(group)
        self.durable.append(group)

    @rule()
    def begin_an_epoch(self) -> None:
        self.epoch += 1

    @rule()
    def close_and_open(self) -> None:
        self.journal.close()
        self.reopened()
        assert self.journal.torn_bytes == 0

    @precondition(lambda self: bool(self.journal.view.segments))
    @rule(size=SIZES, sectors=st.lists(st.booleans(), min_size=1, max_size=8), cut=st.integers(0))
    def crash_while_writing(self, size: int, sectors: list[bool], cut: int) -> None:
        """Some sectors of the next frame reach the disk, and perhaps only a part of the last."""
        view = self.journal.view
        segment = view.segments[-1]
        group = self.next_group(size, 1)
        frame = encode(group, salt=segment.salt, offset=view.end) + group.payload
        self.journal.close()
        if view.end + len(frame) > segment.size:
            self.reopened()
            return
        file = self.home / "outbox" / segment_name(segment.number)
        whole = True
        with file.open("r+b") as disk:
            for begin in range(0, len(frame), 512):
                sector = frame[begin : begin + 512]
                kept = sector if sectors[begin // 512 % len(sectors)] else b""
                if begin + 512 >= len(frame):
                    kept = kept[: cut % (len(sector) + 1)]
                disk.seek(view.end + begin)
                disk.write(kept)
                whole = whole and (kept == sector or not any(sector[len(kept) :]))
        self.reopened()
        if whole:  # nobody was told, and it is there: as good
            self.durable.append(group)

    @rule(size=SIZES)
    def fail_to_write(self, size: int) -> None:
        """The kernel refuses the write; the next one goes on in a new segment."""
        for link in Path("/proc/self/fd").iterdir():
            target = str(link.readlink()) if link.is_symlink() else ""
            if target.startswith(str(self.home)) and target.endswith(".segment"):
                full = os.open("/dev/full", os.O_RDWR)
                os.dup2(full, int(link.name))
                os.close(full)
        group = self.next_group(size, 1)
        try:
            self.journal.write(group)
        except OutboxError:
            return
        self.durable.append(group)  # it did not fit, so it went into a new segment anyway

    @rule(share=st.floats(0, 1))
    def publish(self, share: float) -> None:
        if self.durable:
            last = self.durable[round(share * (len(self.durable) - 1))].last
            self.journal.mark.advance(last)

    @rule()
    def trim(self) -> None:
        self.journal.trim()

    @rule()
    def follow(self) -> None:
        self.followed.extend(self.reader.read())

    @invariant()
    def what_is_on_disk_is_what_was_durable(self) -> None:
        there = list(self.journal.groups(None))
        gone = len(self.durable) - len(there)
        assert there == self.durable[gone:]
        if gone:
            published = self.journal.mark.position
            assert published is not None
            assert self.durable[gone - 1].last <= published

    @invariant()
    def the_end_is_known(self) -> None:
        view = self.journal.view
        assert view.last == (self.durable[-1].last if self.durable else None)
        assert view.head == (self.durable[-1].head if self.durable else bytes(32))

    @invariant()
    def a_follower_misses_nothing_but_what_was_published_and_trimmed(self) -> None:
        if self.followed:
            begin, end = map(self.durable.index, (self.followed[0], self.followed[-1]))
            missed = [group for group in self.durable[begin:end] if group not in self.followed]
            assert len(self.followed) + len(missed) == end - begin + 1
            published = self.journal.mark.position
            assert all(published and group.last <= published for group in missed)

    def teardown(self) -> None:
        self.journal.close()
        shutil.rmtree(self.home)


TestJournalHistories = JournalHistories.TestCase
TestJournalHistories.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
