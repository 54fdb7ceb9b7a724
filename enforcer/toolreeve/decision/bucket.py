"""One count of one limit: exact, over a sliding window or over calendar windows."""

from collections import deque
from decimal import Decimal

from toolreeve.decision.instant import Instant

ENTRIES_MAX = 100_000

Amount = Decimal | int
"""Calls are counted in plain integers, which are quick; what is spent in decimals."""


class Sliding:
    """No span of the window's length, wherever it begins, ever holds more than the maximum.

    Keeps what was admitted within one window, each with its instant. One more is admitted as soon
    as enough of the oldest lies a whole window back. Approximations do not do: a generic cell
    rate admitted 199 and two fixed buckets 185 calls where the limit was 100.
    """

    __slots__ = ("_entries", "_total", "_window_ns")

    def __init__(self, window_ns: int) -> None:
        self._window_ns = window_ns
        self._entries: deque[tuple[Instant, Amount]] = deque()
        self._total: Amount = 0

    def free_at(self, amount: Amount, maximum: Amount, at: Instant) -> Instant | None:
        """When `amount` more is admitted: `at` itself, a later instant, or None for never."""
        entries, window = self._entries, self._window_ns
        while entries and entries[0][0] + window <= at:
            self._total -= entries.popleft()[1]
        if self._total + amount <= maximum and len(entries) < ENTRIES_MAX:
            return at
        if amount > maximum:
            return None
        left = self._total
        for place, (entered, counted) in enumerate(entries):
            left -= counted
            if left + amount <= maximum and len(entries) - place - 1 < ENTRIES_MAX:
                return Instant(entered + window)
        return None

    def enter(self, amount: Amount, at: Instant) -> None:
        """Count `amount` at `at`, which no earlier entry lies behind."""
        if amount:
            self._entries.append((at, amount))
            self._total += amount

    def take_back(self, amount: Amount, entered: Instant, at: Instant) -> bool:
        """Undo one entry; False where it does not count any more at `at`."""
        if entered + self._window_ns <= at:
            return False
        try:
            self._entries.remove((entered, amount))
        except ValueError:
            return False
        self._total -= amount
        return True

    def empty(self, at: Instant) -> bool:
        """Whether nothing here counts any more."""
        return not self._entries or self._entries[-1][0] + self._window_ns <= at


class Calendar:
    """Windows that begin at whole multiples of their length since 1970 UTC, one after the other."""

    __slots__ = ("_total", "_window", "_window_ns")

    def __init__(self, window_ns: int) -> None:
        self._window_ns = window_ns
        self._window = -1
        self._total: Amount = 0

    def free_at(self, amount: Amount, maximum: Amount, at: Instant) -> Instant | None:
        """When `amount` more is admitted: `at` itself, the next window, or None for never."""
        window = at // self._window_ns
        if window > self._window:
            self._window, self._total = window, 0
        if self._total + amount <= maximum:
            return at
        return None if amount > maximum else Instant((window + 1) * self._window_ns)

    def enter(self, amount: Amount, at: Instant) -> None:
        """Count `amount` at `at`."""
        window = at // self._window_ns
        if window > self._window:
            self._window, self._total = window, 0
        self._total += amount

    def take_back(self, amount: Amount, entered: Instant, at: Instant) -> bool:
        """Undo one entry; False where its window is over at `at`."""
        window = entered // self._window_ns
        if window != self._window or window < at // self._window_ns:
            return False
        self._total -= amount
        return True

    def empty(self, at: Instant) -> bool:
        """Whether nothing here counts any more."""
        return at // self._window_ns > self._window


Bucket = Sliding | Calendar
