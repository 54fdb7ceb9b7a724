"""Counters that can be looked into, for explanations and tests of policies."""

from collections import deque
from collections.abc import Sequence
from decimal import Decimal

from toolreeve.decision.call import Call
from toolreeve.decision.counters import BadAmount, Counters, Exceeded, Leaseless, PreparedLimit
from toolreeve.decision.instant import Instant
from toolreeve.decision.verdict import Reservation


class OpenCounters(Counters):
    """Counts exactly as an enforcer does, and remembers what it has counted.

    An enforcer keeps less: this one is for the few calls of an explanation or of a test.
    """

    def __init__(self, key: bytes = b"") -> None:
        super().__init__(key)
        self._counted: dict[tuple[str, str], deque[Reservation]] = {}

    def reserve(
        self, limits: Sequence[PreparedLimit], call: Call, at: Instant
    ) -> tuple[Reservation, ...] | Exceeded | BadAmount | Leaseless:
        """Count `call` under every limit, or under none and say which one stands in the way."""
        reserved = super().reserve(limits, call, at)
        if isinstance(reserved, tuple):
            for one in reserved:
                self._counted.setdefault((one.counter, one.bucket), deque()).append(one)
        return reserved

    def refund(self, reservation: Reservation, at: Instant) -> bool:
        """Give back what one reservation counted, once, and never after its window."""
        given_back = super().refund(reservation, at)
        if given_back:
            self._counted[reservation.counter, reservation.bucket].remove(reservation)
        return given_back

    def counted(self, prepared: PreparedLimit, call: Call, at: Instant) -> Decimal:
        """How much stands under a limit at `at`, for the owner and the values of `call`."""
        entries = self._counted.get((prepared.limit.counter, self._owner(prepared, call)), ())
        total = Decimal(0)
        for entry in entries:
            if entry.calendar:
                counts = entry.at // entry.window_ns == at // entry.window_ns
            else:
                counts = entry.at + entry.window_ns > at
            if counts and entry.window_ns == prepared.limit.window_ns:
                total += entry.amount
        return total

    def look(
        self, prepared: PreparedLimit, call: Call, at: Instant
    ) -> Reservation | Exceeded | BadAmount:
        """What `call` would get from one limit alone. Nothing stays counted."""
        found = super().reserve((prepared,), call, at)
        assert not isinstance(found, Leaseless), "counters that can be looked into count alone"
        if not isinstance(found, tuple):
            return found
        super().refund(found[0], at)
        return found[0]
