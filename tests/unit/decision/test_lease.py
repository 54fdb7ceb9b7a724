"""Limits that the fleet shares, at one enforcer: blocks come, are used up and die."""

from collections.abc import Sequence
from decimal import Decimal

from toolreeve.decision import (
    BadAmount,
    Call,
    Counters,
    Exceeded,
    Instant,
    Reservation,
    prepare_limits,
)
from toolreeve.decision.counters import Leaseless
from toolreeve.decision.lease import MILLIONTHS, SHARE, SHARE_LIFE_NS, LeaseAsk, LeaseGiven, Settled
from toolreeve.decision.lease_book import ANSWER_NS_MAX, LeaseBook
from toolreeve.decision.leased import PAUSE_NS
from toolreeve.policy import Align, Limit, Refund, Scope

SECOND = 1_000_000_000
LIFE = 6 * SECOND
WINDOW = 60 * SECOND


def limit(counter: str = "rate", most: int | Decimal = 10, **more: object) -> Limit:
    fields: dict[str, object] = {"scope": Scope.FLEET, "window_ns": WINDOW, **more}
    return Limit(counter=counter, maximum=Decimal(most), pointer="/x", **fields)  # type: ignore[arg-type]


class Here:
    """One enforcer's counters, and the control plane that answers it."""

    def __init__(self, *scopes: Scope) -> None:
        self.counters = Counters()
        self.book = LeaseBook("7", share="disk")
        self.counters.share(self.book, frozenset(scopes or {Scope.FLEET}))
        self.book.connect(connected=True, at=Instant(0))

    def call(
        self, limits: Sequence[Limit], at: float = 0, grant: str = "g", **arguments: object
    ) -> tuple[Reservation, ...] | Exceeded | BadAmount | Leaseless:
        asked = Call(server="vm", grant=grant, tool="t", arguments=arguments)
        return self.counters.reserve(prepare_limits(limits), asked, Instant(int(at * SECOND)))

    def asks(self, at: float = 0) -> list[LeaseAsk]:
        return self.book.take(Instant(int(at * SECOND)))

    def give(
        self, ask: LeaseAsk, amount: int, at: float = 0, retry_ns: int = 0, share: int = 0
    ) -> None:
        given = LeaseGiven(
            lease_id=ask.lease_id,
            amount=amount,
            life_ns=LIFE,
            retry_ns=retry_ns,
            share=share,
            share_life_ns=SHARE_LIFE_NS if share else 0,
        )
        self.book.given(given, Instant(int(at * SECOND)))


def admitted(answer: object) -> bool:
    return isinstance(answer, tuple)


def test_a_call_without_a_block_asks_for_one_and_is_admitted_out_of_it() -> None:
    here = Here()
    wants = here.call([limit()])
    assert isinstance(wants, Leaseless)
    assert wants.waits_for == (1,)
    (ask,) = here.asks()
    assert (ask.server, ask.counter, ask.owner, ask.need) == ("vm", "rate", "fleet vm", 1)
    here.give(ask, 1)
    reserved = here.call([limit()])
    assert isinstance(reserved, tuple)
    assert (reserved[0].lease, reserved[0].maximum) == (ask.lease_id, Decimal(10))
    assert isinstance(here.call([limit()]), Leaseless), "there was one"


def test_calls_that_want_at_once_share_an_ask() -> None:
    here = Here()
    for _ in range(3):
        here.call([limit()])
    (ask,) = here.asks()
    assert ask.need == 3
    here.call([limit()])
    assert here.asks() == [], "one at a time"
    here.give(ask, 3)
    assert [admitted(here.call([limit()])) for _ in range(4)] == [True, True, True, False]
    assert len(here.asks()) == 1


def test_a_block_lives_from_the_moment_of_asking() -> None:
    here = Here()
    here.call([limit()], at=0)
    (ask,) = here.asks(at=0)
    here.give(ask, 5, at=5)
    assert admitted(here.call([limit()], at=5.9))
    assert not admitted(here.call([limit()], at=6))


def test_a_block_that_comes_when_its_life_is_over_is_told_back_whole() -> None:
    here = Here()
    here.call([limit()])
    (ask,) = here.asks()
    here.give(ask, 5, at=6)
    assert not admitted(here.call([limit()], at=6))
    (settling,) = here.asks(at=6)
    assert settling.settled == (Settled(ask.lease_id, 0),)


def test_what_is_left_of_a_dead_block_is_told_back_once() -> None:
    here = Here()
    here.call([limit()])
    (ask,) = here.asks()
    here.give(ask, 5)
    here.call([limit()])
    here.book.tick(Instant(LIFE))
    (settling,) = here.asks(at=6)
    assert (settling.need, settling.ahead) == (0, 0)
    assert settling.settled == (Settled(ask.lease_id, 1),)
    here.give(settling, 0, at=6)
    here.book.tick(Instant(2 * LIFE))
    assert here.asks(at=12) == []


def test_who_was_told_that_all_is_used_up_says_so_and_asks_again_after_a_pause() -> None:
    here = Here()
    here.call([limit()])
    (ask,) = here.asks()
    here.give(ask, 0, retry_ns=9 * SECOND)
    full = here.call([limit()], at=0.1)
    assert isinstance(full, Exceeded)
    assert full.retry_at == 9 * SECOND
    assert here.asks(at=0.1) == []
    assert isinstance(here.call([limit()], at=PAUSE_NS / SECOND), Leaseless)
    assert len(here.asks(at=PAUSE_NS / SECOND)) == 1


def test_limits_are_reserved_all_or_none_over_leases_too() -> None:
    here = Here()
    limits = [limit("one"), limit("two"), limit("local", 1, scope=Scope.SERVER)]
    wants = here.call(limits)
    assert isinstance(wants, Leaseless)
    assert len(wants.waits_for) == 2
    first, second = here.asks()
    here.give(first, 1)
    assert isinstance(here.call(limits), Leaseless), "nothing was counted under the others"
    here.give(second, 1)
    assert admitted(here.call(limits))
    full = here.call(limits)
    assert isinstance(full, Exceeded)
    assert full.limit.counter == "local", "what stands in the way here is said at once"


def test_every_value_of_by_is_a_count_of_its_own_with_a_name_that_all_enforcers_find() -> None:
    here, there = Here(), Here()
    here.call([limit(by=("/id",))], id=1)
    here.call([limit(by=("/id",))], id=2)
    there.counters = Counters(b"another key")
    there.counters.share(there.book, frozenset({Scope.FLEET}))
    there.call([limit(by=("/id",))], id=1.0)
    (one, two), (same,) = here.asks(), there.asks()
    assert one.owner == same.owner != two.owner
    assert one.owner.startswith("fleet vm by ")


def test_amounts_are_asked_for_in_millionths_rounded_up() -> None:
    here = Here()
    spends = limit("spent", Decimal("2.5"), amount="/usd")
    here.call([spends], usd=0.1000001)
    (ask,) = here.asks()
    assert (ask.need, ask.least) == (100_001, 100_001)
    here.give(ask, MILLIONTHS)
    assert admitted(here.call([spends], usd=0.1000001))
    assert admitted(here.call([spends], usd=0)), "nothing needs no block"
    too_much = here.call([spends], usd=2.6)
    assert isinstance(too_much, Exceeded)
    assert too_much.retry_at is None
    assert isinstance(here.call([spends], usd=0.9), Leaseless)
    (again,) = here.asks()
    assert again.settled == (Settled(ask.lease_id, 100_001),), "what is too little goes back"


def test_a_refund_is_good_for_as_long_as_its_block() -> None:
    here = Here()
    limits = [limit(refund_on=frozenset({Refund.NOT_SENT}))]
    here.call(limits)
    (ask,) = here.asks()
    here.give(ask, 1)
    reserved = here.call(limits)
    assert isinstance(reserved, tuple)
    assert here.counters.refund(reserved[0], Instant(SECOND))
    again = here.call(limits, at=1)
    assert isinstance(again, tuple)
    assert not here.counters.refund(again[0], Instant(LIFE))


def test_a_calendar_block_ends_with_its_window() -> None:
    here = Here()
    day = limit(align=Align.CALENDAR)
    here.call([day], at=58)
    (ask,) = here.asks(at=58)
    assert ask.window == 0
    here.give(ask, 5, at=58, retry_ns=WINDOW)
    assert admitted(here.call([day], at=59.9))
    assert not admitted(here.call([day], at=60))
    (next_ask,) = here.asks(at=60)
    assert next_ask.window == 1
    here.give(next_ask, 0, at=60, retry_ns=3 * WINDOW)
    full = here.call([day], at=60.1)
    assert isinstance(full, Exceeded)
    assert full.retry_at == 2 * WINDOW, "the next one begins then"


def test_nobody_waits_where_nobody_can_be_asked() -> None:
    here = Here()
    here.call([limit()])
    (ask,) = here.asks()
    assert here.book.connect(connected=False, at=Instant(0)) == [1]
    cut_off = here.call([limit()])
    assert isinstance(cut_off, Leaseless)
    assert cut_off.waits_for == ()
    assert here.book.given(LeaseGiven(lease_id=ask.lease_id, amount=5), Instant(0)) is None
    here.book.connect(connected=True, at=Instant(SECOND))
    (settling,) = here.asks(at=1)
    assert settling.settled == (Settled(ask.lease_id, 0),), "it was never used"


def test_an_ask_that_nobody_answers_is_given_up() -> None:
    here = Here()
    here.call([limit()])
    (ask,) = here.asks()
    assert here.book.tick(Instant(ANSWER_NS_MAX - 1)) == []
    assert here.book.tick(Instant(ANSWER_NS_MAX)) == [1]
    assert here.book.given(LeaseGiven(lease_id=ask.lease_id, amount=5), Instant(0)) is None
    assert here.asks(at=3)[0].settled == (Settled(ask.lease_id, 0),)


def test_whoever_uses_blocks_up_asks_ahead_and_before_the_last_is_gone() -> None:
    here = Here()
    for _ in range(8):
        here.call([limit(most=100)])
    (ask,) = here.asks()
    here.give(ask, 8)
    for _ in range(6):
        assert admitted(here.call([limit(most=100)]))
    assert here.asks() == []
    assert admitted(here.call([limit(most=100)], at=0.1))
    (ahead,) = here.asks(at=0.1)
    assert (ahead.need, ahead.settled) == (0, ())
    here.give(ahead, 0, at=0.1)
    assert admitted(here.call([limit(most=100)], at=0.1)), "the last of the eight"
    here.call([limit(most=100)], at=0.2)
    assert here.asks(at=0.2)[0].ahead == 16, "twice what was used up"


def test_after_a_restart_nothing_of_a_lease_is_counted_or_used() -> None:
    here = Here()
    here.call([limit()])
    (ask,) = here.asks()
    here.give(ask, 5)
    reserved = here.call([limit()])
    assert isinstance(reserved, tuple)
    assert here.counters.kept() == ()
    again = Here()
    again.counters.restore(reserved[0])
    assert again.counters.kept() == ()
    assert isinstance(again.call([limit()]), Leaseless)


def test_an_enforcer_that_stands_alone_is_a_fleet_of_its_own() -> None:
    counters = Counters()
    for place, grant in enumerate(("a", "b", "a")):
        asked = Call(server="vm", grant=grant, tool="t", arguments={})
        answer = counters.reserve(prepare_limits([limit(most=2)]), asked, Instant(0))
        assert isinstance(answer, tuple) == (place < 2)


def test_grants_that_roam_are_counted_by_leases_and_others_are_not() -> None:
    roaming, staying = Here(Scope.FLEET, Scope.GRANT), Here(Scope.FLEET)
    of_grant = limit(scope=Scope.GRANT)
    assert admitted(staying.call([of_grant]))
    assert isinstance(roaming.call([of_grant]), Leaseless)
    assert roaming.asks()[0].owner == "grant vm g"


def test_who_is_cut_off_goes_on_within_its_share_of_every_window() -> None:
    here = Here()
    limits = [limit(shares=5), limit("local", 9, scope=Scope.SERVER)]
    here.call(limits)
    (ask,) = here.asks()
    assert ask.share == "disk"
    here.give(ask, 1, share=2)
    assert admitted(here.call(limits))
    here.book.connect(connected=False, at=Instant(0))
    one, two, three = (here.call(limits, at=at) for at in (1, 2, 3))
    assert isinstance(one, tuple)
    assert [(kept.lease, kept.maximum) for kept in one] == [("", None), (SHARE, Decimal(10))]
    assert admitted(two)
    assert isinstance(three, Leaseless)
    assert admitted(here.call(limits, at=61.5)), "the first is a window back"
    again = Here()
    again.counters.take_up(here.counters.kept(), Instant(62 * SECOND))
    assert isinstance(again.call(limits, at=62), Leaseless), "no share before it was heard of"
    (ask,) = again.asks(at=62)
    again.give(ask, 0, at=62, share=2)
    again.book.connect(connected=False, at=Instant(62 * SECOND))
    assert [admitted(again.call(limits, at=62)) for _ in range(2)] == [True, False]


def test_a_share_is_over_an_hour_after_the_asking_and_asked_for_again_long_before() -> None:
    here = Here()
    limits = [limit(shares=5)]
    here.call(limits)
    (ask,) = here.asks()
    here.give(ask, 1, share=2)
    hour = SHARE_LIFE_NS // SECOND
    here.book.tick(Instant(SHARE_LIFE_NS // 2))
    (renewing,) = here.asks(at=hour / 2)
    assert (renewing.share, renewing.need) == ("disk", 0)
    here.book.connect(connected=False, at=Instant(SHARE_LIFE_NS // 2))
    assert admitted(here.call(limits, at=hour - 1))
    assert isinstance(here.call(limits, at=hour), Leaseless)


def test_a_call_that_can_wait_for_a_lease_leaves_the_share_alone() -> None:
    here = Here()
    limits = [limit(shares=5)]
    here.call(limits)
    (ask,) = here.asks()
    here.give(ask, 0, share=2)
    at = PAUSE_NS / SECOND
    assert isinstance(here.call(limits, at=at), Leaseless)
    asked = Call(server="vm", grant="g", tool="t", arguments={}, waited=True)
    reserved = here.counters.reserve(prepare_limits(limits), asked, Instant(PAUSE_NS))
    assert isinstance(reserved, tuple)
    assert reserved[0].lease == SHARE
