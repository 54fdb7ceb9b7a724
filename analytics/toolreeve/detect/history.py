"""What one key (a VM, a grant) has done lately, in bounded memory."""

from bisect import bisect_left, bisect_right
from math import ceil
from statistics import median

from msgspec import Struct

from toolreeve.decision import Instant
from toolreeve.decision.instant import DAY
from toolreeve.detect.attempt import Attempt

SAME_TIME_DAYS_MIN = 3


class Usual(Struct, frozen=True, kw_only=True):
    """How a baseline is taken from `days` of history; see `History.usual`.

    `trimmed_share` of the busiest spans is left out. `floor` is the least that is ever expected
    in a window: what is thought of a key that nobody has seen.
    """

    days: int
    trimmed_share: float
    floor: float


class History:
    """Attempts of one key: the newest each by itself, all of the baseline's days in spans.

    A span is as long as a window and begins at a multiple of its length. Attempts may come late.
    What is older than `keep_ns` behind the newest is only counted.
    """

    def __init__(self, usual: Usual, *, window_ns: int, keep_ns: int, attempts_max: int) -> None:
        self._usual = usual
        self._window_ns = window_ns
        self._keep_ns = keep_ns
        self._attempts_max = attempts_max
        self._times: list[Instant] = []
        self._attempts: list[Attempt] = []
        self._spans: dict[int, int] = {}
        self._oldest_span = 0
        self.newest = Instant(0)

    def add(self, attempt: Attempt) -> bool:
        """Take in one attempt. Whether it is recent enough to be judged."""
        span = attempt.at // self._window_ns
        self.newest = max(self.newest, attempt.at)
        self._spans[span] = self._spans.get(span, 0) + 1
        self._oldest_span = min(span, self._oldest_span or span)
        self._forget_spans()
        if attempt.at < self.newest - self._keep_ns:
            return False
        place = bisect_right(self._times, attempt.at)
        self._times.insert(place, attempt.at)
        self._attempts.insert(place, attempt)
        stale = bisect_left(self._times, self.newest - self._keep_ns)
        stale = max(stale, len(self._times) - self._attempts_max)
        if stale > 0:
            del self._times[:stale]
            del self._attempts[:stale]
        return True

    def __len__(self) -> int:
        """How many attempts are kept one by one."""
        return len(self._times)

    def window(self, end: Instant) -> list[Attempt]:
        """Attempts of the window that ends at `end`, in order of time."""
        first = bisect_right(self._times, end - self._window_ns)
        return self._attempts[first : bisect_right(self._times, end)]

    def windows(self, at: Instant) -> list[tuple[Instant, int]]:
        """Each window that ends with an attempt and holds `at`: (end, count)."""
        found: list[tuple[Instant, int]] = []
        first = bisect_left(self._times, at)
        for place in range(first, bisect_left(self._times, at + self._window_ns)):
            end = self._times[place]
            if place + 1 < len(self._times) and self._times[place + 1] == end:
                continue
            found.append((end, place + 1 - bisect_right(self._times, end - self._window_ns)))
        return found

    def usual(self, end: Instant) -> float:
        """How many attempts the window that ends at `end` would usually hold.

        The largest of three:

        - the floor;
        - the mean over the whole spans before the window, back to the key's first attempt (a day
          at least, the baseline's days at most), without the busiest `trimmed_share` of them, so
          that a few bursts do not become the rule;
        - what the spans at the same time of day held on the median of the days before, where there
          are three or more: a nightly job is nothing unusual, and a burst on fewer than half of
          the days does not move it.
        """
        day = DAY // self._window_ns
        first = (end - self._window_ns) // self._window_ns  # the first span that the window touches
        spans_max = self._usual.days * day
        spans = {at: n for at, n in self._spans.items() if first - spans_max <= at < first}
        if not spans:
            return self._usual.floor
        elapsed = min(spans_max, max(day, first - min(spans)))
        dropped = ceil(elapsed * self._usual.trimmed_share)
        rest = sorted(spans.values(), reverse=True)[dropped:]
        mean = sum(rest) / (elapsed - dropped)
        return max(self._usual.floor, mean, self._same_time(end, elapsed // day))

    def _same_time(self, end: Instant, days: int) -> float:
        if days < SAME_TIME_DAYS_MIN:
            return 0.0
        return float(median(self._busiest(end - day * DAY) for day in range(1, days + 1)))

    def _busiest(self, end: int) -> int:
        last = end // self._window_ns
        return max(self._spans.get(last, 0), self._spans.get(last - 1, 0))

    def _forget_spans(self) -> None:
        """Drop what no baseline reads any more, a day at a time."""
        day = DAY // self._window_ns
        oldest = self.newest // self._window_ns - (self._usual.days + 1) * day
        if self._oldest_span < oldest - day:
            self._spans = {at: n for at, n in self._spans.items() if at >= oldest}
            self._oldest_span = min(self._spans)
