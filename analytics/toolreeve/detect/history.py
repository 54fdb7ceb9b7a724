"""What one key (a VM, a grant) has done lately, in bounded memory."""

from bisect import bisect_left, bisect_right, insort
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
        self._open: list[Instant] = []  # times at which windows end that have not crossed a line
        self._crossed: list[Instant] = []  # and those that have
        self._mean: tuple[int, float, int] | None = None  # see `_usual_mean`
        self._spans: dict[int, int] = {}
        self._oldest_span = 0
        self.newest = Instant(0)

    def add(self, attempt: Attempt) -> bool:
        """Take in one attempt. Whether it is recent enough to be judged."""
        span = attempt.at // self._window_ns
        self.newest = max(self.newest, attempt.at)
        self._spans[span] = self._spans.get(span, 0) + 1
        if self._mean is not None and span < self._mean[0]:
            self._mean = None
        self._oldest_span = min(span, self._oldest_span or span)
        self._forget_spans()
        if attempt.at < self.newest - self._keep_ns:
            return False
        place = bisect_right(self._times, attempt.at)
        self._times.insert(place, attempt.at)
        self._attempts.insert(place, attempt)
        if not (_holds(self._open, attempt.at) or _holds(self._crossed, attempt.at)):
            insort(self._open, attempt.at)
        stale = bisect_left(self._times, self.newest - self._keep_ns)
        stale = max(stale, len(self._times) - self._attempts_max)
        if stale > 0:
            del self._times[:stale]
            del self._attempts[:stale]
            for ends in (self._open, self._crossed):
                del ends[: bisect_left(ends, self._times[0])]
        return True

    def __len__(self) -> int:
        """How many attempts are kept one by one."""
        return len(self._times)

    def window(self, end: Instant) -> list[Attempt]:
        """Attempts of the window that ends at `end`, in order of time."""
        first = bisect_right(self._times, end - self._window_ns)
        return self._attempts[first : bisect_right(self._times, end)]

    def windows(self, at: Instant) -> list[tuple[Instant, int]]:
        """Each window that ends with an attempt, holds `at` and has not crossed: (end, count).

        In a burst nearly all have, so that what is late is judged as fast as what is not.
        """
        first = bisect_left(self._open, at)
        ends = self._open[first : bisect_left(self._open, at + self._window_ns)]
        return [(end, self._count(end)) for end in ends]

    def crossed(self, end: Instant) -> None:
        """The window that ends at `end` has crossed a line: `windows` leaves it out from now on."""
        place = bisect_left(self._open, end)
        assert self._open[place] == end, "it came from `windows`"
        del self._open[place]
        insort(self._crossed, end)

    def has_crossed(self, at: Instant) -> bool:
        """Whether a window that holds `at` has."""
        place = bisect_left(self._crossed, at)
        return place < len(self._crossed) and self._crossed[place] < at + self._window_ns

    def forget_crossings(self) -> None:
        """Judge every window anew that is asked for from here on."""
        self._open, self._crossed = sorted({*self._times}), []

    def _count(self, end: Instant) -> int:
        first = bisect_right(self._times, end - self._window_ns)
        return bisect_right(self._times, end) - first

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
        first = (end - self._window_ns) // self._window_ns  # the first span that the window touches
        if self._mean is None or self._mean[0] != first:
            self._mean = (first, *self._usual_mean(first))
        _, mean, days = self._mean
        return max(self._usual.floor, mean, self._same_time(end, days))

    def _usual_mean(self, first: int) -> tuple[float, int]:
        """The mean over the spans before `first`, and how many days they reach back."""
        day = DAY // self._window_ns
        spans_max = self._usual.days * day
        spans = {at: n for at, n in self._spans.items() if first - spans_max <= at < first}
        if not spans:
            return 0.0, 0
        elapsed = min(spans_max, max(day, first - min(spans)))
        dropped = ceil(elapsed * self._usual.trimmed_share)
        rest = sorted(spans.values(), reverse=True)[dropped:]
        return sum(rest) / (elapsed - dropped), elapsed // day

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
            self._mean = None


def _holds(ordered: list[Instant], at: Instant) -> bool:
    place = bisect_left(ordered, at)
    return place < len(ordered) and ordered[place] == at
