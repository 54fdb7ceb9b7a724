"""How long a decision takes, whatever the number of tools, and against a naive interpreter.

    python benchmarks/decision.py [--json] [--calls N]

Policies of 3, 30 and 300 tools: with a name each; with 10 conditions each; with a schema for the
arguments; with two limits; and with all of these. Both decide the same calls, a mixture that is
allowed and refused for all the reasons there are, and must agree on each of them before anything
is measured. Then they take turns of 5,000 calls, 500 of them for the naive one, and the first turn
of each is thrown away. Times are of single calls, in microseconds, by perf_counter_ns, less what
reading that clock twice takes. No I/O: parsing, recording and sending are not in it.
"""

import argparse
import json
import random
import time
from collections.abc import Callable
from typing import Any

from parts.naive import Naive
from toolreeve.decision import Call, Counters, Holds, Instant, compile_policy, decide
from toolreeve.policy import parse

TOOLS = (3, 30, 300)
TURN_CALLS = 5_000
NAIVE_CALLS = 500  # of a turn: it takes long enough
AGREED_CALLS = 2_000
START = 1_767_614_400_000_000_000
EACH_A_MINUTE = 80  # calls of one tool, whatever the number of tools

Decide = Callable[[str, Any, int], Any]

CONDITIONS = [
    {"path": "args.id", "op": "gte", "value": 1},
    {"path": "args.id", "op": "lt", "value": 1_000},
    {"path": "args.name", "op": "regex", "value": "[a-z][a-z0-9-]{0,30}"},
    {"path": "args.env", "op": "in", "value": ["dev", "test", "stage"]},
    {"path": "args.env", "op": "neq", "value": "prod"},
    {"path": "args.name", "op": "not_in", "value": ["root", "admin"]},
    {"path": "args.tags", "op": "contains", "value": "web"},
    {"path": "args.id", "op": "exists", "value": True},
]
DENIALS = [
    {"path": "args.force", "op": "eq", "value": True, "on_missing": "ignore"},
    {"path": "args.amount", "op": "gt", "value": 100, "on_missing": "ignore"},
]
SCHEMA = {
    "type": "object",
    "required": ["id"],
    "properties": {
        "id": {"type": "integer", "minimum": 0},
        "name": {"type": "string", "maxLength": 40},
        "env": {"enum": ["dev", "test", "stage", "prod"]},
        "tags": {"type": "array", "items": {"type": "string"}, "maxItems": 8},
        "force": {"type": "boolean"},
        "amount": {"type": "number"},
    },
    "additionalProperties": False,
}
VARIANTS: dict[str, tuple[str, ...]] = {
    "names": (),
    "10 conditions": ("conditions",),
    "schema": ("schema",),
    "2 limits": ("limits",),
    "all": ("conditions", "schema", "limits"),
}


def document(tools: int, parts: tuple[str, ...]) -> dict[str, Any]:
    """A policy for so many tools, each with these parts, two globs and a hidden tool."""
    rules: dict[str, Any] = {"get_*": {}, "tool_9*": {"action": "deny"}}
    for number in range(tools):
        rule: dict[str, Any] = {}
        if "conditions" in parts:
            rule["require"] = [{"conditions": CONDITIONS}]
            rule["deny_if"] = [{"conditions": [one]} for one in DENIALS]
        if "schema" in parts:
            rule["arguments"] = SCHEMA
        if "limits" in parts:
            rule["limits"] = [
                {"counter": f"rate_{number}", "window": "minute", "max": 60},
                {"counter": f"each_{number}", "window": "hour", "max": 30, "by": ["/id"]},
            ]
        rules[f"tool_{number}"] = rule
    return {"version": "1", "default": "deny", "hide": ["secret_*"], "tools": rules}


def calls(tools: int, count: int, chance: random.Random) -> list[tuple[str, dict[str, Any]]]:
    """Calls of which most pass the conditions and the schema; the rest fail somewhere."""
    found: list[tuple[str, dict[str, Any]]] = []
    for _ in range(count):
        name = f"tool_{chance.randrange(tools)}"
        if chance.random() < 0.05:
            name = chance.choice(["get_status", "secret_key", "unheard_of"])
        arguments: dict[str, Any] = {
            "id": chance.randrange(1, 50),
            "name": f"vm-{chance.randrange(1_000)}",
            "env": chance.choice(["dev", "test", "stage"]),
            "tags": ["web", "blue"],
        }
        if chance.random() < 0.1:
            arguments |= chance.choice(
                [{"id": "7"}, {"id": True}, {"env": "prod"}, {"force": True}, {"amount": 500},
                 {"amount": "500"}, {"x": 1}, {"name": "web\n"}, {"id": 1_000}, {"tags": "web"}]
            )  # fmt: skip
        found.append((name, arguments))
    return found


def step_ns(tools: int) -> int:
    """Between two calls, so that each tool's limits are as full whatever the number of tools."""
    return 60 * 10**9 // (EACH_A_MINUTE * tools)


def product(policy: dict[str, Any]) -> Decide:
    compiled = compile_policy(parse(json.dumps(policy), source="benchmark"))
    counters, holds = Counters(), Holds()

    def run(tool: str, arguments: Any, at: int) -> Any:
        call = Call(server="s", grant="g", session="x", tool=tool, arguments=arguments)
        return decide(compiled, holds, counters, call, Instant(at))

    return run


def naive(policy: dict[str, Any]) -> Decide:
    interpreter = Naive(policy)

    def run(tool: str, arguments: Any, at: int) -> Any:
        return interpreter.decide("s", "g", tool, arguments, at)

    return run


def agree(
    policy: dict[str, Any], asked: list[tuple[str, dict[str, Any]]], step: int
) -> dict[str, int]:
    """Both on the same calls, or an error that shows one; how often each code came."""
    ours, theirs = product(policy), naive(policy)
    codes: dict[str, int] = {}
    for place, (tool, arguments) in enumerate(asked):
        at = START + place * step
        one = ours(tool, arguments, at)
        plain = (one.effect.value, one.code.value, one.rule, one.retry_after_ms)
        other = theirs(tool, arguments, at)
        if plain != other:
            raise SystemExit(f"they disagree on {tool} {arguments}: {plain}, {other}")
        codes[one.code.value] = codes.get(one.code.value, 0) + 1
    return codes


def clock_ns() -> int:
    """What reading the clock twice takes, at the median."""
    spans: list[int] = []
    for _ in range(10_001):
        begun = time.perf_counter_ns()
        spans.append(time.perf_counter_ns() - begun)
    return sorted(spans)[len(spans) // 2]


def measure(
    policy: dict[str, Any], asked: list[tuple[str, dict[str, Any]]], step: int
) -> dict[str, float]:
    """Both in turns, so that whatever else the machine does slows both."""
    ways = {"product": product(policy), "naive": naive(policy)}
    spans: dict[str, list[int]] = {name: [] for name in ways}
    at = START
    for begin in range(0, len(asked), TURN_CALLS):
        turn = asked[begin : begin + TURN_CALLS]
        for name, run in ways.items():
            part: list[tuple[str, dict[str, Any]]] = turn[:NAIVE_CALLS] if name == "naive" else turn
            for place, (tool, arguments) in enumerate(part):
                when = at + place * step
                begun = time.perf_counter_ns()
                run(tool, arguments, when)
                spent = time.perf_counter_ns() - begun
                if begin:
                    spans[name].append(spent)
        at += len(turn) * step
    clock = clock_ns()
    found: dict[str, float] = {}
    for name, taken in spans.items():
        taken.sort()
        for percent in (50, 99):
            place = min(len(taken) - 1, len(taken) * percent // 100)
            found[f"{name}_us_p{percent}"] = round(max(0, taken[place] - clock) / 1_000, 2)
    found["ratio_p50"] = round(found["naive_us_p50"] / max(found["product_us_p50"], 0.01), 1)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure decisions against a naive interpreter.")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--calls", type=int, default=20_000, help="calls for each line and way")
    options = parser.parse_args()
    rows: list[dict[str, Any]] = []
    for variant, parts in VARIANTS.items():
        for tools in TOOLS:
            policy = document(tools, parts)
            agreed = calls(tools, AGREED_CALLS, random.Random(1))
            codes = agree(policy, agreed, step_ns(tools))
            asked = calls(tools, max(options.calls, 2 * TURN_CALLS), random.Random(2))
            measured = measure(policy, asked, step_ns(tools))
            rows.append({"rules": variant, "tools": tools, **measured, "codes": codes})
    if options.json:
        print(json.dumps(rows, indent=2))
        return
    print("microseconds a decision                       naive     naive    naive/ours")
    print("rules          tools     p50     p99           p50       p99        at p50")
    for row in rows:
        print(
            f"{row['rules']:14} {row['tools']:>5} {row['product_us_p50']:>7} "
            f"{row['product_us_p99']:>7} {row['naive_us_p50']:>13} {row['naive_us_p99']:>9}"
            f" {row['ratio_p50']:>13.1f}"
        )
    seen = ", ".join(sorted({code for row in rows for code in row["codes"]}))
    print(f"both agreed on {AGREED_CALLS * len(rows)} calls, with the codes {seen}")


if __name__ == "__main__":
    main()
