"""A decision on record is looked at again, as far as what was kept of it goes.

The record names the tool, the rule that decided and what came of it, and keeps the names of the
arguments and the values of a few. How full the counters were, which holds were in force and what
the other values were is not in it; what depends on them is named as such, and never guessed.
"""

from collections.abc import Iterator, Mapping

from msgspec import Struct
from msgspec.structs import replace

from toolreeve.decision.compile import CompiledPolicy
from toolreeve.decision.conditions import CompiledClause, CompiledCondition, Kind, Truth
from toolreeve.decision.look import (
    Look,
    Stage,
    condition_look,
    hide_looks,
    pin_look,
    rule_looks,
)
from toolreeve.decision.rule import CompiledRule
from toolreeve.decision.verdict import Code
from toolreeve.policy import Action, Each, Op, Pinning, parse_pointer, write_pointer

NAMES_MAX = 64
NOT_KEPT = "cannot be looked at again"


class Recorded(Struct, frozen=True, kw_only=True):
    """What the audit history has of a decision.

    `names` are the effective arguments' own names, at most 64; `kept` are values by JSON Pointer.
    """

    tool: str
    code: str
    rule: str
    names: tuple[str, ...]
    kept: Mapping[str, object]


def retrace(policy: CompiledPolicy, recorded: Recorded) -> tuple[Look, ...]:
    """What the policy's revision says about the call, up to what settled it on record."""
    looks: list[Look] = []
    for look in _all(policy, recorded):
        looks.append(look)
        if _settled(look, recorded):
            break
    return tuple(looks)


def _settled(look: Look, recorded: Recorded) -> bool:
    """Whether the record says that this look settled it."""
    if recorded.code == Code.ALLOWED.value or look.pointer == "":
        return False
    if look.code is not None and look.code.value == recorded.code:
        return True
    if look.stage is Stage.RULE and recorded.code not in {"denied", "default_denied"}:
        return False
    return bool(recorded.rule) and look.pointer.startswith(recorded.rule) and not look.known


def _all(policy: CompiledPolicy, recorded: Recorded) -> Iterator[Look]:
    if recorded.code in {Code.HELD.value, Code.BAD_OPERATION.value, Code.NO_POLICY.value}:
        yield Look(
            stage=Stage.DISPATCH if recorded.code == Code.BAD_OPERATION.value else Stage.HOLD,
            finding=f"{NOT_KEPT}: settled before the policy's rules",
            known=False,
        )
        return
    yield from hide_looks(policy, recorded.tool)
    if recorded.code == Code.HIDDEN.value:
        return
    rule = policy.rule_for(recorded.tool)
    yield from rule_looks(policy, recorded.tool, rule)
    if rule is None or rule.action is Action.DENY:
        return
    if policy.policy.pin is Pinning.ENFORCE:
        approved = recorded.code != Code.UNAPPROVED_DEFINITION.value
        why = f"the tool's definition was {'' if approved else 'not '}approved"
        yield pin_look(approved=approved, why=why)
    yield from _by_rule(rule, recorded)


def _by_rule(rule: CompiledRule, recorded: Recorded) -> Iterator[Look]:
    if rule.rule is not None and rule.rule.arguments is not None:
        yield Look(
            stage=Stage.ARGUMENTS,
            pointer=f"{rule.pointer}/arguments",
            finding=f"{NOT_KEPT}: a schema needs all values",
            known=False,
        )
    for compiled in rule.require:
        yield from _clause(compiled, Kind.REQUIRE, recorded)
    for compiled in rule.deny_if:
        yield from _clause(compiled, Kind.DENY_IF, recorded)
    if rule.action is Action.REQUIRE_APPROVAL:
        yield Look(stage=Stage.APPROVAL, pointer=rule.pointer, finding="needs an approval")
    for prepared in rule.limits:
        yield Look(
            stage=Stage.LIMIT,
            pointer=prepared.limit.pointer,
            finding=f"{prepared.limit.counter}: {NOT_KEPT}: how full it was is not in the record",
            known=False,
        )


def _clause(compiled: CompiledClause, kind: Kind, recorded: Recorded) -> Iterator[Look]:
    last = len(compiled.conditions) - 1
    unsure = False  # whether what stands behind was looked at, back then
    for place, one in enumerate(compiled.conditions):
        arguments = _kept_for(one, recorded)
        if arguments is None:
            yield Look(
                stage=Stage.REQUIRE if kind is Kind.REQUIRE else Stage.DENY_IF,
                pointer=one.condition.pointer,
                finding=f"{one.condition.path}: {NOT_KEPT}: its value was not kept",
                known=False,
            )
            unsure = True
            continue
        truth = one.test(arguments)
        look = condition_look(one, kind, arguments, truth, is_last=place == last)
        if unsure and not _is_on_record(look, recorded):
            look = replace(look, code=None)
        yield look
        if truth is not Truth.HOLDS:
            return


def _is_on_record(look: Look, recorded: Recorded) -> bool:
    """Whether the record names this look's code and place."""
    same = look.code is not None and look.code.value == recorded.code
    return same and bool(recorded.rule) and look.pointer.startswith(recorded.rule)


def _kept_for(compiled: CompiledCondition, recorded: Recorded) -> Mapping[str, object] | None:
    """Arguments that say enough for one condition; None where what was kept does not."""
    steps = compiled.condition.steps
    if any(step is Each.ELEMENT for step in steps):
        return None
    keys = [step for step in steps if not isinstance(step, Each)]
    first = str(keys[0])
    if first not in recorded.names:
        return {} if len(recorded.names) < NAMES_MAX else None
    pointer = write_pointer(keys)
    if pointer in recorded.kept:
        value = recorded.kept[pointer]
        for key in reversed(parse_pointer(pointer)):
            value = {key: value}
        return value if isinstance(value, dict) else None  # pyright: ignore[reportUnknownVariableType]
    if compiled.condition.op is Op.EXISTS and len(keys) == 1:
        return {first: None}
    return None
