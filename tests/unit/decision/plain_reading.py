"""Conditions by a plain reading of the policy reference, to hold the compiled ones against.

Every question walks the document anew, and nothing here knows how conditions are compiled.
"""

import re
from collections.abc import Callable, Mapping
from typing import Any

from toolreeve.decision.conditions import Truth

MISSING: Any = object()
Said = tuple[str, str]
"""A code and the pointer of what spoke."""


def steps_of(path: str) -> list[Any]:
    if path.startswith("/"):
        return [key.replace("~1", "/").replace("~0", "~") for key in path[1:].split("/")]
    steps: list[Any] = []
    for key, place in re.findall(r"\.([A-Za-z0-9_$-]+)|\[(\*|[0-9]+)\]", path.removeprefix("args")):
        steps.append(key or (all if place == "*" else int(place)))
    return steps


def standing(value: Any, steps: list[Any]) -> list[Any]:
    """What stands at a path; MISSING among it where something of it leads nowhere."""
    if not steps:
        return [value]
    step, rest = steps[0], steps[1:]
    if step is all:
        if not isinstance(value, list):
            return [MISSING]
        elements: list[Any] = value  # pyright: ignore[reportUnknownVariableType]
        return [one for element in elements for one in standing(element, rest)]
    if isinstance(value, dict):
        members: dict[str, Any] = value  # pyright: ignore[reportUnknownVariableType]
        return standing(members[str(step)], rest) if str(step) in members else [MISSING]
    if isinstance(value, list) and re.fullmatch("0|[1-9][0-9]*", str(step)):
        places: list[Any] = value  # pyright: ignore[reportUnknownVariableType]
        return standing(places[int(step)], rest) if int(step) < len(places) else [MISSING]
    return [MISSING]


def equal(one: Any, other: Any) -> bool:
    """By JSON: numbers by value, everything else by type and value."""
    kinds = [
        "number" if type(value) in (int, float) else type(value).__name__ for value in (one, other)
    ]
    if kinds[0] != kinds[1]:
        return False
    if kinds[0] == "list":
        return len(one) == len(other) and all(equal(*pair) for pair in zip(one, other, strict=True))
    if kinds[0] == "dict":
        return set(one) == set(other) and all(equal(one[key], other[key]) for key in one)
    return bool(one == other)


def equal_to_any(value: Any, choices: Any) -> bool:
    return any(equal(value, one) for one in choices)


COMPARED: dict[str, Callable[[Any, Any], bool]] = {
    "eq": equal,
    "neq": lambda value, wanted: not equal(value, wanted),
    "in": equal_to_any,
    "not_in": lambda value, wanted: not equal_to_any(value, wanted),
    "lt": lambda value, wanted: bool(value < wanted),
    "lte": lambda value, wanted: bool(value <= wanted),
    "gt": lambda value, wanted: bool(value > wanted),
    "gte": lambda value, wanted: bool(value >= wanted),
    "regex": lambda value, wanted: re.fullmatch(wanted, value) is not None,
    "contains": lambda value, wanted: (
        wanted in value if isinstance(value, str) else equal_to_any(wanted, value)
    ),
}


def comparable(op: str, value: Any, wanted: Any) -> bool:
    """What cannot be compared is an error, whatever it looks like."""
    if op in {"lt", "lte", "gt", "gte"}:
        return type(value) in (int, float)
    if op == "regex":
        return isinstance(value, str) and "\ud800" not in value
    if op == "contains":
        return isinstance(value, list) or (isinstance(value, str) and isinstance(wanted, str))
    return True


def condition_truth(condition: Mapping[str, Any], kind: str, arguments: Any) -> Truth:
    found = standing(arguments, steps_of(condition["path"]))
    missing = any(value is MISSING for value in found)
    if condition["op"] == "exists":
        there = bool(found) and not missing
        return Truth.HOLDS if there == condition["value"] else Truth.FAILS
    if missing:
        ignored = condition.get("on_missing") == "ignore"
        return Truth.FAILS if ignored or kind == "require" else Truth.ERROR
    op, wanted = condition["op"], condition["value"]
    if not all(comparable(op, value, wanted) for value in found):
        return Truth.ERROR
    answers = [COMPARED[op](value, wanted) for value in found]
    together = all if kind == "require" or len(answers) == 1 else any
    return Truth.HOLDS if together(answers) else Truth.FAILS


def verdict_of(rule: Mapping[str, Any], arguments: Any) -> Said:
    """The code and the pointer that a rule's conditions come to."""
    for kind, code in (("require", "require_failed"), ("deny_if", "deny_if_held")):
        refusing = Truth.FAILS if kind == "require" else Truth.HOLDS
        for place, clause in enumerate(rule.get(kind, [])):
            truth = Truth.HOLDS
            for number, condition in enumerate(clause["conditions"]):
                truth = condition_truth(condition, kind, arguments)
                if truth is Truth.ERROR:
                    return "condition_error", f"/tools/t/{kind}/{place}/conditions/{number}"
                if truth is Truth.FAILS:
                    break
            if truth is refusing:
                return code, f"/tools/t/{kind}/{place}"
    return "allowed", "/tools/t"
