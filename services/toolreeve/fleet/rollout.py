"""A rollout: one revision on its way to a server's enforcers, stage by stage.

All manifests that a rollout can come to are signed when it starts, for each stage, for its end and
for the way back, and stand in its first event. So whoever goes on with it, any replica at any
time, signs nothing; and a key that lies elsewhere signs once.

    base  -> sequence n          everybody, before
    stages -> n + 1 ... n + k    whoever the cohort includes
    final -> n + k + 1           everybody, the new revision
    back  -> n + k + 2           everybody, the revision of before: above all others
"""

from collections.abc import Mapping
from enum import Enum

import msgspec
from msgspec import Struct

from toolreeve.decision import SECOND, Instant
from toolreeve.decision.evidence import Evidence
from toolreeve.policy.cohort import WHOLE, Cohort
from toolreeve.policy.sign import Envelope

FINISHED_KEPT = 32
"""Rollouts that are over and still remembered, over all servers, newest first."""


class OnHalt(Enum):
    """What becomes of a stage that something speaks against."""

    HALT = "halt"
    ROLL_BACK = "roll_back"


class RolloutState(Enum):
    """Where a rollout stands. Whoever is in the cohort keeps the revision until it is over."""

    RUNNING = "running"
    PAUSED = "paused"
    HALTED = "halted"
    DONE = "done"
    ROLLED_BACK = "rolled_back"
    ABORTED = "aborted"

    @property
    def over(self) -> bool:
        """Whether the server is free for another one."""
        return self in {RolloutState.DONE, RolloutState.ROLLED_BACK, RolloutState.ABORTED}


class Plan(Struct, frozen=True, kw_only=True):
    """How a rollout goes on by itself, and what ends it.

    `stages` are basis points of the fleet, rising to all of it. Each is watched for `soak_ns`; one
    that is not proved `patience_ns` later pauses the rollout. `tightened_max` and `loosened_max`
    bound calls that the new revision alone denies or allows, None: any number. `drift_max` is how
    much larger the share of denied calls may become; a rollout that keeps to it is halted for drift
    with probability `alpha` at most, however often that is looked at.
    """

    stages: tuple[int, ...] = (100, 500, 2_500, WHOLE)
    soak_ns: int = 120 * SECOND
    patience_ns: int = 60 * SECOND
    canary: tuple[tuple[str, str], ...] = ()
    tightened_max: int | None = 0
    loosened_max: int | None = None
    drift_max: float = 0.01
    alpha: float = 0.01
    decisions_min: int = 1
    missing_percent_max: int = 10
    on_halt: OnHalt = OnHalt.HALT


class Signed(Struct, frozen=True, kw_only=True):
    """One manifest that the rollout may come to. `cohort` is None where it is for everybody."""

    sequence: int
    cohort: Cohort | None = None
    envelope: Envelope


class RolloutStarted(Struct, frozen=True, kw_only=True):
    """A revision goes to a server's enforcers in stages."""

    rollout_id: str
    server: str
    policy: str
    revision: str
    previous_revision: str
    plan: Plan
    stages: tuple[Signed, ...]
    final: Signed
    back: Signed


class RolloutChanged(Struct, frozen=True, kw_only=True):
    """A rollout has come to a stage or a state, and why."""

    rollout_id: str
    state: RolloutState
    stage: int
    reason: str


class Report(Struct, frozen=True, kw_only=True):
    """What one enforcer has seen in one epoch of its history."""

    enforcer_id: str
    epoch: int
    evidence: Evidence

    @property
    def key(self) -> str:
        """Tells it from other reports of the same rollout."""
        return f"{self.enforcer_id}:{self.epoch}"


class EvidenceReported(Struct, frozen=True, kw_only=True):
    """What enforcers have seen of the revision, as far as it is news."""

    rollout_id: str
    reports: tuple[Report, ...]


class RolloutStep(Struct, frozen=True, kw_only=True):
    """What became of a rollout at one moment."""

    at: Instant
    state: RolloutState
    stage: int
    actor: str
    reason: str


class Rollout(Struct, frozen=True, kw_only=True):
    """A rollout and everything that is known of it.

    `since` is when the stage began, or began anew after a pause. `reports` are by enforcer and
    epoch; `refused` says by enforcer why it did not take the revision.
    """

    rollout_id: str
    server: str
    policy: str
    revision: str
    previous_revision: str
    plan: Plan
    stages: tuple[Signed, ...]
    final: Signed
    back: Signed
    state: RolloutState = RolloutState.RUNNING
    stage: int = 0
    actor: str
    reason: str
    started_at: Instant
    since: Instant
    steps: tuple[RolloutStep, ...] = ()
    reports: Mapping[str, Report] = msgspec.field(default_factory=dict[str, Report])
    refused: Mapping[str, str] = msgspec.field(default_factory=dict[str, str])

    @property
    def offered(self) -> Signed:
        """The manifest of the stage."""
        return self.stages[self.stage]

    def includes(self, enforcer_id: str, labels: Mapping[str, str]) -> bool:
        """Whether the stage is for this enforcer."""
        cohort = self.offered.cohort
        return cohort is not None and cohort.includes(enforcer_id, labels)


class Rollouts(Struct, frozen=True, kw_only=True):
    """All rollouts that are remembered, the one under way of each server, and by server the
    highest sequence that a manifest was ever signed with here."""

    by_id: Mapping[str, Rollout] = msgspec.field(default_factory=dict[str, Rollout])
    under_way: Mapping[str, str] = msgspec.field(default_factory=dict[str, str])
    allotted: Mapping[str, int] = msgspec.field(default_factory=dict[str, int])

    def of(self, server: str) -> Rollout | None:
        """The rollout under way of a server."""
        named = self.under_way.get(server)
        return None if named is None else self.by_id[named]
