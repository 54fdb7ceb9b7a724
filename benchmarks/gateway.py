"""What a gateway adds to a tool call: latency and throughput against the same upstream directly.

    python benchmarks/gateway.py [--rounds N] [--calls N] [--json]

Method. One run, one machine, loopback. Each round measures every way to the same upstream in turn
(direct, then through each gateway), so that a slow moment of the machine meets all of them; the
figure is the median over the rounds, the ratio is taken within a round. At one agent: latency of
calls one after the other. At sixteen agents: calls a second, and the gateway's processor time a
call. The raw upstream answers in about ten microseconds, so it is not the limit; the SDK upstream
is the demo server, as a user would write one. Every decision and outcome goes to a real outbox
(`fdatasync` before the call is forwarded); with "and NATS" they are published to a JetStream that
syncs every write. The load generator and the upstream share the machine with the gateway, so the
figures say how ways compare, not what a bigger machine would reach.
"""

import argparse
import asyncio
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path
from statistics import median

import msgspec
from msgspec import Struct

from parts.load import Load, run_load
from parts.processes import (
    cpu_seconds,
    fsync_us,
    gateway,
    memory_mb,
    nats_server,
    raw_upstream,
    sdk_upstream,
)

ALLOW_ALL: dict[str, object] = {"version": "1", "default": "allow"}
SIXTEEN = 16


def capped_policy() -> dict[str, object]:
    """Three hundred tools, each with a limit that the load does not reach."""
    names = ["vm_list", *(f"tool_{index}" for index in range(299))]
    tools = {
        name: {
            "limits": [
                {"counter": f"{name}_rate", "window": "minute", "max": 100_000, "scope": "grant"}
            ]
        }
        for name in names
    }
    return {"version": "1", "default": "deny", "tools": tools}


class Way(Struct, frozen=True, kw_only=True):
    """One way to an upstream. `pid` is the gateway's; 0 for none."""

    name: str
    upstream: str
    port: int
    path: str
    wanted: bytes
    pid: int = 0


class Seen(Struct, kw_only=True):
    """All rounds of one way."""

    way: Way
    p50_us: list[float]
    p99_us: list[float]
    calls_per_second: list[float]
    cpu_us: list[float]


class Row(Struct, frozen=True, kw_only=True):
    """The figures of one way: medians over the rounds; `added` and ratios against direct."""

    upstream: str
    way: str
    p50_us: float
    p99_us: float
    added_p50_us: float
    latency_ratio: float
    calls_per_second: float
    rate_ratio: float
    gateway_cpu_us_per_call: float
    gateway_memory_mb: float


class Result(Struct, frozen=True, kw_only=True):
    """A whole run."""

    fsync_p50_us: float
    rounds: int
    ways: tuple[Row, ...]


async def measure(way: Way, agents: int, calls: int) -> Load:
    return await run_load(
        way.port,
        way.path,
        agents=agents,
        calls=calls,
        tool="vm_list",
        padding=200,
        wanted=way.wanted,
    )


async def measure_round(seen: list[Seen], calls: int) -> None:
    for one in seen:
        slow = one.way.upstream == "sdk"
        alone = await measure(one.way, 1, calls // 5 if slow else calls)
        before = cpu_seconds(one.way.pid) if one.way.pid else 0.0
        together = await measure(one.way, SIXTEEN, calls if slow else calls * 4)
        used = cpu_seconds(one.way.pid) - before if one.way.pid else 0.0
        one.p50_us.append(alone.percentile_us(50))
        one.p99_us.append(alone.percentile_us(99))
        one.calls_per_second.append(together.calls_per_second)
        one.cpu_us.append(used / len(together.latencies_ns) * 1e6)


def ways(folder: Path, stack: ExitStack) -> list[Way]:
    """Start everything; the ways to each upstream, the direct one first."""
    raw = stack.enter_context(raw_upstream(folder))
    sdk = stack.enter_context(sdk_upstream(folder))
    nats_url = stack.enter_context(nats_server(folder))
    upstreams = {"raw": raw, "sdk": sdk}
    found = [
        Way(name="direct", upstream="raw", port=raw, path="/mcp", wanted=b"done"),
        Way(name="direct", upstream="sdk", port=sdk, path="/mcp", wanted=b"web-1"),
    ]
    for label, name, policy, url in (
        ("allow-all", "allow", ALLOW_ALL, None),
        ("300 tools with limits", "capped", capped_policy(), None),
        ("300 tools with limits and NATS", "bus", capped_policy(), nats_url),
    ):
        port, pid = stack.enter_context(gateway(folder, name, upstreams, policy, url))
        found.append(
            Way(name=label, upstream="raw", port=port, path="/raw/mcp", wanted=b"done", pid=pid)
        )
        if name == "capped":
            found.append(
                Way(
                    name=label, upstream="sdk", port=port, path="/sdk/mcp", wanted=b"web-1", pid=pid
                )
            )
    return sorted(found, key=lambda way: way.upstream)


async def run(rounds: int, calls: int) -> Result:
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        folder = Path(name)
        seen = [
            Seen(way=way, p50_us=[], p99_us=[], calls_per_second=[], cpu_us=[])
            for way in ways(folder, stack)
        ]
        for one in seen:
            await measure(one.way, 1, 50)  # connections, caches, a first segment
        for number in range(rounds):
            print(f"round {number + 1} of {rounds}", file=sys.stderr, flush=True)
            await measure_round(seen, calls)
        direct = {one.way.upstream: one for one in seen if not one.way.pid}
        return Result(
            fsync_p50_us=round(fsync_us(folder), 1),
            rounds=rounds,
            ways=tuple(_row(one, direct[one.way.upstream]) for one in seen),
        )


def _row(one: Seen, direct: Seen) -> Row:
    slower = [ours / theirs for ours, theirs in zip(one.p50_us, direct.p50_us, strict=True)]
    rate = [
        ours / theirs
        for ours, theirs in zip(one.calls_per_second, direct.calls_per_second, strict=True)
    ]
    return Row(
        upstream=one.way.upstream,
        way=one.way.name,
        p50_us=round(median(one.p50_us), 1),
        p99_us=round(median(one.p99_us), 1),
        added_p50_us=round(median(one.p50_us) - median(direct.p50_us), 1),
        latency_ratio=round(median(slower), 2),
        calls_per_second=round(median(one.calls_per_second)),
        rate_ratio=round(median(rate), 3),
        gateway_cpu_us_per_call=round(median(one.cpu_us), 1),
        gateway_memory_mb=round(memory_mb(one.way.pid), 1) if one.way.pid else 0.0,
    )


def show(result: Result) -> None:
    print(f"disk: fdatasync of 1 kB p50 {result.fsync_p50_us} us; {result.rounds} rounds\n")
    print(
        f"{'upstream':9}{'way':32}{'p50 us':>9}{'p99 us':>9}{'added':>8}{'ratio':>7}"
        f"{'calls/s':>9}{'ratio':>7}{'cpu us':>8}{'MiB':>6}"
    )
    for row in result.ways:
        print(
            f"{row.upstream:9}{row.way:32}{row.p50_us:9.0f}{row.p99_us:9.0f}"
            f"{row.added_p50_us:8.0f}{row.latency_ratio:7.2f}{row.calls_per_second:9.0f}"
            f"{row.rate_ratio:7.2f}{row.gateway_cpu_us_per_call:8.0f}"
            f"{row.gateway_memory_mb:6.0f}"
        )
    print("\np50, p99: one agent, calls one after the other. calls/s, cpu: sixteen agents.")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--calls", type=int, default=1_000, help="calls of one agent in a round")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    result = asyncio.run(run(options.rounds, options.calls))
    if options.json:
        print(msgspec.json.format(msgspec.json.encode(result)).decode())
    else:
        show(result)


if __name__ == "__main__":
    main()
