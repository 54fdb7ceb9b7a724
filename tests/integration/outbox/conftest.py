"""An outbox whose records are bytes."""

import os
from collections.abc import Callable, Sequence
from hashlib import sha256
from pathlib import Path

import pytest

from toolreeve.audit import Position
from toolreeve.outbox import Outbox, OutboxSettings

BytesOutbox = Outbox[bytes]


def pack(first: Position, head: bytes, records: Sequence[bytes]) -> tuple[bytes, bytes]:
    """One record a line, behind the number of each."""
    if b"poison" in records:
        raise ValueError("a record that cannot be packed")
    lines = [b"%d=%s" % (first.sequence + at, record) for at, record in enumerate(records)]
    payload = b"\n".join(lines)
    return payload, sha256(head + payload).digest()


@pytest.fixture
def open_outbox(tmp_path: Path) -> Callable[..., BytesOutbox]:
    """Opens the outbox of the test's own folder."""

    def open_it(settings: OutboxSettings | None = None) -> BytesOutbox:
        return Outbox.open(tmp_path / "outbox", owner="edge-1", pack=pack, settings=settings)

    return open_it


@pytest.fixture
def break_writes(tmp_path: Path) -> Callable[[], None]:
    """From here on the kernel answers ENOSPC to writes into the segments that are open."""

    def break_them() -> None:
        broken = 0
        for link in Path("/proc/self/fd").iterdir():
            target = str(link.readlink()) if link.is_symlink() else ""
            if target.startswith(str(tmp_path)) and target.endswith(".segment"):
                full = os.open("/dev/full", os.O_RDWR)
                os.dup2(full, int(link.name))
                os.close(full)
                broken += 1
        assert broken == 1

    return break_them
