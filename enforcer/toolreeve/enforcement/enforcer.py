"""One enforcer: its policies, counters and holds, and what it makes of what comes in."""

from collections.abc import Callable, Sequence
from typing import assert_never

from msgspec.structs import replace

from toolreeve.audit import (
    Completed,
    Decided,
    Draft,
    HoldPlaced,
    HoldReleased,
    Outcome,
    PolicyApplied,
    PolicyRefused,
    Redaction,
    Reservation,
    redact,
)
from toolreeve.decision import (
    Call,
    Code,
    CompiledPolicy,
    Counters,
    Effect,
    EffectiveTool,
    Hold,
    Holds,
    Instant,
    KeptBucket,
    NamelessCall,
    Verdict,
    compile_policy,
    decide,
    effective_tool,
    unlisted,
)
from toolreeve.decision.approval import Permit
from toolreeve.decision.evidence import Evidence
from toolreeve.enforcement.actions import (
    Accept,
    Action,
    Announce,
    Answer,
    Append,
    AskLeases,
    Await,
    Forward,
    KeepPins,
    Reject,
    Wake,
)
from toolreeve.enforcement.answers import warning_text
from toolreeve.enforcement.approving import Deciding, question_of
from toolreeve.enforcement.continuations import Continuations
from toolreeve.enforcement.freshness import Freshness, refused_as_stale
from toolreeve.enforcement.incoming import (
    ArrivedCall,
    CallArrived,
    CallEnded,
    CountsDue,
    HoldLifted,
    HoldOrdered,
    HoldsReplaced,
    Incoming,
    LeaseNews,
    PinsRead,
    PolicyOffered,
    PolicyUnfit,
    RequestUnfit,
    ToolsListed,
)
from toolreeve.enforcement.leasing import deal
from toolreeve.enforcement.pairing import Pairing, pair_up
from toolreeve.enforcement.pinboard import PinBoard
from toolreeve.enforcement.pins import Pins
from toolreeve.enforcement.sampling import RefusalSampler, Sampling
from toolreeve.enforcement.visibility import method_allowed, visible_tools
from toolreeve.policy import Mode, Pinning, Refund

CONTROL_PLANE = "control"
APPROVAL_REQUIRED = Code.APPROVAL_REQUIRED
_ENDINGS = {
    Outcome.NOT_SENT: Refund.NOT_SENT,
    Outcome.RPC_ERROR: Refund.RPC_ERROR,
    Outcome.TOOL_ERROR: Refund.TOOL_ERROR,
}


class Enforcer:
    """Decides every call on its servers. No I/O; time comes in as an argument.

    `stopwatch` measures how long a decision took, in nanoseconds; it decides nothing. `sampling`
    bounds the events that refused requests make.
    """

    def __init__(
        self,
        *,
        redaction: Redaction,
        counters: Counters,
        stopwatch: Callable[[], int],
        sampling: Sampling | None = None,
    ) -> None:
        self._redaction = redaction
        self._counters = counters
        self._stopwatch = stopwatch
        self._refusals = RefusalSampler(sampling or Sampling())
        self._holds = Holds()
        self._policies: dict[str, CompiledPolicy] = {}
        self._pairings: dict[str, Pairing] = {}
        self.freshness = Freshness()
        self._pins = PinBoard()
        self._continuations = Continuations()

    def receive(self, incoming: Incoming, at: Instant) -> list[Action]:
        """What must be done about `incoming`, in order."""
        match incoming:
            case CallArrived(call=call, waited=waited, permit=permit):
                return self._call(call, at, waited=waited, permit=permit)
            case CallEnded(completed=completed, reservations=reservations, question=question):
                if question is not None:
                    self._continuations.wait(question, at)
                return [Append(Draft(at, self._settled(completed, reservations, at)))]
            case RequestUnfit(refused=refused, peer=peer):
                recorded = self._refusals.takes(refused, peer, at)
                return [Append(Draft(at, refused))] if recorded else []
            case CountsDue():
                return [Append(Draft(at, one)) for one in self._refusals.summaries()]
            case PolicyOffered():
                return self._apply(incoming, at)
            case PolicyUnfit():
                return self._refuse(incoming, at)
            case HoldOrdered(hold=hold):
                return self._place(hold, at)
            case HoldLifted():
                return self._release(incoming.hold_id, incoming.actor, incoming.reason, at)
            case HoldsReplaced(holds=holds):
                return self._replace_holds(holds, at)
            case ToolsListed() | PinsRead():
                return self._look_at_pins(incoming, at)
            case _:
                assert_never(incoming)

    def policy_of(self, server: str) -> CompiledPolicy | None:
        """The policy in force for `server`; None denies everything."""
        return self._policies.get(server)

    def counted(self) -> tuple[KeptBucket, ...]:
        """Everything that calls have counted under limits, to be kept over a restart."""
        return self._counters.kept()

    @property
    def holds(self) -> tuple[Hold, ...]:
        """All holds in force."""
        return tuple(self._holds.by_id.values())

    def visible(self, server: str, tools: Sequence[object]) -> list[object]:
        """Those members of a `tools/list` result that may be called here at all."""
        policy = self._policies.get(server)
        return self._pins.shown(policy, server, visible_tools(policy, tools))

    def pins_of(self, server: str) -> Pins | None:
        """What is pinned of `server`; None where what was kept of it is damaged."""
        return self._pins.of(server)

    def method_allowed(self, server: str, method: str) -> bool:
        """Whether a request that is not a tool call may pass."""
        return method_allowed(self._policies.get(server), method)

    def evidence(self) -> tuple[Evidence, ...]:
        """What calls have shown of the revisions that are rolled out."""
        return tuple(pairing.evidence() for pairing in self._pairings.values())

    def hear_of_leases(self, news: LeaseNews, at: Instant) -> list[Wake | AskLeases]:
        """What must be done about `news`, in order; nothing of it is recorded."""
        return deal(news, self._counters.leases, self._policies, at)

    @property
    def wants_leases(self) -> bool:
        """Whether `AsksDue` would ask for something."""
        leases = self._counters.leases
        return leases is not None and leases.moved

    def look(self, call: ArrivedCall, binding: bytes, at: Instant) -> Verdict:
        """What would be made of a call that a person is asked about, if they had approved it."""
        deciding = Deciding(self._policies.get(call.server), self._holds, self._counters, at)
        return deciding.look(call, self._pins.why_not, binding)

    def _call(
        self, call: ArrivedCall, at: Instant, *, waited: bool, permit: Permit | None
    ) -> list[Action]:
        began = self._stopwatch()
        expired: list[Action] = []
        if self._holds.by_id:
            for hold in self._holds.expired(at):
                expired += self._release(hold.hold_id, hold.actor, "expired", at)
        policy = self._policies.get(call.server)
        bounded = policy is not None and policy.stale_after_ns is not None
        stale = self.freshness.of(policy, at) if bounded else ""
        dispatch = None if policy is None else policy.dispatch_of(call.wire_tool)
        rounds, binding = 0, b""
        if call.goes_on_with is not None:
            rounds, carried = self._continuations.go_on(call, at)
            permit = permit or carried
        compared = bool(self._pairings) and permit is None and not stale
        pairing = self._pairings.get(call.server) if compared else None
        other = None
        if pairing is not None:
            other = pairing.ask(
                call, self._holds, self._counters, self._pins.why_not, at, counted_before=rounds > 0
            )
        found = effective_tool(dispatch, call.wire_tool, call.arguments)
        if isinstance(found, NamelessCall):
            verdict = Verdict(effect=Effect.DENY, code=Code.BAD_OPERATION, reason=found.reason)
            tool = EffectiveTool(name=call.wire_tool, arguments=call.arguments)
        else:
            tool = found
            asked = Call(
                server=call.server,
                grant=call.grant,
                session=call.session,
                tool=tool.name,
                arguments=tool.arguments,
                unapproved=self._pins.why_not(policy, call.server, call.wire_tool),
                counted_before=rounds > 0,
                waited=waited,
            )
            refused = refused_as_stale(policy, self._holds, asked, at) if stale else None
            verdict = refused or decide(policy, self._holds, self._counters, asked, at)
            if verdict.code is APPROVAL_REQUIRED and verdict.effect is Effect.DENY:
                deciding = Deciding(policy, self._holds, self._counters, at)
                verdict, binding = deciding.by_person(asked, call, verdict, permit)
            if verdict.waits_for and not waited:
                return [*expired, Await(verdict.waits_for)]
        revision = "" if policy is None else policy.revision
        decided = Decided(
            server=call.server,
            grant=call.grant,
            agent=call.agent,
            session=call.session,
            request_id=call.request_id,
            tool=tool.name,
            wire_tool=call.wire_tool,
            tool_group=tool.group,
            effect=verdict.effect,
            code=verdict.code.value,
            rule=verdict.rule,
            reason=verdict.reason,
            policy_revision=revision,
            retry_after_ms=verdict.retry_after_ms,
            limit_counter=verdict.counter,
            arguments=redact(tool.arguments, self._redaction),
            protocol_version=call.protocol_version,
            decision_ns=self._stopwatch() - began,
            mode="" if verdict.mode is Mode.ENFORCE else verdict.mode.value,
            reservations=verdict.reservations,
            code_before="" if pairing is None else pairing.count(verdict, other),
            stale=stale,
        )
        record = Append(Draft(at, decided))
        if verdict.effect is Effect.ALLOW:
            refundable = tuple(one for one in verdict.reservations if one.refund_on)
            warning = warning_text(verdict) if verdict.mode is Mode.WARN else ""
            return [*expired, record, Forward(refundable, warning, rounds, permit)]
        unheard_of = self._pins.is_unheard_of(call.server, call.wire_tool)
        shown = _shown(policy, verdict, tool.name, unheard_of=unheard_of)
        if not self._refusals.takes_denied(call.server, call.grant, at):
            return [*expired, Answer(shown, tool.name, revision, recorded=False)]
        question = None
        if binding and policy is not None:
            question = question_of(decided, policy, binding)
        return [*expired, record, Answer(shown, tool.name, revision, question=question)]

    def _settled(
        self, completed: Completed, reservations: Sequence[Reservation], at: Instant
    ) -> Completed:
        """The outcome, with what it gave back."""
        ending = _ENDINGS.get(completed.outcome)
        if ending is None or not reservations:
            return completed
        refunded = tuple(
            one.counter
            for one in reservations
            if ending in one.refund_on and self._counters.refund(one, at)
        )
        return replace(completed, refunded=refunded)

    def _look_at_pins(self, incoming: ToolsListed | PinsRead, at: Instant) -> list[Action]:
        server = incoming.server
        policy = self._policies.get(server)
        if isinstance(incoming, PinsRead):
            changed = self._pins.put(server, incoming.pins)
            enforced = policy is not None and policy.policy.pin is Pinning.ENFORCE
            return [Announce(server)] if changed and enforced else []
        pinning = Pinning.OFF if policy is None else policy.policy.pin
        seen = self._pins.see(server, incoming.tools, pinning, at, more=incoming.more)
        if seen is None:
            return []
        keep = KeepPins(server, seen.pins, seen.left_out)
        return [keep, *(Append(Draft(at, one)) for one in seen.news)]

    def _apply(self, offered: PolicyOffered, at: Instant) -> list[Action]:
        policy = offered.policy
        accept = Accept(
            server=offered.server,
            policy=policy.name,
            revision=policy.revision,
            manifest_sequence=offered.manifest_sequence,
        )
        before = self._policies.get(offered.server)
        pairing = pair_up(self._pairings.pop(offered.server, None), offered, before)
        if pairing is not None:
            self._pairings[offered.server] = pairing
        if before is not None and before.revision == policy.revision:
            return [accept] if offered.origin == CONTROL_PLANE else []
        self._policies[offered.server] = compile_policy(policy)
        applied = PolicyApplied(
            server=offered.server,
            policy=policy.name,
            revision=policy.revision,
            previous_revision="" if before is None else before.revision,
            origin=offered.origin,
            manifest_sequence=offered.manifest_sequence,
            rollout=offered.rollout,
            break_glass=offered.break_glass,
        )
        done: list[Action] = [Append(Draft(at, applied)), Announce(offered.server)]
        return [*done, accept] if offered.origin == CONTROL_PLANE else done

    def _refuse(self, unfit: PolicyUnfit, at: Instant) -> list[Action]:
        refused = PolicyRefused(
            server=unfit.server,
            policy=unfit.policy,
            revision=unfit.revision,
            code=unfit.code,
            reason=unfit.reason,
            origin=unfit.origin,
        )
        record = Append(Draft(at, refused))
        if unfit.origin != CONTROL_PLANE:
            return [record]
        reject = Reject(
            server=unfit.server,
            policy=unfit.policy,
            revision=unfit.revision,
            manifest_sequence=unfit.manifest_sequence,
            code=unfit.code,
            reason=unfit.reason,
        )
        return [record, reject]

    def _place(self, hold: Hold, at: Instant) -> list[Action]:
        if self._holds.by_id.get(hold.hold_id) == hold:
            return []
        self._holds = self._holds.place(hold)
        return [Append(Draft(at, HoldPlaced(hold=hold)))]

    def _release(self, hold_id: str, actor: str, reason: str, at: Instant) -> list[Action]:
        if hold_id not in self._holds.by_id:
            return []
        self._holds = self._holds.release(hold_id)
        released = HoldReleased(hold_id=hold_id, actor=actor, reason=reason)
        return [Append(Draft(at, released))]

    def _replace_holds(self, holds: Sequence[Hold], at: Instant) -> list[Action]:
        wanted = {hold.hold_id for hold in holds}
        actions: list[Action] = []
        for hold in self.holds:
            if hold.hold_id not in wanted:
                reason = "released while this enforcer was away"
                actions += self._release(hold.hold_id, CONTROL_PLANE, reason, at)
        for hold in holds:
            actions += self._place(hold, at)
        return actions


def _shown(
    policy: CompiledPolicy | None, verdict: Verdict, tool: str, *, unheard_of: bool
) -> Verdict | None:
    """The verdict that the agent may see; None: what the server says of a tool it does not have.

    A hidden tool answers like one that nobody ever wrote down. Under `default: deny` that is
    refused by the policy; under `default: allow` it would reach the server, which knows no such
    tool. So where the pins alone keep a tool from the server that nobody ever heard of, it answers
    like that too.
    """
    if policy is None:
        return verdict
    if verdict.code is Code.UNAPPROVED_DEFINITION and unheard_of:
        rule = policy.rule_for(tool)
        return None if rule is None or rule.rule is None else verdict
    if verdict.code is not Code.HIDDEN:
        return verdict
    seen = unlisted(policy, tool)
    return seen if seen.effect is Effect.DENY else None
