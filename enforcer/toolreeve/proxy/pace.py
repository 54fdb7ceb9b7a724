"""How fast an upstream may talk: what it says beyond that waits in its own pipe or socket."""

import msgspec

WAIT_SECONDS_MAX = 1.0


class PaceBounds(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Messages that nobody asked for: so many a second, and a burst at once."""

    per_second: float = 1_000.0
    burst: int = 5_000


class Pace:
    """Counts messages against an allowance. Time comes in as seconds of any clock."""

    __slots__ = ("_at", "_bounds", "_left")

    def __init__(self, bounds: PaceBounds, now: float) -> None:
        self._bounds = bounds
        self._left = float(bounds.burst)
        self._at = now

    def earn(self, count: int = 1) -> None:
        """So many messages have been asked for, and are no flood when they come."""
        self._left += count

    def spend(self, count: int, now: float) -> float:
        """So many have come; the answer is how many seconds nothing more is to be read."""
        bounds = self._bounds
        if now > self._at:
            # What was asked for and never came is no right to a flood later.
            earned = self._left + (now - self._at) * bounds.per_second
            self._left = min(earned, max(self._left, float(bounds.burst)))
            self._at = now
        self._left -= count
        if self._left >= 0:
            return 0.0
        return min(-self._left / bounds.per_second, WAIT_SECONDS_MAX)
