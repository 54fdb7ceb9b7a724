"""Agents that touch what they never touched."""

from collections.abc import Iterable

from toolreeve.audit import AlertRaised
from toolreeve.decision import Instant
from toolreeve.decision.instant import DAY, HOUR, SECOND
from toolreeve.detect import Attempt
from toolreeve.detect.reach import ReachDetector
from toolreeve.detect.standard import FAN_OUT, PROBING

START = 20_000 * DAY


def touch(
    detector: ReachDetector,
    things: Iterable[str],
    *,
    day: int,
    hour: int = 10,
    agent: str = "person",
    admitted: bool = True,
) -> list[AlertRaised]:
    """An agent's calls ten seconds apart: on VMs, or of tools where they are refused."""
    alerts: list[AlertRaised] = []
    for number, thing in enumerate(things):
        found = detector.observe(
            Attempt(
                at=Instant(START + day * DAY + hour * HOUR + number * 10 * SECOND),
                server="hypervisor",
                tool="vm_get" if admitted else thing,
                grant="g",
                agent=agent,
                admitted=admitted,
                values=(("/id", thing),) if admitted else (),
            )
        )
        alerts += [one for one in found if isinstance(one, AlertRaised)]
    return alerts


def vms(first: int, last: int) -> list[str]:
    return [f"vm-{number}" for number in range(first, last)]


def live(detector: ReachDetector, days: int, *, agent: str = "person") -> None:
    for day in range(days):
        touch(detector, vms(0, 5), day=day, agent=agent)


def test_twelve_vms_never_touched_within_ten_minutes_raise_an_alert() -> None:
    detector = ReachDetector(FAN_OUT)
    live(detector, 12)
    assert touch(detector, vms(20, 31), day=12) == []
    (alert,) = touch(detector, ["vm-31"], day=12)
    assert (alert.rule, alert.observed) == ("fan-out", 12.0)
    assert dict(alert.labels)["agent"] == "person"


def test_who_reads_every_vm_every_night_touches_none_for_the_first_time() -> None:
    detector = ReachDetector(FAN_OUT)
    for day in range(30):
        assert touch(detector, vms(0, 40), day=day, hour=2, agent="inventory") == []


def test_of_an_agent_that_is_new_nothing_is_said() -> None:
    detector = ReachDetector(FAN_OUT)
    live(detector, 10)
    assert touch(detector, vms(0, 60), day=10, agent="newcomer") == []


def test_vms_that_another_agent_brought_forth_yesterday_are_no_news() -> None:
    detector = ReachDetector(FAN_OUT)
    live(detector, 6)
    live(detector, 6, agent="inventory")
    touch(detector, vms(100, 110), day=6, agent="deployer", hour=9)
    touch(detector, vms(110, 120), day=6, agent="deployer", hour=12)
    assert touch(detector, vms(100, 120), day=7, agent="inventory") == []


def test_vms_that_all_know_are_news_for_who_never_touched_them() -> None:
    detector = ReachDetector(FAN_OUT)
    live(detector, 6)
    for day in range(6):
        touch(detector, vms(0, 100), day=day, hour=2, agent="inventory")
    assert len(touch(detector, vms(50, 70), day=6)) == 1


def test_what_was_not_touched_for_three_weeks_is_new_again() -> None:
    detector = ReachDetector(FAN_OUT)
    for day in range(3):
        touch(detector, vms(50, 70), day=day)
    live(detector, 24)
    assert len(touch(detector, vms(50, 70), day=24)) == 1


def test_three_refused_tools_in_a_row_are_probing_and_one_refused_often_is_not() -> None:
    detector = ReachDetector(PROBING)
    live(detector, 5)
    assert touch(detector, ["vm_delete"] * 20, day=5, admitted=False) == []
    (alert,) = touch(detector, ["vm_export", "disk_read"], day=5, admitted=False)
    assert (alert.rule, alert.observed) == ("probing", 3.0)
    assert dict(alert.labels)["tool"] == "disk_read, vm_delete, vm_export"
