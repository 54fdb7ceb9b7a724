"""What it costs to record every call, and how fast the record travels and is proved.

    python benchmarks/audit.py [--events 200000] [--seconds 5] [--folder FOLDER] [--json]

One enforcer's outbox, a nats-server that syncs every write, and a worker, each as in production. A
call is a decision and, without waiting for it, an outcome; no detector watches the tools, as with
nearly all calls. In this order:

- `heard`: 1,000 calls begin every second, evenly, whatever becomes of the others, while the outbox
  is being published. How long does each wait until its decision is durable? That is all that
  recording adds before anybody may hear a verdict.
- `outbox`: 1, 10 and 100 callers, each with its next record as soon as the last one is durable.
- `publish`: an outbox that holds all events at once, until JetStream has them.
- `catch up`: a worker starts on a stream that holds them, until all are in DuckDB, counted from
  when it answers queries; and how many times the live rate of 1,000 calls a second that is.
- `end to end`: as many again, published while the worker loads them.
- `verify`: `toolreeve audit verify` over what the worker hands out, `audit export`, and `audit
  verify` of that export; each as a command, from its start to its end.
- `on disk`: bytes an event as it is chained, in the stream, in DuckDB without staged groups, and in
  the archive's Parquet files.

Give `--folder` on the disk in question. All of it shares this machine's cores: figures of a busy
one say little, so the load before the run is printed with them.
"""

import argparse
import asyncio
import contextlib
import json
import logging
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncGenerator, Sequence
from pathlib import Path

import grpc
import structlog

from parts.bus import nats_server
from parts.processes import started, wait_for_facts
from toolreeve.audit import Arguments, Completed, Decided, Draft, Effect, KeptArgument, Outcome
from toolreeve.bus import Publisher, Subjects, connect, ensure_stream, ship
from toolreeve.decision import Instant
from toolreeve.outbox import Outbox, OutboxSettings
from toolreeve.v1.query_pb2 import GetProgressRequest
from toolreeve.v1.query_pb2_grpc import QueryServiceStub
from toolreeve.wire import pack

CALLS_PER_SECOND = 1_000
EVENTS_PER_CALL = 2
CALLERS = (1, 10, 100)
ENFORCER = "edge-1"
AT_ONCE = 4_096
SETTINGS = OutboxSettings(waiting_max=1 << 20)

Figures = dict[str, dict[str, float]]


def decided(number: int) -> Draft:
    tools = ("vm_list", "vm_status", "disk_list", "disk_status", "app_list", "app_status")
    body = Decided(
        server="truenas",
        grant=f"grant-{number % 7}",
        agent=f"agent-{number % 7}",
        session="5f1f3c0e-7f9b-4d6e-9d0a-0d9b1f2a3c4d",
        request_id=str(number),
        tool=tools[number % len(tools)],
        wire_tool="truenas",
        tool_group="virtualization",
        effect=Effect.ALLOW,
        code="allowed",
        rule="/tools/vm_restart",
        policy_revision="sha256:" + "ab" * 32,
        arguments=Arguments(
            names=("id",),
            kept=(KeptArgument("/id", str(number % 200)),),
            keyed_hash=os.urandom(32),
            size_bytes=11,
        ),
        protocol_version="2025-11-25",
        decision_ns=2_100,
    )
    return Draft(Instant(time.time_ns()), body)


def completed(epoch: int, sequence: int) -> Draft:
    body = Completed(
        decision_id=f"{ENFORCER}:{epoch}:{sequence}",
        outcome=Outcome.SUCCESS,
        duration_ns=4_000_000,
        request_bytes=180,
        response_bytes=900,
    )
    return Draft(Instant(time.time_ns()), body)


async def call(outbox: Outbox[Draft], number: int) -> float:
    """One call; returns how long its decision took to become durable."""
    begun = time.perf_counter()
    position = await outbox.append(decided(number))
    taken = time.perf_counter() - begun
    outbox.append(completed(position.epoch, position.sequence), lingers=True)
    return taken


async def measure_heard(outbox: Outbox[Draft], seconds: float) -> dict[str, float]:
    loop = asyncio.get_running_loop()
    calls: list[asyncio.Task[float]] = []
    begun = loop.time()
    for number in range(int(CALLS_PER_SECOND * seconds)):
        await asyncio.sleep(max(0.0, begun + number / CALLS_PER_SECOND - loop.time()))
        calls.append(loop.create_task(call(outbox, number)))
    taken = sorted(await asyncio.gather(*calls))
    return {
        "calls": len(taken),
        "added_us_p50": share(taken, 0.5),
        "added_us_p99": share(taken, 0.99),
        "added_us_max": share(taken, 1.0),
    }


async def measure_outbox(outbox: Outbox[Draft], callers: int, seconds: float) -> dict[str, float]:
    taken: list[float] = []
    end = time.perf_counter() + seconds

    async def work() -> None:
        while (begun := time.perf_counter()) < end:
            await outbox.append(decided(len(taken)))
            taken.append(time.perf_counter() - begun)

    begun = time.perf_counter()
    await asyncio.gather(*(work() for _ in range(callers)))
    elapsed = time.perf_counter() - begun
    taken.sort()
    return {
        "records_per_second": round(len(taken) / elapsed),
        "append_us_p50": share(taken, 0.5),
        "append_us_p99": share(taken, 0.99),
    }


async def fill(outbox: Outbox[Draft], events: int) -> None:
    """So many events as calls, as fast as they go."""
    for first in range(0, events // EVENTS_PER_CALL, AT_ONCE):
        calls = range(first, min(first + AT_ONCE, events // EVENTS_PER_CALL))
        await asyncio.gather(*(call(outbox, number) for number in calls))
    await outbox.append(decided(0))  # the last outcome lingers no longer


@contextlib.asynccontextmanager
async def shipping(outbox: Outbox[Draft], url: str) -> AsyncGenerator[None]:
    """The outbox is published for as long as the context lasts."""
    names = Subjects()
    async with connect(url, name=ENFORCER) as connection:
        await ensure_stream(connection, names.audit_stream, [names.audit_all])
        publisher = Publisher(connection, names.audit(ENFORCER), stream=names.audit_stream)
        task = asyncio.create_task(ship(outbox, publisher, enforcer=ENFORCER))
        try:
            yield
        finally:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task


async def all_published(outbox: Outbox[Draft]) -> None:
    while outbox.status().published != outbox.status().last:  # noqa: ASYNC110  it tells nobody
        await asyncio.sleep(0.005)


def loaded(channel: grpc.Channel) -> int:
    """How many of the enforcer's events are in the warehouse."""
    marks = QueryServiceStub(channel).GetProgress(GetProgressRequest(), timeout=20).watermarks
    return sum(mark.sequence for mark in marks if mark.enforcer_id == ENFORCER)


async def all_loaded(channel: grpc.Channel, events: int) -> None:
    while await asyncio.to_thread(loaded, channel) < events:  # noqa: ASYNC110  nor does this
        await asyncio.sleep(0.05)


def recorded(outbox: Outbox[Draft]) -> int:
    last = outbox.status().last
    return 0 if last is None else last.sequence


async def stream_bytes(url: str) -> int:
    names = Subjects()
    async with connect(url, name="benchmark") as connection:
        info = await ensure_stream(connection, names.audit_stream, [names.audit_all])
    return info.state.bytes


def timed(*arguments: str) -> float:
    begun = time.perf_counter()
    command = [sys.executable, "-m", "toolreeve.cli", "audit", *arguments]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - begun


def share(sorted_times: Sequence[float], part: float) -> float:
    return round(sorted_times[min(len(sorted_times) - 1, int(len(sorted_times) * part))] * 1e6, 1)


async def measure(folder: Path, events: int, seconds: float) -> Figures:
    figures: Figures = {}
    with nats_server(folder) as url:
        outbox = Outbox[Draft].open(
            folder / "outbox", owner=ENFORCER, pack=pack(ENFORCER), settings=SETTINGS
        )
        outbox.begin(1)
        try:
            async with shipping(outbox, url):
                await measure_heard(outbox, min(1.0, seconds))
                figures["heard"] = await measure_heard(outbox, seconds)
            for callers in CALLERS:
                name = f"outbox, {callers} callers" if callers > 1 else "outbox, 1 caller"
                figures[name] = await measure_outbox(outbox, callers, seconds)
            figures |= await measure_way(outbox, url, folder, events)
        finally:
            await outbox.close()
    return figures


async def measure_way(outbox: Outbox[Draft], url: str, folder: Path, events: int) -> Figures:
    """From the outbox to the warehouse and back to somebody who checks it."""
    figures: Figures = {}
    published = outbox.status().published
    sent = 0 if published is None else published.sequence
    await fill(outbox, events)
    count = recorded(outbox)
    begun = time.perf_counter()
    async with shipping(outbox, url):
        await all_published(outbox)
    elapsed = time.perf_counter() - begun
    figures["publish"] = {
        "events": count - sent,
        "events_per_second": round((count - sent) / elapsed),
    }
    config, ready = folder / "worker.toml", folder / "ready.json"
    config.write_text(
        f'data = "{folder / "worker"}"\nnats_url = "{url}"\nlisten = "127.0.0.1:0"\n'
        "[archive]\nseconds_max = 1\n"
    )
    command = [sys.executable, "-m", "toolreeve.cli", "worker", "--config", str(config)]
    with started([*command, "--ready-file", str(ready)], folder / "worker.log") as process:
        address = str(wait_for_facts(ready, process)["query"])
        with grpc.insecure_channel(address) as channel:
            begun = time.perf_counter()
            await all_loaded(channel, count)
            rate = count / (time.perf_counter() - begun)
            figures["catch up"] = {
                "events": count,
                "events_per_second": round(rate),
                "times_live_rate": round(rate / (CALLS_PER_SECOND * EVENTS_PER_CALL), 1),
            }
            await fill(outbox, events)
            total = recorded(outbox)
            begun = time.perf_counter()
            async with shipping(outbox, url):
                await all_loaded(channel, total)
            figures["end to end"] = {
                "events": total - count,
                "events_per_second": round((total - count) / (time.perf_counter() - begun)),
            }
        figures["verify"] = await asyncio.to_thread(measure_verify, address, folder, total)
        size = await stream_bytes(url)
    raw = sum(len(group.payload) for group in outbox.groups())
    figures["on disk"] = {
        "chained_bytes": round(raw / total, 1),
        "stream_bytes": round(size / total, 1),
        **on_disk(folder / "worker", total),
    }
    return figures


def measure_verify(address: str, folder: Path, events: int) -> dict[str, float]:
    online = timed("verify", "--query", address)
    export = timed("export", "--query", address, "--output", str(folder / "export"))
    offline = timed("verify", "--export", str(folder / "export"))
    return {
        "online_events_per_second": round(events / online),
        "export_events_per_second": round(events / export),
        "of_export_events_per_second": round(events / offline),
    }


def on_disk(data: Path, events: int) -> dict[str, float]:
    """Bytes an event of a worker that has ended, once what it had staged is in files too."""
    from toolreeve.warehouse.archiver import Archiver
    from toolreeve.warehouse.store import Warehouse

    now = Instant(time.time_ns())
    warehouse = Warehouse.open(data / "warehouse.duckdb", at=now)
    while Archiver(warehouse, file_bytes=64 << 20, seconds_max=1.0).move(now, everything=True):
        pass
    warehouse.checkpoint(bytes_min=0)
    reader = warehouse.reader()
    row = reader.execute("SELECT block_size * used_blocks FROM pragma_database_size()").fetchone()
    assert row is not None
    warehouse.close()
    files = sum(path.stat().st_size for path in (data / "archive").glob("*/*.parquet"))
    return {
        "duckdb_bytes": round(row[0] / events, 1),
        "parquet_bytes": round(files / events, 1),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description="What recording costs, and how it travels.")
    parser.add_argument("--events", type=int, default=200_000, help="for each way")
    parser.add_argument("--seconds", type=float, default=5.0, help="for each rate of appends")
    parser.add_argument("--folder", type=Path, default=Path(), help="on the disk to measure")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    arguments = parser.parse_args()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    load = os.getloadavg()[0]
    with tempfile.TemporaryDirectory(prefix=".audit-benchmark-", dir=arguments.folder) as folder:
        here = Path(folder).resolve()
        figures = asyncio.run(measure(here, arguments.events, arguments.seconds))
    figures["machine"] = {"cores": os.cpu_count() or 1, "load_before": round(load, 2)}
    if arguments.json:
        print(json.dumps(figures))
        return
    for name, values in figures.items():
        print(name)
        for what, value in values.items():
            print(f"  {what:<28} {value:>12,}")


if __name__ == "__main__":
    main()
