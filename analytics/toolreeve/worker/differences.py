"""Where an enforcer's account and the warehouse differ, as values and in words."""

from msgspec import Struct

from toolreeve.audit import Position
from toolreeve.wire.fleet import Status
from toolreeve.worker.arrived import Since
from toolreeve.worker.holes import Walk
from toolreeve.worker.open_alerts import Problem


class Standing(Struct, frozen=True):
    """What an enforcer said last, and whether it can be asked for something."""

    status: Status
    connected: bool


class Note(Struct, frozen=True):
    """What an enforcer said, until the warehouse has come so far. `since`: seconds of the loop."""

    position: Position
    head: bytes
    allowed: int
    denied: int
    since: float


def noted(status: Status, now: float) -> Note:
    """What was said now, to be compared when the warehouse has come so far."""
    position = Position(status.epoch, status.sequence)
    return Note(position, status.head, status.allowed, status.denied, now)


def behind(name: str, standing: Standing, note: Note, found: Walk) -> Problem:
    """What was recorded has not arrived in time."""
    status = standing.status
    kept = status.sequence - status.published_sequence
    why = f"{kept} of its events have not left its outbox" if kept else "they left its outbox"
    away = "" if standing.connected else ", and it is not connected to the control plane"
    return Problem(
        severity="warning",
        summary=f"events that {name} has recorded are not in the warehouse: {why}{away}",
        observed=float(found.reached.sequence if found.reached.epoch == note.position.epoch else 0),
        threshold=float(note.position.sequence),
        query=_integrity(name),
    )


def another_head(name: str, note: Note) -> Problem:
    """The warehouse's head is another."""
    at = f"{note.position.epoch}:{note.position.sequence}"
    return Problem(
        severity="critical",
        summary=f"the history of {name} up to {at} is not the one in the warehouse",
        observed=float(note.position.sequence),
        query=_integrity(name),
    )


def broken(name: str, found: Walk) -> Problem:
    """A history did not go on from its end."""
    first = found.breaks[0]
    return Problem(
        severity="critical",
        summary=f"the history of {name} did not go on from its end at {first.behind.epoch}:"
        f"{first.behind.sequence}: its outbox was put back, or made anew, before epoch"
        f" {first.before.epoch}",
        observed=float(first.before.sequence),
        threshold=float(first.behind.sequence),
        query=_integrity(name),
    )


def counts_differ(name: str, note: Note, counted: Since) -> Problem:
    """The decisions were counted otherwise."""
    return Problem(
        severity="critical",
        summary=f"{name} says it allowed {note.allowed} calls and refused {note.denied} in epoch"
        f" {note.position.epoch}; the warehouse has {counted.allowed} and {counted.denied}",
        observed=float(counted.allowed + counted.denied),
        threshold=float(note.allowed + note.denied),
        query=_integrity(name),
    )


def foreign_id(name: str, message_id: str) -> Problem:
    """A message id was another's."""
    return Problem(
        severity="critical",
        summary=f"{name} published under the message id {message_id!r}, which is another's: who"
        " does that can keep the other's message out of the stream; it is sent again",
        query=_integrity(name),
    )


def _integrity(name: str) -> str:
    quoted = name.replace("'", "''")
    return f"FROM integrity WHERE enforcer = '{quoted}'"
