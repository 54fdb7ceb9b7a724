"""How often something has happened to one key lately, and how often it usually does.

Usual is what the `days` whole days before today say, of a window of the rule's length. It is a mean
and a spread (see `negative`). The mean is the largest of

- `floor`: what is thought of a key that nobody has seen;
- the mean over all spans of a window's length, without the busiest `trimmed_share` of them;
- what the busiest of three spans around the same time of day held, on the median of the days, where
  there are three or more: a nightly job is nothing unusual;
- the mean at which a usual day's busiest window would come once a day. A usual day's busiest window
  is the `busy_share` quantile of those of all days, so that what happens on fewer days than the
  rest (a burst, and the burst before it) does not move it, and what happens on most days does.

The spread is `spread` where calls are few, as nobody can learn it from a few; where the trimmed
spans hold one call or more on average it is theirs, by the method of moments; between the two it is
mixed in proportion.
"""

from bisect import bisect_right
from math import ceil
from statistics import median
from typing import Annotated, Generic, TypeVar

from msgspec import Meta, Struct

from toolreeve.decision import Instant
from toolreeve.decision.instant import DAY
from toolreeve.detect import negative

SAME_TIME_DAYS_MIN = 3
WINDOWS_A_SPAN = 2
"""Sliding windows find busier places than spans do, by about as much as twice as many would."""

Item = TypeVar("Item")
Share = Annotated[float, Meta(ge=0, lt=1)]
Positive = Annotated[int, Meta(gt=0)]


class Baseline(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How usual is found; see the head of this file."""

    days: Annotated[int, Meta(gt=0, le=60)] = 21
    trimmed_share: Share = 0.05
    busy_share: Share = 0.9
    floor: Annotated[float, Meta(gt=0)] = 0.02
    spread: Annotated[float, Meta(ge=0)] = 2.0


class Usual(Struct, frozen=True):
    """What a window would usually hold."""

    mean: float
    spread: float


class _Days(Struct, frozen=True):
    """What the days from `begin` up to `today` say."""

    begin: int
    today: int
    days: int
    trimmed: float
    spread: float
    busy: int


class Counts(Generic[Item]):
    """What has happened to one key: the newest window's items, and counts over the days before."""

    def __init__(self, baseline: Baseline, *, window_ns: int, items_max: int) -> None:
        self._baseline = baseline
        self._window_ns = window_ns
        self._items_max = items_max
        self._times: list[Instant] = []
        self._items: list[Item] = []
        self._spans: dict[int, int] = {}
        self._busiest: dict[int, int] = {}  # by day: the most that a window held
        self._known: _Days | None = None
        self.newest = Instant(0)

    def __len__(self) -> int:
        """How many numbers and items are held."""
        return len(self._times) + len(self._spans) + len(self._busiest)

    def add(self, at: Instant, item: Item) -> int:
        """Take in one. How many the window up to the newest holds; 0 if this is too late for it."""
        day, span = at // DAY, at // self._window_ns
        if day > self.newest // DAY:
            self._forget(day)
        if self._known is not None and day < self._known.today:
            self._known = None
        self.newest = max(self.newest, at)
        self._spans[span] = self._spans.get(span, 0) + 1
        if at <= self.newest - self._window_ns:
            self._busiest[day] = max(self._busiest.get(day, 0), self._spans[span])
            return 0
        place = bisect_right(self._times, at)
        self._times.insert(place, at)
        self._items.insert(place, item)
        stale = bisect_right(self._times, self.newest - self._window_ns)
        stale = max(stale, len(self._times) - self._items_max)
        if stale > 0:
            del self._times[:stale]
            del self._items[:stale]
        today = self.newest // DAY
        self._busiest[today] = max(self._busiest.get(today, 0), len(self._times))
        return len(self._times)

    def window(self) -> list[Item]:
        """The items of the window up to the newest, in order of time."""
        return list(self._items)

    @property
    def since(self) -> Instant:
        """When the first of that window came."""
        return self._times[0] if self._times else self.newest

    def usual(self, *, first_day: int) -> Usual:
        """What the window up to the newest would usually hold; `first_day` begins all history."""
        known = self._days(self.newest // DAY, first_day)
        mean = max(self._baseline.floor, known.trimmed, self._same_time(known))
        if known.busy:
            chance = self._window_ns / DAY / WINDOWS_A_SPAN
            mean = max(mean, negative.mean_of(known.busy, chance, self._baseline.spread))
        return Usual(mean, known.spread)

    def _days(self, today: int, first_day: int) -> _Days:
        begin = min(today, max(first_day, today - self._baseline.days))
        if self._known is None or (self._known.begin, self._known.today) != (begin, today):
            self._known = self._look_back(begin, today)
        return self._known

    def _look_back(self, begin: int, today: int) -> _Days:
        days = today - begin
        if days == 0:
            return _Days(begin, today, 0, 0.0, self._baseline.spread, 0)
        a_day = DAY // self._window_ns
        first, end = begin * DAY // self._window_ns, today * DAY // self._window_ns
        counts = sorted((n for at, n in self._spans.items() if first <= at < end), reverse=True)
        dropped = ceil(days * a_day * self._baseline.trimmed_share)
        rest, places = counts[dropped:], days * a_day - dropped
        trimmed = sum(rest) / places
        variance = sum(n * n for n in rest) / places - trimmed * trimmed
        weight = min(1.0, trimmed)
        own = max(0.0, variance - trimmed) / (trimmed * trimmed) if trimmed else 0.0
        spread = (1 - weight) * self._baseline.spread + weight * own
        busiest = sorted(self._busiest.get(day, 0) for day in range(begin, today))
        busy = busiest[max(0, ceil(days * self._baseline.busy_share) - 1)]
        return _Days(begin, today, days, trimmed, spread, busy)

    def _same_time(self, known: _Days) -> float:
        if known.days < SAME_TIME_DAYS_MIN:
            return 0.0
        places = ((self.newest - day * DAY) // self._window_ns for day in range(1, known.days + 1))
        spans = self._spans
        return float(
            median(max(spans.get(place + near, 0) for near in (-1, 0, 1)) for place in places)
        )

    def _forget(self, today: int) -> None:
        """Drop what no baseline reads any more."""
        oldest = today - self._baseline.days
        if self._busiest and min(self._busiest) < oldest:
            first = (oldest - 1) * DAY // self._window_ns
            self._busiest = {day: n for day, n in self._busiest.items() if day >= oldest}
            self._spans = {at: n for at, n in self._spans.items() if at >= first}
