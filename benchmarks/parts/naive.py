"""A policy interpreted as one would at first: the document itself is walked for every call.

Nothing is prepared and nothing is kept but the instants of admitted calls. It says the same as
the product on everything the benchmark asks, which the benchmark checks before it measures.
"""

import re
from collections.abc import Callable
from decimal import Decimal
from importlib import import_module
from typing import Any, TypeGuard

import jsonschema_rs

_full_match: Callable[[str, str], object] = import_module("re2").fullmatch  # has no types
_WINDOWS = {"minute": 60, "hour": 3_600, "day": 86_400}
_SECOND = 1_000_000_000
_MISSING = object()

Answer = tuple[str, str, str, int | None]
"""Effect, code, pointer of the rule, milliseconds until one more call would be admitted."""


class Naive:
    """Decides calls by a document, given as JSON."""

    def __init__(self, document: dict[str, Any]) -> None:
        self._document = document
        self._admitted: dict[tuple[Any, ...], list[tuple[int, Any]]] = {}

    def decide(self, server: str, grant: str, tool: str, arguments: Any, at: int) -> Answer:
        if any(_matches(pattern, tool) for pattern in self._document.get("hide", [])):
            return "deny", "hidden", "/hide", None
        named = self._rule(tool)
        if named is None:
            allows = self._document["default"] == "allow"
            return (
                ("allow", "allowed", "/default", None)
                if allows
                else _denied("default_denied", "/default")
            )
        pattern, rule = named
        pointer = "/tools/" + pattern.replace("~", "~0").replace("/", "~1")
        if rule.get("action") == "deny":
            return _denied("denied", pointer)
        if "arguments" in rule:
            validator = jsonschema_rs.Draft202012Validator(rule["arguments"])
            if not validator.is_valid(arguments):
                return _denied("bad_arguments", f"{pointer}/arguments")
        for kind in ("require", "deny_if"):
            for place, clause in enumerate(rule.get(kind, [])):
                refused = _clause(kind, clause, arguments, f"{pointer}/{kind}/{place}")
                if refused is not None:
                    return refused
        if rule.get("action") == "require_approval":
            return _denied("approval_required", pointer)
        return self._limits(rule, pointer, (server, grant), arguments, at)

    def _rule(self, tool: str) -> tuple[str, Any] | None:
        found = [
            (pattern, rule)
            for pattern, rule in self._document["tools"].items()
            if _matches(pattern, tool)
        ]
        found.sort(key=lambda entry: _rank(entry[0]))
        denying = [entry for entry in found if entry[1].get("action") == "deny"]
        return next(iter(denying or found), None)

    def _limits(
        self, rule: Any, pointer: str, caller: tuple[str, str], arguments: Any, at: int
    ) -> Answer:
        entered: list[tuple[list[tuple[int, Any]], Any]] = []
        for place, limit in enumerate(rule.get("limits", [])):
            spot = f"{pointer}/limits/{place}"
            span = _seconds(limit["window"]) * _SECOND
            amount = Decimal(1)
            if "amount" in limit:
                value = _resolve(arguments, limit["amount"])
                if isinstance(value, bool) or not isinstance(value, int | float) or value < 0:
                    return _denied("bad_amount", spot)
                amount = Decimal(str(value))
            values = tuple(repr(_resolve(arguments, one)) for one in limit.get("by", []))
            bucket = self._admitted.setdefault((limit["counter"], *caller, *values), [])
            bucket[:] = [entry for entry in bucket if entry[0] + span > at]
            total = sum((entry[1] for entry in bucket), Decimal(0))
            if total + amount > Decimal(str(limit["max"])):
                wait = _wait(bucket, total + amount - Decimal(str(limit["max"])), span, at)
                return "deny", "limited", spot, wait
            entered.append((bucket, amount))
        for bucket, amount in entered:
            bucket.append((at, amount))
        return "allow", "allowed", pointer, None


def _seconds(window: Any) -> int:
    return _WINDOWS[window] if isinstance(window, str) else int(window)


def _wait(bucket: list[tuple[int, Any]], over: Decimal, span: int, at: int) -> int | None:
    for entered, amount in bucket:
        over -= amount
        if over <= 0:
            return max(0, -((at - entered - span) // 1_000_000))
    return None


def _denied(code: str, pointer: str) -> Answer:
    return "deny", code, pointer, None


def _matches(pattern: str, tool: str) -> bool:
    parts = [".*" if one == "*" else "." if one == "?" else re.escape(one) for one in pattern]
    return re.fullmatch("".join(parts), tool, re.DOTALL) is not None


def _rank(pattern: str) -> tuple[int, int, int]:
    wild = [place for mark in "*?" if (place := pattern.find(mark)) >= 0]
    return (1, -min(wild), -len(pattern)) if wild else (0, 0, 0)


def _clause(kind: str, clause: Any, arguments: Any, pointer: str) -> Answer | None:
    for place, condition in enumerate(clause["conditions"]):
        holds = _holds(kind, condition, arguments)
        if holds is None:
            return _denied("condition_error", f"{pointer}/conditions/{place}")
        if not holds:
            return _denied("require_failed", pointer) if kind == "require" else None
    return None if kind == "require" else _denied("deny_if_held", pointer)


def _holds(kind: str, condition: Any, arguments: Any) -> bool | None:
    """Whether a condition holds; None where it is an error."""
    path = condition["path"]
    pointer = path if path.startswith("/") else "/" + path.removeprefix("args.").replace(".", "/")
    value, op, wanted = _resolve(arguments, pointer), condition["op"], condition["value"]
    if op == "exists":
        return bool((value is not _MISSING) == wanted)
    if value is _MISSING:
        ignored = condition.get("on_missing") == "ignore"
        return False if ignored or kind == "require" else None
    match op:
        case "eq":
            return _same(value, wanted)
        case "neq":
            return not _same(value, wanted)
        case "in":
            return any(_same(value, one) for one in wanted)
        case "not_in":
            return not any(_same(value, one) for one in wanted)
        case "regex":
            if not isinstance(value, str):
                return None
            return _full_match(wanted, value) is not None
        case "contains":
            if isinstance(value, str):
                return bool(wanted in value) if isinstance(wanted, str) else None
            return any(_same(one, wanted) for one in value) if _is_list(value) else None
        case _:
            if isinstance(value, bool) or not isinstance(value, int | float):
                return None
            answers = {"lt": value < wanted, "lte": value <= wanted, "gt": value > wanted}
            return bool(answers.get(op, value >= wanted))


def _is_list(value: Any) -> TypeGuard[list[Any]]:
    return isinstance(value, list)


def _is_dict(value: Any) -> TypeGuard[dict[str, Any]]:
    return isinstance(value, dict)


def _same(one: Any, other: Any) -> bool:
    if isinstance(one, bool) or isinstance(other, bool):
        return one is other
    if _is_list(one) and _is_list(other):
        return len(one) == len(other) and all(map(_same, one, other))
    if _is_dict(one) and _is_dict(other):
        return one.keys() == other.keys() and all(_same(one[key], other[key]) for key in one)
    return bool(one == other)


def _resolve(value: Any, pointer: str) -> Any:
    for part in pointer.split("/")[1:]:
        key = part.replace("~1", "/").replace("~0", "~")
        if _is_dict(value) and key in value:
            value = value[key]
        elif _is_list(value) and key.isdigit() and int(key) < len(value):
            value = value[int(key)]
        else:
            return _MISSING
    return value
