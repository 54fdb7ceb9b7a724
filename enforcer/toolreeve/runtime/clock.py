"""The clock that the rest of the product is handed."""

import time
from collections.abc import Callable

from toolreeve.decision import Instant


class Clock:
    """Wall time that never steps back.

    The wall clock is read once; from then on elapsed time is counted on the boot clock, which no
    administrator and no time server sets, and which goes on while the machine sleeps. `not_before`
    is the latest instant already on record: where the wall clock stands before it (it was set
    back, or the machine's battery failed), time goes on from the record, so that no limit is
    refilled by a clock.
    """

    def __init__(
        self,
        *,
        not_before: Instant | None = None,
        wall_ns: Callable[[], int] = time.time_ns,
        elapsed_ns: Callable[[], int] = lambda: time.clock_gettime_ns(time.CLOCK_BOOTTIME),
    ) -> None:
        self._elapsed_ns = elapsed_ns
        self._offset = max(wall_ns(), not_before or 0) - elapsed_ns()

    def now(self) -> Instant:
        """Nanoseconds since 1970 UTC; never less than what it said before."""
        return Instant(self._elapsed_ns() + self._offset)
