"""What a warehouse says of its loads, and is told to remember beside them."""

from collections.abc import Iterable

from msgspec import Struct

from toolreeve.audit import Event, Position
from toolreeve.warehouse.batch import Anomaly


class Watermark(Struct, frozen=True, kw_only=True):
    """Everything of an enforcer's epoch up to here is durable."""

    enforcer: str
    position: Position
    head: bytes


class Notification(Struct, frozen=True, kw_only=True):
    """Whether a receiver was told of an alert's change."""

    alert_id: str
    status: str
    receiver: str
    delivered: bool
    attempts: int
    detail: str


class LoadReport(Struct, frozen=True, kw_only=True):
    """What a load did. `load` is its number, or the newest one's where it changed nothing.

    `events` are the new ones that could be read, by time and then by place: the order in which
    whoever follows the loads sees them, live or from the rows.
    """

    load: int
    events: tuple[Event, ...] = ()
    duplicates: int = 0
    quarantined: int = 0
    anomalies: tuple[Anomaly, ...] = ()


def in_order(events: Iterable[Event]) -> tuple[Event, ...]:
    """Events as followers see them: by time in microseconds, then enforcer, epoch, sequence."""
    return tuple(sorted(events, key=lambda e: (e.at // 1_000, e.enforcer, e.epoch, e.sequence)))
