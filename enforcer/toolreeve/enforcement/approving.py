"""What is asked of a person about a call, and what their word makes of it.

A permit changes one thing: the rule's own wish to ask is met. Everything else is looked at as for
any call, at the moment when the permit is used: holds, the policy, conditions and limits.
"""

from collections.abc import Callable

from msgspec import Struct
from msgspec.structs import replace

from toolreeve.audit import Decided
from toolreeve.decision import (
    Call,
    Code,
    CompiledPolicy,
    Counters,
    Effect,
    Holds,
    Instant,
    NamelessCall,
    Verdict,
    decide,
    effective_tool,
)
from toolreeve.decision.approval import ApprovalQuestion, Permit, binding_of
from toolreeve.decision.instant import SECOND
from toolreeve.enforcement.incoming import ArrivedCall

NAME_CHARACTERS_MAX = 128
TIMEOUT_NS = 600 * SECOND
"""How long a person may take where the rule does not say."""

WhyNot = Callable[[CompiledPolicy | None, str, str], str]
"""Why the definition of a called tool is not approved under a policy; empty where it is."""


class Deciding(Struct, frozen=True):
    """What a call is decided by at one moment."""

    policy: CompiledPolicy | None
    holds: Holds
    counters: Counters
    at: Instant

    def by_person(
        self, call: Call, arrived: ArrivedCall, refused: Verdict, permit: Permit | None
    ) -> tuple[Verdict, bytes]:
        """The verdict on a call whose rule wants to ask, and the binding that is to be asked for;
        empty where nobody need be asked. `refused` is what the rule says by itself."""
        policy = self.policy
        assert policy is not None, "without a policy no rule asks"
        binding = binding_of(
            server=call.server,
            grant=call.grant,
            tool=call.tool,
            wire_tool=arrived.wire_tool,
            arguments=arrived.arguments,
            revision=policy.revision,
        )
        if permit is None or permit.binding != binding:
            return refused, binding
        verdict = decide(policy, self.holds, self.counters, replace(call, approved=True), self.at)
        if permit.claimed or verdict.effect is Effect.DENY:
            return verdict, b""
        self._give_back(verdict)
        return refused, binding

    def look(self, arrived: ArrivedCall, why_not: WhyNot, binding: bytes) -> Verdict:
        """What would be made of a call with this binding if somebody had approved it; everything
        is left as it was."""
        policy, server, wire_tool = self.policy, arrived.server, arrived.wire_tool
        dispatch = None if policy is None else policy.dispatch_of(wire_tool)
        tool = effective_tool(dispatch, wire_tool, arrived.arguments)
        if isinstance(tool, NamelessCall):
            return Verdict(effect=Effect.DENY, code=Code.BAD_OPERATION, reason=tool.reason)
        call = Call(
            server=server,
            grant=arrived.grant,
            session=arrived.session,
            tool=tool.name,
            arguments=tool.arguments,
            unapproved=why_not(policy, server, wire_tool),
        )
        verdict = decide(policy, self.holds, self.counters, call, self.at)
        if verdict.code is Code.APPROVAL_REQUIRED:
            permit = Permit(binding, claimed=True)
            verdict, _ = self.by_person(call, arrived, verdict, permit)
        self._give_back(verdict)
        return verdict

    def _give_back(self, verdict: Verdict) -> None:
        for reservation in reversed(verdict.reservations):
            self.counters.refund(reservation, self.at)


def question_of(decided: Decided, policy: CompiledPolicy, binding: bytes) -> ApprovalQuestion:
    """What a person is asked about a call that was refused for want of their word."""
    rule = policy.rule_for(decided.tool)
    approval = None if rule is None or rule.rule is None else rule.rule.approval
    return ApprovalQuestion(
        binding=binding,
        server=decided.server,
        grant=decided.grant,
        agent=decided.agent,
        tool=decided.tool,
        wire_tool=decided.wire_tool,
        policy_revision=decided.policy_revision,
        rule=decided.rule,
        reason=decided.reason,
        argument_names=tuple(_readable(name) for name in decided.arguments.names),
        kept=tuple((one.pointer, one.value_json) for one in decided.arguments.kept),
        approvers=() if approval is None else approval.approvers,
        votes_needed=1 if approval is None else approval.count,
        timeout_ns=TIMEOUT_NS if approval is None else approval.timeout_ns,
    )


def _readable(name: str) -> str:
    """A name as a person can be shown it: an agent chose it, and it may be long, or no text."""
    shown = "".join(one if one.isprintable() else "\ufffd" for one in name[:NAME_CHARACTERS_MAX])
    return shown if len(name) <= NAME_CHARACTERS_MAX else f"{shown}\u2026"
