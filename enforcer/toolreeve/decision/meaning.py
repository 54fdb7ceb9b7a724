"""The meaning of rules in a normal form: equal forms decide every call alike.

Names of descriptions, the order of keys and the two ways to write a path are not in it. Forms
that differ may still mean the same; that is for examples to show.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from msgspec import Struct

from toolreeve.decision.compile import CompiledPolicy
from toolreeve.policy import (
    Action,
    Approval,
    Clause,
    Condition,
    Default,
    Dispatch,
    Each,
    Limit,
    Mode,
    Op,
    Policy,
    ToolRule,
    canonical_json,
)
from toolreeve.policy.model import is_class, is_glob

_ANNOTATIONS = frozenset({"title", "description", "$comment"})

Form = tuple[object, ...]


class Meaning(Struct, frozen=True, kw_only=True):
    """What is done with calls of one effective tool, whatever their arguments."""

    hidden: bool
    refused: bool
    mode: Mode
    reason: str = ""
    action: Action = Action.ALLOW
    arguments: bytes = b""
    require: Form = ()
    deny_if: Form = ()
    approval: Approval | None = None
    limits: Form = ()


def meaning_of(policy: CompiledPolicy, tool: str) -> Meaning:
    """What a policy means for one effective tool."""
    if policy.hides(tool):
        return Meaning(hidden=True, refused=True, mode=policy.mode)
    rule = policy.rule_for(tool)
    if rule is None:
        return Meaning(hidden=False, refused=True, mode=policy.mode)
    return _meaning(policy.policy, rule.rule)


def pattern_forms(policy: Policy) -> Form:
    """What decides about tools that nothing names exactly: globs, classes, the default."""
    rules = sorted(
        (rule.pattern, repr(_meaning(policy, rule)))
        for rule in policy.tools
        if is_glob(rule.pattern) or is_class(rule.pattern)
    )
    hidden = sorted({pattern for pattern in policy.hide if is_glob(pattern)})
    unlisted = repr(_meaning(policy, None)) if policy.default is Default.ALLOW else ""
    return tuple(rules), tuple(hidden), policy.default, policy.mode, unlisted


def dispatch_forms(policy: Policy) -> Mapping[str, Dispatch]:
    """How each wire tool names its operation."""
    return {entry.wire_tool: entry for entry in policy.dispatch}


def limit_forms(limits: Sequence[Limit]) -> Form:
    """Limits without the places at which they stand."""
    return tuple(
        (
            limit.counter,
            limit.window_ns,
            limit.maximum,
            limit.scope,
            limit.align,
            limit.by,
            limit.amount,
            tuple(sorted(one.value for one in limit.refund_on)),
            limit.shares,
        )
        for limit in limits
    )


def _meaning(policy: Policy, rule: ToolRule | None) -> Meaning:
    """What one rule means, `all_tools` included; None: `default: allow`."""
    mode = policy.mode if rule is None or rule.mode is None else rule.mode
    if rule is not None and rule.action is Action.DENY:
        return Meaning(
            hidden=False, refused=True, mode=mode, reason=rule.reason, action=rule.action
        )
    both = [one for one in (policy.all_tools, rule) if one is not None]
    schema = None if rule is None else rule.arguments
    return Meaning(
        hidden=False,
        refused=False,
        mode=mode,
        reason="" if rule is None else rule.reason,
        action=Action.ALLOW if rule is None else rule.action,
        arguments=b"" if schema is None else canonical_json(_without_annotations(schema)),
        require=_clauses([clause for one in both for clause in one.require]),
        deny_if=_clauses([clause for one in both for clause in one.deny_if]),
        approval=None if rule is None else rule.approval,
        limits=limit_forms([limit for one in both for limit in one.limits]),
    )


def _clauses(clauses: Sequence[Clause]) -> Form:
    return tuple(
        (clause.on_deny, tuple(_condition(one) for one in clause.conditions)) for clause in clauses
    )


def _condition(condition: Condition) -> Form:
    steps = tuple("[*]" if isinstance(one, Each) else f".{one}" for one in condition.steps)
    op, value = condition.op, condition.value
    if op in {Op.EQ, Op.NEQ}:
        op, value = (Op.IN if op is Op.EQ else Op.NOT_IN), [value]
    if op in {Op.IN, Op.NOT_IN} and isinstance(value, list):
        value = sorted(canonical_json(one) for one in value)  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]
        return steps, op, tuple(value), condition.ignore_missing
    return steps, op, canonical_json(value), condition.ignore_missing


def _without_annotations(schema: Any) -> Any:
    """A schema without what only people read. Names of properties are kept, whatever they are."""
    if isinstance(schema, list):
        elements: list[Any] = schema  # pyright: ignore[reportUnknownVariableType]
        return [_without_annotations(one) for one in elements]
    if not isinstance(schema, dict):
        return schema
    keys: dict[str, Any] = schema  # pyright: ignore[reportUnknownVariableType]
    kept: dict[str, Any] = {}
    for key, value in keys.items():
        if key in _ANNOTATIONS and isinstance(value, str):
            continue
        kept[key] = value if key in {"enum", "const"} else _without_annotations(value)
    return kept
