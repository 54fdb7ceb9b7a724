"""What a rollout does next by itself: nothing, the next stage, a pause, a halt.

A pure question to what is known, asked again and again by every replica; whoever is first to
write the answer down has it done, and for the others it is then done.
"""

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING

from msgspec import Struct

from toolreeve.decision import SECOND, Instant
from toolreeve.fleet.drift import evidence_of_drift
from toolreeve.fleet.rollout import OnHalt, Rollout, RolloutState

if TYPE_CHECKING:
    from toolreeve.fleet.state import Enforcer

NAMED_MAX = 3
"""Enforcers that a reason names; of the others it says how many there are."""


class Standing(Struct, frozen=True, kw_only=True):
    """How a rollout stands: enforcers of its stage by name, and what all have counted.

    `drift` is the evidence as odds: 1 before the first pair. `enforcers` are all of the server.
    """

    wanted: tuple[str, ...]
    received: int
    activated: int
    decided: int
    missing: tuple[str, ...]
    enforcers: int
    decisions: int = 0
    denials: int = 0
    errors: int = 0
    pairs: int = 0
    tightened: int = 0
    loosened: int = 0
    drift: float = 1.0


class Step(Struct, frozen=True, kw_only=True):
    """A rollout is to come to this state and stage, for this reason."""

    state: RolloutState
    stage: int
    reason: str


def standing_of(rollout: Rollout, roster: "Mapping[str, Enforcer]") -> Standing:
    """Count who is to have the revision, who has it, and what it has done."""
    behind = [one for one in roster.values() if rollout.server in one.servers]
    wanted = sorted(
        one.enforcer_id for one in behind if rollout.includes(one.enforcer_id, one.labels)
    )
    reports = rollout.reports.values()
    received = {one.enforcer_id for one in reports}
    activated = {one.enforcer_id for one in reports if one.evidence.activated}
    decided = {one.enforcer_id for one in reports if one.evidence.decisions}
    for one in behind:
        running = one.running.get(rollout.server)
        if running is not None and running.revision == rollout.revision:
            activated.add(one.enforcer_id)
    counted = [one.evidence for one in reports]
    pairs = sum(one.pairs for one in counted)
    tightened = sum(one.tightened for one in counted)
    loosened = sum(one.loosened for one in counted)
    drift = evidence_of_drift(
        pairs=pairs, tightened=tightened, loosened=loosened, drift_max=rollout.plan.drift_max
    )
    return Standing(
        wanted=tuple(wanted),
        received=sum(name in received or name in activated for name in wanted),
        activated=sum(name in activated for name in wanted),
        decided=sum(name in decided for name in wanted),
        missing=tuple(name for name in wanted if name not in activated),
        enforcers=len(behind),
        decisions=sum(one.decisions for one in counted),
        denials=sum(one.denials for one in counted),
        errors=sum(one.errors for one in counted),
        pairs=pairs,
        tightened=tightened,
        loosened=loosened,
        drift=math.exp(min(drift, 700.0)),
    )


def next_step(rollout: Rollout, roster: "Mapping[str, Enforcer]", at: Instant) -> Step | None:
    """What is to be written down of `rollout` at `at`; None: it goes on as it is.

    What speaks against a revision is heard in a pause too.
    """
    if rollout.state not in {RolloutState.RUNNING, RolloutState.PAUSED}:
        return None
    standing = standing_of(rollout, roster)
    against = _against(rollout, standing)
    if against:
        back = rollout.plan.on_halt is OnHalt.ROLL_BACK
        state = RolloutState.ROLLED_BACK if back else RolloutState.HALTED
        return Step(state=state, stage=rollout.stage, reason=against)
    if rollout.state is RolloutState.PAUSED or at < rollout.since + rollout.plan.soak_ns:
        return None
    unproved = _unproved(rollout, standing)
    if not unproved:
        return onward(rollout, f"proved by {_of(standing.decisions, 'decision')}")
    if at < rollout.since + rollout.plan.soak_ns + rollout.plan.patience_ns:
        return None
    return Step(state=RolloutState.PAUSED, stage=rollout.stage, reason=unproved)


def onward(rollout: Rollout, reason: str) -> Step:
    """The next stage, or the end behind the last."""
    if rollout.stage + 1 < len(rollout.stages):
        return Step(state=RolloutState.RUNNING, stage=rollout.stage + 1, reason=reason)
    return Step(state=RolloutState.DONE, stage=rollout.stage, reason=reason)


def _against(rollout: Rollout, standing: Standing) -> str:
    """What speaks against the revision, in words; empty where nothing does."""
    plan = rollout.plan
    if rollout.refused:
        name, why = min(rollout.refused.items())
        others = len(rollout.refused) - 1
        return f"{name} refuses it: {why}" + (f" (and {others} more)" if others else "")
    if standing.errors:
        return f"{_of(standing.errors, 'call')} could not be evaluated under the new revision alone"
    if plan.tightened_max is not None and standing.tightened > plan.tightened_max:
        return (
            f"{standing.tightened} of {_of(standing.pairs, 'call')} are denied by the new revision"
            f" alone, at most {plan.tightened_max} may be"
        )
    if plan.loosened_max is not None and standing.loosened > plan.loosened_max:
        return (
            f"{standing.loosened} of {_of(standing.pairs, 'call')} are allowed by the new revision"
            f" alone, at most {plan.loosened_max} may be"
        )
    if standing.drift * plan.alpha >= 1:
        net = (standing.tightened - standing.loosened) / standing.pairs
        return (
            f"the share of denied calls has grown by {100 * net:.2f} points in"
            f" {_of(standing.pairs, 'call')}, at most {100 * plan.drift_max:.2f} may be"
            f" (evidence {standing.drift:.3g} : 1)"
        )
    return ""


def _unproved(rollout: Rollout, standing: Standing) -> str:
    """What the stage still lacks, in words; empty where nothing does."""
    plan = rollout.plan
    seconds = (plan.soak_ns + plan.patience_ns) // SECOND
    if not standing.wanted:
        return "no enforcer of the roster belongs to the stage"
    if 100 * len(standing.missing) > plan.missing_percent_max * len(standing.wanted):
        return (
            f"{len(standing.missing)} of {_of(len(standing.wanted), 'enforcer')} do not run it"
            f" after {seconds} s: {_names(standing.missing)}"
        )
    if standing.decisions < plan.decisions_min:
        return (
            f"{_of(standing.decisions, 'decision')} made with it after {seconds} s,"
            f" at least {plan.decisions_min} must be"
        )
    return ""


def _names(names: tuple[str, ...]) -> str:
    named = ", ".join(names[:NAMED_MAX])
    more = len(names) - NAMED_MAX
    return f"{named} and {more} more" if more > 0 else named


def _of(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"
