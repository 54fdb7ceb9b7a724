"""A part of an enforcer's history, said by its ends."""

from collections.abc import Iterable

from msgspec import Struct

from toolreeve.audit.event import Position


class EpochSpan(Struct, frozen=True, order=True):
    """Events `first` to `last` of one epoch, both included."""

    epoch: int
    first: int
    last: int


class Missing(Struct, frozen=True):
    """Events behind `after`, up to and with `up_to`, over as many epochs as lie between.

    `Position(0, 0)` stands before every event, and sequence 0 of an epoch before its first.
    """

    after: Position
    up_to: Position


def covers(spans: Iterable[EpochSpan], first: Position, last: Position) -> bool:
    """Whether one of `spans` holds all events of one epoch from `first` to `last`."""
    return any(
        span.epoch == first.epoch == last.epoch
        and span.first <= first.sequence
        and last.sequence <= span.last
        for span in spans
    )
