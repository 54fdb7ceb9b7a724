"""What a control plane can do for a large fleet: pushes, holds, memory, and coming back.

    python benchmarks/control.py [--fleet 1000,5000] [--rounds 3] [--json]

A nats-server that syncs every write, `toolreeve control` in a process of its own on one core, and
simulated enforcers with real gRPC connections, one each, in two processes on the other core
(`parts/fleet_members.py`). In this order, for each size of the fleet:

- `connect`: all are switched on, until the control plane has answered each.
- `memory`: what the control plane's process has grown by, a stream.
- `push 10 kB`, `push 200 kB`: a policy is published; for each enforcer the time from the operator's
  request to its activation, with the fetch of the body. Then how long until the roster knew of all.
- `hold`: one is placed; for each enforcer the time from the operator's request to its hearing.
- `reconnect`: the control plane is killed (SIGKILL) and started again; until it has answered all.

Enforcers, control plane, NATS and the operator share the machine: of a fleet spread over as many
hosts, these figures are an upper bound.
"""

import argparse
import json
import os
import resource
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

import grpc
import msgspec

from parts.bus import nats_server
from parts.processes import BESIDE, HERE, MEASURED, started, wait_for_facts
from toolreeve.v1 import audit_pb2
from toolreeve.v1 import operator_pb2 as pb
from toolreeve.v1.operator_pb2_grpc import OperatorServiceStub

SECONDS_MAX = 180.0
TARGETS = {
    "push 10 kB": "p99 under 2 s at 5,000",
    "push 200 kB": "p99 under 5 s at 5,000",
    "reconnect": "under 12 s at 5,000",
    "memory": "under 150 kB a stream with mTLS",
    "hold": "p99 at most 250 ms at 1,000",
}


class Figure(msgspec.Struct, frozen=True):
    """One line of the table; times in milliseconds, memory in kB a stream."""

    fleet: int
    what: str
    p50: float
    p99: float
    last: float
    unit: str = "ms"


class Members:
    """All simulated enforcers: what each did last, and when."""

    def __init__(self, count: int) -> None:
        self.count = count
        self._seen: dict[str, dict[str, tuple[int, int]]] = {"up": {}, "ran": {}, "held": {}}
        self._news = threading.Condition()
        self._ended = False

    def listen(self, process: "subprocess.Popen[bytes]") -> None:
        """Take in what one process prints, until it ends."""
        assert process.stdout is not None
        for line in process.stdout:
            what, name, at, *more = line.split()
            with self._news:
                number = int(more[0]) if more else 0
                self._seen[what.decode()][name.decode()] = (int(at), number)
                self._news.notify_all()
        self._ended = True

    def forget(self, what: str) -> None:
        with self._news:
            self._seen[what].clear()

    def times(self, what: str, number: int = 0) -> list[int]:
        """When each did it, once all have; `number` is the least sequence that counts."""
        deadline = time.monotonic() + SECONDS_MAX
        with self._news:
            while True:
                done = [at for at, seen in self._seen[what].values() if seen >= number]
                left = deadline - time.monotonic()
                if len(done) == self.count:
                    return sorted(done)
                if left <= 0 or self._ended:
                    why = "a process ended" if self._ended else f"after {SECONDS_MAX:.0f} s"
                    sys.exit(f"{what}: {len(done)} of {self.count}: {why}")
                self._news.wait(min(left, 1.0))


@contextmanager
def control_plane(folder: Path, nats_url: str, listen: str) -> "Generator[tuple[str, int]]":
    """Its address and process id. Killed at the end, not asked."""
    folder.mkdir(exist_ok=True)
    ready = folder / "ready.json"
    ready.unlink(missing_ok=True)
    (folder / "control.toml").write_text(
        f'listen = "{listen}"\nplaintext = true\nnats_url = "{nats_url}"\n'
        f'data = "{folder}"\nready_file = "{ready}"\nlog_level = "error"\n'
    )
    command = [sys.executable, "-m", "toolreeve.cli", "control", "--config"]
    with started([*command, str(folder / "control.toml")], folder / "log", cores=MEASURED) as one:
        yield str(wait_for_facts(ready, one)["address"]), one.pid
        one.kill()


@contextmanager
def members(address: str, count: int, folder: Path) -> "Generator[Members]":
    """A fleet that is being switched on."""
    fleet = Members(count)
    half = count // 2
    parts = [(0, half), (half, count - half)]
    processes: list[subprocess.Popen[bytes]] = []
    try:
        for first, size in parts:
            program = [sys.executable, str(HERE / "fleet_members.py"), address]
            process = subprocess.Popen(
                [*program, str(first), str(size)],
                stdout=subprocess.PIPE,
                stderr=(folder / f"members-{first}.log").open("wb"),
            )
            os.sched_setaffinity(process.pid, BESIDE)
            processes.append(process)
            threading.Thread(target=fleet.listen, args=(process,), daemon=True).start()
        yield fleet
    finally:
        for process in processes:
            process.kill()
            process.wait()


def policy_of(size: int, seed: int) -> bytes:
    """A policy whose text has about `size` bytes."""
    tools: dict[str, object] = {}
    number = 0
    while len(json.dumps(tools)) < size:
        values = [f"vm-{number}-{place}-{seed}" for place in range(20)]
        condition = {"path": "args.id", "op": "in", "value": values}
        tools[f"tool_{number}"] = {"require": [{"conditions": [condition]}]}
        number += 1
    return json.dumps({"version": "1", "name": "bench", "default": "deny", "tools": tools}).encode()


def command() -> pb.Command:
    return pb.Command(command_id=str(uuid4()), actor="bench", reason="measured")


def memory_kb(pid: int) -> int:
    """Resident memory of a process, in kB."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1])
    return 0


def spread(fleet: int, what: str, began: int, times: list[int]) -> Figure:
    waits = [(at - began) / 1e6 for at in times]
    return Figure(
        fleet,
        what,
        statistics.median(waits),
        waits[min(len(waits) - 1, int(len(waits) * 0.99))],
        waits[-1],
    )


def push(stub: OperatorServiceStub, fleet: Members, size: int, seed: int) -> list[Figure]:
    """Publish a policy of `size` bytes and wait for everybody."""
    what = f"push {size // 1000} kB"
    request = pb.PublishPolicyRequest(
        command=command(), server="vm", text=policy_of(size, seed), source="bench.json"
    )
    began = time.monotonic_ns()
    answer = stub.PublishPolicy(request, timeout=60)
    times = fleet.times("ran", answer.manifest_sequence)
    while True:
        roster = stub.GetFleet(pb.GetFleetRequest(), timeout=60).enforcers
        if sum(one.served[0].revision_running == answer.revision for one in roster) == fleet.count:
            break
        time.sleep(0.05)
    known = (time.monotonic_ns() - began) / 1e6
    return [
        spread(fleet.count, what, began, times),
        Figure(fleet.count, f"{what}, roster knows", known, known, known),
    ]


def hold(stub: OperatorServiceStub, fleet: Members) -> Figure:
    """Place a hold, see everybody hear of it, and release it."""
    fleet.forget("held")
    wanted = audit_pb2.Hold(server="vm", tool="vm_restart")
    began = time.monotonic_ns()
    placed = stub.PlaceHold(pb.PlaceHoldRequest(command=command(), hold=wanted), timeout=60)
    figure = spread(fleet.count, "hold", began, fleet.times("held"))
    release = pb.ReleaseHoldRequest(command=command(), hold_id=placed.hold.hold_id)
    stub.ReleaseHold(release, timeout=60)
    return figure


def measure(count: int, rounds: int) -> list[Figure]:
    """All figures for a fleet of `count`."""
    figures: list[Figure] = []
    with (
        tempfile.TemporaryDirectory(prefix="toolreeve-bench-") as name,
        nats_server(Path(name)) as nats_url,
    ):
        folder = Path(name) / "control"
        with control_plane(folder, nats_url, "127.0.0.1:0") as (address, pid):
            before = memory_kb(pid)
            began = time.monotonic_ns()
            with members(address, count, Path(name)) as fleet:
                figures.append(spread(count, "connect", began, fleet.times("up")))
                time.sleep(2)
                grown = (memory_kb(pid) - before) / count
                figures.append(Figure(count, "memory", grown, grown, grown, "kB a stream"))
                with grpc.insecure_channel(address) as channel:
                    stub = OperatorServiceStub(channel)
                    for size in (10_000, 200_000):
                        for seed in range(rounds):
                            figures += push(stub, fleet, size, seed)
                            tell(figures[-2])
                    for _ in range(rounds):
                        figures.append(hold(stub, fleet))
                        tell(figures[-1])
                fleet.forget("up")
                os.kill(pid, signal.SIGKILL)
                began = time.monotonic_ns()
                with control_plane(folder, nats_url, address):
                    figures.append(spread(count, "reconnect", began, fleet.times("up")))
                    tell(figures[-1])
    return figures


def tell(figure: Figure) -> None:
    print(
        f"  {figure.fleet:>6,} {figure.what:<28} p50 {figure.p50:>9,.1f}  p99 {figure.p99:>9,.1f}"
        f"  last {figure.last:>9,.1f} {figure.unit}",
        file=sys.stderr,
    )


def table(figures: list[Figure]) -> str:
    """Medians over the rounds, as a table of Markdown."""
    groups: dict[tuple[int, str], list[Figure]] = {}
    for figure in figures:
        groups.setdefault((figure.fleet, figure.what), []).append(figure)
    lines = ["| enforcers | what | p50 | p99 | last | | target |", "|---|---|---|---|---|---|---|"]
    for (fleet, what), several in groups.items():
        middle = [
            statistics.median(getattr(one, key) for one in several)
            for key in ("p50", "p99", "last")
        ]
        cells = " | ".join(f"{value:,.0f}" for value in middle)
        lines.append(
            f"| {fleet:,} | {what} | {cells} | {several[0].unit} | {TARGETS.get(what, '')} |"
        )
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--fleet", default="1000,5000", help="sizes, between commas (1000,5000)")
    parser.add_argument("--rounds", type=int, default=3, help="pushes and holds of each kind (3)")
    parser.add_argument("--json", action="store_true", help="print every round")
    options = parser.parse_args()
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    os.sched_setaffinity(0, BESIDE)
    load = os.getloadavg()[0]
    figures: list[Figure] = []
    for size in map(int, options.fleet.split(",")):
        print(f"{size:,} enforcers", file=sys.stderr)
        figures += measure(size, options.rounds)
    if options.json:
        print(msgspec.json.format(msgspec.json.encode(figures)).decode())
    else:
        print(f"{table(figures)}\n\nload average {load:.1f} before it began")


if __name__ == "__main__":
    main()
