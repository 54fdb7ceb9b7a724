"""One count of one limit: exact, over a sliding window or over calendar windows."""

from bisect import bisect_left
from collections import deque
from decimal import Context, Decimal

from msgspec import Struct

from toolreeve.decision.instant import Instant

ENTRIES_MAX = 100_000

Amount = Decimal | int
"""Calls are counted in plain integers, which are quick; what is spent in decimals."""

_EXACT = Context(prec=400)  # digits: more than any two of JSON's numbers up to a maximum are apart


class Kept(Struct, frozen=True, omit_defaults=True):
    """What one bucket counts, as it is kept over a restart. Amounts are decimals in text.

    `instants` and `amounts` are a sliding window's, `window` and `total` a calendar's.
    """

    instants: list[Instant] = []
    amounts: list[str] | None = None
    window: int = -1
    total: str = "0"


class Sliding:
    """No span of the window's length, wherever it begins, ever holds more than the maximum.

    Keeps what was admitted, each with its instant. One more is admitted as soon as enough of the
    oldest lies a whole window back; no more than that and two further ones are then forgotten, so
    that a call never waits for a long tidying and nothing is kept much longer than it counts.
    Approximations do not do: a generic cell rate admitted 199 and two fixed buckets 185 calls
    where the limit was 100.

    As long as every amount is 1, as calls are, there are instants alone, and their number is what
    they count. With the first other amount, `_amounts` go beside them, and `_total` adds those up.
    """

    __slots__ = ("_amounts", "_instants", "_total", "_window_ns", "owner")
    lease = ""

    def __init__(self, window_ns: int, owner: str) -> None:
        self.owner = owner
        self._window_ns = window_ns
        self._instants: deque[Instant] = deque()
        self._amounts: deque[Amount] | None = None
        self._total: Amount = 0

    def admit(self, amount: Amount, maximum: Amount, at: Instant) -> Instant | None:
        """Count `amount` at `at`, and say `at`; or else say when it would be admitted.

        None for never. No instant that is counted may lie behind `at`.
        """
        if self._amounts is not None or amount != 1:
            return self._admit_amount(amount, maximum, at)
        instants = self._instants
        if instants and instants[0] + self._window_ns <= at:  # two out for one in: it stays short
            instants.popleft()
            if instants and instants[0] + self._window_ns <= at:
                instants.popleft()
        while (count := len(instants)) + 1 > maximum or count >= ENTRIES_MAX:
            if maximum < 1:
                return None
            if instants[0] + self._window_ns > at:
                room = min(int(maximum), ENTRIES_MAX)
                return Instant(instants[count - room] + self._window_ns)
            instants.popleft()
        instants.append(at)
        return at

    def _admit_amount(self, amount: Amount, maximum: Amount, at: Instant) -> Instant | None:
        if amount > maximum:
            return None
        instants, amounts = self._instants, self._weighed()
        for _ in range(2):
            if instants and instants[0] + self._window_ns <= at:
                instants.popleft()
                self._total = _less(self._total, amounts.popleft())
        while _sum(self._total, amount) > maximum or len(instants) >= ENTRIES_MAX:
            if instants[0] + self._window_ns > at:
                return self._free_at(amount, maximum)
            instants.popleft()
            self._total = _less(self._total, amounts.popleft())
        self.enter(amount, at)
        return at

    def _free_at(self, amount: Amount, maximum: Amount) -> Instant:
        """When enough of the oldest lies a whole window back."""
        left, count = self._total, len(self._instants)
        for entered, counted in zip(self._instants, self._weighed(), strict=True):
            left = _less(left, counted)
            count -= 1
            if _sum(left, amount) <= maximum and count < ENTRIES_MAX:
                return Instant(entered + self._window_ns)
        raise AssertionError("an empty window has room for what is not above the maximum")

    def _weighed(self) -> deque[Amount]:
        if self._amounts is None:
            self._amounts = deque([1] * len(self._instants))
            self._total = len(self._instants)
        return self._amounts

    def withdraw(self, amount: Amount) -> None:
        """Undo the latest `admit`, which admitted `amount`."""
        if amount:
            self._instants.pop()
            if self._amounts is not None:
                self._total = _less(self._total, self._amounts.pop())

    def enter(self, amount: Amount, at: Instant) -> None:
        """Count `amount` at `at`, whatever the maximum. No counted instant may lie behind `at`."""
        if not amount:
            return
        if self._amounts is not None or amount != 1:
            self._weighed().append(amount)
            self._total = _sum(self._total, amount)
        self._instants.append(at)

    def take_back(self, amount: Amount, entered: Instant, at: Instant) -> bool:
        """Undo one entry; False where it does not count any more at `at`."""
        if entered + self._window_ns <= at:
            return False
        for place in range(bisect_left(self._instants, entered), len(self._instants)):
            if self._instants[place] != entered:
                return False
            counted = 1 if self._amounts is None else self._amounts[place]
            if counted == amount:
                del self._instants[place]
                if self._amounts is not None:
                    del self._amounts[place]
                    self._total = _less(self._total, amount)
                return True
        return False

    def kept(self) -> "Kept":
        """All that counts here, to be taken up by another bucket."""
        amounts = None if self._amounts is None else [str(amount) for amount in self._amounts]
        return Kept(instants=list(self._instants), amounts=amounts)

    def take_up(self, kept: "Kept") -> None:
        """Count what was kept. Nothing may be counted here yet."""
        self._instants = deque(kept.instants)
        if kept.amounts is not None:
            self._amounts = deque(_read(amount) for amount in kept.amounts)
            self._total = 0
            for amount in self._amounts:
                self._total = _sum(self._total, amount)

    def empty(self, at: Instant) -> bool:
        """Whether nothing here counts any more."""
        return not self._instants or self._instants[-1] + self._window_ns <= at


class Calendar:
    """Windows that begin at whole multiples of their length since 1970 UTC, one after the other."""

    __slots__ = ("_total", "_window", "_window_ns", "owner")
    lease = ""

    def __init__(self, window_ns: int, owner: str) -> None:
        self.owner = owner
        self._window_ns = window_ns
        self._window = -1
        self._total: Amount = 0

    def admit(self, amount: Amount, maximum: Amount, at: Instant) -> Instant | None:
        """Count `amount` at `at`, and say `at`; or else say when it would be admitted.

        None for never.
        """
        window = at // self._window_ns
        if window > self._window:
            self._window, self._total = window, 0
        total = _sum(self._total, amount)
        if total <= maximum:
            self._total = total
            return at
        return None if amount > maximum else Instant((window + 1) * self._window_ns)

    def withdraw(self, amount: Amount) -> None:
        """Undo the latest `admit`, which admitted `amount`."""
        self._total = _less(self._total, amount)

    def enter(self, amount: Amount, at: Instant) -> None:
        """Count `amount` at `at`, whatever the maximum."""
        window = at // self._window_ns
        if window > self._window:
            self._window, self._total = window, 0
        self._total = _sum(self._total, amount)

    def take_back(self, amount: Amount, entered: Instant, at: Instant) -> bool:
        """Undo one entry; False where its window is over at `at`."""
        window = entered // self._window_ns
        if window != self._window or window < at // self._window_ns:
            return False
        self._total = _less(self._total, amount)
        return True

    def kept(self) -> "Kept":
        """All that counts here, to be taken up by another bucket."""
        return Kept(window=self._window, total=str(self._total))

    def take_up(self, kept: "Kept") -> None:
        """Count what was kept. Nothing may be counted here yet."""
        self._window, self._total = kept.window, _read(kept.total)

    def empty(self, at: Instant) -> bool:
        """Whether nothing here counts any more."""
        return at // self._window_ns > self._window


def _read(text: str) -> Amount:
    amount = Decimal(text)
    return int(amount) if amount == int(amount) else amount


def _sum(one: Amount, other: Amount) -> Amount:
    """Without rounding: decimals added the usual way keep 28 digits."""
    if isinstance(one, int) and isinstance(other, int):
        return one + other
    return _EXACT.add(one, other)


def _less(one: Amount, other: Amount) -> Amount:
    if isinstance(one, int) and isinstance(other, int):
        return one - other
    return _EXACT.subtract(one, other)


Bucket = Sliding | Calendar
