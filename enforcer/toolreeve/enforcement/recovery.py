"""What an enforcer learns from its own outbox when it starts again.

Every admitted call was on disk before it was forwarded, so the counters can be rebuilt exactly;
and a decision without an outcome is a call that nobody can say the end of.
"""

from msgspec import Struct

from toolreeve.audit import Completed, Decided, Effect, Event, Outcome, Position, Reservation
from toolreeve.decision import Counters, Instant, KeptBucket


class OpenCall(Struct, frozen=True):
    """A call that was let through and has not ended, and what it counted under limits."""

    decision_id: str
    reservations: tuple[Reservation, ...] = ()


class Memory(Struct, frozen=True, kw_only=True):
    """What an enforcer's history comes to up to `position`: no event before it need be read."""

    position: Position
    latest_at: Instant
    buckets: tuple[KeptBucket, ...] = ()
    open: tuple[OpenCall, ...] = ()


class Recovered(Struct, frozen=True, kw_only=True):
    """The outcome of recovery: what is to be appended, and the latest instant on record."""

    unknown: tuple[Completed, ...]
    latest_at: Instant | None


class Recovery:
    """Reads events oldest first, then gives what was `Recovered`.

    What a call counted stands in its own record, so the counters come back as they were, whatever
    has become of the policy since.
    """

    def __init__(self, counters: Counters) -> None:
        self._counters = counters
        self._open: dict[str, tuple[Reservation, ...]] = {}
        self._latest: Instant | None = None

    def take_up(self, memory: Memory) -> None:
        """Begin where a memory ends, instead of at the beginning of the history."""
        self._counters.take_up(memory.buckets, memory.latest_at)
        self._latest = memory.latest_at
        for one in memory.open:
            self._open[one.decision_id] = one.reservations

    def read(self, event: Event) -> None:
        """Take one event into account."""
        self._latest = event.at if self._latest is None else max(self._latest, event.at)
        body = event.body
        if isinstance(body, Completed):
            for reservation in self._open.pop(body.decision_id, ()):
                if reservation.counter in body.refunded:
                    self._counters.refund(reservation, event.at)
        elif isinstance(body, Decided) and body.effect is Effect.ALLOW:
            self._open[event.id] = body.reservations
            for reservation in body.reservations:
                self._counters.restore(reservation)

    def finish(self) -> Recovered:
        """What is to be done before the first call."""
        unknown = tuple(
            Completed(
                decision_id=decision_id, outcome=Outcome.UNKNOWN, detail="the enforcer was killed"
            )
            for decision_id in self._open
        )
        return Recovered(unknown=unknown, latest_at=self._latest)
