"""What is durable of an enforcer's history and what is missing, as values and as messages."""

from collections.abc import Iterable, Sequence

from msgspec import Struct

from toolreeve.audit import Position
from toolreeve.audit.span import EpochSpan, Missing
from toolreeve.v1 import fleet_pb2 as pb

SPANS_MAX = 4096
"""Spans that are said of one enforcer; of more the newest."""


class Durable(Struct, frozen=True):
    """All that is in the warehouse of an enforcer's history. What was said before is void."""

    spans: tuple[EpochSpan, ...]


class Resend(Struct, frozen=True):
    """The warehouse misses this, and the stream does not have it: publish it again."""

    missing: Missing


def write_place(position: Position) -> pb.Place:
    """A place in a history as the contract says it."""
    return pb.Place(epoch=position.epoch, sequence=position.sequence)


def read_place(message: pb.Place) -> Position:
    """A place in a history from the contract."""
    return Position(message.epoch, message.sequence)


def write_spans(spans: Sequence[EpochSpan]) -> list[pb.EpochSpan]:
    """Spans as the contract says them, oldest first."""
    return [
        pb.EpochSpan(epoch=span.epoch, first=span.first, last=span.last)
        for span in sorted(spans)[-SPANS_MAX:]
    ]


def read_spans(messages: Iterable[pb.EpochSpan]) -> tuple[EpochSpan, ...]:
    """Spans from the contract."""
    return tuple(EpochSpan(span.epoch, span.first, span.last) for span in messages)[-SPANS_MAX:]


def write_resend(missing: Missing) -> pb.Resend:
    """What is missing as the contract asks for it."""
    return pb.Resend(after=write_place(missing.after), up_to=write_place(missing.up_to))


def read_resend(message: pb.Resend) -> Missing:
    """What is asked for."""
    return Missing(read_place(message.after), read_place(message.up_to))
