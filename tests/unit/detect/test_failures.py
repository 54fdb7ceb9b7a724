"""Tools and servers that fail more often than they do."""

from fractions import Fraction
from math import comb

import pytest
from hypothesis import given
from hypothesis import strategies as st

from toolreeve.audit import AlertRaised
from toolreeve.decision import Instant
from toolreeve.decision.instant import DAY, HOUR, MINUTE
from toolreeve.detect.failures import FailureDetector, FailureRule, tail
from toolreeve.detect.seen import Ending

START = 20_000 * DAY


def show(
    detector: FailureDetector, at: int, failed: list[bool], *, tools: tuple[str, ...] = ("vm_get",)
) -> list[AlertRaised]:
    """Calls that end a minute apart, of one tool after the other."""
    alerts: list[AlertRaised] = []
    for number, one in enumerate(failed):
        found = detector.observe(
            Ending(
                at=Instant(START + at + number * MINUTE),
                server="hypervisor",
                tool=tools[number % len(tools)],
                agent="person",
                failed=one,
            )
        )
        alerts += [alert for alert in found if isinstance(alert, AlertRaised)]
    return alerts


def lived(days: int = 10, *, every: int = 50) -> FailureDetector:
    """A hundred calls a day, one in `every` of which fails."""
    detector = FailureDetector(FailureRule())
    for day in range(days):
        show(detector, day * DAY + 9 * HOUR, failing(every))
    return detector


def failing(every: int) -> list[bool]:
    return [number % every == every - 1 for number in range(100)]


def exact(failed: int, count: int, a: int, b: int) -> Fraction:
    def beta(x: int, y: int) -> Fraction:
        return Fraction(1, (x + y - 1) * comb(x + y - 2, x - 1))

    terms = (comb(count, k) * beta(k + a, count - k + b) for k in range(failed, count + 1))
    return sum(terms, Fraction(0)) / beta(a, b)


@given(st.integers(0, 40), st.integers(0, 40), st.integers(1, 9), st.integers(1, 200))
def test_the_tail_is_what_exact_arithmetic_says(failed: int, fine: int, a: int, b: int) -> None:
    wanted = float(exact(failed, failed + fine, a, b))
    assert tail(failed, failed + fine, a, b) == pytest.approx(wanted, rel=1e-8)


def test_failures_now_and_then_are_nothing() -> None:
    detector = FailureDetector(FailureRule())
    for day in range(30):
        assert show(detector, day * DAY + 9 * HOUR, failing(40)) == []


def test_a_tool_that_fails_as_it_never_did_raises_an_alert() -> None:
    detector = lived()
    (alert,) = show(detector, 10 * DAY + 9 * HOUR, [False] * 4 + [True] * 10)
    assert dict(alert.labels)["tool"] == "vm_get"
    assert alert.baseline < 0.05
    assert alert.observed > 0.4


def test_a_tool_that_always_fails_often_needs_more() -> None:
    detector = lived(every=2)
    assert show(detector, 10 * DAY + 9 * HOUR, [False, True, True] * 6) == []


def test_an_outage_last_week_does_not_excuse_the_one_today() -> None:
    detector = lived()
    show(detector, 10 * DAY + 9 * HOUR, [True] * 60)
    for day in range(11, 14):
        show(detector, day * DAY + 9 * HOUR, [False] * 100)
    assert len(show(detector, 14 * DAY + 9 * HOUR, [False] * 4 + [True] * 10)) == 1


def test_maintenance_that_comes_every_week_at_the_same_hour_is_usual() -> None:
    detector = lived(7)
    for day in range(7, 21):
        if day % 7 == 0:
            show(detector, day * DAY + 2 * HOUR, [False, True] * 20)
        show(detector, day * DAY + 9 * HOUR, failing(50))
    assert show(detector, 21 * DAY + 2 * HOUR, [False, True] * 20) == []
    assert len(show(detector, 21 * DAY + 14 * HOUR, [False, True] * 20)) == 1


def test_a_server_whose_tools_all_fail_is_told_of_as_a_server() -> None:
    detector = lived()
    tools = ("vm_get", "vm_list", "vm_stop", "vm_clone")
    (alert,) = show(detector, 10 * DAY + 9 * HOUR, [True] * 24, tools=tools)
    assert "tool" not in dict(alert.labels)
    assert dict(alert.labels)["server"] == "hypervisor"
