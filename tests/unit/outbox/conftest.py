"""Small outboxes to be broken."""

from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

import pytest

from toolreeve.audit import Position
from toolreeve.outbox.frame import Group
from toolreeve.outbox.journal import Journal
from toolreeve.outbox.settings import OutboxSettings

SMALL = OutboxSettings(segment_bytes=8192, bytes_max=2000, retry_seconds=0.0, keep_seconds=0.0)


@pytest.fixture
def small() -> OutboxSettings:
    """Segments with room for 4096 bytes of groups; nothing is kept longer than needed."""
    return SMALL


@pytest.fixture
def open_journal(tmp_path: Path) -> Callable[[], Journal]:
    """Opens the journal of the test's own folder."""
    return lambda: Journal(tmp_path / "outbox", owner="edge-1", settings=SMALL)


@pytest.fixture
def next_group() -> Callable[..., Group]:
    """Makes the group that comes next in a journal, with `count` records."""

    def make(journal: Journal, payload: bytes, *, count: int = 1, epoch: int = 1) -> Group:
        last = journal.view.last
        same = last is not None and last.epoch == epoch
        first = Position(epoch, last.sequence + 1 if last is not None and same else 1)
        return Group(first, count, sha256(journal.view.head + payload).digest(), payload)

    return make
