"""How long ago the control plane was heard of, and what that means for a call."""

from toolreeve.decision import Call, CompiledPolicy, Holds, Instant, Verdict
from toolreeve.decision.staleness import is_stale, stale_refusal


class Freshness:
    """Nothing is ever stale at an enforcer that has no control plane: it hears of none."""

    def __init__(self) -> None:
        self._heard_at: Instant | None = None

    def heard(self, at: Instant) -> None:
        """The control plane was there at `at`."""
        if self._heard_at is None or at > self._heard_at:
            self._heard_at = at

    def of(self, policy: CompiledPolicy | None, at: Instant) -> str:
        """Empty where a policy is fresh; else what it says becomes of calls: its `on_stale`."""
        if self._heard_at is None or policy is None or policy.stale_after_ns is None:
            return ""
        if not is_stale(policy, self._heard_at, at):
            return ""
        return policy.policy.on_stale.value


def refused_as_stale(
    policy: CompiledPolicy | None, holds: Holds, call: Call, at: Instant
) -> Verdict | None:
    """The refusal of a call under a policy that is stale. A hold on it comes first."""
    if policy is None or (holds.by_id and holds.stopping(call, at) is not None):
        return None
    return stale_refusal(policy, call.tool)
