"""kill -9 and two processes: what a caller was told survives its process."""

import asyncio
import os
import random
import select
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from toolreeve.audit import Position
from toolreeve.outbox import Outbox, OutboxError

OpenOutbox = Callable[..., Outbox[bytes]]

APPENDING = """
import asyncio, os, sys
from hashlib import sha256
from pathlib import Path
import structlog
from toolreeve.outbox import Outbox, OutboxSettings

structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))

def pack(first, head, records):
    payload = b"\\n".join(
        b"%d=%s" % (first.sequence + at, record) for at, record in enumerate(records)
    )
    return payload, sha256(head + payload).digest()

async def main():
    settings = OutboxSettings(segment_bytes=65536, bytes_max=32768)
    outbox = Outbox.open(Path(sys.argv[1]), owner="edge-1", pack=pack, settings=settings)
    epoch = outbox.recovered.next_epoch
    outbox.begin(epoch)

    async def append_for_ever(who):
        number = 0
        while True:
            number += 1
            record = b"%d.%d.%s" % (who, number, b"." * (number * 37 % 300))
            at = await outbox.append(record)
            os.write(1, b"%d %d %s\\n" % (at.epoch, at.sequence, record))

    await asyncio.gather(*(append_for_ever(who) for who in range(8)))

asyncio.run(main())
"""


def start_appending(folder: Path) -> "subprocess.Popen[bytes]":
    return subprocess.Popen(
        [sys.executable, "-c", APPENDING, str(folder)],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )


def told_until_killed(process: "subprocess.Popen[bytes]", bytes_least: int) -> bytes:
    """Read so much of what it says, kill -9 it, and read the rest."""
    assert process.stdout is not None
    said = b""
    while len(said) < bytes_least:
        assert select.select([process.stdout], [], [], 20)[0], "it appends nothing"
        part = os.read(process.stdout.fileno(), 65536)
        assert part, "it has ended by itself"
        said += part
    process.send_signal(signal.SIGKILL)
    said += process.stdout.read()
    process.stdout.close()
    process.wait()
    return said


def test_every_position_that_was_told_is_there_after_kill_9(
    tmp_path: Path, open_outbox: OpenOutbox
) -> None:
    told: dict[Position, bytes] = {}
    seed = random.randrange(1 << 32)
    rounds = random.Random(seed)
    for _ in range(8):
        process = start_appending(tmp_path / "outbox")
        said = told_until_killed(process, rounds.randrange(200, 400_000))
        for line in said.split(b"\n")[:-1]:  # the last one may be cut short
            epoch, sequence, record = line.split(b" ", 2)
            told[Position(int(epoch), int(sequence))] = record
    outbox = open_outbox()
    there: dict[Position, bytes] = {}
    for group in outbox.groups():
        for line in group.payload.split(b"\n"):
            sequence, record = line.split(b"=", 1)
            there[Position(group.first.epoch, int(sequence))] = record
    missing = {at: record for at, record in told.items() if there.get(at) != record}
    assert not missing, f"seed {seed}"
    assert len({at.epoch for at in told}) == 8
    assert len(there) - len(told) <= 8 * 8, "only what was under way was not told"


def test_a_second_process_is_refused_and_told_who_is_there(
    tmp_path: Path, open_outbox: OpenOutbox
) -> None:
    process = start_appending(tmp_path / "outbox")
    try:
        assert process.stdout is not None
        process.stdout.readline()
        with pytest.raises(OutboxError, match=f"process {process.pid} works with it"):
            open_outbox()
    finally:
        process.kill()
        process.wait()
        assert process.stdout is not None
        process.stdout.close()
    asyncio.run(open_outbox().close())
