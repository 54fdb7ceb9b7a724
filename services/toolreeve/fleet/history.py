"""What the control plane writes down: commits, and the events in them.

The fields and their meaning are those of `toolreeve/v1/control.proto`, which is the contract;
`toolreeve.control.translate` translates. A commit is named by the sha256 of its serialised bytes
(its digest), and carries the digest of the one before: the log is a chain that any reader of the
bytes can check without knowing their meaning.
"""

from collections.abc import Mapping

from msgspec import Struct

from toolreeve.audit.event import HoldPlaced, HoldReleased
from toolreeve.decision import Instant
from toolreeve.fleet.approvals import ApprovalEvent
from toolreeve.fleet.grants import GrantEvent
from toolreeve.fleet.identity import IdentityEvent
from toolreeve.fleet.rollout import EvidenceReported, RolloutChanged, RolloutStarted
from toolreeve.policy.sign import Envelope

GENESIS = bytes(32)
"""The digest that stands before the first commit."""


class RevisionPublished(Struct, frozen=True, kw_only=True):
    """A policy text was accepted. `body` are its canonical bytes, whose hash is `revision`."""

    policy: str
    revision: str
    body: bytes


class ManifestIssued(Struct, frozen=True, kw_only=True):
    """A server's wanted revision changed."""

    server: str
    policy: str
    revision: str
    manifest_sequence: int
    envelope: Envelope


class EnforcerSeen(Struct, frozen=True, kw_only=True):
    """An enforcer said hello for the first time, or with other servers, labels or software."""

    enforcer_id: str
    host: str
    software_version: str
    servers: tuple[str, ...]
    labels: Mapping[str, str]


class PolicyActivated(Struct, frozen=True, kw_only=True):
    """An enforcer runs a revision."""

    enforcer_id: str
    server: str
    revision: str
    manifest_sequence: int


class PolicyNacked(Struct, frozen=True, kw_only=True):
    """An enforcer refused a revision; what ran before still runs."""

    enforcer_id: str
    server: str
    revision: str
    manifest_sequence: int
    code: str
    reason: str


ControlEvent = (
    RevisionPublished
    | ManifestIssued
    | EnforcerSeen
    | PolicyActivated
    | PolicyNacked
    | HoldPlaced
    | HoldReleased
    | RolloutStarted
    | RolloutChanged
    | EvidenceReported
    | IdentityEvent
    | GrantEvent
    | ApprovalEvent
)


class Commit(Struct, frozen=True, kw_only=True):
    """All that one command changed. `index` counts from 1 without gaps."""

    index: int
    previous_hash: bytes
    command_id: str
    actor: str
    reason: str
    at: Instant
    events: tuple[ControlEvent, ...]
