"""The one decision function."""

from toolreeve.decision.call import Call
from toolreeve.decision.compile import CompiledPolicy
from toolreeve.decision.counters import BadAmount, Counters, Exceeded, Leaseless
from toolreeve.decision.hold import Holds
from toolreeve.decision.instant import Instant, milliseconds_until
from toolreeve.decision.rule import CompiledRule, Ruling, default_denied
from toolreeve.decision.verdict import ALLOW, ALLOWED, LIMITED, Code, Verdict, refusal
from toolreeve.policy import Default, Mode

LEASELESS_MS = 1_000
_NO_POLICY = refusal(Code.NO_POLICY, reason="No policy is in force here.")


def decide(
    policy: CompiledPolicy | None, holds: Holds, counters: Counters, call: Call, at: Instant
) -> Verdict:
    """Decide a call.

    Holds come first, then what is hidden, then the tool's rule: its action, whether the tool's
    definition is approved, the schema of its arguments, its conditions, its approval, its limits.
    A call that the rules allow has been counted; one that they refuse has not, also where the mode
    lets it through.
    """
    if holds.by_id:
        hold = holds.stopping(call, at)
        if hold is not None:
            wait = None if hold.expires_at is None else milliseconds_until(hold.expires_at, at)
            return refusal(Code.HELD, reason=hold.reason, retry_after_ms=wait)
    if policy is None:
        return _NO_POLICY
    ruling = policy.rulings[call.tool]
    if isinstance(ruling, Verdict):
        return ruling
    if call.unapproved:
        return _unapproved(ruling.rule, call)
    return ruling.settled or _by_rule(ruling, counters, call, at)


def _by_rule(ruling: Ruling, counters: Counters, call: Call, at: Instant) -> Verdict:
    rule = ruling.rule
    if rule.fits is not None and not rule.fits(call.arguments):
        return _unfit(rule, call)
    if rule.objection is not None:
        refused = rule.objection(call.arguments)
        if refused is not None:
            return refused
    if ruling.approval is not None and not call.approved:
        return ruling.approval
    if not rule.limits or call.counted_before:
        return ruling.allowed
    reserved = counters.reserve(rule.limits, call, at)
    if isinstance(reserved, tuple):
        return Verdict(effect=ALLOW, code=ALLOWED, rule=rule.pointer, reservations=reserved)
    return _limited(rule, reserved, at)


def unlisted(policy: CompiledPolicy, tool: str) -> Verdict:
    """What a tool gets that no rule names, before conditions and limits on all tools."""
    if policy.default is Default.ALLOW:
        return Verdict(effect=ALLOW, code=ALLOWED, rule="/default")
    return default_denied(tool, Mode.ENFORCE)


def _unapproved(rule: CompiledRule, call: Call) -> Verdict:
    code = Code.UNAPPROVED_DEFINITION
    return refusal(code, rule.mode, rule="/pin", reason=call.unapproved)


def _unfit(rule: CompiledRule, call: Call) -> Verdict:
    misfit = "" if rule.misfit is None else rule.misfit(call.arguments)
    reason = rule.reason or f"The arguments do not fit: {misfit}."
    pointer = f"{rule.pointer}/arguments"
    return refusal(Code.BAD_ARGUMENTS, rule.mode, rule=pointer, reason=reason)


def _limited(rule: CompiledRule, found: Exceeded | BadAmount | Leaseless, at: Instant) -> Verdict:
    limit = found.limit
    if isinstance(found, Leaseless):
        return refusal(
            Code.NO_LEASE,
            rule.mode,
            rule=limit.pointer,
            reason="What the fleet has counted cannot be told now.",
            retry_after_ms=LEASELESS_MS,
            counter=limit.counter,
            waits_for=found.waits_for,
        )
    if isinstance(found, BadAmount):
        return refusal(
            Code.BAD_AMOUNT,
            rule.mode,
            rule=limit.pointer,
            reason=f"{limit.amount} must be a number, 0 or more.",
            counter=limit.counter,
        )
    wait = None if found.retry_at is None else milliseconds_until(found.retry_at, at)
    reason = rule.reason
    for prepared in () if reason else rule.limits:
        if prepared.limit is limit:
            reason = prepared.reason
    return refusal(
        LIMITED,
        rule.mode,
        rule=limit.pointer,
        reason=reason,
        retry_after_ms=wait,
        counter=limit.counter,
    )
