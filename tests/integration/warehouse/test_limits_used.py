"""What the view says of limits that a fleet shares, over the histories of several enforcers."""

from collections.abc import Callable
from decimal import Decimal
from typing import Any

from msgspec.structs import replace

from toolreeve.audit import Completed, Decided, Outcome, Reservation
from toolreeve.decision import Instant
from toolreeve.warehouse.store import Warehouse

MILLISECOND = 1_000_000
QUERY = "SELECT enforcer, used, exceeded FROM limits_used ORDER BY time, enforcer"


def counted(
    decided: Decided, amount: str = "1", *, lease: str = "7-1", calendar: bool = False
) -> Decided:
    reserved = Reservation(
        counter="rate",
        bucket="fleet truenas",
        window_ns=3 * MILLISECOND,
        calendar=calendar,
        amount=Decimal(amount),
        at=Instant(0),
        lease=lease,
        maximum=Decimal(3) if lease else None,
    )
    return replace(decided, reservations=(reserved,))


def loaded(open_warehouse: Callable[[], Warehouse], at: Instant, *groups: Any) -> list[Any]:
    warehouse = open_warehouse()
    warehouse.load(list(groups), at=at)
    return warehouse.reader().execute(QUERY).fetchall()


def test_a_window_holds_what_all_enforcers_counted_in_it(
    open_warehouse: Callable[[], Warehouse],
    at: Instant,
    history: Callable[[str], Any],
    decide: Callable[..., Decided],
) -> None:
    call = counted(decide())
    one = history("one").seal(call, call, call, call)  # a millisecond apart
    two = history("two").seal(call, counted(decide(), lease=""), counted(decide(), "0.5000001"))
    rows = loaded(open_warehouse, at, one, two)
    assert rows == [
        ("one", Decimal(2), False),
        ("two", Decimal(2), False),
        ("one", Decimal(3), False),
        ("one", Decimal("4.500001"), True),
        ("two", Decimal("4.500001"), True),
        ("one", Decimal("3.500001"), True),
    ]


def test_what_was_given_back_does_not_count(
    open_warehouse: Callable[[], Warehouse],
    at: Instant,
    history: Callable[[str], Any],
    decide: Callable[..., Decided],
) -> None:
    call = counted(decide())
    back = Completed(decision_id="one:1:1", outcome=Outcome.NOT_SENT, refunded=("rate",))
    rows = loaded(open_warehouse, at, history("one").seal(call, back, call))
    assert rows == [("one", Decimal(1), False)]


def test_calendar_windows_begin_anew(
    open_warehouse: Callable[[], Warehouse],
    at: Instant,
    history: Callable[[str], Any],
    decide: Callable[..., Decided],
) -> None:
    call = counted(decide(), calendar=True)
    rows = loaded(open_warehouse, at, history("one").seal(*[call] * 9))
    assert [used for _, used, _ in rows].count(Decimal(1)) >= 3
    assert max(used for _, used, _ in rows) == 3
