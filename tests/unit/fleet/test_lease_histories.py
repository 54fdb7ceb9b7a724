"""A fleet under one limit: delays, partitions, crashes, wrong clocks, replicas that come and go.

Enforcers and replicas are the product's own; the network and the ledger are played. True time is
known to the test alone: every clock here has an offset and a rate of its own. A history that fails
names its seed.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random

import pytest

from toolreeve.decision import Instant, leased
from toolreeve.decision.bucket import Sliding
from toolreeve.decision.lease import LeaseAsk, LeaseGiven
from toolreeve.decision.lease_book import LeaseBook
from toolreeve.decision.leased import WANTS, Leased
from toolreeve.fleet import lease
from toolreeve.fleet.lease import Terms
from toolreeve.fleet.teller import Proposal, Teller

SECOND = 1_000_000_000
WINDOW = 10 * SECOND
MOST = 6
ENFORCERS = 3
REPLICAS = 2
SHORT = [0, 0, 0, 1, 1, 2, 5, 9]
DAY = 86_400 * SECOND


@dataclass
class Clock:
    """Somebody's clock: where it stands at true time 0, and how fast it runs, in millionths."""

    offset: int
    per_million: int

    def at(self, true: int) -> int:
        return self.offset + true + true * self.per_million // 1_000_000


@dataclass
class Enforcer:
    name: str
    clock: Clock
    lives: int = 0
    book: LeaseBook = field(default_factory=lambda: LeaseBook("0"))
    admitted: list[tuple[str, int]] = field(default_factory=list[tuple[str, int]])
    disks: int = 0
    own: Sliding = field(default_factory=lambda: Sliding(WINDOW, ""))  # counted in its share


@dataclass
class Replica:
    clock: Clock
    boot: str
    teller: Teller


class World:
    """One history. Which faults there are is drawn first, so that some have few and some many."""

    def __init__(self, seed: int) -> None:
        self.chance = chance = Random(seed)
        self.calendar = chance.random() < 0.25
        self.shares = not self.calendar and chance.random() < 0.5
        share = chance.choice([1, 2]) if self.shares else 0
        self.terms = Terms(window_ns=WINDOW, maximum=MOST, calendar=self.calendar, share=share)
        self.true = 0
        self.ledger: list[bytes] = []
        self.used: list[tuple[int, int]] = []  # true time and calendar window of each that counts
        self.asked: list[tuple[int, int, LeaseAsk]] = []  # enforcer, its life, what it asks
        self.answers: list[tuple[int, int, LeaseGiven]] = []
        self.landing: list[tuple[int, bytes]] = []  # writes that nobody has heard of yet
        self.boots = 0
        self.shared = 0
        self.replicas = [self.replica(Clock(index * DAY, 0)) for index in range(REPLICAS)]
        rates = [chance.choice([-400, 0, 400]) for _ in range(ENFORCERS)]
        skew = chance.choice([0, WINDOW // 3]) if self.calendar else DAY
        self.enforcers = [
            Enforcer(f"e{index}", Clock(index * skew, rate)) for index, rate in enumerate(rates)
        ]
        for enforcer in self.enforcers:
            self.restart(enforcer)
        faults: list[Callable[[], None]] = [
            self.lose_the_stream,
            self.land,
            self.refund,
            self.crash_an_enforcer,
            self.crash_a_replica,
        ]
        self.faults = chance.sample(faults, chance.randint(0, len(faults)))
        self.writes = ["stored"] * 6 + chance.sample(["unheard", "late", "lost"], 2)
        self.loses = chance.choice([0.0, 0.1, 0.4])
        self.repeats = chance.choice([0.0, 0.2])

    def step(self) -> None:
        draw = self.chance.random()
        if draw < 0.35:
            self.call()
        elif draw < 0.5:
            self.send()
        elif draw < 0.65:
            self.serve()
        elif draw < 0.8:
            self.answer()
        elif draw < 0.93 or not self.faults:
            long = self.chance.random() < 0.15
            tenths = self.chance.choice([11, 30, 89, 91, 99, 101, 109, 111] if long else SHORT)
            self.true += tenths * SECOND // 10
        else:
            self.chance.choice(self.faults)()

    def somebody(self) -> tuple[int, Enforcer, Instant]:
        which = self.chance.randrange(ENFORCERS)
        enforcer = self.enforcers[which]
        return which, enforcer, Instant(enforcer.clock.at(self.true))

    def restart(self, enforcer: Enforcer) -> None:
        enforcer.lives += 1
        share = f"{enforcer.name} {enforcer.disks}"
        enforcer.book = LeaseBook(str(enforcer.lives), share=share)
        enforcer.book.connect(connected=True, at=Instant(enforcer.clock.at(self.true)))
        enforcer.admitted = []

    def bucket(self, enforcer: Enforcer, at: Instant) -> Leased:
        key = ("restarts", "fleet vm", WINDOW, self.calendar)
        found = enforcer.book.bucket(
            key, server="vm", spends=False, keep=True, at=at, shares=self.shares
        )
        assert found is not None
        return found

    def replica(self, clock: Clock) -> Replica:
        self.boots += 1
        boot = f"boot {self.boots}"
        return Replica(clock, boot, Teller(boot))

    def call(self) -> None:
        _, enforcer, at = self.somebody()
        for _ in range(self.chance.randint(1, MOST + 1)):
            bucket = self.bucket(enforcer, at)
            answer = bucket.admit(1, MOST, at)
            if answer == at:
                self.used.append((self.true, at // WINDOW))
                enforcer.admitted.append((bucket.lease, len(self.used) - 1))
            elif answer is WANTS and self.chance.random() < 0.5:  # and nobody can be asked
                share = bucket.share(at)
                if share and enforcer.own.admit(1, share, at) == at:
                    self.used.append((self.true, at // WINDOW))
                    self.shared += 1

    def send(self) -> None:
        which, enforcer, at = self.somebody()
        if self.chance.random() < 0.3:
            enforcer.book.tick(at)
        self.asked += [(which, enforcer.lives, ask) for ask in enforcer.book.take(at)]

    def serve(self) -> None:
        """A replica answers one ask, or all there are; an ask may come a second time."""
        if not self.asked:
            return
        chance = self.chance
        taken = self.asked[: chance.choice([1, len(self.asked)])]
        if chance.random() >= self.repeats:
            del self.asked[: len(taken)]
        replica = chance.choice(self.replicas)
        now = replica.clock.at(self.true)
        wall = self.true
        asks = [(self.enforcers[one].name, ask) for one, _, ask in taken]
        proposal = None
        while proposal is None:
            if replica.teller.must_read:
                raw = self.ledger[-1] if self.ledger else None
                replica.teller.read(len(self.ledger), raw, now=now)
            proposal = replica.teller.propose(asks, self.terms, now=now, wall=wall)
        if proposal.raw is not None and not self.write(replica, proposal):
            self.asked += taken
            return
        for (one, life, _), given in zip(taken, proposal.answers, strict=True):
            self.answers.append((one, life, given))

    def write(self, replica: Replica, proposal: Proposal) -> bool:
        """Whether the replica learns that its proposal is the latest version now."""
        assert proposal.raw is not None
        how = self.chance.choice(self.writes)
        fits = proposal.after == len(self.ledger)
        if how == "late":
            self.landing.append((proposal.after, proposal.raw))
        elif fits and how != "lost":
            self.ledger.append(proposal.raw)
        if how != "stored" or not fits:
            replica.teller.doubt()
            return False
        now = replica.clock.at(self.true)
        replica.teller.stored(proposal, len(self.ledger), now=now)
        return True

    def answer(self) -> None:
        if not self.answers:
            return
        which, life, given = self.answers.pop(self.chance.randrange(len(self.answers)))
        enforcer = self.enforcers[which]
        if enforcer.lives == life and self.chance.random() >= self.loses:
            enforcer.book.given(given, Instant(enforcer.clock.at(self.true)))

    def land(self) -> None:
        """A write comes through that its writer has given up."""
        if self.landing:
            after, raw = self.landing.pop(self.chance.randrange(len(self.landing)))
            if after == len(self.ledger):
                self.ledger.append(raw)

    def lose_the_stream(self) -> None:
        """What was asked may still be served, and an answer may be under way."""
        _, enforcer, at = self.somebody()
        enforcer.book.connect(connected=False, at=at)
        enforcer.book.connect(connected=True, at=at)

    def refund(self) -> None:
        _, enforcer, at = self.somebody()
        if enforcer.admitted:
            place = self.chance.randrange(len(enforcer.admitted))
            lease, call = enforcer.admitted.pop(place)
            if self.bucket(enforcer, at).refund(lease, 1, at):
                self.used[call] = (-1, -1)  # it does not count any more

    def crash_an_enforcer(self) -> None:
        """What it counted in its share is on its disk; or that is lost, and its name with it."""
        _, enforcer, _ = self.somebody()
        if self.chance.random() < 0.2:
            enforcer.disks += 1
            enforcer.own = Sliding(WINDOW, "")
        rate = self.chance.choice([-400, 0, 400])
        drifted = self.true * rate // 1_000_000  # the clock goes on from where it stood
        enforcer.clock = Clock(enforcer.clock.at(self.true) - self.true - drifted, rate)
        self.restart(enforcer)

    def crash_a_replica(self) -> None:
        """The process ends; with its machine, where that reboots, and then its clock is another."""
        place = self.chance.randrange(REPLICAS)
        replica = self.replicas[place]
        if self.chance.random() < 0.5:
            jump = self.chance.choice([-DAY, -SECOND, 0, SECOND, DAY])
            self.replicas[place] = self.replica(Clock(replica.clock.offset + jump, 0))
        else:
            replica.teller = Teller(replica.boot)

    def check(self) -> None:
        """No span of a window's length, or no calendar window, holds more than the limit."""
        counted = [one for one in self.used if one != (-1, -1)]
        if self.calendar:
            windows = [window for _, window in counted]
            assert all(windows.count(one) <= MOST for one in set(windows)), windows
            return
        moments = [moment for moment, _ in counted]
        # Within a share a window is one by its enforcer's clock, however fast that runs.
        window = WINDOW * 999 // 1_000 if self.shares else WINDOW
        for first, late in zip(moments, moments[MOST:], strict=False):
            assert late - first >= window, moments


@pytest.mark.parametrize("first", range(0, 2_000, 250))
def test_no_window_ever_holds_more_than_the_limit(
    first: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    for room in (lease, leased):
        monkeypatch.setattr(room, "SHARE_LIFE_NS", 8 * SECOND)
    admitted = shared = 0
    for seed in range(first, first + 250):
        world = World(seed)
        for _ in range(800):
            world.step()
        try:
            world.check()
        except AssertionError as error:
            error.add_note(f"seed {seed}")
            raise
        admitted += len(world.used)
        shared += world.shared
    assert min(admitted, shared) > 300, "the histories are about nothing"
