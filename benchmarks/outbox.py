"""How fast the outbox is on this disk, against the disk alone.

    python benchmarks/outbox.py [--json] [--seconds S] [--folder FOLDER] [--opening N ...]

`alone` is one record at a time: what a single caller waits until its record is durable, beside
the same bytes written to the same disk with one RWF_DSYNC write and nothing around it, in turn.
`groups of N` have N callers each waiting for their own record, so that about N records share one
flush. Times in microseconds. Give `--folder` on the disk in question; a tmpfs says nothing.

`opening N` opens an outbox of N groups of one record, all of them published, as an enforcer does
and with everything read (`whole`), and reads the last 20,000 groups: about the most that a start
reads when it has a memory. In milliseconds; the files are in the kernel's memory.
"""

import argparse
import asyncio
import json
import logging
import os
import tempfile
import time
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, cast

import structlog

from toolreeve.audit import Position
from toolreeve.outbox import HERE, Group, Outbox, OutboxSettings
from toolreeve.outbox.journal import Journal

if TYPE_CHECKING:
    from toolreeve.outbox import Host

RECORD_BYTES = 350  # a decision with its envelope
GROUP_SIZES = (1, 10, 100)
FRAME_BYTES = 68
READ_BEHIND_A_MEMORY = 20_000
OPENINGS = 5


def pack(_first: Position, head: bytes, records: Sequence[bytes]) -> tuple[bytes, bytes]:
    """The cheapest pack that touches every byte once, as the hash chain does."""
    payload = b"".join(records)
    return payload, sha256(head + payload).digest()


class Disk:
    """One durable write at a time into a zero-filled file, and nothing else."""

    def __init__(self, folder: Path, size: int = 16 << 20) -> None:
        self._descriptor = os.open(folder / "raw", os.O_RDWR | os.O_CREAT, 0o600)
        os.pwrite(self._descriptor, bytes(size), 0)
        os.fsync(self._descriptor)
        self._size = size
        self._offset = 0

    def write(self, part: bytes) -> None:
        os.pwritev(self._descriptor, [part], self._offset, os.RWF_DSYNC)
        self._offset = (self._offset + len(part)) % (self._size - len(part))

    def close(self) -> None:
        os.close(self._descriptor)


def share(sorted_times: list[float], part: float) -> float:
    return round(sorted_times[min(len(sorted_times) - 1, int(len(sorted_times) * part))] * 1e6, 1)


async def measure_alone(outbox: Outbox[bytes], disk: Disk, seconds: float) -> dict[str, float]:
    record = os.urandom(RECORD_BYTES)
    frame = os.urandom(RECORD_BYTES + FRAME_BYTES)
    appends: list[float] = []
    writes: list[float] = []
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        begun = time.perf_counter()
        await outbox.append(record)
        between = time.perf_counter()
        disk.write(frame)
        writes.append(time.perf_counter() - between)
        appends.append(between - begun)
    appends.sort()
    writes.sort()
    return {
        "append_us_p50": share(appends, 0.5),
        "append_us_p99": share(appends, 0.99),
        "disk_us_p50": share(writes, 0.5),
        "disk_us_p99": share(writes, 0.99),
        "above_disk_us_p50": round(share(appends, 0.5) - share(writes, 0.5), 1),
    }


async def measure_groups(outbox: Outbox[bytes], size: int, seconds: float) -> dict[str, float]:
    record = os.urandom(RECORD_BYTES)
    times: list[float] = []
    first = outbox.status().last
    end = time.perf_counter() + seconds

    async def call() -> None:
        while (begun := time.perf_counter()) < end:
            await outbox.append(record)
            times.append(time.perf_counter() - begun)

    begun = time.perf_counter()
    await asyncio.gather(*(call() for _ in range(size)))
    elapsed = time.perf_counter() - begun
    groups = sum(1 for _ in outbox.groups(first))
    times.sort()
    return {
        "records_per_second": round(len(times) / elapsed),
        "records_per_group": round(len(times) / groups, 1),
        "append_us_p50": share(times, 0.5),
        "append_us_p99": share(times, 0.99),
    }


class Hasty:
    """This machine, but writes are not waited for: to make large outboxes in a reasonable time."""

    def __getattr__(self, name: str) -> object:
        return getattr(HERE, name)

    def pwritev(self, fd: int, buffers: Sequence[bytes], offset: int, _flags: int = 0, /) -> int:
        return os.pwritev(fd, buffers, offset)


def fill(folder: Path, groups: int) -> None:
    """So many groups of one record, all published."""
    settings = OutboxSettings()
    journal = Journal(folder, owner="benchmark", settings=settings, host=cast("Host", Hasty()))
    payload, head = os.urandom(RECORD_BYTES), bytes(32)
    for number in range(1, groups + 1):
        head = sha256(head).digest()
        journal.write(Group(Position(1, number), 1, head, payload))
    journal.mark.advance(Position(1, groups))
    journal.close()


async def measure_opening(folder: Path, groups: int) -> dict[str, float]:
    await asyncio.to_thread(fill, folder, groups)
    figures: dict[str, list[float]] = {"open_ms": [], "open_whole_ms": [], "read_20000_ms": []}
    for _ in range(OPENINGS):
        for whole, name in ((False, "open_ms"), (True, "open_whole_ms")):
            begun = time.perf_counter()
            outbox = Outbox.open(folder, owner="benchmark", pack=pack, whole=whole)
            figures[name].append(time.perf_counter() - begun)
            if not whole:
                begun = time.perf_counter()
                behind = Position(1, max(0, groups - READ_BEHIND_A_MEMORY))
                assert sum(1 for _ in outbox.groups(behind)) == groups - behind.sequence
                figures["read_20000_ms"].append(time.perf_counter() - begun)
            await outbox.close()
    return {name: round(median(times) * 1e3, 1) for name, times in figures.items()}


async def measure(folder: Path, seconds: float) -> dict[str, dict[str, float]]:
    outbox = Outbox.open(folder / "outbox", owner="benchmark", pack=pack)
    outbox.begin(1)
    disk = Disk(folder)
    try:
        figures = {"alone": await measure_alone(outbox, disk, seconds)}
        for size in GROUP_SIZES:
            figures[f"groups of {size}"] = await measure_groups(outbox, size, seconds)
        return figures
    finally:
        disk.close()
        await outbox.close()


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure the outbox on a disk.")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--seconds", type=float, default=3.0, help="for each measurement")
    parser.add_argument(
        "--opening", type=int, nargs="*", metavar="N", help="only open outboxes of N groups"
    )
    parser.add_argument("--folder", type=Path, default=Path(), help="on the disk to measure")
    arguments = parser.parse_args()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    with tempfile.TemporaryDirectory(prefix=".outbox-benchmark-", dir=arguments.folder) as folder:
        if arguments.opening:
            figures = {
                f"opening {groups}": asyncio.run(
                    measure_opening(Path(folder) / str(groups), groups)
                )
                for groups in arguments.opening
            }
        else:
            figures = asyncio.run(measure(Path(folder), arguments.seconds))
    if arguments.json:
        print(json.dumps(figures))
        return
    for name, values in figures.items():
        print(name)
        for what, value in values.items():
            print(f"  {what:<20} {value:>12,}")


if __name__ == "__main__":
    main()
