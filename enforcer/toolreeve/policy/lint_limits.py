"""Limits that can never refuse a call."""

from collections import Counter
from collections.abc import Iterator, Sequence

from toolreeve.policy.model import Align, Limit, Policy, Scope, ToolRule

SECOND_NS = 1_000_000_000
CALLS_A_SECOND_MAX = 100

_WIDTH = (Scope.SESSION, Scope.GRANT, Scope.SERVER, Scope.ENFORCER)


def idle_limits(policy: Policy) -> Iterator[tuple[str, str, str]]:
    """Each limit that never fires: (pointer, problem, remedy)."""
    common = policy.all_tools.limits if policy.all_tools is not None else ()
    rules = ([policy.all_tools] if policy.all_tools is not None else []) + list(policy.tools)
    shared = Counter(limit.counter for rule in rules for limit in rule.limits)
    for rule in rules:
        others = common if rule is policy.all_tools else (*common, *rule.limits)
        yield from _of_rule(rule, others, shared)


def _of_rule(
    rule: ToolRule, others: Sequence[Limit], shared: Counter[str]
) -> Iterator[tuple[str, str, str]]:
    for limit in rule.limits:
        remedy = "lower its max, or remove it"
        if limit.amount is None:
            a_second = limit.maximum * SECOND_NS / limit.window_ns
            if a_second > CALLS_A_SECOND_MAX:
                problem = f'"{limit.counter}" admits over {CALLS_A_SECOND_MAX} calls a second'
                yield limit.pointer, problem, remedy
                continue
        if shared[limit.counter] > 1:
            continue  # other tools count into it too
        tighter = next((one for one in others if _leaves_idle(one, limit)), None)
        if tighter is not None:
            problem = f'"{limit.counter}" never fires: "{tighter.counter}" always fires first'
            yield limit.pointer, problem, remedy


def _leaves_idle(tight: Limit, wide: Limit) -> bool:
    """Whether `tight` refuses every call that `wide` would refuse.

    Any span of the wide window is covered by so many spans of the tight one; calendar windows lie
    where they lie, so one more of them may be touched.
    """
    if tight is wide or tight.counter == wide.counter or tight.amount != wide.amount:
        return False
    if not set(tight.by) <= set(wide.by) or not _counts_as_much(tight.scope, wide.scope):
        return False
    if tight.refund_on - wide.refund_on:
        return False  # what is given back leaves room that the wide one does not see
    spans = -(-wide.window_ns // tight.window_ns) + (tight.align is Align.CALENDAR)
    if spans * tight.maximum < wide.maximum:
        return True
    if spans * tight.maximum > wide.maximum:
        return False
    # Just as tight: of two that are equal the later one is idle.
    return tight.pointer < wide.pointer or tight.window_ns != wide.window_ns


def _counts_as_much(tight: Scope, wide: Scope) -> bool:
    """Whether whatever counts under `wide` counts under `tight` too.

    The fleet counts one server over all enforcers, and an enforcer all its servers: neither is
    part of the other.
    """
    if tight is Scope.FLEET:
        return wide is not Scope.ENFORCER
    return wide is not Scope.FLEET and _WIDTH.index(tight) >= _WIDTH.index(wide)
