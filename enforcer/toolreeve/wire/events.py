"""Audit events: groups of the outbox, which are also the messages on NATS."""

import secrets
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence

from google.protobuf.message import DecodeError
from msgspec import Struct
from msgspec.structs import replace

from toolreeve.audit import Decided, Draft, Event, Position, fold
from toolreeve.audit.details import Details, salts
from toolreeve.audit.event import event_id
from toolreeve.decision import Instant
from toolreeve.v1 import audit_pb2 as pb
from toolreeve.wire.details import read_beside, with_details, write_beside, write_content
from toolreeve.wire.errors import WireError
from toolreeve.wire.read_body import read_body
from toolreeve.wire.write_body import write_body

HASH_BYTES = 32


class Group(Struct, frozen=True, kw_only=True):
    """One group as it lies in an outbox. The chain runs over `raws`, the events' own bytes.

    `beside` is what some of them commit to without holding it, by their index. It is outside of
    the chain: believed only where the commitment holds, and gone where it was erased.
    """

    enforcer: str
    epoch: int
    first_sequence: int
    previous_hash: bytes
    raws: tuple[bytes, ...]
    payload: bytes
    """All of it, as it came."""
    beside: Mapping[int, Details] = {}
    erased: Collection[int] = ()
    """Sequences of events whose details are known to be erased."""


Pack = Callable[[Position, bytes, Sequence[Draft]], tuple[bytes, bytes]]


def pack(enforcer: str, secret: bytes | None = None) -> Pack:
    """How `enforcer` seals groups: (first position, head before, drafts) to (bytes, head after).

    `secret` is 32 bytes of chance that salts are made of, for this start alone and never kept.
    """
    mine = secrets.token_bytes(32) if secret is None else secret

    def seal(first: Position, head: bytes, drafts: Sequence[Draft]) -> tuple[bytes, bytes]:
        beside = _beside(mine, first, drafts)
        raws: list[bytes] = []
        for index, draft in enumerate(drafts):
            position = Position(first.epoch, first.sequence + index)
            said = beside[index].commitment if index in beside else b""
            message = _message(enforcer, position, draft, said)
            raws.append(message.SerializeToString(deterministic=True))
        return _batch(enforcer, first, head, raws, beside), fold(head, raws)

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
        beside=read_beside(batch.details, len(batch.events)) if batch.details else {},
    )


def without(group: Group, erased: Collection[int]) -> Group:
    """A group without the details of some of its events, by sequence; the chain is the same."""
    gone = {sequence - group.first_sequence for sequence in erased}
    beside = {index: one for index, one in group.beside.items() if index not in gone}
    if len(beside) == len(group.beside):
        return replace(group, erased=erased)
    first = Position(group.epoch, group.first_sequence)
    payload = _batch(group.enforcer, first, group.previous_hash, group.raws, beside)
    return replace(group, payload=payload, beside=beside, erased=erased)


def attach(event: Event, details: Details) -> Event:
    """An event with what stands beside it.

    Raises WireError where that is not what the event commits to, or cannot be read.
    """
    body = event.body
    if not isinstance(body, Decided):
        raise WireError("it has details, and commits to none")
    return replace(event, body=replace(body, arguments=with_details(body.arguments, details)))


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


def read_events(group: Group) -> Iterator[Event]:
    """Each event of a group with what stands beside it, where it is. Raises WireError."""
    for index, raw in enumerate(group.raws):
        event = read_event(raw)
        details = group.beside.get(index)
        yield event if details is None else attach(event, details)


def write_event(event: Event) -> bytes:
    """The bytes of one event, always the same for the same event, without what is beside it."""
    draft = Draft(event.at, event.body)
    message = _message(event.enforcer, Position(event.epoch, event.sequence), draft)
    return message.SerializeToString(deterministic=True)


def _beside(secret: bytes, first: Position, drafts: Sequence[Draft]) -> dict[int, Details]:
    """What some events commit to, by their index."""
    contents = {
        index: content
        for index, draft in enumerate(drafts)
        if isinstance(draft.body, Decided) and (content := write_content(draft.body.arguments))
    }
    chance = salts(secret, first, len(contents)) if contents else ()
    return {
        index: Details(salt, content)
        for (index, content), salt in zip(contents.items(), chance, strict=True)
    }


def _batch(
    enforcer: str,
    first: Position,
    head: bytes,
    raws: Sequence[bytes],
    beside: Mapping[int, Details],
) -> bytes:
    batch = pb.EventBatch(
        enforcer_id=enforcer,
        epoch=first.epoch,
        first_sequence=first.sequence,
        previous_hash=head,
        events=raws,
    )
    return batch.SerializeToString() + write_beside(beside)


def _message(enforcer: str, position: Position, draft: Draft, commitment: bytes = b"") -> pb.Event:
    message = pb.Event(
        event_id=event_id(enforcer, position),
        enforcer_id=enforcer,
        epoch=position.epoch,
        sequence=position.sequence,
        time_unix_nano=draft.at,
    )
    write_body(message, draft.body, commitment)
    return message
