"""One rule made ready for the hot path, and what it comes to for one tool."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from msgspec import Struct

from toolreeve.decision.conditions import ERROR, FAILS, CompiledClause, Kind, compile_clauses
from toolreeve.decision.counters import PreparedLimit, prepare_limits
from toolreeve.decision.objection import Settle, objection
from toolreeve.decision.verdict import (
    ALLOW,
    CONDITION_ERROR,
    DENY_IF_HELD,
    REQUIRE_FAILED,
    Code,
    Verdict,
    refusal,
)
from toolreeve.policy import Action, Mode, ToolRule, write_pointer
from toolreeve.policy.schema_check import compile_schema

Fits = Callable[[Mapping[str, object]], bool]
"""Whether arguments fit a schema."""

Misfit = Callable[[Mapping[str, object]], str]
"""Why arguments that do not fit a schema do not, in words without their values."""

Objection = Callable[[Mapping[str, object]], Verdict | None]
"""The refusal that the conditions make of a call; None where they let it pass."""


class CompiledRule(Struct, frozen=True, kw_only=True):
    """A rule with everything on the way of a call made ready.

    `rule` is None for a tool that only `default: allow` lets through. Clauses and limits are
    those of `all_tools`, then the rule's own. `objection` says what `require` and `deny_if` say,
    but faster; both are None or empty together.
    """

    rule: ToolRule | None
    pointer: str
    action: Action
    mode: Mode
    reason: str
    fits: Fits | None
    misfit: Misfit | None
    require: tuple[CompiledClause, ...]
    deny_if: tuple[CompiledClause, ...]
    objection: Objection | None
    limits: tuple[PreparedLimit, ...]


class Common(Struct, frozen=True, kw_only=True):
    """What is said of all tools, made ready once for all rules."""

    require: tuple[CompiledClause, ...] = ()
    deny_if: tuple[CompiledClause, ...] = ()
    limits: tuple[PreparedLimit, ...] = ()


class Ruling(Struct, frozen=True, kw_only=True):
    """What a rule comes to for one tool: what is the same for all its calls is said already.

    A call that passes the rule needs the `approval`, where there is one; else it is `allowed`, and
    counted. `settled` is that same verdict where the rule has nothing to look at.
    """

    rule: CompiledRule
    settled: Verdict | None
    approval: Verdict | None
    allowed: Verdict


def compile_common(rule: ToolRule | None) -> Common:
    """Make `all_tools` ready."""
    if rule is None:
        return Common()
    return Common(
        require=compile_clauses(rule.require, Kind.REQUIRE),
        deny_if=compile_clauses(rule.deny_if, Kind.DENY_IF),
        limits=prepare_limits(rule.limits),
    )


def compile_rule(rule: ToolRule | None, common: Common, mode: Mode) -> CompiledRule:
    """Make a rule ready; None: what holds under `default: allow`. `mode` is the policy's."""
    said = ToolRule(pattern="", pointer="/default") if rule is None else rule
    require = (*common.require, *compile_clauses(said.require, Kind.REQUIRE))
    deny_if = (*common.deny_if, *compile_clauses(said.deny_if, Kind.DENY_IF))
    own_mode = said.mode or mode
    clauses = (*require, *deny_if)
    validator: Any = None if said.arguments is None else compile_schema(said.arguments)
    return CompiledRule(
        rule=rule,
        pointer=said.pointer,
        action=said.action,
        mode=own_mode,
        reason=said.reason,
        fits=None if validator is None else validator.is_valid,
        misfit=None if validator is None else _misfit(validator),
        require=require,
        deny_if=deny_if,
        objection=objection(clauses, _settling(clauses, own_mode, said.reason)),
        limits=(*common.limits, *prepare_limits(said.limits)),
    )


def ruling_on(tool: str, rule: CompiledRule) -> Ruling | Verdict:
    """What the rule that holds for `tool` comes to; a verdict where it refuses every call."""
    if rule.action is Action.DENY:
        reason = rule.reason or f"A rule denies {tool}."
        return refusal(Code.DENIED, rule.mode, rule=rule.pointer, reason=reason)
    approval = None
    if rule.action is Action.REQUIRE_APPROVAL:
        reason = rule.reason or f"{tool} needs an approval."
        approval = refusal(Code.APPROVAL_REQUIRED, rule.mode, rule=rule.pointer, reason=reason)
    allowed = Verdict(effect=ALLOW, code=Code.ALLOWED, rule=rule.pointer)
    plain = rule.fits is None and rule.objection is None and not rule.limits and not approval
    return Ruling(
        rule=rule,
        settled=allowed if plain else None,
        approval=approval,
        allowed=allowed,
    )


def default_denied(tool: str, mode: Mode) -> Verdict:
    """The refusal of a tool that no rule allows."""
    reason = f"No rule allows {tool}."
    return refusal(Code.DEFAULT_DENIED, mode, rule="/default", reason=reason)


def _misfit(validator: Any) -> Misfit:
    def why(arguments: Mapping[str, object]) -> str:
        error: Any = next(iter(validator.iter_errors(arguments)))
        place = write_pointer(list(error.instance_path)) or "the arguments"
        keywords = [step for step in error.schema_path if isinstance(step, str)]
        return f"{place} breaks {keywords[-1] if keywords else 'the schema'}"

    return why


def _settling(clauses: Sequence[CompiledClause], mode: Mode, reason: str) -> Settle[Verdict]:
    """What the conditions make of a call, each asked in its turn.

    A refusal by one clause is always the same, so it is made once: where an agent is refused again
    and again, that costs no more than to let it pass.
    """
    made: dict[str, Verdict] = {}

    def settle(arguments: Mapping[str, object], place: int, begin: int) -> Verdict | None:
        for compiled in clauses[place:]:
            truth, condition = compiled.truth(arguments, begin)
            begin = 0
            if truth is ERROR and condition is not None:
                code, pointer = CONDITION_ERROR, condition.pointer
            elif truth is compiled.refuses_when:
                pointer = compiled.clause.pointer
                code = REQUIRE_FAILED if truth is FAILS else DENY_IF_HELD
            else:
                continue
            if pointer not in made:
                said = compiled.clause.on_deny or reason or "The arguments are not allowed here."
                made[pointer] = refusal(code, mode, rule=pointer, reason=said)
            return made[pointer]
        return None

    return settle
