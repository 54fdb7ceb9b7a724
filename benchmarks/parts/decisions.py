"""Policies and calls for the benchmark of decisions."""

import random
from typing import Any

EACH_A_MINUTE = 80  # calls of one tool, whatever the number of tools

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
    "with a pattern": ("conditions", "pattern"),
    "schema": ("schema",),
    "1 limit": ("limit",),
    "3 limits": ("limit", "more limits"),
    "limit by a value": ("by",),
    "all": ("conditions", "pattern", "schema", "limit", "by"),
}


def document(tools: int, parts: tuple[str, ...]) -> dict[str, Any]:
    """A policy for so many tools, each with these parts, two globs and a hidden tool.

    No two tools have the same bounds, choices, patterns or limits, so nothing that one tool has
    can serve another.
    """
    rules: dict[str, Any] = {"get_*": {}, "tool_9*": {"action": "deny"}}
    for number in range(tools):
        rule: dict[str, Any] = {}
        if "conditions" in parts:
            rule["require"] = [{"conditions": _conditions(number, pattern="pattern" in parts)}]
            rule["deny_if"] = [{"conditions": [one]} for one in _denials(number)]
        if "schema" in parts:
            rule["arguments"] = {**SCHEMA, "$comment": f"tool {number}"}
        limits = _limits(number, parts)
        if limits:
            rule["limits"] = limits
        rules[f"tool_{number}"] = rule
    return {"version": "1", "default": "deny", "hide": ["secret_*"], "tools": rules}


def _conditions(number: int, *, pattern: bool) -> list[dict[str, Any]]:
    named = {"op": "regex", "value": f"[a-z][a-z0-9-]{{0,{30 + number % 10}}}|tool{number}"}
    return [
        {"path": "args.id", "op": "gte", "value": -number},
        {"path": "args.id", "op": "lt", "value": 1_000 - number},
        {"path": "args.name", **(named if pattern else {"op": "neq", "value": f"web{number}\n"})},
        {"path": "args.env", "op": "in", "value": ["dev", "test", "stage", f"env{number}"]},
        {"path": "args.env", "op": "neq", "value": f"prod{number}"},
        {"path": "args.name", "op": "not_in", "value": ["root", "admin", f"user{number}"]},
        {"path": "args.tags", "op": "contains", "value": "web"},
        {"path": "args.id", "op": "exists", "value": True},
    ]


def _denials(number: int) -> list[dict[str, Any]]:
    return [
        {"path": "args.force", "op": "eq", "value": True, "on_missing": "ignore"},
        {"path": "args.amount", "op": "gt", "value": 100 + number, "on_missing": "ignore"},
    ]


def _limits(number: int, parts: tuple[str, ...]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    if "limit" in parts:
        found.append({"counter": f"rate_{number}", "window": "minute", "max": 60})
    if "more limits" in parts:
        found.append({"counter": f"hourly_{number}", "window": "hour", "max": 3_000})
        found.append({"counter": f"daily_{number}", "window": "day", "max": 50_000})
    if "by" in parts:
        found.append({"counter": f"each_{number}", "window": "hour", "max": 30, "by": ["/id"]})
    return found


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
                [{"id": "7"}, {"id": True}, {"env": "prod"}, {"force": True}, {"amount": 5_000},
                 {"amount": "500"}, {"x": 1}, {"name": "web\n"}, {"id": 1_000}, {"tags": "web"}]
            )  # fmt: skip
        found.append((name, arguments))
    return found


def step_ns(tools: int) -> int:
    """Between two calls, so that each tool's limits are as full whatever the number of tools."""
    return 60 * 10**9 // (EACH_A_MINUTE * tools)
