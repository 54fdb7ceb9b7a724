"""Time as the product counts it."""

from typing import NewType

Instant = NewType("Instant", int)
"""Nanoseconds since 1970-01-01 UTC, by a clock that never steps back inside a process."""

MILLISECOND = 1_000_000
SECOND = 1_000_000_000
MINUTE = 60 * SECOND
HOUR = 60 * MINUTE
DAY = 24 * HOUR


def milliseconds_until(later: Instant, now: Instant) -> int:
    """Whole milliseconds from `now` to `later`, rounded up: waiting so long is long enough."""
    return max(0, -((now - later) // MILLISECOND))
