"""Audit events: groups of the outbox, which are also the messages on NATS."""

from collections.abc import Callable, Sequence

from google.protobuf.message import DecodeError
from msgspec import Struct

from toolreeve.audit import Draft, Event, Position, fold
from toolreeve.audit.event import event_id
from toolreeve.decision import Instant
from toolreeve.v1 import audit_pb2 as pb
from toolreeve.wire.errors import WireError
from toolreeve.wire.read_body import read_body
from toolreeve.wire.write_body import write_body

HASH_BYTES = 32


class Group(Struct, frozen=True, kw_only=True):
    """One group as it lies in an outbox. The chain runs over `raws`, the events' own bytes."""

    enforcer: str
    epoch: int
    first_sequence: int
    previous_hash: bytes
    raws: tuple[bytes, ...]
    payload: bytes
    """All of it, as it came."""


Pack = Callable[[Position, bytes, Sequence[Draft]], tuple[bytes, bytes]]


def pack(enforcer: str) -> Pack:
    """How `enforcer` seals groups: (first position, head before, drafts) to (bytes, head after)."""

    def seal(first: Position, head: bytes, drafts: Sequence[Draft]) -> tuple[bytes, bytes]:
        raws = [
            _message(
                enforcer, Position(first.epoch, first.sequence + index), draft
            ).SerializeToString(deterministic=True)
            for index, draft in enumerate(drafts)
        ]
        batch = pb.EventBatch(
            enforcer_id=enforcer,
            epoch=first.epoch,
            first_sequence=first.sequence,
            previous_hash=head,
            events=raws,
        )
        return batch.SerializeToString(), fold(head, raws)

    return seal


def unpack(payload: bytes) -> Group:
    """Read a group's frame; its events stay bytes. Raises WireError."""
    batch = pb.EventBatch()
    try:
        batch.ParseFromString(payload)
    except DecodeError as error:
        raise WireError(f"not an EventBatch: {error}") from error
    if not batch.enforcer_id or not batch.epoch or not batch.first_sequence or not batch.events:
        raise WireError("an EventBatch without enforcer, epoch, first sequence or events")
    if len(batch.previous_hash) != HASH_BYTES:
        raise WireError(f"previous_hash has {len(batch.previous_hash)} bytes, not {HASH_BYTES}")
    return Group(
        enforcer=batch.enforcer_id,
        epoch=batch.epoch,
        first_sequence=batch.first_sequence,
        previous_hash=batch.previous_hash,
        raws=tuple(batch.events),
        payload=payload,
    )


def read_event(raw: bytes) -> Event:
    """Read one event. Raises WireError, also for a kind this version does not know."""
    message = pb.Event()
    try:
        message.ParseFromString(raw)
    except DecodeError as error:
        raise WireError(f"not an Event: {error}") from error
    position = Position(message.epoch, message.sequence)
    if message.event_id != event_id(message.enforcer_id, position):
        raise WireError(f"event id {message.event_id!r} does not name its own place")
    return Event(
        enforcer=message.enforcer_id,
        epoch=message.epoch,
        sequence=message.sequence,
        at=Instant(message.time_unix_nano),
        body=read_body(message),
    )


def write_event(event: Event) -> bytes:
    """The bytes of one event, always the same for the same event."""
    draft = Draft(event.at, event.body)
    message = _message(event.enforcer, Position(event.epoch, event.sequence), draft)
    return message.SerializeToString(deterministic=True)


def _message(enforcer: str, position: Position, draft: Draft) -> pb.Event:
    message = pb.Event(
        event_id=event_id(enforcer, position),
        enforcer_id=enforcer,
        epoch=position.epoch,
        sequence=position.sequence,
        time_unix_nano=draft.at,
    )
    write_body(message, draft.body)
    return message
