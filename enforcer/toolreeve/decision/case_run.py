"""Cases are run against a policy: what came, where it differs from what was expected, and which
parts of the policy no case has ever reached."""

from collections.abc import Iterator, Sequence

from msgspec import Struct

from toolreeve.decision.cases import Case, Expected, Step
from toolreeve.decision.compile import CompiledPolicy
from toolreeve.decision.explain import Asked, Explanation, explain
from toolreeve.decision.hold import Holds
from toolreeve.decision.instant import Instant
from toolreeve.decision.look import Stage
from toolreeve.decision.open_counters import OpenCounters
from toolreeve.decision.verdict import Verdict
from toolreeve.policy import Clause, Policy, ToolRule, write_pointer


class Difference(Struct, frozen=True):
    """One thing that was expected of a verdict, and what came instead."""

    key: str
    expected: str
    came: str


class Failure(Struct, frozen=True, kw_only=True):
    """The first call of a case that did not come out as expected.

    `call` counts from 1 within a step that repeats. `explanation` tells how it was decided.
    """

    step: Step
    call: int
    at: Instant
    differences: tuple[Difference, ...]
    explanation: Explanation


class Result(Struct, frozen=True, kw_only=True):
    """What became of a case; `failure` is None where all came as expected."""

    case: Case
    calls: int
    failure: Failure | None


class Part(Struct, frozen=True, order=True):
    """A part of a policy that a case can reach."""

    pointer: str
    kind: str


class Coverage(Struct, frozen=True, kw_only=True):
    """The parts of a policy, and those that some call reached.

    A rule, the default or a dispatch is reached when it holds for a call; whatever can refuse by
    itself (a name under `hide`, a schema, a condition, a limit) when it speaks against one.
    """

    parts: tuple[Part, ...]
    reached: frozenset[Part]

    @property
    def missed(self) -> tuple[Part, ...]:
        return tuple(part for part in self.parts if part not in self.reached)

    @property
    def percent(self) -> float:
        if not self.parts:
            return 100.0
        return 100.0 * len(self.reached) / len(self.parts)


def run_cases(
    policy: CompiledPolicy, cases: Sequence[Case]
) -> tuple[tuple[Result, ...], frozenset[Part]]:
    """Run each case from empty counters: the results, and which parts were reached."""
    reached: set[Part] = set()
    results = tuple(_run(policy, case, reached) for case in cases)
    return results, frozenset(reached & set(parts_of(policy.policy)))


def coverage_of(policy: Policy, reached: frozenset[Part]) -> Coverage:
    """How much of a policy was reached."""
    return Coverage(parts=parts_of(policy), reached=reached)


def _run(policy: CompiledPolicy, case: Case, reached: set[Part]) -> Result:
    counters = OpenCounters()
    calls = 0
    failure: Failure | None = None
    for step in case.steps:
        asked = Asked(
            server=step.server,
            grant=step.grant,
            session=step.session,
            tool=step.tool,
            on_the_wire=step.on_the_wire,
            arguments=step.arguments,
        )
        for call in range(1, step.repeat + 1):
            at = Instant(step.at + (call - 1) * step.every_ns)
            explanation = explain(policy, Holds(), counters, asked, at)
            calls += 1
            reached.update(_reached(explanation))
            _end(step, explanation.verdict, counters, at)
            differences = tuple(_differences(step.expected, explanation.verdict))
            if differences:
                failure = Failure(
                    step=step,
                    call=call,
                    at=at,
                    differences=differences,
                    explanation=explanation,
                )
                return Result(case=case, calls=calls, failure=failure)
    return Result(case=case, calls=calls, failure=None)


def _end(step: Step, verdict: Verdict, counters: OpenCounters, at: Instant) -> None:
    """The call ends at once, as the step says; some limits give back what it counted."""
    for reservation in verdict.reservations:
        if step.ending in reservation.refund_on:
            counters.refund(reservation, at)


def _differences(expected: Expected, verdict: Verdict) -> Iterator[Difference]:
    came = {
        "effect": verdict.effect.value,
        "code": verdict.code.value,
        "rule": verdict.rule,
        "message": verdict.reason,
        "retry_after_ms": verdict.retry_after_ms,
        "counter": verdict.counter,
        "mode": verdict.mode.value,
    }
    wanted = {
        "effect": None if expected.effect is None else expected.effect.value,
        "code": None if expected.code is None else expected.code.value,
        "rule": expected.rule,
        "message": expected.message,
        "retry_after_ms": expected.retry_after_ms,
        "counter": expected.counter,
        "mode": None if expected.mode is None else expected.mode.value,
    }
    for key, value in wanted.items():
        if value is not None and value != came[key]:
            shown = "none" if came[key] is None else str(came[key])
            yield Difference(key, str(value), shown or '""')


def _reached(explanation: Explanation) -> Iterator[Part]:
    for look in explanation.looks:
        kind = _KINDS.get(look.stage)
        if kind is None:
            continue
        if look.stage is Stage.RULE and look.pointer == "/default":
            yield Part("/default", "default")
        elif look.holds or look.stage is Stage.DISPATCH or look.speaks_against:
            yield Part(look.pointer, kind)


_KINDS = {
    Stage.DISPATCH: "dispatch",
    Stage.HIDE: "hide",
    Stage.RULE: "rule",
    Stage.ARGUMENTS: "arguments",
    Stage.REQUIRE: "condition",
    Stage.DENY_IF: "condition",
    Stage.LIMIT: "limit",
}


def parts_of(policy: Policy) -> tuple[Part, ...]:
    """Every part of a policy that a case can reach, in the order of the document."""
    found = [Part("/default", "default")]
    found += [Part(f"/hide/{place}", "hide") for place in range(len(policy.hide))]
    found += [
        Part(write_pointer(["dispatch", one.wire_tool]), "dispatch") for one in policy.dispatch
    ]
    if policy.all_tools is not None:
        found += _inner(policy.all_tools)
    for rule in policy.tools:
        found.append(Part(rule.pointer, "rule"))
        found += _inner(rule)
    return tuple(found)


def _inner(rule: ToolRule) -> Iterator[Part]:
    if rule.arguments is not None:
        yield Part(f"{rule.pointer}/arguments", "arguments")
    yield from _conditions(rule.require)
    yield from _conditions(rule.deny_if)
    for limit in rule.limits:
        yield Part(limit.pointer, "limit")


def _conditions(clauses: Sequence[Clause]) -> Iterator[Part]:
    for clause in clauses:
        for condition in clause.conditions:
            yield Part(condition.pointer, "condition")
