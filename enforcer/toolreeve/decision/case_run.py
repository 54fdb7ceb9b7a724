"""Cases are run against a policy: what came, and where it differs from what was expected."""

from collections.abc import Sequence

from msgspec import UNSET, Struct

from toolreeve.decision.call import EffectiveTool, effective_tool
from toolreeve.decision.case_expected import METHOD_DENIED, Difference, Outcome, differences
from toolreeve.decision.case_parts import Part, parts_of, reached_by
from toolreeve.decision.cases import Case, Step, Target
from toolreeve.decision.compile import CompiledPolicy
from toolreeve.decision.explain import Asked, Explanation, explain
from toolreeve.decision.instant import SECOND, Instant
from toolreeve.decision.look import Look
from toolreeve.decision.open_counters import OpenCounters
from toolreeve.decision.surface import method_looks, passes, refuses_method, shows
from toolreeve.decision.verdict import Code, Effect, Reservation
from toolreeve.policy import Approval, Mode, Pinning, Refund

_PLAIN = Approval(timeout_ns=600 * SECOND)
NOT_APPROVED = "The definition of this tool is not approved."


class Failure(Struct, frozen=True, kw_only=True):
    """The first call or request of a case that did not come out as expected.

    `call` counts from 1 within a step that repeats. `what` is the effective tool or the method,
    `looks` tells how it was decided.
    """

    step: Step
    call: int
    at: Instant
    what: str
    differences: tuple[Difference, ...]
    came: Outcome
    looks: tuple[Look, ...]


class Result(Struct, frozen=True, kw_only=True):
    """What became of a case; `failure` is None where all came as expected."""

    case: Case
    calls: int
    failure: Failure | None


class _Ending(Struct, frozen=True):
    """A call that goes on for a while, and what it may give back when it ends."""

    at: Instant
    ending: Refund
    reservations: tuple[Reservation, ...]


def run_cases(
    policy: CompiledPolicy, cases: Sequence[Case]
) -> tuple[tuple[Result, ...], frozenset[Part]]:
    """Run each case from empty counters: the results, and which parts were reached."""
    reached: set[Part] = set()
    results = tuple(_Run(policy, reached).case(case) for case in cases)
    return results, frozenset(reached & set(parts_of(policy.policy)))


class _Run:
    """One case: its counters, and the calls that have not ended yet."""

    def __init__(self, policy: CompiledPolicy, reached: set[Part]) -> None:
        self._policy = policy
        self._reached = reached
        self._counters = OpenCounters()
        self._under_way: list[_Ending] = []

    def case(self, case: Case) -> Result:
        calls = 0
        for step in case.steps:
            for call in range(1, step.repeat + 1):
                at = Instant(step.at + (call - 1) * step.every_ns)
                self._end_calls(at)
                what, came, looks = self._ask(step, at)
                calls += 1
                self._reached.update(reached_by(looks))
                found = tuple(differences(step.expected, came))
                if found:
                    failure = Failure(
                        step=step,
                        call=call,
                        at=at,
                        what=what,
                        differences=found,
                        came=came,
                        looks=looks,
                    )
                    return Result(case=case, calls=calls, failure=failure)
        return Result(case=case, calls=calls, failure=None)

    def _ask(self, step: Step, at: Instant) -> tuple[str, Outcome, tuple[Look, ...]]:
        if step.target is Target.METHOD:
            looks = tuple(method_looks(self._policy, step.name))
            return step.name, _of_method(self._policy, step.name, looks[0].pointer), looks
        asked = Asked(
            server=step.server,
            grant=step.grant,
            session=step.session,
            tool=step.name,
            on_the_wire=step.target is Target.WIRE_TOOL,
            arguments=step.arguments,
            unapproved=NOT_APPROVED if self._is_unapproved(step) else "",
        )
        explanation = explain(self._policy, step.holds, self._counters, asked, at)
        if step.ending is not None:
            ending = _Ending(
                Instant(at + step.took_ns), step.ending, explanation.verdict.reservations
            )
            self._under_way.append(ending)
            self._end_calls(at)
        return explanation.tool, self._of_call(step, explanation), explanation.looks

    def _end_calls(self, at: Instant) -> None:
        """Calls that have ended by `at` give back what limits let them."""
        ended = [one for one in self._under_way if one.at <= at]
        for one in sorted(ended, key=lambda one: one.at):
            for reservation in one.reservations:
                if one.ending in reservation.refund_on:
                    self._counters.refund(reservation, one.at)
        self._under_way = [one for one in self._under_way if one.at > at]

    def _is_unapproved(self, step: Step) -> bool:
        return not step.is_approved and self._policy.policy.pin is Pinning.ENFORCE

    def _of_call(self, step: Step, explanation: Explanation) -> Outcome:
        verdict = explanation.verdict
        rule = self._policy.rule_for(explanation.tool)
        approval = (None if rule is None or rule.rule is None else rule.rule.approval) or _PLAIN
        waits = verdict.code is Code.APPROVAL_REQUIRED
        group = ""
        if step.target is Target.WIRE_TOOL:
            dispatch = self._policy.dispatch_of(step.name)
            found = effective_tool(dispatch, step.name, step.arguments)
            group = found.group if isinstance(found, EffectiveTool) else ""
        kept_out = self._is_unapproved(step) and self._policy.mode is Mode.ENFORCE
        return Outcome(
            effect=verdict.effect.value,
            would_be=(Effect.DENY if verdict.refuses else Effect.ALLOW).value,
            code=verdict.code.value,
            rule=verdict.rule,
            message=verdict.reason,
            retry_after_ms=verdict.retry_after_ms,
            counter=verdict.counter,
            mode=verdict.mode.value,
            timeout_ns=approval.timeout_ns if waits else UNSET,
            approvers=approval.approvers if waits else UNSET,
            tool=explanation.tool,
            group=group,
            listed=shows(self._policy, step.name) and not kept_out,
        )


def _of_method(policy: CompiledPolicy, method: str, pointer: str) -> Outcome:
    refused = refuses_method(policy, method)
    let_through = refused and passes(policy, method)
    return Outcome(
        effect=(Effect.ALLOW if passes(policy, method) else Effect.DENY).value,
        would_be=(Effect.DENY if refused else Effect.ALLOW).value,
        code=METHOD_DENIED if refused else Code.ALLOWED.value,
        rule=pointer,
        mode=(policy.mode if let_through else Mode.ENFORCE).value,
    )
