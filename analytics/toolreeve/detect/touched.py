"""What was touched lately: names, each with the first and the last day; and days by themselves."""

from bisect import bisect_left, insort
from collections import OrderedDict


class Touched:
    """Names touched within the last `days` days. What is older, or too much, is forgotten.

    Forgetting by age goes by the day of what is shown, so that one that was shown only the last
    `days` days knows the same names (but not since when, where that is longer ago).
    """

    def __init__(self, days: int, *, things_max: int) -> None:
        self._days = days
        self._things_max = things_max
        self._things: OrderedDict[str, tuple[int, int]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._things)

    def touch(self, thing: str, day: int) -> bool:
        """Note a name. Whether it is new: not touched on any of the days before, nor today."""
        known = self._things.get(thing)
        if known is not None and known[1] >= day - self._days:
            self._things[thing] = (min(known[0], day), max(known[1], day))
            self._things.move_to_end(thing)
            return False
        self._things[thing] = (day, day)
        self._things.move_to_end(thing)
        self._forget(day)
        return True

    def knows(self, thing: str, day: int) -> bool:
        """Whether a name was touched today or on one of the days before."""
        known = self._things.get(thing)
        return known is not None and known[1] >= day - self._days

    def since(self, thing: str) -> int | None:
        """The first of the days on which a name was touched, as far as is known."""
        known = self._things.get(thing)
        return None if known is None else known[0]

    def others(self, thing: str, day: int) -> int:
        """How many other names were touched today or on one of the days before."""
        known = sum(last >= day - self._days for _, last in self._things.values())
        return known - self.knows(thing, day)

    def _forget(self, day: int) -> None:
        while self._things:
            thing, (_, last) = next(iter(self._things.items()))
            if len(self._things) <= self._things_max and last >= day - self._days:
                break
            del self._things[thing]


class Days:
    """The days on which anything was seen, of the last `days` and today."""

    def __init__(self, days: int) -> None:
        self._days = days
        self._seen: list[int] = []

    def note(self, day: int) -> None:
        """Something was seen on a day."""
        if self._seen and self._seen[-1] == day:
            return
        place = bisect_left(self._seen, day)
        if place == len(self._seen) or self._seen[place] != day:
            insort(self._seen, day)
            del self._seen[: bisect_left(self._seen, self._seen[-1] - self._days)]

    def __len__(self) -> int:
        return len(self._seen)

    def before(self, day: int) -> int:
        """How many of them lie before a day, and not too long before it."""
        return bisect_left(self._seen, day) - bisect_left(self._seen, day - self._days)

    @property
    def first(self) -> int:
        """The oldest of them: before it nothing is known. There is one, once a day was noted."""
        return self._seen[0]
