"""When a segment may go."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from msgspec.structs import replace

from toolreeve.outbox.frame import Group
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
    os.utime(segments[0], (0, 0))
    assert journal.trim() == (0 if publishes else 1)
    kept = len(list(journal.groups(None)))
    journal.close()
    again = Journal(tmp_path / "outbox", owner="edge-1", settings=settings)
    assert len(list(again.groups(None))) == kept
    again.close()
