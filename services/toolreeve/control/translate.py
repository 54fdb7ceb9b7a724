"""The control plane's values to the contract's messages and back.

The log's side is strict: a commit that this version cannot read whole is not read at all, because
two replicas that fold one log differently would command two different fleets.
"""

from typing import assert_never

from google.protobuf.message import DecodeError

from toolreeve.audit import HoldPlaced, HoldReleased
from toolreeve.control.rollout_translate import (
    ROLLOUT_EVENTS,
    read_rollout_event,
    write_rollout_event,
)
from toolreeve.control.translate_approvals import (
    APPROVAL_EVENTS,
    read_approval_event,
    write_approval_event,
)
from toolreeve.control.translate_grants import GRANT_EVENTS, read_grant_event, write_grant_event
from toolreeve.control.translate_identity import (
    IDENTITY_EVENTS,
    read_identity_event,
    write_identity_event,
)
from toolreeve.decision import Instant
from toolreeve.fleet import (
    Command,
    Commit,
    ControlEvent,
    EnforcerSeen,
    EvidenceReported,
    GrantsOwed,
    HoldSnapshot,
    HoldStep,
    ManifestIssued,
    Owed,
    PolicyActivated,
    PolicyNacked,
    RevisionPublished,
    RolloutChanged,
    RolloutStarted,
    Running,
    Served,
    WantedPolicy,
)
from toolreeve.fleet.approvals import (
    ApprovalExpired,
    ApprovalJoined,
    ApprovalRequested,
    ApprovalVoted,
    PermitClaimed,
)
from toolreeve.fleet.grants import GrantCreated, GrantRevoked, GrantRotated
from toolreeve.v1 import control_pb2 as pb
from toolreeve.v1 import operator_pb2 as operator
from toolreeve.wire import WireError
from toolreeve.wire.envelope import read_envelope, write_envelope
from toolreeve.wire.fleet import RunningPolicy, write_down
from toolreeve.wire.grants import GrantOrder
from toolreeve.wire.hold_order import HoldOrder
from toolreeve.wire.read_body import read_hold, read_release
from toolreeve.wire.write_body import write_hold, write_release


def write_commit(commit: Commit) -> bytes:
    """A commit as it stands in the log. Its sha256 is its digest: keep the bytes, not the value."""
    message = pb.Commit(
        index=commit.index,
        previous_hash=commit.previous_hash,
        command_id=commit.command_id,
        actor=commit.actor,
        reason=commit.reason,
        time_unix_nano=commit.at,
        events=[_write_event(event) for event in commit.events],
    )
    return message.SerializeToString(deterministic=True)


def read_commit(raw: bytes) -> Commit:
    """A commit from the log. Raises WireError, also for events that only a newer version knows."""
    try:
        message = pb.Commit.FromString(raw)
    except DecodeError as error:
        raise WireError("not a Commit") from error
    return Commit(
        index=message.index,
        previous_hash=message.previous_hash,
        command_id=message.command_id,
        actor=message.actor,
        reason=message.reason,
        at=Instant(message.time_unix_nano),
        events=tuple(_read_event(event) for event in message.events),
    )


def _write_event(event: ControlEvent) -> pb.ControlEvent:
    match event:
        case RevisionPublished():
            return pb.ControlEvent(
                revision_published=pb.RevisionPublished(
                    policy=event.policy, revision=event.revision, body=event.body
                )
            )
        case ManifestIssued():
            return pb.ControlEvent(
                manifest_issued=pb.ManifestIssued(
                    server=event.server,
                    policy=event.policy,
                    revision=event.revision,
                    manifest_sequence=event.manifest_sequence,
                    manifest=write_envelope(event.envelope),
                )
            )
        case EnforcerSeen():
            return pb.ControlEvent(
                enforcer_seen=pb.EnforcerSeen(
                    enforcer_id=event.enforcer_id,
                    host=event.host,
                    software_version=event.software_version,
                    servers=event.servers,
                    labels=dict(event.labels),
                )
            )
        case PolicyActivated():
            return pb.ControlEvent(
                policy_activated=pb.PolicyActivated(
                    enforcer_id=event.enforcer_id,
                    server=event.server,
                    revision=event.revision,
                    manifest_sequence=event.manifest_sequence,
                )
            )
        case PolicyNacked():
            return pb.ControlEvent(
                policy_nacked=pb.PolicyNacked(
                    enforcer_id=event.enforcer_id,
                    server=event.server,
                    revision=event.revision,
                    manifest_sequence=event.manifest_sequence,
                    code=event.code,
                    reason=event.reason,
                )
            )
        case HoldPlaced():
            message = pb.ControlEvent()
            message.hold_placed.hold.CopyFrom(write_hold(event.hold))
            return message
        case HoldReleased():
            return pb.ControlEvent(hold_released=write_release(event))
        case GrantCreated() | GrantRotated() | GrantRevoked():
            return write_grant_event(event)
        case (
            ApprovalRequested()
            | ApprovalJoined()
            | ApprovalVoted()
            | ApprovalExpired()
            | PermitClaimed()
        ):
            return write_approval_event(event)
        case RolloutStarted() | RolloutChanged() | EvidenceReported():
            return write_rollout_event(event)
        case _:
            return write_identity_event(event)


def _read_event(message: pb.ControlEvent) -> ControlEvent:
    match message.WhichOneof("body"):
        case "revision_published":
            published = message.revision_published
            return RevisionPublished(
                policy=published.policy, revision=published.revision, body=published.body
            )
        case "manifest_issued":
            issued = message.manifest_issued
            return ManifestIssued(
                server=issued.server,
                policy=issued.policy,
                revision=issued.revision,
                manifest_sequence=issued.manifest_sequence,
                envelope=read_envelope(issued.manifest),
            )
        case "enforcer_seen":
            seen = message.enforcer_seen
            return EnforcerSeen(
                enforcer_id=seen.enforcer_id,
                host=seen.host,
                software_version=seen.software_version,
                servers=tuple(seen.servers),
                labels=dict(sorted(seen.labels.items())),
            )
        case "policy_activated":
            activated = message.policy_activated
            return PolicyActivated(
                enforcer_id=activated.enforcer_id,
                server=activated.server,
                revision=activated.revision,
                manifest_sequence=activated.manifest_sequence,
            )
        case "policy_nacked":
            nacked = message.policy_nacked
            return PolicyNacked(
                enforcer_id=nacked.enforcer_id,
                server=nacked.server,
                revision=nacked.revision,
                manifest_sequence=nacked.manifest_sequence,
                code=nacked.code,
                reason=nacked.reason,
            )
        case "hold_placed":
            return HoldPlaced(hold=read_hold(message.hold_placed.hold))
        case "hold_released":
            return read_release(message.hold_released)
        case str(name) if name in ROLLOUT_EVENTS:
            return read_rollout_event(message)
        case str(name) if name in GRANT_EVENTS:
            return read_grant_event(message)
        case str(name) if name in APPROVAL_EVENTS:
            return read_approval_event(message)
        case str(name) if name in IDENTITY_EVENTS:
            return read_identity_event(message)
        case _:
            raise WireError("an event that a newer version wrote")


def write_owed(message: Owed) -> bytes:
    """What a stream is owed, as the bytes of a SubscribeResponse."""
    match message:
        case WantedPolicy(envelope=envelope):
            return write_down(envelope)
        case GrantsOwed():
            order = GrantOrder(
                sequence=message.sequence, snapshot=message.snapshot, grants=message.grants
            )
            return write_down(order)
        case HoldSnapshot(sequence=sequence, holds=holds):
            return write_down(HoldOrder(sequence=sequence, snapshot=holds))
        case HoldStep(placed=None):
            release = HoldReleased(
                hold_id=message.released_id, actor=message.actor, reason=message.reason
            )
            return write_down(HoldOrder(sequence=message.sequence, release=release))
        case HoldStep(placed=hold):
            return write_down(HoldOrder(sequence=message.sequence, place=hold))
        case _:
            assert_never(message)


def read_running(running: RunningPolicy) -> Running:
    """What an enforcer says it runs, as the roster keeps it."""
    return Running(
        server=running.server,
        revision=running.revision,
        manifest_sequence=running.manifest_sequence,
    )


def read_command(message: operator.Command) -> Command:
    """Who asks, and why."""
    return Command(command_id=message.command_id, actor=message.actor, reason=message.reason)


def write_policy(wanted: WantedPolicy) -> operator.PolicySummary:
    """One server's wanted policy, for a list."""
    return operator.PolicySummary(
        server=wanted.server,
        policy=wanted.policy,
        revision=wanted.revision,
        manifest_sequence=wanted.manifest_sequence,
        published_unix_nano=wanted.issued_at,
        actor=wanted.actor,
    )


def write_served(served: Served) -> operator.ServedPolicy:
    """One server of one enforcer, for the roster."""
    return operator.ServedPolicy(
        server=served.server,
        revision_wanted=served.revision_wanted,
        revision_running=served.revision_running,
        refusal=served.refusal,
    )
