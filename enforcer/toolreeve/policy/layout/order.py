"""The order in which a policy's keys stand: who it is, what it does at large, then tool by tool.

What authors name themselves (tools, methods, the arguments' schema, a condition's value) keeps
their order.
"""

from collections.abc import Iterable, Mapping
from enum import Enum


class Kind(Enum):
    """What an object or a list of a policy is, as far as the order of its keys goes."""

    POLICY = "policy"
    RULES = "rules"
    RULE = "rule"
    CLAUSES = "clauses"
    CLAUSE = "clause"
    CONDITIONS = "conditions"
    CONDITION = "condition"
    LIMITS = "limits"
    LIMIT = "limit"
    APPROVAL = "approval"
    DISPATCHES = "dispatches"
    DISPATCH = "dispatch"
    FREE = "free"


_RULE: Mapping[str, Kind] = {
    "description": Kind.FREE,
    "action": Kind.FREE,
    "mode": Kind.FREE,
    "reason": Kind.FREE,
    "approval": Kind.APPROVAL,
    "arguments": Kind.FREE,
    "require": Kind.CLAUSES,
    "deny_if": Kind.CLAUSES,
    "limits": Kind.LIMITS,
}

ORDER: Mapping[Kind, Mapping[str, Kind]] = {
    Kind.POLICY: {
        "$schema": Kind.FREE,
        "version": Kind.FREE,
        "name": Kind.FREE,
        "description": Kind.FREE,
        "default": Kind.FREE,
        "mode": Kind.FREE,
        "pin": Kind.FREE,
        "max_staleness": Kind.FREE,
        "on_stale": Kind.FREE,
        "methods": Kind.FREE,
        "dispatch": Kind.DISPATCHES,
        "hide": Kind.FREE,
        "all_tools": Kind.RULE,
        "tools": Kind.RULES,
    },
    Kind.RULE: _RULE,
    Kind.CLAUSE: {"conditions": Kind.CONDITIONS, "on_deny": Kind.FREE},
    Kind.CONDITION: dict.fromkeys(("path", "op", "value", "on_missing"), Kind.FREE),
    Kind.LIMIT: dict.fromkeys(
        (
            "counter",
            "window",
            "max",
            "scope",
            "align",
            "by",
            "amount",
            "refund_on",
            "on_partition",
            "shares",
        ),
        Kind.FREE,
    ),
    Kind.APPROVAL: dict.fromkeys(("timeout", "approvers", "count"), Kind.FREE),
    Kind.DISPATCH: dict.fromkeys(("name", "arguments", "group", "prefix"), Kind.FREE),
}

_INSIDE: Mapping[Kind, Kind] = {
    Kind.RULES: Kind.RULE,
    Kind.CLAUSES: Kind.CLAUSE,
    Kind.CONDITIONS: Kind.CONDITION,
    Kind.LIMITS: Kind.LIMIT,
    Kind.DISPATCHES: Kind.DISPATCH,
}


def inside(kind: Kind, key: str | None) -> Kind:
    """What stands under a key of an object of this kind, or in a list of it (`key` None)."""
    if kind in ORDER and key is not None:
        return ORDER[kind].get(key, Kind.FREE)
    return _INSIDE.get(kind, Kind.FREE)


def ordered(kind: Kind, names: Iterable[str]) -> list[str]:
    """The keys of an object in their canonical order; unknown ones last, as they stand."""
    names = list(names)
    if kind not in ORDER:
        return names
    known = [key for key in ORDER[kind] if key in names]
    return known + [key for key in names if key not in ORDER[kind]]
