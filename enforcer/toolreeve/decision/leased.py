"""One count that a fleet shares, at one enforcer. (The theory stands at the head of `lease`.)"""

from collections import deque
from decimal import ROUND_CEILING, Context, Decimal
from typing import Protocol

from toolreeve.decision.bucket import Amount
from toolreeve.decision.instant import MILLISECOND, Instant
from toolreeve.decision.lease import MILLIONTHS, SHARE_LIFE_NS, LeaseAsk, LeaseGiven, Settled

_UPWARDS = Context(prec=400, rounding=ROUND_CEILING)

WANTS = Instant(-1)
"""What a leased bucket answers instead of an instant: there is no block for this call."""

PAUSE_NS = 250 * MILLISECOND
"""How long nobody asks again for what was just said to be used up; others may give back."""

AHEAD_AGAIN_NS = 50 * MILLISECOND
AHEAD_LEAST = 8
SETTLED_AT_ONCE_MAX = 256
SETTLED_KEPT_MAX = 4_096


Key = tuple[str, str, int, bool]
"""Counter, owner, window, calendar."""


class Desk(Protocol):
    """Where a count leaves word that something is to be asked."""

    connected: bool

    def note(self, bucket: "Leased") -> None:
        """Have `ask` called soon."""
        ...


class _Block:
    __slots__ = ("given", "lease_id", "left", "until", "window")

    def __init__(self, lease_id: str, given: int, until: int, window: int) -> None:
        self.lease_id = lease_id
        self.given = given
        self.left = given
        self.until = until
        self.window = window


class Leased:
    """One count that the fleet shares: the blocks of it that lie here, and what is asked for.

    `lease` names the block that the latest `admit` used. `number` tells buckets apart.
    """

    def __init__(
        self, desk: Desk, number: int, key: Key, *, server: str, spends: bool, share: str = ""
    ) -> None:
        self.counter, self.owner, self.window_ns, self.calendar = key
        self.server = server
        self.spends = spends
        self.number = number
        self.lease = ""
        self._desk = desk
        self.asked: LeaseAsk | None = None
        self.asked_at = Instant(0)
        self.owed: deque[Settled] = deque(maxlen=SETTLED_KEPT_MAX)
        self._blocks: list[_Block] = []
        self._spent: dict[str, _Block] = {}
        self._need = 0
        self._least = 0
        self._pace = 0
        self._full_until = 0
        self._cut_until = 0
        self._ahead_at = 0
        self._looks_ahead = False
        self._retry_at = Instant(0)
        self._share_name = share
        self._share = 0
        self._share_until = 0

    def admit(self, amount: Amount, maximum: Amount, at: Instant) -> Instant | None:
        """Count `amount` in a block, and say `at`; or when it would be admitted; None for never.

        `WANTS` where another block would have to be had first.
        """
        charge, most = self._units(amount), self._units_within(maximum)
        if charge > most:
            return None
        if not charge:
            self.lease = ""
            return at
        window = self._window(at)
        for block in self._blocks:
            if block.left >= charge and block.until > at and block.window == window:
                block.left -= charge
                self.lease = block.lease_id
                if not block.left:
                    self._spend(block)
                if block.left * 4 < block.given and block.given >= AHEAD_LEAST:
                    self._look_ahead(at)
                return at
        if at < self._full_until:
            return Instant(max(self._retry_at, at + 1))
        self._want(charge, at)
        return WANTS

    @property
    def waits(self) -> bool:
        """Whether an answer is to come that may help who wants."""
        return self.asked is not None or self._need > 0

    def withdraw(self, amount: Amount) -> None:
        """Undo the latest `admit`, which admitted `amount`."""
        self._put_back(self.lease, self._units(amount))

    def refund(self, lease: str, amount: Amount, at: Instant) -> bool:
        """Give back what one reservation counted, while its block may be used."""
        block = self._of(lease)
        if block is None or block.until <= at or block.window != self._window(at):
            return False
        return self._put_back(lease, self._units(amount))

    def ask(self, lease_id: str, at: Instant) -> LeaseAsk | None:
        """What is to be asked now; from then on nothing else is until there is an answer."""
        self.expire(at)
        wants = self._need or self.owed or self._looks_ahead or self.share_due(at)
        if self.asked is not None or not wants:
            return None
        if self._need:
            self._give_up(at)  # what is too little for the first call is told back, not kept beside
        most = min(len(self.owed), SETTLED_AT_ONCE_MAX)
        self.asked = LeaseAsk(
            lease_id=lease_id,
            server=self.server,
            counter=self.counter,
            owner=self.owner,
            window=self._window(at),
            need=self._need,
            least=self._least,
            ahead=self._pace if self._need or self._looks_ahead else 0,
            settled=tuple(self.owed.popleft() for _ in range(most)),
            share=self._share_name if at >= self._share_until - SHARE_LIFE_NS // 2 else "",
        )
        self.asked_at = at
        self._looks_ahead = False
        return self.asked

    def given(self, answer: LeaseGiven, at: Instant) -> None:
        """Take up what was asked for. Who wanted may try again."""
        ask = self.asked
        assert ask is not None, "only what was asked for is given"
        self.asked = None
        self._need = self._least = 0
        until = self.asked_at + answer.life_ns
        if self.calendar:
            until = min(until, (ask.window + 1) * self.window_ns)
        if answer.amount > 0 and until > at:
            self._blocks.append(_Block(answer.lease_id, answer.amount, until, ask.window))
        elif answer.amount > 0 or not answer.known:
            self.owed.append(Settled(answer.lease_id, 0))
        if answer.share:
            self._share = answer.share
            self._share_until = self.asked_at + answer.share_life_ns
        if not answer.known:
            self._cut_until = at + PAUSE_NS
        elif answer.amount < ask.need:
            retry_at = at + answer.retry_ns
            if self.calendar:
                retry_at = min(retry_at, (ask.window + 1) * self.window_ns)
            self._retry_at = Instant(retry_at)
            self._full_until = min(retry_at, at + PAUSE_NS)
        else:
            self._full_until = 0

    def lose(self, at: Instant) -> None:
        """No answer will come: whatever was given for it was not used."""
        ask, self.asked = self.asked, None
        self._need = self._least = 0
        if ask is not None:
            self.owed.append(Settled(ask.lease_id, 0))
            self.owed.extend(ask.settled)  # perhaps nobody heard
        self._cut_until = at + PAUSE_NS

    def share(self, at: Instant) -> Amount:
        """How much of each window this enforcer may count by itself at `at`."""
        if at >= self._share_until:
            return 0
        return Decimal(self._share).scaleb(-6) if self.spends else self._share

    def share_due(self, at: Instant) -> bool:
        """Whether its share is to be asked for again: long before it is over."""
        return self._share_until > 0 and at >= self._share_until - SHARE_LIFE_NS // 2

    def expire(self, at: Instant) -> None:
        """Let go of blocks that may not be used any more."""
        window = self._window(at)
        for block in [b for b in self._blocks if b.until <= at or b.window != window]:
            self._blocks.remove(block)
            self._pace = block.given - block.left
            self.owed.append(Settled(block.lease_id, block.given - block.left))
        for lease_id, block in tuple(self._spent.items()):
            if block.until <= at:
                del self._spent[lease_id]

    @property
    def idle(self) -> bool:
        """Whether nothing lies here and nothing is to be said."""
        return not (self._blocks or self._spent or self.owed or self._need or self.asked)

    def _window(self, at: Instant) -> int:
        return at // self.window_ns if self.calendar else -1

    def _units(self, amount: Amount) -> int:
        if not self.spends:
            return int(amount)
        return int(_UPWARDS.multiply(Decimal(amount), MILLIONTHS).to_integral_value(ROUND_CEILING))

    def _units_within(self, maximum: Amount) -> int:
        return int(Decimal(maximum) * MILLIONTHS) if self.spends else int(maximum)

    def _want(self, charge: int, at: Instant) -> None:
        if not self._desk.connected or at < self._cut_until:
            return
        self._least = self._least or charge
        self._need += charge
        self._desk.note(self)

    def _look_ahead(self, at: Instant) -> None:
        if self.asked is None and at >= self._full_until and at >= self._ahead_at + AHEAD_AGAIN_NS:
            self._ahead_at, self._looks_ahead = at, True
            self._desk.note(self)

    def _spend(self, block: _Block) -> None:
        self._blocks.remove(block)
        self._spent[block.lease_id] = block
        self._pace = 2 * block.given

    def _give_up(self, at: Instant) -> None:
        for block in self._blocks:
            block.until = at
            self.owed.append(Settled(block.lease_id, block.given - block.left))
        self._blocks.clear()

    def _of(self, lease: str) -> _Block | None:
        for block in self._blocks:
            if block.lease_id == lease:
                return block
        return self._spent.get(lease)

    def _put_back(self, lease: str, charge: int) -> bool:
        block = self._of(lease)
        if block is None:
            return False
        block.left += charge
        if self._spent.pop(lease, None) is not None:
            self._blocks.append(block)
        return True
