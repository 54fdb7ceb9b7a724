"""Exact windows, held against a naive oracle over histories."""

from collections.abc import Sequence
from decimal import Decimal

import msgspec
import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from toolreeve.decision import (
    DAY,
    MINUTE,
    SECOND,
    BadAmount,
    Call,
    Counters,
    Exceeded,
    Instant,
    KeptBucket,
    Reservation,
    prepare_limits,
)
from toolreeve.decision.counters import Leaseless
from toolreeve.policy import Align, Limit, Refund, Scope

CALLS_MAX = 3
SPAN_NS = 60 * SECOND


def limit(
    counter: str = "rate",
    *,
    maximum: Decimal | int = CALLS_MAX,
    scope: Scope = Scope.GRANT,
    align: Align = Align.SLIDING,
    by: tuple[str, ...] = (),
    amount: str | None = None,
    window_ns: int = SPAN_NS,
    refund_on: frozenset[Refund] = frozenset(),
) -> Limit:
    return Limit(
        counter=counter,
        window_ns=window_ns,
        maximum=Decimal(maximum),
        scope=scope,
        align=align,
        by=by,
        amount=amount,
        refund_on=refund_on,
        pointer="/x",
    )


def call(grant: str = "a", server: str = "s", session: str = "", **arguments: object) -> Call:
    return Call(server=server, grant=grant, session=session, tool="t", arguments=arguments)


def at(second: float) -> Instant:
    return Instant(int(second * SECOND))


def ask(
    counters: Counters, limits: Sequence[Limit], asked: Call, when: Instant
) -> tuple[Reservation, ...] | Exceeded | BadAmount | Leaseless:
    return counters.reserve(prepare_limits(limits), asked, when)


def admitted(counters: Counters, limits: Sequence[Limit], asked: Call, when: Instant) -> bool:
    return isinstance(ask(counters, limits, asked, when), tuple)


def test_a_fourth_call_within_a_minute_is_refused_and_told_when_to_retry() -> None:
    counters = Counters()
    for second in (0, 1, 2):
        assert admitted(counters, [limit()], call(), at(second))
    assert ask(counters, [limit()], call(), at(59.999)) == Exceeded(limit(), at(60))
    assert admitted(counters, [limit()], call(), at(60))
    assert ask(counters, [limit()], call(), at(60)) == Exceeded(limit(), at(61))


def test_a_refused_call_consumes_nothing() -> None:
    counters = Counters()
    for _ in range(100):
        ask(counters, [limit()], call(), at(0))
    for _ in range(CALLS_MAX):
        assert admitted(counters, [limit()], call(), at(60))


def test_several_limits_are_reserved_together_or_not_at_all() -> None:
    counters = Counters()
    tight = limit("tight", maximum=1)
    assert admitted(counters, [limit(), tight], call(), at(0))
    for _ in range(5):
        assert ask(counters, [limit(), tight], call(), at(1)) == Exceeded(tight, at(60))
    assert admitted(counters, [limit()], call(), at(1))
    assert admitted(counters, [limit()], call(), at(1))
    assert not admitted(counters, [limit()], call(), at(1))


def test_a_maximum_of_zero_denies_and_no_wait_helps() -> None:
    zero = limit(maximum=0)
    assert ask(Counters(), [zero], call(), at(0)) == Exceeded(zero, None)


@pytest.mark.parametrize(
    ("scope", "shared"),
    [
        (Scope.SESSION, []),
        (Scope.GRANT, ["session"]),
        (Scope.SERVER, ["session", "grant"]),
        (Scope.ENFORCER, ["session", "grant", "server"]),
    ],
)
def test_scopes_say_whose_calls_are_counted_together(scope: Scope, shared: list[str]) -> None:
    one = limit(maximum=1, scope=scope)
    for other in ("session", "grant", "server"):
        counters = Counters()
        assert admitted(counters, [one], call("a", "s", "1"), at(0))
        changed = {
            "session": call("a", "s", "2"),
            "grant": call("b", "s", "1"),
            "server": call("a", "t", "1"),
        }[other]
        assert admitted(counters, [one], changed, at(0)) == (other not in shared)


def test_a_clock_that_steps_back_refills_nothing() -> None:
    counters = Counters()
    for _ in range(CALLS_MAX):
        ask(counters, [limit()], call(), at(100))
    assert not admitted(counters, [limit()], call(), at(0))
    assert not admitted(counters, [limit()], call(), at(159))
    assert admitted(counters, [limit()], call(), at(160))


def test_the_same_counter_twice_on_one_call_counts_once() -> None:
    counters = Counters()
    for _ in range(CALLS_MAX):
        assert admitted(counters, [limit(), limit()], call(), at(0))
    assert not admitted(counters, [limit(), limit()], call(), at(0))


def test_a_higher_maximum_keeps_the_count() -> None:
    counters = Counters()
    for _ in range(CALLS_MAX):
        ask(counters, [limit()], call(), at(0))
    assert admitted(counters, [limit(maximum=CALLS_MAX + 1)], call(), at(0))
    assert not admitted(counters, [limit(maximum=CALLS_MAX + 1)], call(), at(0))


def test_a_lower_maximum_counts_what_was_admitted_before() -> None:
    counters = Counters()
    for second in (0, 10, 20):
        ask(counters, [limit()], call(), at(second))
    one = limit(maximum=1)
    assert ask(counters, [one], call(), at(30)) == Exceeded(one, at(80))


def test_by_keeps_a_count_for_each_value_and_one_for_calls_without() -> None:
    per_vm = limit(maximum=1, by=("/id",))
    counters = Counters()
    assert admitted(counters, [per_vm], call(id=1), at(0))
    assert admitted(counters, [per_vm], call(id=2), at(0))
    assert admitted(counters, [per_vm], call(id="1"), at(0))
    assert admitted(counters, [per_vm], call(), at(0))
    for again in (call(id=1), call(id="1"), call()):
        assert not admitted(counters, [per_vm], again, at(0))


def test_at_the_bound_on_values_a_new_one_is_full_until_an_old_one_has_emptied() -> None:
    per_vm = limit(maximum=1, by=("/id",))
    counters = Counters(buckets_of_one_max=2)
    assert admitted(counters, [per_vm], call(id=1), at(0))
    assert admitted(counters, [per_vm], call(id=2), at(0))
    assert not admitted(counters, [per_vm], call(id=3), at(1))
    other = limit("other", by=("/id",))
    assert admitted(counters, [other], call(id=3), at(1)), "one counter does not starve another"
    assert admitted(counters, [per_vm], call(id=3), at(61))


def test_values_are_kept_as_digests_only() -> None:
    reserved = ask(Counters(b"key"), [limit(by=("/id",))], call(id="secret-vm"), at(0))
    assert "secret-vm" not in repr(reserved)


def test_amounts_are_spent_exactly_in_decimals() -> None:
    spend = limit(maximum=Decimal("0.3"), amount="/usd")
    counters = Counters()
    for _ in range(3):
        assert admitted(counters, [spend], call(usd=0.1), at(0))
    assert not admitted(counters, [spend], call(usd=0.1), at(1))
    assert admitted(counters, [spend], call(usd=0), at(1))
    assert ask(counters, [spend], call(usd=0.4), at(1)) == Exceeded(spend, None)


@pytest.mark.parametrize(
    "amount", [None, "5", True, -1, -0.01, [1], {}, float("nan"), float("inf"), "absent"]
)
def test_what_is_no_amount_denies_and_never_refills(amount: object) -> None:
    spend = limit(maximum=10, amount="/usd")
    counters = Counters()
    assert admitted(counters, [spend], call(usd=10), at(0))
    asked = call() if amount == "absent" else call(usd=amount)
    assert ask(counters, [spend], asked, at(1)) == BadAmount(spend)
    assert not admitted(counters, [spend], call(usd=1), at(1))


def test_calendar_windows_begin_at_the_full_minute_and_at_midnight_utc() -> None:
    minute = limit(maximum=2, align=Align.CALENDAR)
    counters = Counters()
    assert admitted(counters, [minute], call(), at(59.9))
    assert admitted(counters, [minute], call(), at(59.9))
    assert ask(counters, [minute], call(), at(59.9)) == Exceeded(minute, at(60))
    for _ in range(2):
        assert admitted(counters, [minute], call(), at(60.1))
    day = limit("day", maximum=1, align=Align.CALENDAR, window_ns=DAY)
    noon = Instant(DAY * 20_000 + DAY // 2)
    assert admitted(counters, [day], call(), noon)
    assert ask(counters, [day], call(), noon) == Exceeded(day, Instant(DAY * 20_001))


def test_sliding_windows_do_not_let_twice_as_much_through_at_the_full_minute() -> None:
    counters = Counters()
    for _ in range(CALLS_MAX):
        assert admitted(counters, [limit()], call(), at(59.9))
    assert not admitted(counters, [limit()], call(), at(60.1))


@pytest.mark.parametrize("align", Align)
def test_what_is_refunded_can_be_spent_once_more(align: Align) -> None:
    one = limit(maximum=1, align=align)
    counters = Counters()
    reserved = ask(counters, [one], call(), at(1))
    assert isinstance(reserved, tuple)
    assert counters.refund(reserved[0], at(2))
    assert admitted(counters, [one], call(), at(2))
    assert not admitted(counters, [one], call(), at(3))


@pytest.mark.parametrize("align", Align)
def test_nothing_is_refunded_after_its_window(align: Align) -> None:
    one = limit(maximum=1, align=align)
    counters = Counters()
    early = ask(counters, [one], call(), at(1))
    assert isinstance(early, tuple)
    assert admitted(counters, [one], call(), at(61))
    assert not counters.refund(early[0], at(61))
    assert not admitted(counters, [one], call(), at(62))


def test_at_the_bound_on_buckets_a_new_one_is_full_until_an_old_one_has_emptied() -> None:
    counters = Counters(buckets_max=2)
    assert admitted(counters, [limit()], call("a"), at(0))
    assert admitted(counters, [limit()], call("b"), at(0))
    assert not admitted(counters, [limit()], call("c"), at(1))
    assert admitted(counters, [limit()], call("c"), at(61))


def through_a_file(counters: Counters, latest: Instant) -> Counters:
    """Counters as they are after a restart that found what was kept of these."""
    kept = msgspec.msgpack.decode(
        msgspec.msgpack.encode(counters.kept()), type=tuple[KeptBucket, ...]
    )
    again = Counters()
    again.take_up(kept, latest)
    return again


class CounterHistories(RuleBasedStateMachine):
    """A refusal names the exact moment, and no window ever holds more than its limit.

    The oracle keeps every admitted call and adds up. Calls spend 0 to 3; refunds and restarts
    come at any moment.
    """

    align = Align.SLIDING

    def __init__(self) -> None:
        super().__init__()
        self.counters = Counters()
        self.now = 0
        self.kept: dict[str, list[Reservation]] = {"a": [], "b": []}
        self.limits = [limit(amount="/n", align=self.align)]

    def inside(self, grant: str, moment: int) -> list[Reservation]:
        """What still counts at a moment, by the plainest reading of the rule."""
        if self.align is Align.CALENDAR:
            return [one for one in self.kept[grant] if one.at // MINUTE == moment // MINUTE]
        return [one for one in self.kept[grant] if moment - SPAN_NS < one.at <= moment]

    def room(self, grant: str, moment: int) -> Decimal:
        return CALLS_MAX - sum((one.amount for one in self.inside(grant, moment)), Decimal(0))

    @rule(
        seconds=st.sampled_from([0, 1, 29, 30, 59, 60, 61]),
        nanoseconds=st.sampled_from([-1, 0, 1]),
    )
    def wait(self, seconds: int, nanoseconds: int) -> None:
        self.now += max(0, seconds * SECOND + nanoseconds)

    @rule(grant=st.sampled_from(["a", "b"]), amount=st.integers(0, 3))
    def spend(self, grant: str, amount: int) -> None:
        answer = ask(self.counters, self.limits, call(grant, n=amount), Instant(self.now))
        if amount <= self.room(grant, self.now):
            assert isinstance(answer, tuple)
            self.kept[grant] += answer
            return
        assert isinstance(answer, Exceeded)
        assert answer.retry_at is not None
        assert self.room(grant, answer.retry_at) >= amount
        assert self.room(grant, answer.retry_at - 1) < amount

    @rule(grant=st.sampled_from(["a", "b"]), which=st.integers(0, 5))
    def refund(self, grant: str, which: int) -> None:
        if which < len(self.kept[grant]):
            one = self.kept[grant].pop(which)
            alive = one in self.inside_with(grant, one)
            given = self.counters.refund(one, Instant(self.now))
            assert not given or alive
            if alive and not given:
                assert one.amount == 0

    def inside_with(self, grant: str, one: Reservation) -> list[Reservation]:
        self.kept[grant].append(one)
        found = self.inside(grant, self.now)
        self.kept[grant].pop()
        return found

    @rule()
    def restart(self) -> None:
        self.counters = Counters()
        history = [one for kept in self.kept.values() for one in kept]
        for one in sorted(history, key=lambda kept: kept.at):
            self.counters.restore(one)

    @rule()
    def restart_with_what_was_kept(self) -> None:
        self.counters = through_a_file(self.counters, Instant(self.now))

    @invariant()
    def no_window_holds_more_than_the_limit(self) -> None:
        for grant, kept in self.kept.items():
            assert all(self.room(grant, one.at) >= 0 for one in kept)


class CalendarHistories(CounterHistories):
    align = Align.CALENDAR


TestCounterHistories = CounterHistories.TestCase
TestCalendarHistories = CalendarHistories.TestCase


def test_what_no_longer_counts_is_not_kept_though_the_limit_is_far() -> None:
    counters = Counters()
    roomy = [limit(maximum=100_000)]
    for second in range(2_000):
        assert admitted(counters, roomy, call(), at(second))
    (bucket,) = counters.kept()
    assert len(bucket.counts.instants) == 60
