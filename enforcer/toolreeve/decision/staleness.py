"""What becomes of calls while nobody can say whether the policy is still the one that is wanted.

An enforcer that is cut off from its control plane hears of no new policy, and of no hold. How long
that may last, and what then, is the policy's own word.
"""

from toolreeve.decision.compile import CompiledPolicy
from toolreeve.decision.instant import SECOND, Instant
from toolreeve.decision.verdict import Code, Verdict, refusal
from toolreeve.policy import OnStale, Policy

READ = "read"


def is_stale(policy: CompiledPolicy, heard_at: Instant, at: Instant) -> bool:
    """Whether the control plane was last heard of too long ago."""
    after = policy.policy.stale_after_ns
    return after is not None and at - heard_at > after


def stale_refusal(policy: CompiledPolicy, tool: str) -> Verdict | None:
    """The refusal of a call under a stale policy; None where it is decided as before."""
    on_stale = policy.policy.on_stale
    if on_stale is OnStale.KEEP:
        return None
    if on_stale is OnStale.DENY_WRITES and policy.class_of(tool) == READ:
        return None
    reason = "The enforcer has not heard of its control plane for too long."
    return refusal(Code.STALE, policy.mode, rule="/on_stale", reason=reason)


def staleness(policy: Policy) -> str:
    """What a policy says of it, in words."""
    if policy.stale_after_ns is None:
        return OnStale.KEEP.value
    return f"{policy.on_stale.value} after {policy.stale_after_ns // SECOND} s"
