"""Agents at hours at which they never work."""

from toolreeve.audit import AlertRaised
from toolreeve.decision import Instant
from toolreeve.decision.instant import DAY, HOUR, MINUTE
from toolreeve.detect import Attempt
from toolreeve.detect.hours import HoursDetector, HoursRule, is_weekend

MONDAY = 20_458  # 2026-01-05


def work(
    detector: HoursDetector, day: int, hours: range | list[int], *, calls: int = 5
) -> list[AlertRaised]:
    """Some calls in each of the hours."""
    alerts: list[AlertRaised] = []
    for hour in hours:
        for call in range(calls):
            found = detector.observe(
                Attempt(
                    at=Instant((MONDAY + day) * DAY + hour * HOUR + call * MINUTE),
                    server="hypervisor",
                    tool="vm_get",
                    grant="g",
                    agent="person",
                    admitted=True,
                )
            )
            alerts += [one for one in found if isinstance(one, AlertRaised)]
    return alerts


def lived(weeks: int = 3, hours: range = range(8, 17)) -> HoursDetector:
    detector = HoursDetector(HoursRule())
    for day in range(7 * weeks):
        if day % 7 < 5:
            assert work(detector, day, hours) == []
    return detector


def test_the_fourth_call_at_three_in_the_morning_raises_an_alert() -> None:
    assert work(lived(), 21, [3], calls=3) == []
    (alert,) = work(lived(), 21, [3])
    assert alert.rule == "unusual-hours"
    assert dict(alert.labels)["hour"] == "03:00"
    assert alert.baseline < 0.05


def test_a_weekend_is_another_kind_of_day() -> None:
    assert is_weekend(MONDAY + 5)
    assert is_weekend(MONDAY + 6)
    assert not is_weekend(MONDAY + 4)
    assert len(work(lived(), 26, [11])) == 1


def test_an_hour_or_three_longer_than_usual_is_no_news() -> None:
    assert work(lived(), 21, [17, 18, 19]) == []
    assert len(work(lived(), 21, [20])) == 1


def test_a_night_is_one_alert_however_many_calls_it_has() -> None:
    assert len(work(lived(), 21, [1, 2, 3, 4], calls=40)) == 1


def test_who_works_around_the_clock_has_no_unusual_hours() -> None:
    detector = HoursDetector(HoursRule())
    for day in range(21):
        assert work(detector, day, range(24)) == []


def test_who_is_on_call_now_and_then_is_not_told_of_each_time() -> None:
    detector = lived(2)
    work(detector, 14, [3])
    for day in (15, 16, 17):
        work(detector, day, range(8, 17))
    assert work(detector, 18, [23]) == []


def test_of_who_was_active_for_less_than_a_week_nothing_is_said() -> None:
    detector = HoursDetector(HoursRule())
    for day in range(5):
        work(detector, day, range(8, 17))
    assert work(detector, 6, [3]) == []
