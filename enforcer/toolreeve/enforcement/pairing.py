"""Both revisions asked about the same calls, for as long as one is rolled out.

Only the new one is obeyed. The one before is asked first, as if the call were its own: what it
counts under limits is given back at once, so the new one finds the counters as they were. Limits
of both that bear the same name, scope and window share their counts, so a limit that was made
smaller shows as calls denied by the new revision alone. Not seen is what the one before would have
counted itself: of a call that the new one denies, and under a limit that only it has.
"""

from collections.abc import Callable

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
    compile_policy,
    decide,
    effective_tool,
)
from toolreeve.decision.evidence import Evidence
from toolreeve.enforcement.incoming import ArrivedCall, PolicyOffered

WhyNot = Callable[[CompiledPolicy | None, str, str], str]
"""Why the definition of a called tool is not approved under a policy; empty where it is."""


class Pairing:
    """A server's revision under rollout beside the one before, and what they made of calls.

    `before` is None where its text is not at hand: then calls are counted and not compared.
    """

    def __init__(
        self, *, rollout: str, server: str, revision: str, before: CompiledPolicy | None
    ) -> None:
        self.rollout = rollout
        self.revision = revision
        self._server = server
        self._before = before
        self._decisions = self._denials = self._errors = 0
        self._pairs = self._tightened = self._loosened = 0

    def ask(
        self,
        arrived: ArrivedCall,
        holds: Holds,
        counters: Counters,
        why_not: WhyNot,
        at: Instant,
        *,
        counted_before: bool,
    ) -> Verdict | None:
        """What the revision before makes of a call; everything is left as it was."""
        before = self._before
        if before is None:
            return None
        server, wire_tool = arrived.server, arrived.wire_tool
        tool = effective_tool(before.dispatch_of(wire_tool), wire_tool, arrived.arguments)
        if isinstance(tool, NamelessCall):
            return Verdict(effect=Effect.DENY, code=Code.BAD_OPERATION, reason=tool.reason)
        call = Call(
            server=server,
            grant=arrived.grant,
            session=arrived.session,
            tool=tool.name,
            arguments=tool.arguments,
            unapproved=why_not(before, server, wire_tool),
            counted_before=counted_before,
        )
        verdict = decide(before, holds, counters, call, at)
        for reservation in reversed(verdict.reservations):
            counters.refund(reservation, at)
        return verdict

    def count(self, verdict: Verdict, other: Verdict | None) -> str:
        """Take note of a pair; returns the code of the one before where it would have acted
        differently, else nothing."""
        self._decisions += 1
        denied = verdict.effect is Effect.DENY
        self._denials += denied
        failed_before = other is not None and other.code is Code.CONDITION_ERROR
        self._errors += verdict.code is Code.CONDITION_ERROR and not failed_before
        if other is None or Code.NO_LEASE in {verdict.code, other.code}:
            return ""
        self._pairs += 1
        if verdict.effect is other.effect:
            return ""
        self._tightened += denied
        self._loosened += not denied
        return other.code.value

    def evidence(self) -> Evidence:
        """What there is to say of the revision so far."""
        return Evidence(
            rollout=self.rollout,
            server=self._server,
            revision=self.revision,
            activated=True,
            decisions=self._decisions,
            denials=self._denials,
            errors=self._errors,
            pairs=self._pairs,
            tightened=self._tightened,
            loosened=self._loosened,
        )


def pair_up(
    known: Pairing | None, offered: PolicyOffered, running: CompiledPolicy | None
) -> Pairing | None:
    """What goes on counting once a policy is in force; None where it is not being rolled out.

    From one stage to the next the counts go on. `running` is what was in force until now.
    """
    if not offered.rollout:
        return None
    revision = offered.policy.revision
    if known is not None and (known.rollout, known.revision) == (offered.rollout, revision):
        return known
    before = None
    if offered.before is not None:
        runs = running is not None and running.revision == offered.before.revision
        before = running if runs else compile_policy(offered.before)
    return Pairing(rollout=offered.rollout, server=offered.server, revision=revision, before=before)
