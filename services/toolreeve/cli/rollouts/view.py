"""How a rollout is shown: as JSON, as a row, and as a ladder of its stages."""

from __future__ import annotations

import time
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Any

import click

from toolreeve.cli.times import written

if TYPE_CHECKING:
    from toolreeve.v1 import operator_pb2, rollout_pb2

BAR_CELLS = 12
OVER = frozenset({"done", "rolled_back", "aborted"})
STUCK = frozenset({"paused", "halted", "rolled_back", "aborted"})
"""States that nobody leaves without an operator, and that are not the end that was wished for."""


def share(text: str) -> int:
    """Read a percentage, such as 5 or 0.5, as basis points. A click type."""
    try:
        points = Decimal(text.strip().removesuffix("%")) * 100
        whole = int(points)
    except (InvalidOperation, ValueError, OverflowError) as error:
        raise click.BadParameter(f"{text!r} is no percentage; write 5 or 0.5") from error
    if whole != points or not 0 <= whole <= 10_000:
        raise click.BadParameter(f"{text!r} is not a percentage of at most 2 decimals")
    return whole


def state_of(number: rollout_pb2.RolloutState.ValueType) -> str:
    """A state's name: `rolled_back`."""
    from toolreeve.v1 import rollout_pb2

    return rollout_pb2.RolloutState.Name(number).removeprefix("ROLLOUT_STATE_").lower()


def plain(one: operator_pb2.Rollout) -> dict[str, Any]:
    """Everything that is known of a rollout, for programs."""
    plan = one.plan
    return {
        "rollout": one.rollout_id,
        "server": one.server,
        "policy": one.policy,
        "revision": one.revision,
        "previous_revision": one.previous_revision,
        "state": state_of(one.state),
        "reason": one.reason,
        "actor": one.actor,
        "started": written(one.started_unix_nano),
        "since": written(one.since_unix_nano),
        "stage": one.stage_index,
        "stages": [share / 100 for share in plan.stages],
        "enforcers": {
            "all": one.enforcers,
            "wanted": one.enforcers_wanted,
            "received": one.enforcers_received,
            "activated": one.enforcers_activated,
            "decided": one.enforcers_decided,
            "refused": one.enforcers_refused,
            "missing": list(one.missing),
        },
        "calls": {
            "decisions": one.decisions,
            "denials": one.denials,
            "errors": one.errors,
            "pairs": one.pairs,
            "tightened": one.tightened,
            "loosened": one.loosened,
            "drift_evidence": round(one.drift_evidence, 6),
        },
        "members": [
            {
                "enforcer": member.enforcer_id,
                "activated": member.activated,
                "first_decision": member.first_decision_id or None,
                "decisions": member.decisions,
                "errors": member.errors,
                "tightened": member.tightened,
                "loosened": member.loosened,
                "refusal": member.refusal or None,
            }
            for member in one.members
        ],
        "plan": {
            "soak_seconds": plan.soak_ms / 1000,
            "patience_seconds": plan.patience_ms / 1000,
            "canary": list(plan.canary),
            "flips_max": plan.tightened_max if plan.HasField("tightened_max") else None,
            "loosened_max": plan.loosened_max if plan.HasField("loosened_max") else None,
            "drift_percent_max": round(100 * plan.drift_max, 6),
            "alpha": plan.alpha,
            "decisions_min": plan.decisions_min,
            "missing_percent_max": plan.missing_percent_max,
            "on_halt": "roll-back" if plan.roll_back_on_halt else "halt",
        },
        "steps": [
            {
                "time": written(step.time_unix_nano),
                "state": state_of(step.state),
                "stage": step.stage_index,
                "actor": step.actor,
                "reason": step.reason,
            }
            for step in one.steps
        ],
    }


def row(one: operator_pb2.Rollout) -> dict[str, Any]:
    """A rollout as one line of a list."""
    return {
        "rollout": one.rollout_id,
        "server": one.server,
        "revision": short(one.revision),
        "state": state_of(one.state),
        "stage": share_of(one, one.stage_index),
        "runs it": f"{one.enforcers_activated} of {one.enforcers}",
        "started": written(one.started_unix_nano),
        "reason": one.reason,
    }


def ladder(one: operator_pb2.Rollout, now_ns: int | None = None) -> list[str]:
    """The stages with what has become of each, one below the other."""
    state = state_of(one.state)
    lines = [
        f"{one.rollout_id}  {one.server}  {short(one.previous_revision)} -> {short(one.revision)}",
        f"{state.replace('_', ' ')}: {one.reason}",
    ]
    now = now_ns or time.time_ns()
    lines += [_rung(one, stage, state, now) for stage in range(len(one.plan.stages))]
    lines.append(
        f"calls {one.decisions:,}  denied {one.denials:,}  errors {one.errors:,}  compared"
        f" {one.pairs:,}: {one.tightened:,} denied and {one.loosened:,} allowed by the new"
        f" revision alone"
    )
    if one.missing and state not in OVER:
        more = one.enforcers_wanted - one.enforcers_activated - len(one.missing)
        named = ", ".join(one.missing) + (f" and {more} more" if more > 0 else "")
        lines.append(f"missing: {named}")
    return lines


def short(revision: str) -> str:
    """Enough of a revision to tell it from others, as git does."""
    return revision.removeprefix("sha256:")[:12]


def share_of(one: operator_pb2.Rollout, stage: int) -> str:
    """A stage's share of the fleet: `0.5 %`."""
    return f"{one.plan.stages[stage] / 100:g} %"


def _rung(one: operator_pb2.Rollout, stage: int, state: str, now_ns: int) -> str:
    share = f"{share_of(one, stage):>8}"
    if state == "done" or stage < one.stage_index:
        return f"{share}  {'#' * BAR_CELLS}  passed"
    if stage > one.stage_index:
        return f"{share}  {'.' * BAR_CELLS}"
    wanted = max(one.enforcers_wanted, 1)
    cells = BAR_CELLS * one.enforcers_activated // wanted
    bar = "#" * cells + "." * (BAR_CELLS - cells)
    counted = (
        f"{one.enforcers_wanted} wanted, {one.enforcers_received} received,"
        f" {one.enforcers_activated} active, {one.enforcers_decided} decided"
    )
    if one.enforcers_refused:
        counted += f", {one.enforcers_refused} refused"
    if state != "running":
        return f"{share}  {bar}  {counted}"
    left = max(0, one.plan.soak_ms // 1000 - (now_ns - one.since_unix_nano) // 10**9)
    return f"{share}  {bar}  {counted}; " + (f"watched for {left} s more" if left else "soaked")
