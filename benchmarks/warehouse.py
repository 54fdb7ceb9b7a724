"""How fast the warehouse takes events in, and how long a query waits meanwhile.

    python benchmarks/warehouse.py [--events 100000] [--group 64] [--json]

One process loads groups of decisions and outcomes as they come from the stream, batch by batch,
each batch one transaction. Then the same is done at half that rate while queries are asked one
after the other, each in a process of its own over a fresh snapshot. Figures are of this machine;
compare ratios.
"""

import argparse
import asyncio
import json
import os
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import median, quantiles

from toolreeve.audit import (
    GENESIS,
    Arguments,
    Completed,
    Decided,
    Draft,
    Effect,
    KeptArgument,
    Outcome,
    Position,
)
from toolreeve.decision import Instant
from toolreeve.warehouse.executor import QueryExecutor, QuerySettings
from toolreeve.warehouse.parts import Parts
from toolreeve.warehouse.store import Warehouse
from toolreeve.wire import pack, unpack

START = 1_750_000_000_000_000_000
MILLISECOND = 1_000_000
BATCH_GROUPS = 64
QUERIES = {
    "count": "SELECT count(*) FROM decisions",
    "which VM": (
        "SELECT arguments['/id'] AS vm, count(*) AS calls FROM decisions"
        " WHERE tool = 'vm_restart' GROUP BY vm ORDER BY calls DESC LIMIT 5"
    ),
    "usage by hour": "FROM tool_usage_hourly",
    "last minute": (
        "SELECT tool, count(*) FROM decisions"
        " WHERE time > (SELECT max(time) - INTERVAL 1 MINUTE FROM decisions) GROUP BY tool"
    ),
}


def payloads(events: int, group: int) -> Iterator[bytes]:
    """Groups of decisions, each followed by one of their outcomes, as they lie in an outbox."""
    head, sequence = GENESIS, 1
    tools = ("vm_list", "vm_status", "vm_start", "vm_stop", "vm_restart", "vm_clone")
    while sequence < events:
        decided = [
            Draft(
                Instant(START + (sequence + number) * MILLISECOND),
                Decided(
                    server="truenas",
                    grant=f"grant-{number % 7}",
                    agent=f"agent-{number % 7}",
                    session="5f1f3c0e-7f9b-4d6e-9d0a-0d9b1f2a3c4d",
                    request_id=str(sequence + number),
                    tool=tools[(sequence + number) % len(tools)],
                    wire_tool="truenas",
                    tool_group="virtualization",
                    effect=Effect.ALLOW,
                    code="allowed",
                    rule="/tools/vm_restart",
                    policy_revision="sha256:" + "ab" * 32,
                    arguments=Arguments(
                        names=("id",),
                        kept=(KeptArgument("/id", str((sequence + number) % 200)),),
                        keyed_hash=os.urandom(32),
                        size_bytes=11,
                    ),
                    protocol_version="2025-11-25",
                    decision_ns=2_100,
                ),
            )
            for number in range(group)
        ]
        ended = [
            Draft(
                Instant(START + (sequence + group + number) * MILLISECOND),
                Completed(
                    decision_id=f"edge-1:1:{sequence + number}",
                    outcome=Outcome.SUCCESS,
                    duration_ns=4 * MILLISECOND + number,
                    request_bytes=180,
                    response_bytes=900,
                ),
            )
            for number in range(group)
        ]
        for drafts in (decided, ended):
            payload, head = pack("edge-1")(Position(1, sequence), head, drafts)
            sequence += len(drafts)
            yield payload


def load(warehouse: Warehouse, batch: Sequence[bytes]) -> None:
    """What the worker does with a batch."""
    warehouse.load([unpack(payload) for payload in batch], at=Instant(START))


def batches(groups: Sequence[bytes]) -> Iterator[Sequence[bytes]]:
    for first in range(0, len(groups), BATCH_GROUPS):
        yield groups[first : first + BATCH_GROUPS]


def measure_load(warehouse: Warehouse, groups: Sequence[bytes], group: int) -> dict[str, float]:
    seconds: list[float] = []
    cpu = time.process_time()
    for batch in batches(groups):
        begun = time.perf_counter()
        load(warehouse, batch)
        seconds.append(time.perf_counter() - begun)
    events = len(groups) * group
    return {
        "events": events,
        "events_per_second": events / sum(seconds),
        "cpu_us_per_event": (time.process_time() - cpu) / events * 1e6,
        "batch_ms_p50": median(seconds) * 1e3,
        "batch_ms_max": max(seconds) * 1e3,
    }


async def measure_queries(
    warehouse: Warehouse, folder: Path, groups: Sequence[bytes], rate: float, group: int
) -> tuple[dict[str, float], dict[str, dict[str, float]]]:
    """Ask while `groups` are loaded at half of `rate` events a second."""
    parts = Parts(warehouse, folder / "parts")
    begun = time.perf_counter()
    parts.release(await asyncio.to_thread(parts.snapshot))
    first_copy_ms = (time.perf_counter() - begun) * 1e3
    executor = QueryExecutor(parts, QuerySettings())
    behind: list[float] = []
    loading = True

    async def write() -> None:
        nonlocal loading
        pause = BATCH_GROUPS * group / (rate / 2)
        due = time.perf_counter()
        for batch in batches(groups):
            await asyncio.to_thread(load, warehouse, batch)
            due += pause
            behind.append(max(0.0, time.perf_counter() - due))
            await asyncio.sleep(max(0.0, due - time.perf_counter()))
        loading = False

    async def tidy() -> None:
        while loading:
            await asyncio.sleep(1.0)
            await asyncio.to_thread(parts.tidy)

    waits: dict[str, list[float]] = {name: [] for name in QUERIES}
    writing = asyncio.create_task(write())
    tidying = asyncio.create_task(tidy())
    while loading:
        for name, sql in QUERIES.items():
            begun = time.perf_counter()
            async for _ in executor.run(sql):
                pass
            waits[name].append((time.perf_counter() - begun) * 1e3)
    await asyncio.gather(writing, tidying)
    queries = {
        name: {
            "asked": float(len(times)),
            "ms_p50": median(times),
            "ms_p95": quantiles(times, n=20)[-1] if len(times) > 1 else times[0],
        }
        for name, times in waits.items()
    }
    figures = {
        "first_copy_ms": first_copy_ms,
        "files": float(parts.count()),
        "writer_behind_ms_max": max(behind) * 1e3,
    }
    return figures, queries


def main() -> None:
    parser = argparse.ArgumentParser(description="Load rate and query latency of the warehouse.")
    parser.add_argument("--events", type=int, default=100_000)
    parser.add_argument("--group", type=int, default=64, help="events in a group")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    groups = list(payloads(arguments.events * 2, arguments.group))
    half = len(groups) // 2
    with tempfile.TemporaryDirectory(prefix="toolreeve-bench-") as name:
        folder = Path(name)
        warehouse = Warehouse.open(folder / "warehouse.duckdb", at=Instant(START))
        loaded = measure_load(warehouse, groups[:half], arguments.group)
        rate = loaded["events_per_second"]
        asked, queries = asyncio.run(
            measure_queries(warehouse, folder, groups[half:], rate, arguments.group)
        )
        begun = time.perf_counter()
        warehouse.checkpoint(bytes_min=0)
        checkpoint_ms = (time.perf_counter() - begun) * 1e3
        size = warehouse.path.stat().st_size / (len(groups) * arguments.group)
        warehouse.close()
        begun = time.perf_counter()
        Warehouse.open(folder / "warehouse.duckdb", at=Instant(START)).close()
        open_ms = (time.perf_counter() - begun) * 1e3
    results = {
        "load": loaded,
        "while_writing": asked,
        "queries": queries,
        "checkpoint_ms": checkpoint_ms,
        "bytes_per_event": size,
        "open_ms": open_ms,
    }
    if arguments.json:
        print(json.dumps(results, indent=2))
        return
    print(f"load           {rate:12,.0f} events/s   {loaded['cpu_us_per_event']:.1f} us CPU each")
    print(
        f"a batch        {loaded['batch_ms_p50']:12.1f} ms p50   max {loaded['batch_ms_max']:.1f}"
    )
    print(f"on disk        {size:12.0f} bytes/event   checkpoint {checkpoint_ms:.0f} ms")
    print(f"open again     {open_ms:12.1f} ms")
    print(f"writing at half that rate, at most {asked['writer_behind_ms_max']:.0f} ms behind:")
    for name, times in queries.items():
        print(f"  {name:14} {times['ms_p50']:10.0f} ms p50   {times['ms_p95']:.0f} p95")


if __name__ == "__main__":
    main()
