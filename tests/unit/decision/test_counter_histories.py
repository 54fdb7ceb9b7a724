"""Several limits on one call, over histories, held against an oracle that only adds up."""

from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from msgspec.structs import replace

from toolreeve.decision import (
    SECOND,
    BadAmount,
    Call,
    Counters,
    Exceeded,
    Instant,
    Reservation,
    prepare_limits,
)
from toolreeve.decision.bucket import Calendar, Sliding
from toolreeve.decision.counters import Leaseless
from toolreeve.policy import Align, Limit, Scope

SPAN_NS = 60 * SECOND


def limit(counter: str, maximum: Decimal | int, **more: Any) -> Limit:
    said: dict[str, Any] = {"window_ns": SPAN_NS, "scope": Scope.GRANT, "pointer": f"/{counter}"}
    return Limit(counter=counter, maximum=Decimal(maximum), **{**said, **more})


LIMITS = {
    "calls": limit("calls", 3),
    "each": limit("each", 2, by=("/id",)),
    "pair": limit("pair", 2, by=("/id", "/who"), scope=Scope.SERVER),
    "spent": limit("spent", Decimal("2.5"), amount="/usd", scope=Scope.ENFORCER),
    "minute": limit("minute", 3, align=Align.CALENDAR, scope=Scope.SESSION),
    "day": limit("day", 4, amount="/usd", align=Align.CALENDAR),
}
AMOUNTS: list[Any] = [0, 1, 1, 2, 0.1, 2.5, True, "1", -1, None]
IDS: list[Any] = [7, 7.0, "7", True, None, [7], [7.0], {"a": 7.0}, {"a": 7}]


def whose(one: Limit, asked: Call) -> tuple[Any, ...]:
    """Whose count it is, in the plainest words: equal where JSON says that the values are."""
    owner = {
        Scope.GRANT: (asked.server, asked.grant),
        Scope.SESSION: (asked.server, asked.grant, asked.session),
        Scope.SERVER: (asked.server,),
        Scope.ENFORCER: (),
    }[one.scope]
    return one.counter, *owner, *(as_text(asked.arguments.get(key[1:])) for key in one.by)


def as_text(value: Any) -> str:
    """7 and 7.0 are one number; "7" and true are others."""
    if isinstance(value, (dict, list)):
        pairs: Any = sorted(value.items()) if isinstance(value, dict) else enumerate(value)  # pyright: ignore[reportUnknownArgumentType, reportUnknownVariableType, reportUnknownMemberType]
        return str([type(value), *((key, as_text(inside)) for key, inside in pairs)])  # pyright: ignore[reportUnknownArgumentType]
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return f"number {Fraction(value)}" if number else f"{type(value)} {value}"


class SeveralLimits(RuleBasedStateMachine):
    """All limits of a call count it, or none does; the first without room is named, to the moment.

    Calls of two grants in two sessions; policies that change a maximum; refunds, restarts, and
    sweeps that drop what has emptied.
    """

    def __init__(self) -> None:
        super().__init__()
        self.limits = dict(LIMITS)
        self.counters = self.fresh()
        self.now = 1_000 * SPAN_NS
        self.ledger: list[tuple[tuple[Any, ...], Reservation]] = []

    def fresh(self) -> Counters:
        return Counters(bytes(32), buckets_of_one_max=4)

    def counted(self, place: tuple[Any, ...], one: Limit, moment: int) -> Fraction:
        """What counts at a moment, by the plainest reading of the rule."""
        total = Fraction(0)
        for where, entry in self.ledger:
            if one.align is Align.CALENDAR:
                inside = entry.at // SPAN_NS == moment // SPAN_NS
            else:
                inside = moment - SPAN_NS < entry.at <= moment
            if where == place and inside:
                total += Fraction(entry.amount)
        return total

    @rule(
        seconds=st.sampled_from([0, 0, 1, 29, 30, 59, 60, 61]),
        nanoseconds=st.sampled_from([-1, 0, 1]),
    )
    def wait(self, seconds: int, nanoseconds: int) -> None:
        self.now += max(0, seconds * SECOND + nanoseconds)

    @rule(
        names=st.lists(st.sampled_from(sorted(LIMITS)), min_size=1, max_size=4),
        grant=st.sampled_from(["a", "b"]),
        session=st.sampled_from(["1", "2"]),
        argument=st.sampled_from(IDS),
        usd=st.sampled_from(AMOUNTS),
    )
    def ask(self, names: list[str], grant: str, session: str, argument: Any, usd: Any) -> None:
        arguments = {"id": argument, "who": grant, **({} if usd is None else {"usd": usd})}
        asked = Call(server="s", grant=grant, session=session, tool="t", arguments=arguments)
        limits = [self.limits[name] for name in names]
        answer = self.counters.reserve(prepare_limits(limits), asked, Instant(self.now))
        number = isinstance(usd, (int, float)) and not isinstance(usd, bool) and usd >= 0
        full = isinstance(answer, Exceeded) and self.has_no_bucket(answer, asked)
        for one in limits:
            if one.amount is not None and not number:
                assert answer == BadAmount(one)
                return
            amount = Fraction(1 if one.amount is None else Decimal(str(usd)))
            place = whose(one, asked)
            room = Fraction(one.maximum) - self.counted(place, one, self.now)
            if full and answer.limit == one:  # type: ignore[union-attr]
                return
            if amount > room:
                self.is_named(answer, one, place, amount)
                return
        assert isinstance(answer, tuple)
        places = dict.fromkeys(whose(one, asked) for one in limits)
        assert [entry.counter for entry in answer] == [place[0] for place in places]
        self.ledger += zip(places, answer, strict=True)

    def has_no_bucket(self, answer: Exceeded, asked: Call) -> bool:
        """At the bound on values a new one is refused, though nothing is counted for it."""
        place = whose(answer.limit, asked)
        return bool(answer.limit.by) and not self.counted(place, answer.limit, self.now)

    def is_named(self, answer: Any, one: Limit, place: tuple[Any, ...], amount: Fraction) -> None:
        """The limit and the very first moment at which the call would be admitted."""
        assert isinstance(answer, Exceeded)
        assert answer.limit == one
        if amount > one.maximum:
            assert answer.retry_at is None
            return
        assert answer.retry_at is not None
        then = answer.retry_at
        assert self.counted(place, one, then) + amount <= Fraction(one.maximum)
        assert self.counted(place, one, then - 1) + amount > Fraction(one.maximum)

    @rule(name=st.sampled_from(sorted(LIMITS)), more=st.sampled_from([-1, 0, 2]))
    def edit(self, name: str, more: int) -> None:
        """Another revision has another maximum; what was counted stays counted."""
        maximum = max(Decimal(0), LIMITS[name].maximum + more)
        self.limits[name] = replace(LIMITS[name], maximum=maximum)

    @precondition(lambda self: self.ledger)
    @rule(data=st.data())
    def refund(self, data: st.DataObject) -> None:
        number = data.draw(st.integers(0, len(self.ledger) - 1))
        place, entry = self.ledger[number]
        one = LIMITS[place[0]]
        before = self.counted(place, one, self.now)
        given = self.counters.refund(entry, Instant(self.now))
        del self.ledger[number]
        counts = self.counted(place, one, self.now) != before
        assert given == counts or not entry.amount

    @rule()
    def restart(self) -> None:
        self.counters = self.fresh()
        for _, entry in sorted(self.ledger, key=lambda kept: kept[1].at):
            self.counters.restore(entry)

    @rule()
    def restart_with_what_was_kept(self) -> None:
        kept = self.counters.kept()
        self.counters = self.fresh()
        self.counters.take_up(kept, Instant(self.now))

    @invariant()
    def no_window_holds_more_than_the_highest_maximum(self) -> None:
        for place, entry in self.ledger[-3:]:
            one = LIMITS[place[0]]
            assert self.counted(place, one, entry.at) <= Fraction(one.maximum) + 2


TestSeveralLimits = SeveralLimits.TestCase
TestSeveralLimits.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)


def reserve(
    counters: Counters, limits: list[Limit], at: int, **arguments: object
) -> tuple[Reservation, ...] | Exceeded | BadAmount | Leaseless:
    asked = Call(server="s", grant="g", tool="t", arguments=arguments)
    return counters.reserve(prepare_limits(limits), asked, Instant(at))


def test_a_number_is_counted_as_one_value_however_it_is_written() -> None:
    each = [limit("each", 1, by=("/id",))]
    counters = Counters()
    assert isinstance(reserve(counters, each, 1, id=7), tuple)
    assert isinstance(reserve(counters, each, 1, id=7.0), Exceeded)
    assert isinstance(reserve(counters, each, 1, id={"a": [8]}), tuple)
    assert isinstance(reserve(counters, each, 1, id={"a": [8.0]}), Exceeded)
    assert isinstance(reserve(counters, each, 1, id="7"), tuple)


@pytest.mark.parametrize(
    "changed",
    [{"window_ns": 2 * SPAN_NS}, {"align": Align.CALENDAR}, {"scope": Scope.SERVER}],
)
def test_under_another_window_or_for_another_owner_the_count_begins_anew(
    changed: dict[str, Any],
) -> None:
    counters = Counters()
    assert isinstance(reserve(counters, [limit("c", 1)], 0), tuple)
    assert isinstance(reserve(counters, [limit("c", 1, **changed)], 1), tuple)
    assert isinstance(reserve(counters, [limit("c", 1)], 2), Exceeded)


def test_an_instant_that_falls_counts_as_the_latest_seen_under_every_limit() -> None:
    counters, other = Counters(), limit("other", 1)
    assert isinstance(reserve(counters, [limit("calls", 1)], 100), tuple)
    late = reserve(counters, [other], 40)
    assert isinstance(late, tuple)
    assert late[0].at == 100
    assert reserve(counters, [other], SPAN_NS + 40) == Exceeded(other, Instant(SPAN_NS + 100))


def test_dropping_what_has_emptied_forgets_nothing_that_the_same_call_counts() -> None:
    counters = Counters(buckets_of_one_max=1)
    each, calls = limit("each", 1, by=("/id",)), limit("calls", 1)
    assert isinstance(reserve(counters, [calls], 0), tuple)
    assert isinstance(reserve(counters, [each], 0, id=1), tuple)
    later = 2 * SPAN_NS
    assert isinstance(reserve(counters, [each, calls], later, id=2), tuple)
    assert isinstance(reserve(counters, [calls], later), Exceeded)


@pytest.mark.parametrize("amount", [1, 2])
def test_a_call_that_another_limit_refuses_leaves_the_earlier_instants_as_they_were(
    amount: int,
) -> None:
    counters = Counters()
    wide, none = limit("wide", 2 * amount, amount="/n"), limit("none", 0)
    assert isinstance(reserve(counters, [wide], 0, n=amount), tuple)
    assert isinstance(reserve(counters, [wide, none], 30, n=amount), Exceeded)
    assert isinstance(reserve(counters, [wide], 40, n=amount), tuple)
    assert reserve(counters, [wide], 50, n=amount) == Exceeded(wide, Instant(SPAN_NS))
    assert isinstance(reserve(counters, [wide], SPAN_NS, n=amount), tuple)
    assert isinstance(reserve(counters, [wide], SPAN_NS + 39, n=amount), Exceeded)
    assert isinstance(reserve(counters, [wide], SPAN_NS + 40, n=amount), tuple)


@pytest.mark.parametrize("align", Align)
@pytest.mark.parametrize("counted", [{}, {"amount": "/n"}])
def test_a_call_that_another_limit_refuses_is_counted_by_none(
    align: Align, counted: dict[str, str]
) -> None:
    counters = Counters()
    one, none = limit("one", 2, align=align, **counted), limit("none", 0)
    for _ in range(5):
        assert isinstance(reserve(counters, [one, none], 0, n=2), Exceeded)
    assert isinstance(reserve(counters, [one], 0, n=2), tuple)


@pytest.mark.parametrize("align", Align)
@pytest.mark.parametrize(("begun", "given"), [(0, False), (1, True)])
def test_a_refund_is_too_late_at_the_very_end_of_its_window(
    align: Align, begun: int, given: bool
) -> None:
    counters = Counters()
    reserved = reserve(counters, [limit("one", 1, align=align)], begun)
    assert isinstance(reserved, tuple)
    end = SPAN_NS if align is Align.SLIDING else SPAN_NS - begun
    assert counters.refund(reserved[0], Instant(end)) is given


def test_amounts_far_apart_are_added_without_rounding() -> None:
    spent = [limit("spent", 10**12, amount="/usd")]
    counters = Counters()
    assert isinstance(reserve(counters, spent, 0, usd=10**12), tuple)
    assert isinstance(reserve(counters, spent, 0, usd=1e-300), Exceeded)
    assert isinstance(reserve(counters, spent, SPAN_NS, usd=1e-300), tuple)
    assert isinstance(reserve(counters, spent, SPAN_NS, usd=10**12), Exceeded)


def test_what_is_left_after_the_oldest_has_gone_is_not_rounded_either() -> None:
    spent = [limit("spent", 10**12, amount="/usd")]
    counters = Counters()
    for at, usd in ((0, 5), (1, 10**11), (1, 1e-20)):
        assert isinstance(reserve(counters, spent, at, usd=usd), tuple)
    assert isinstance(reserve(counters, spent, SPAN_NS, usd=9 * 10**11), Exceeded)


@pytest.mark.parametrize("kind", [Sliding, Calendar])
def test_what_spends_nothing_takes_no_room(kind: type[Sliding | Calendar]) -> None:
    bucket = kind(SPAN_NS, "owner")
    assert bucket.admit(Decimal(0), 1, Instant(0)) == 0
    assert bucket.empty(Instant(0)) is (kind is Sliding)
    assert bucket.admit(1, 1, Instant(0)) == 0


def test_a_restart_counts_what_lies_in_the_last_calendar_window_alone() -> None:
    minute = [limit("minute", 2, align=Align.CALENDAR)]
    counters, restarted = Counters(), Counters()
    for at in (0, 0, SPAN_NS):
        reserved = reserve(counters, minute, at)
        assert isinstance(reserved, tuple)
        restarted.restore(reserved[0])
    assert isinstance(reserve(restarted, minute, SPAN_NS), tuple)
    assert isinstance(reserve(restarted, minute, SPAN_NS), Exceeded)


def test_an_amount_of_any_length_is_an_amount() -> None:
    spent = [limit("spent", 5, amount="/usd")]
    assert isinstance(reserve(Counters(), spent, 0, usd=10**400), Exceeded)


@pytest.mark.parametrize("first", [1, 2])
def test_calls_and_amounts_of_one_counter_are_one_count(first: int) -> None:
    """A new revision of a policy may begin to count amounts under a name that counted calls."""
    calls, spent = [limit("c", 5)], [limit("c", 5, amount="/usd")]
    counters = Counters()
    assert isinstance(reserve(counters, calls, 0), tuple)
    assert isinstance(reserve(counters, spent, 1, usd=first), tuple)
    assert isinstance(reserve(counters, spent, 2, usd=3 - first), tuple)
    assert isinstance(reserve(counters, calls, 3), tuple)
    full = reserve(counters, calls, 4)
    assert full == Exceeded(calls[0], Instant(SPAN_NS))
    assert isinstance(reserve(counters, calls, SPAN_NS), tuple)


def test_a_refund_takes_back_its_own_amount_and_no_other() -> None:
    spent = [limit("spent", 5, amount="/usd")]
    counters = Counters()
    one = reserve(counters, spent, 1, usd=1)
    other = reserve(counters, spent, 1, usd=4)
    assert isinstance(one, tuple)
    assert isinstance(other, tuple)
    assert counters.refund(other[0], Instant(2))
    assert isinstance(reserve(counters, spent, 2, usd=5), Exceeded)
    assert isinstance(reserve(counters, spent, 2, usd=4), tuple)
    assert counters.refund(one[0], Instant(3))
    assert isinstance(reserve(counters, spent, 3, usd=1), tuple)
    assert isinstance(reserve(counters, spent, 3, usd=0.1), Exceeded)
