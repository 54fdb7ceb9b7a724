"""When a segment may go."""

import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from msgspec.structs import replace

from toolreeve.outbox.frame import Group
from toolreeve.outbox.host import HERE
from toolreeve.outbox.journal import Journal
from toolreeve.outbox.settings import OutboxSettings


@pytest.mark.parametrize("publishes", [True, False])
def test_where_nobody_follows_age_alone_decides(
    tmp_path: Path,
    small: OutboxSettings,
    next_group: Callable[..., Group],
    publishes: bool,
) -> None:
    settings = replace(small, publishes=publishes, keep_seconds=3_600.0)
    journal = Journal(tmp_path / "outbox", owner="edge-1", settings=settings)
    for _ in range(20):
        journal.write(next_group(journal, bytes(1_500)))
    segments = sorted((tmp_path / "outbox").glob("*.segment"))
    assert len(segments) > 3
    journal.close()
    os.utime(segments[0], (0, 0))
    journal = Journal(tmp_path / "outbox", owner="edge-1", settings=settings)
    assert journal.trim() == (0 if publishes else 1)
    kept = len(list(journal.groups(None)))
    journal.close()
    again = Journal(tmp_path / "outbox", owner="edge-1", settings=settings)
    assert len(list(again.groups(None))) == kept
    again.close()


def test_a_wall_clock_that_is_set_forward_makes_no_segment_old(
    tmp_path: Path,
    small: OutboxSettings,
    next_group: Callable[..., Group],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ahead = 0.0
    monkeypatch.setattr(HERE, "time", lambda: time.time() + ahead)
    settings = replace(small, publishes=False, keep_seconds=3_600.0)
    journal = Journal(tmp_path / "outbox", owner="edge-1", settings=settings)
    for _ in range(10):
        journal.write(next_group(journal, bytes(1_500)))
    journal.close()
    journal = Journal(tmp_path / "outbox", owner="edge-1", settings=settings)
    for _ in range(10):
        journal.write(next_group(journal, bytes(1_500)))
    ahead = 86_400.0
    assert journal.trim() == 0
    assert len(list(journal.groups(None))) == 20
    journal.close()
