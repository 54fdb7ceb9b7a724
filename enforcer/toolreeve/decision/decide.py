"""The one decision function."""

from msgspec.structs import replace

from toolreeve.decision.call import Call
from toolreeve.decision.compile import CompiledPolicy, CompiledRule
from toolreeve.decision.conditions import Truth
from toolreeve.decision.counters import BadAmount, Counters, Exceeded
from toolreeve.decision.hold import Holds
from toolreeve.decision.instant import Instant, milliseconds_until
from toolreeve.decision.verdict import Code, Effect, Verdict
from toolreeve.policy import Action, Clause, Default, Limit, Mode


def decide(
    policy: CompiledPolicy | None, holds: Holds, counters: Counters, call: Call, at: Instant
) -> Verdict:
    """Decide a call.

    Holds come first, then what is hidden, then the tool's rule: its action, the schema of its
    arguments, its conditions, its approval, its limits. A call that the rules allow has been
    counted; one that they refuse has not, also where the mode lets it through.
    """
    hold = holds.stopping(call, at)
    if hold is not None:
        wait = None if hold.expires_at is None else milliseconds_until(hold.expires_at, at)
        return _refused(Code.HELD, reason=hold.reason, retry_after_ms=wait)
    if policy is None:
        return _refused(Code.NO_POLICY, reason="No policy is in force here.")
    if policy.hides(call.tool):
        return _in_mode(_refused(Code.HIDDEN, rule="/hide"), policy.mode)
    rule = policy.rule_for(call.tool)
    if rule is None:
        return _in_mode(unlisted(policy, call.tool), policy.mode)
    verdict = _by_rule(rule, counters, call, at)
    return verdict if verdict.code is Code.ALLOWED else _in_mode(verdict, rule.mode)


def unlisted(policy: CompiledPolicy, tool: str) -> Verdict:
    """What a tool gets that no rule names, before conditions and limits on all tools."""
    if policy.default is Default.ALLOW:
        return Verdict(effect=Effect.ALLOW, code=Code.ALLOWED, rule="/default")
    reason = f"No rule allows {tool}."
    return _refused(Code.DEFAULT_DENIED, rule="/default", reason=reason)


def _by_rule(rule: CompiledRule, counters: Counters, call: Call, at: Instant) -> Verdict:
    if rule.action is Action.DENY:
        reason = rule.reason or f"A rule denies {call.tool}."
        return _refused(Code.DENIED, rule=rule.pointer, reason=reason)
    if rule.misfit is not None:
        misfit = rule.misfit(call.arguments)
        if misfit is not None:
            reason = rule.reason or f"The arguments do not fit: {misfit}."
            return _refused(Code.BAD_ARGUMENTS, rule=f"{rule.pointer}/arguments", reason=reason)
    if rule.require or rule.deny_if:
        refused = _by_conditions(rule, call)
        if refused is not None:
            return refused
    if rule.action is Action.REQUIRE_APPROVAL:
        reason = rule.reason or f"{call.tool} needs an approval."
        return _refused(Code.APPROVAL_REQUIRED, rule=rule.pointer, reason=reason)
    if not rule.limits:
        return Verdict(effect=Effect.ALLOW, code=Code.ALLOWED, rule=rule.pointer)
    reserved = counters.reserve(rule.limits, call, at)
    match reserved:
        case Exceeded(limit=limit, retry_at=retry_at):
            return _refused(
                Code.LIMITED,
                rule=limit.pointer,
                reason=rule.reason or _limit_reason(limit),
                retry_after_ms=None if retry_at is None else milliseconds_until(retry_at, at),
                counter=limit.counter,
            )
        case BadAmount(limit=limit):
            return _refused(
                Code.BAD_AMOUNT,
                rule=limit.pointer,
                reason=f"{limit.amount} must be a number, 0 or more.",
                counter=limit.counter,
            )
        case _:
            return Verdict(
                effect=Effect.ALLOW,
                code=Code.ALLOWED,
                rule=rule.pointer,
                reservations=reserved,
            )


def _by_conditions(rule: CompiledRule, call: Call) -> Verdict | None:
    """The refusal that the conditions make of a call; None where they let it pass."""
    for compiled in rule.require:
        truth, condition = compiled.truth(call.arguments)
        if truth is Truth.FAILS:
            return _by_clause(Code.REQUIRE_FAILED, rule, compiled.clause)
        if truth is Truth.ERROR:
            pointer = "" if condition is None else condition.pointer
            return _by_clause(Code.CONDITION_ERROR, rule, compiled.clause, pointer)
    for compiled in rule.deny_if:
        truth, condition = compiled.truth(call.arguments)
        if truth is Truth.HOLDS:
            return _by_clause(Code.DENY_IF_HELD, rule, compiled.clause)
        if truth is Truth.ERROR:
            pointer = "" if condition is None else condition.pointer
            return _by_clause(Code.CONDITION_ERROR, rule, compiled.clause, pointer)
    return None


def _by_clause(code: Code, rule: CompiledRule, clause: Clause, pointer: str = "") -> Verdict:
    reason = clause.on_deny or rule.reason or "The arguments are not allowed here."
    return _refused(code, rule=pointer or clause.pointer, reason=reason)


def _in_mode(verdict: Verdict, mode: Mode) -> Verdict:
    """The same grounds; let through where the mode does not enforce them."""
    if mode is Mode.ENFORCE or verdict.code is Code.ALLOWED:
        return verdict
    return replace(verdict, effect=Effect.ALLOW, mode=mode)


def _refused(
    code: Code,
    *,
    rule: str = "",
    reason: str = "",
    retry_after_ms: int | None = None,
    counter: str = "",
) -> Verdict:
    return Verdict(
        effect=Effect.DENY,
        code=code,
        rule=rule,
        reason=reason,
        retry_after_ms=retry_after_ms,
        counter=counter,
    )


def _limit_reason(limit: Limit) -> str:
    seconds = limit.window_ns // 1_000_000_000
    window = {60: "minute", 3_600: "hour", 86_400: "day"}.get(seconds, f"{seconds} seconds")
    if limit.maximum == 0:
        return "No calls."
    what = "" if limit.amount is not None else " call" if limit.maximum == 1 else " calls"
    return f"At most {limit.maximum}{what} a {window} per {limit.scope.value}."
