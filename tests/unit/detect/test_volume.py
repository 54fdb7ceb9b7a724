"""Agents that do more and more."""

import random
from math import comb, exp

import pytest

from toolreeve.audit import AlertRaised
from toolreeve.decision import Instant
from toolreeve.decision.instant import DAY, MINUTE
from toolreeve.detect import Attempt
from toolreeve.detect.volume import Ordinary, VolumeDetector, VolumeRule

MONDAY = 20_458  # 2026-01-05


def work(detector: VolumeDetector, day: int, calls: int) -> list[AlertRaised]:
    alerts: list[AlertRaised] = []
    for call in range(calls):
        found = detector.observe(
            Attempt(
                at=Instant((MONDAY + day) * DAY + 480 * MINUTE + call * MINUTE),
                server="hypervisor",
                tool="vm_get",
                grant="g",
                agent="person",
                admitted=True,
            )
        )
        alerts += [one for one in found if isinstance(one, AlertRaised)]
    return alerts


def days(weeks: int) -> list[int]:
    return [day for day in range(7 * weeks) if day % 7 < 5]


def lived(weeks: int = 4, calls: int = 30) -> VolumeDetector:
    chance, detector = random.Random(5), VolumeDetector(VolumeRule())
    for day in days(weeks):
        assert work(detector, day, round(calls * chance.lognormvariate(0, 0.25))) == []
    return detector


def test_twice_as_many_calls_for_a_week_raise_one_alert() -> None:
    detector = lived()
    alerts = [alert for day in range(28, 33) for alert in work(detector, day, 75)]
    (alert,) = alerts
    assert alert.rule == "volume-drift"
    assert 25 < alert.baseline < 35
    assert alert.observed >= alert.threshold


def test_one_busy_day_is_nothing() -> None:
    detector = lived()
    assert work(detector, 28, 60) == []
    assert [alert for day in range(29, 33) for alert in work(detector, day, 30)] == []


def test_a_flood_is_told_of_in_the_middle_of_the_day() -> None:
    (alert,) = work(lived(), 28, 400)
    assert alert.crossed_at < (MONDAY + 29) * DAY
    assert alert.observed < 300


def test_two_weeks_of_leave_are_no_change() -> None:
    detector = lived()
    assert [alert for day in range(42, 47) for alert in work(detector, day, 35)] == []


def test_of_who_hardly_calls_nothing_is_said() -> None:
    detector = lived(4, calls=4)
    assert [alert for day in range(28, 33) for alert in work(detector, day, 16)] == []


@pytest.mark.parametrize("change", [1.5, 3.0])
def test_the_evidence_of_a_day_is_worth_nothing_on_average_where_nothing_changed(
    change: float,
) -> None:
    """E[P(X | more) / P(X | as before)] = 1 where X is as before; here the spread is 1 / 4."""
    usual, size = Ordinary(20.0, 0.25), 4
    q = usual.mean / (usual.mean + size)
    chances = [comb(k + size - 1, k) * (1 - q) ** size * q**k for k in range(2_000)]
    money = sum(p * exp(usual.evidence(k, change)) for k, p in enumerate(chances))
    assert money == pytest.approx(1.0, rel=1e-6)


def test_an_agent_that_goes_on_as_before_is_left_in_peace_for_a_year() -> None:
    chance, detector = random.Random(11), VolumeDetector(VolumeRule())
    alerts = [
        alert
        for day in days(52)
        for alert in work(detector, day, round(25 * chance.lognormvariate(0, 0.3)))
    ]
    assert alerts == []
