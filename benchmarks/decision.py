"""How long a decision takes, whatever the number of tools, and against a naive interpreter.

    python benchmarks/decision.py [--json] [--rounds N] [--only "10 conditions"]

Policies of 3, 30 and 300 tools, no two of which have the same bounds (`parts/decisions.py`). The
product and a naive interpreter (`parts/naive.py`) decide the same calls, a mixture that is allowed
and refused for all the reasons there are, and must agree on each of them before anything is
measured. Then everything takes turns: in each round, each number of tools is decided 6,000 times
by the product and 300 times by the naive way. The first round is thrown away. A median is that of
the rounds' medians, and a ratio is taken within a round. The 99th percentile is that of the
quietest round: what else the machine does lands in it first.

Times are of single calls, in microseconds, by perf_counter_ns, less what reading that clock twice
takes. Making the call's value is in it; parsing, recording and sending are not. Memory is what the
resident set of a new process grows by, from before the policy's text is read until each tool has
been called 20 times.
"""

import argparse
import gc
import json
import random
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median
from typing import Any

from parts.decisions import VARIANTS, calls, document, step_ns
from parts.naive import Naive
from toolreeve.decision import Call, Counters, Holds, Instant, compile_policy, decide
from toolreeve.policy import parse

TOOLS = (3, 30, 300)
TURN_CALLS = 6_000
NAIVE_CALLS = 300  # of a turn: it takes long enough
AGREED_CALLS = 2_000
MEMORY_CALLS = 20  # of each tool
START = 1_767_614_400_000_000_000
PAGE_BYTES = 4_096

Decide = Callable[[str, Any, int], Any]
Asked = Sequence[tuple[str, dict[str, Any]]]


def product(policy: dict[str, Any]) -> Decide:
    compiled = compile_policy(parse(json.dumps(policy), source="benchmark"))
    counters, holds = Counters(bytes(32)), Holds()

    def run(tool: str, arguments: Any, at: int) -> Any:
        call = Call(server="s", grant="g", session="x", tool=tool, arguments=arguments)
        return decide(compiled, holds, counters, call, Instant(at))

    return run


def naive(policy: dict[str, Any]) -> Decide:
    interpreter = Naive(policy)

    def run(tool: str, arguments: Any, at: int) -> Any:
        return interpreter.decide("s", "g", tool, arguments, at)

    return run


def agree(policy: dict[str, Any], asked: Asked, step: int) -> set[str]:
    """Both on the same calls, or an error that shows one; the codes that came."""
    ours, theirs = product(policy), naive(policy)
    codes: set[str] = set()
    for place, (tool, arguments) in enumerate(asked):
        at = START + place * step
        one = ours(tool, arguments, at)
        plain = (one.effect.value, one.code.value, one.rule, one.retry_after_ms)
        other = theirs(tool, arguments, at)
        if plain != other:
            raise SystemExit(f"they disagree on {tool} {arguments}: {plain}, {other}")
        codes.add(one.code.value)
    return codes


class Way:
    """One way to decide under one policy, with its clock and the turns it has taken."""

    def __init__(self, run: Decide, tools: int, turn_calls: int) -> None:
        self._run = run
        self._step = step_ns(tools)
        self._turn_calls = turn_calls
        self._tools = tools
        self._at = START
        self._chance = random.Random(2)
        self.turns: list[tuple[float, float]] = []

    def turn(self) -> None:
        """Decide so many calls; p50 and p99 in nanoseconds."""
        run, at, spans = self._run, self._at, list[int]()
        for tool, arguments in calls(self._tools, self._turn_calls, self._chance):
            at += self._step
            begun = time.perf_counter_ns()
            run(tool, arguments, at)
            spans.append(time.perf_counter_ns() - begun)
        self._at = at
        spans.sort()
        self.turns.append((spans[len(spans) // 2], spans[len(spans) * 99 // 100]))

    def p50(self, clock: int) -> float:
        return round((median(turn[0] for turn in self.turns) - clock) / 1_000, 2)

    def p99(self, clock: int) -> float:
        return round((min(turn[1] for turn in self.turns) - clock) / 1_000, 2)


def clock_ns() -> int:
    """What reading the clock twice takes, at the median."""
    spans: list[int] = []
    for _ in range(10_001):
        begun = time.perf_counter_ns()
        spans.append(time.perf_counter_ns() - begun)
    return sorted(spans)[len(spans) // 2]


def measure(parts: tuple[str, ...], rounds: int) -> list[dict[str, Any]]:
    """All numbers of tools and both ways in turns: whatever else the machine does slows all."""
    policies = {tools: document(tools, parts) for tools in TOOLS}
    ours = {tools: Way(product(policies[tools]), tools, TURN_CALLS) for tools in TOOLS}
    theirs = {tools: Way(naive(policies[tools]), tools, NAIVE_CALLS) for tools in TOOLS}
    for number in range(rounds + 1):
        for tools in TOOLS:
            ours[tools].turn()
            theirs[tools].turn()
        if number == 0:
            for way in (*ours.values(), *theirs.values()):
                way.turns.clear()
    clock = clock_ns()
    rows: list[dict[str, Any]] = []
    for tools in TOOLS:
        pairs = list(zip(ours[tools].turns, theirs[tools].turns, strict=True))
        few = zip(ours[tools].turns, ours[TOOLS[0]].turns, strict=True)
        rows.append(
            {
                "tools": tools,
                "us_p50": ours[tools].p50(clock),
                "us_p99": ours[tools].p99(clock),
                "naive_us_p50": theirs[tools].p50(clock),
                "naive_us_p99": theirs[tools].p99(clock),
                "naive_to_ours": round(
                    median((b[0] - clock) / (a[0] - clock) for a, b in pairs), 1
                ),
                "to_3_tools": round(median((a[0] - clock) / (b[0] - clock) for a, b in few), 2),
            }
        )
    return rows


def weigh(variant: str, tools: int) -> None:
    """Print what a policy takes, in a process where nothing else has happened."""
    warm = document(3, VARIANTS["all"])
    product(warm)("tool_1", {"id": 1, "name": "a", "env": "dev", "tags": ["web"]}, START)
    text = json.dumps(document(tools, VARIANTS[variant]))
    gc.collect()
    before = resident_bytes()
    begun = time.perf_counter_ns()
    policy = parse(text, source="benchmark")
    parsed = time.perf_counter_ns()
    compiled = compile_policy(policy)
    ready = time.perf_counter_ns()
    counters, holds = Counters(bytes(32)), Holds()
    for place, (tool, arguments) in enumerate(calls(tools, MEMORY_CALLS * tools, random.Random(3))):
        call = Call(server="s", grant="g", session="x", tool=tool, arguments=arguments)
        decide(compiled, holds, counters, call, Instant(START + place * step_ns(tools)))
    gc.collect()
    figures = {
        "kib": (resident_bytes() - before) // 1_024,
        "parse_ms": (parsed - begun) / 1_000_000,
        "compile_ms": (ready - parsed) / 1_000_000,
    }
    print(json.dumps(figures))


def resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * PAGE_BYTES


def weighed(variant: str, tools: int) -> dict[str, Any]:
    """`weigh`, three times, each in a new process: the median of each figure."""
    command = [sys.executable, __file__, "--weigh", variant, str(tools)]
    runs = [
        json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
        for _ in range(3)
    ]
    return {key: round(median(run[key] for run in runs), 1) for key in runs[0]}


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure decisions against a naive interpreter.")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--only", choices=VARIANTS, action="append")
    parser.add_argument("--weigh", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.weigh:
        weigh(options.weigh[0], int(options.weigh[1]))
        return
    rows: list[dict[str, Any]] = []
    codes: set[str] = set()
    for variant in options.only or VARIANTS:
        parts = VARIANTS[variant]
        for tools in TOOLS:
            asked = calls(tools, AGREED_CALLS, random.Random(1))
            codes |= agree(document(tools, parts), asked, step_ns(tools))
        print(f"measuring: {variant}", file=sys.stderr)
        for row in measure(parts, options.rounds):
            rows.append({"rules": variant, **row, **weighed(variant, row["tools"])})
    if options.json:
        print(json.dumps(rows, indent=2))
        return
    print("                 tools    p50    p99   to 3 |   naive p50   naive p99   naive/ours |")
    for row in rows:
        print(
            "{rules:16} {tools:>5} {us_p50:>6.2f} {us_p99:>6.2f} {to_3_tools:>6.2f} |"
            "{naive_us_p50:>12.1f} {naive_us_p99:>11.1f} {naive_to_ours:>12.1f} |"
            "{kib:>8.0f} KiB, {parse_ms:.1f} and {compile_ms:.1f} ms to read and compile".format(
                **row
            )
        )
    seen = ", ".join(sorted(codes))
    print(f"both agreed on {AGREED_CALLS * len(rows)} calls, with the codes {seen}")


if __name__ == "__main__":
    main()
