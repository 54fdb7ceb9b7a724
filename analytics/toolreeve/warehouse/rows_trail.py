"""Rows of events that speak of the trail itself."""

from typing import assert_never

from toolreeve.audit import (
    CheckpointMade,
    ErasureMade,
    Event,
    HeadSealed,
    LostEvents,
    OutboxDamaged,
    Position,
)
from toolreeve.audit.note import Checkpoint, NoteError, note_text, read_checkpoint
from toolreeve.warehouse.errors import EventUnreadableError
from toolreeve.warehouse.tables import (
    CHECKPOINT_EVENTS,
    DAMAGE_EVENTS,
    ERASED,
    ERASURE_EVENTS,
    LEAVES,
    SEAL_EVENTS,
    Row,
    Table,
)

LOGGED_AT_ONCE_MAX = 10_000
"""Groups that one checkpoint may add."""


def of_trail(
    body: HeadSealed | OutboxDamaged | CheckpointMade | ErasureMade,
) -> tuple[Table, Row]:
    """The table of such an event, and what its row has beside its place."""
    match body:
        case HeadSealed():
            return SEAL_EVENTS, (body.sequence, body.head, body.signature)
        case OutboxDamaged():
            lost = tuple(_words(one) for one in body.lost)
            return DAMAGE_EVENTS, (body.kept_in, body.groups, lost)
        case CheckpointMade():
            checkpoint = _checkpoint(body)
            row = (checkpoint.origin, checkpoint.size, checkpoint.root, body.note)
            return CHECKPOINT_EVENTS, row
        case ErasureMade():
            events = sum(len(one.sequences) for one in body.erased)
            what = (body.erasure_id, body.actor, body.reason, body.selector, events)
            return ERASURE_EVENTS, what
        case _:
            assert_never(body)


def leaves_of(event: Event) -> list[tuple[Table, Row]]:
    """A row for each group that a checkpoint added to its log; none for any other event.

    The tree's size behind them is what the note says, so their places follow from it alone.
    """
    body = event.body
    if not isinstance(body, CheckpointMade):
        return []
    checkpoint = _checkpoint(body)
    if checkpoint.origin != event.enforcer:
        raise EventUnreadableError(f"a checkpoint of {checkpoint.origin[:100]!r}, another's log")
    if sum(len(run.events) for run in body.added) > LOGGED_AT_ONCE_MAX:
        raise EventUnreadableError("a checkpoint adds more groups than one may")
    leaf = checkpoint.size - sum(len(run.events) for run in body.added)
    if leaf < 0:
        raise EventUnreadableError("a checkpoint adds more groups than its log has")
    rows: list[tuple[Table, Row]] = []
    for run in body.added:
        first = run.first_sequence
        for count in run.events:
            last = first + count - 1
            row = (checkpoint.origin, leaf, run.enforcer, run.epoch, first, last)
            rows.append((LEAVES, row))
            first, leaf = last + 1, leaf + 1
    return rows


def erased_of(event: Event) -> list[tuple[Table, Row]]:
    """A row for each event whose details an erasure names; none for any other event."""
    if not isinstance(event.body, ErasureMade):
        return []
    return [
        (ERASED, (event.enforcer, events.enforcer, events.epoch, sequence))
        for events in event.body.erased
        for sequence in events.sequences
    ]


def _checkpoint(body: CheckpointMade) -> Checkpoint:
    try:
        return read_checkpoint(note_text(body.note))
    except NoteError as error:
        raise EventUnreadableError(f"its note is none: {error}") from error


def _words(lost: LostEvents) -> str:
    after, before = _place(lost.after, "the beginning"), _place(lost.before, "the end")
    where = f"{lost.segment} at offset {lost.offset}"
    return f"{where}: {lost.reason}; between {after} and {before}"


def _place(position: Position | None, nothing: str) -> str:
    return nothing if position is None else f"{position.epoch}:{position.sequence}"
