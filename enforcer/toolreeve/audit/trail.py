"""Events that speak of the trail itself: seals, damage, checkpoints, erasures."""

from msgspec import Struct


class Position(Struct, frozen=True, order=True):
    """A place in one enforcer's history. Sequences start at 1 in every epoch."""

    epoch: int
    sequence: int


class HeadSealed(Struct, frozen=True, kw_only=True):
    """The enforcer vouches for its epoch up to `sequence` (see `toolreeve.audit.seal`)."""

    sequence: int
    head: bytes
    signature: bytes


class LostEvents(Struct, frozen=True, kw_only=True):
    """A part of an outbox that cannot be read, between two events; None: nothing on that side."""

    segment: str
    offset: int
    reason: str
    after: Position | None = None
    before: Position | None = None


class OutboxDamaged(Struct, frozen=True, kw_only=True):
    """An outbox was damaged; its readable `groups` go on, the evidence lies in `kept_in`."""

    kept_in: str
    groups: int
    lost: tuple[LostEvents, ...]


class LoggedGroups(Struct, frozen=True, kw_only=True):
    """Neighbouring groups of one epoch in the log; `events` says how many each has."""

    enforcer: str
    epoch: int
    first_sequence: int
    events: tuple[int, ...]


class CheckpointMade(Struct, frozen=True, kw_only=True):
    """The log of all histories went on by `added`; `note` is the signed checkpoint behind it."""

    note: str
    added: tuple[LoggedGroups, ...]


class ErasedEvents(Struct, frozen=True, kw_only=True):
    """Events of one epoch whose details are erased, rising."""

    enforcer: str
    epoch: int
    sequences: tuple[int, ...]


class ErasureMade(Struct, frozen=True, kw_only=True):
    """What these events held beside the chain is erased. `selector` says how they were chosen.

    One erasure of many events is said in several parts, under one `erasure_id`.
    """

    erasure_id: str
    actor: str
    reason: str
    selector: str
    erased: tuple[ErasedEvents, ...]
