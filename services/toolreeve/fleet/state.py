"""What the control plane knows: everything here follows from the commits, and from nothing else.

Whether an enforcer is connected at this moment is not here: that is known to the process that
holds its stream, and is forgotten with it.
"""

from collections.abc import Mapping

import msgspec
from msgspec import Struct

from toolreeve.decision import Hold, Instant
from toolreeve.fleet.approvals import ApprovalAnswer, ApprovalBook
from toolreeve.fleet.grants import GrantAnswer, GrantBook
from toolreeve.fleet.history import GENESIS
from toolreeve.fleet.identity import Identities
from toolreeve.fleet.rollout import Rollouts
from toolreeve.policy.sign import Envelope


class Revision(Struct, frozen=True, kw_only=True):
    """An accepted policy text. Never changes, never goes."""

    policy: str
    revision: str
    body: bytes
    published_at: Instant
    actor: str


class WantedPolicy(Struct, frozen=True, kw_only=True):
    """What a server's enforcers are to run, and the signed word that says so."""

    server: str
    policy: str
    revision: str
    manifest_sequence: int
    envelope: Envelope
    issued_at: Instant
    actor: str


class Running(Struct, frozen=True, kw_only=True):
    """What one enforcer runs for one server. `manifest_sequence` is 0 for a policy from a file."""

    server: str
    revision: str
    manifest_sequence: int


class Refusal(Struct, frozen=True, kw_only=True):
    """What one enforcer refused for one server, and why. `code` is a stable word."""

    server: str
    revision: str
    manifest_sequence: int
    code: str
    reason: str


class Enforcer(Struct, frozen=True, kw_only=True):
    """One entry of the roster. `running` and `refused` are by server.

    `seen_at` is the time of the last commit that speaks of it; a live stream knows better.
    """

    enforcer_id: str
    host: str = ""
    software_version: str = ""
    servers: tuple[str, ...] = ()
    labels: Mapping[str, str] = msgspec.field(default_factory=dict[str, str])
    running: Mapping[str, Running] = msgspec.field(default_factory=dict[str, Running])
    refused: Mapping[str, Refusal] = msgspec.field(default_factory=dict[str, Refusal])
    seen_at: Instant = Instant(0)


class HoldStep(Struct, frozen=True, kw_only=True):
    """One hold was placed, or the one with `released_id` was lifted. Sequences have no gaps."""

    sequence: int
    placed: Hold | None = None
    released_id: str = ""
    actor: str
    reason: str


class PublishAnswer(Struct, frozen=True, kw_only=True, tag="publish"):
    """What whoever published was told."""

    server: str
    policy: str
    revision: str
    manifest_sequence: int


class HoldAnswer(Struct, frozen=True, kw_only=True, tag="hold"):
    """What whoever placed a hold was told."""

    hold: Hold


class ReleaseAnswer(Struct, frozen=True, kw_only=True, tag="release"):
    """What whoever released a hold was told."""

    hold_id: str


class RolloutAnswer(Struct, frozen=True, kw_only=True, tag="rollout"):
    """What whoever started or changed a rollout was told."""

    rollout_id: str


Answer = PublishAnswer | HoldAnswer | ReleaseAnswer | GrantAnswer | RolloutAnswer | ApprovalAnswer

ANSWERS_KEPT = 4096
"""How many commands can be repeated and still be recognised, newest first."""

HOLD_STEPS_KEPT = 64
"""How many steps a stream may be behind before it is sent the whole set of holds instead."""


class State(Struct, frozen=True, kw_only=True):
    """The fold over commits 1 to `index`; `head` is the digest of the last one.

    `revisions` are by revision, `wanted` by server, `roster` by enforcer, `holds` and `answers`
    by hold and command id.
    """

    index: int = 0
    head: bytes = GENESIS
    at: Instant = Instant(0)
    revisions: Mapping[str, Revision] = msgspec.field(default_factory=dict[str, Revision])
    wanted: Mapping[str, WantedPolicy] = msgspec.field(default_factory=dict[str, WantedPolicy])
    roster: Mapping[str, Enforcer] = msgspec.field(default_factory=dict[str, Enforcer])
    holds: Mapping[str, Hold] = msgspec.field(default_factory=dict[str, Hold])
    hold_sequence: int = 0
    hold_steps: tuple[HoldStep, ...] = ()
    answers: Mapping[str, Answer] = msgspec.field(default_factory=dict[str, Answer])
    rollouts: Rollouts = Rollouts()
    identities: Identities = Identities()
    grants: GrantBook = GrantBook()
    approvals: ApprovalBook = ApprovalBook()

    def wanted_by(self, enforcer_id: str, server: str) -> WantedPolicy | None:
        """What one enforcer is to run for one server; None where nothing was ever published."""
        rollout = self.rollouts.of(server)
        if rollout is None:
            return self.wanted.get(server)
        enforcer = self.roster.get(enforcer_id)
        if not rollout.includes(enforcer_id, {} if enforcer is None else enforcer.labels):
            return self.wanted.get(server)
        return WantedPolicy(
            server=server,
            policy=rollout.policy,
            revision=rollout.revision,
            manifest_sequence=rollout.offered.sequence,
            envelope=rollout.offered.envelope,
            issued_at=rollout.since,
            actor=rollout.actor,
        )

    def standing_holds(self, at: Instant) -> tuple[Hold, ...]:
        """Holds in force at `at`, by id."""
        return tuple(
            hold
            for _, hold in sorted(self.holds.items())
            if hold.expires_at is None or at < hold.expires_at
        )
