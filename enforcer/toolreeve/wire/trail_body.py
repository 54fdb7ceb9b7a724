"""Bodies of events that speak of the trail itself, both ways."""

from typing import assert_never

from toolreeve.audit import (
    CheckpointMade,
    ErasedEvents,
    ErasureMade,
    HeadSealed,
    LoggedGroups,
    LostEvents,
    OutboxDamaged,
    Position,
)
from toolreeve.v1 import audit_pb2 as pb

TrailBody = HeadSealed | OutboxDamaged | CheckpointMade | ErasureMade


def write_trail_body(message: pb.Event, body: TrailBody) -> None:
    """Set the body of `message`, and its kind."""
    match body:
        case HeadSealed():
            message.kind = pb.EVENT_KIND_HEAD_SEALED
            sealed = pb.HeadSealed(sequence=body.sequence, head=body.head, signature=body.signature)
            message.head_sealed.CopyFrom(sealed)
        case OutboxDamaged():
            message.kind = pb.EVENT_KIND_OUTBOX_DAMAGED
            damaged = pb.OutboxDamaged(
                kept_in=body.kept_in, groups=body.groups, lost=map(_lost_events, body.lost)
            )
            message.outbox_damaged.CopyFrom(damaged)
        case CheckpointMade():
            message.kind = pb.EVENT_KIND_CHECKPOINT_MADE
            made = pb.CheckpointMade(note=body.note, added=map(_logged_groups, body.added))
            message.checkpoint_made.CopyFrom(made)
        case ErasureMade():
            message.kind = pb.EVENT_KIND_ERASURE_MADE
            message.erasure_made.CopyFrom(_erasure_made(body))
        case _:
            assert_never(body)


def read_head_sealed(message: pb.HeadSealed) -> HeadSealed:
    """A seal as the contract says it; whether it holds is another question."""
    return HeadSealed(sequence=message.sequence, head=message.head, signature=message.signature)


def read_outbox_damaged(message: pb.OutboxDamaged) -> OutboxDamaged:
    """What was lost, and where the evidence is."""
    lost = tuple(
        LostEvents(
            segment=one.segment,
            offset=one.offset,
            reason=one.reason,
            after=_position(one.after_epoch, one.after_sequence),
            before=_position(one.before_epoch, one.before_sequence),
        )
        for one in message.lost
    )
    return OutboxDamaged(kept_in=message.kept_in, groups=message.groups, lost=lost)


def read_checkpoint_made(message: pb.CheckpointMade) -> CheckpointMade:
    """A checkpoint and what it added; whether the note holds is another question."""
    added = tuple(
        LoggedGroups(
            enforcer=one.enforcer_id,
            epoch=one.epoch,
            first_sequence=one.first_sequence,
            events=tuple(one.events),
        )
        for one in message.added
    )
    return CheckpointMade(note=message.note, added=added)


def read_erasure_made(message: pb.ErasureMade) -> ErasureMade:
    """What was erased, by whom and why."""
    erased = tuple(
        ErasedEvents(enforcer=one.enforcer_id, epoch=one.epoch, sequences=tuple(one.sequences))
        for one in message.erased
    )
    return ErasureMade(
        erasure_id=message.erasure_id,
        actor=message.actor,
        reason=message.reason,
        selector=message.selector,
        erased=erased,
    )


def _erasure_made(body: ErasureMade) -> pb.ErasureMade:
    return pb.ErasureMade(
        erasure_id=body.erasure_id,
        actor=body.actor,
        reason=body.reason,
        selector=body.selector,
        erased=[
            pb.ErasedEvents(enforcer_id=one.enforcer, epoch=one.epoch, sequences=one.sequences)
            for one in body.erased
        ],
    )


def _lost_events(lost: LostEvents) -> pb.LostEvents:
    after, before = lost.after or _NOWHERE, lost.before or _NOWHERE
    return pb.LostEvents(
        segment=lost.segment,
        offset=lost.offset,
        reason=lost.reason,
        after_epoch=after.epoch,
        after_sequence=after.sequence,
        before_epoch=before.epoch,
        before_sequence=before.sequence,
    )


def _logged_groups(groups: LoggedGroups) -> pb.LoggedGroups:
    return pb.LoggedGroups(
        enforcer_id=groups.enforcer,
        epoch=groups.epoch,
        first_sequence=groups.first_sequence,
        events=groups.events,
    )


_NOWHERE = Position(0, 0)


def _position(epoch: int, sequence: int) -> Position | None:
    return Position(epoch, sequence) if sequence else None
