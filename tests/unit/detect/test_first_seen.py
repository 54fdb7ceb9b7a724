"""What an agent does for the first time."""

from collections.abc import Sequence

from toolreeve.audit import AlertRaised
from toolreeve.decision import Instant
from toolreeve.decision.instant import DAY, HOUR, MINUTE
from toolreeve.detect import Attempt, Change, Sighting
from toolreeve.detect.first_seen import FirstSeenDetector
from toolreeve.detect.standard import FIRST_SEEN, FIRST_TARGET

START = 20_000 * DAY


def call(
    detector: FirstSeenDetector,
    day: int,
    *,
    agent: str = "janitor",
    tool: str = "vm_stop",
    server: str = "hypervisor",
    vm: str = "vm-1",
    names: Sequence[str] = ("id",),
    admitted: bool = True,
    minute: int = 0,
) -> list[AlertRaised]:
    found = detector.observe(
        Attempt(
            at=Instant(START + day * DAY + 10 * HOUR + minute * MINUTE),
            server=server,
            tool=tool,
            grant="g",
            agent=agent,
            admitted=admitted,
            values=(("/id", vm),),
            names=tuple(names),
        )
    )
    return [one for one in found if isinstance(one, AlertRaised)]


def lived(detector: FirstSeenDetector, days: int = 15) -> FirstSeenDetector:
    for day in range(days):
        assert call(detector, day) == []
    return detector


def seen() -> FirstSeenDetector:
    return lived(FirstSeenDetector(FIRST_SEEN))


def test_a_tool_that_an_agent_never_used_is_told_once() -> None:
    detector = seen()
    (alert,) = call(detector, 15, tool="vm_export")
    assert alert.rule == "first-seen"
    assert dict(alert.labels)["kind"] == "tool"
    assert "vm_export" in alert.summary
    assert call(detector, 15, tool="vm_export", minute=90) == []


def test_what_is_new_within_the_hour_belongs_to_the_same_story() -> None:
    detector = seen()
    assert len(call(detector, 15, tool="vm_export")) == 1
    assert call(detector, 15, tool="disk_read", minute=30) == []
    assert len(call(detector, 16, tool="disk_write")) <= 1


def test_a_server_says_more_than_its_tool() -> None:
    (alert,) = call(seen(), 15, server="payroll", tool="salary_get")
    assert dict(alert.labels)["kind"] == "server"


def test_an_argument_that_nobody_used_is_news_and_one_that_others_use_is_not() -> None:
    (alert,) = call(seen(), 15, names=("id", "force"))
    assert dict(alert.labels)["new"] == "force"
    detector = seen()
    call(detector, 14, agent="operator", names=("id", "force"))
    assert call(detector, 15, names=("id", "force")) == []


def test_a_tool_that_came_with_a_release_is_no_news() -> None:
    detector = seen()
    detector.observe(
        Sighting(
            at=Instant(START + 12 * DAY),
            enforcer="e",
            change=Change.PINNED,
            server="hypervisor",
            tool="vm_report",
            digest="d",
        )
    )
    assert call(detector, 15, tool="vm_report", names=("id", "format")) == []


def test_a_tool_that_three_others_use_is_a_habit_one_may_take_over() -> None:
    detector = seen()
    for agent in ("a", "b", "c"):
        call(detector, 14, agent=agent, tool="vm_report")
    assert call(detector, 15, tool="vm_report") == []


def test_who_does_new_things_all_the_time_is_not_told_of() -> None:
    detector = FirstSeenDetector(FIRST_SEEN)
    alerts = [alert for day in range(30) for alert in call(detector, day, tool=f"tool-{day}")]
    assert len(alerts) <= 1


def test_refused_calls_and_agents_that_are_new_do_nothing_that_is_told() -> None:
    detector = seen()
    assert call(detector, 15, tool="vm_export", admitted=False) == []
    assert call(detector, 15, agent="newcomer", tool="vm_export") == []


def test_another_vm_is_told_of_an_agent_with_fixed_vms_only() -> None:
    detector = lived(FirstSeenDetector(FIRST_TARGET))
    (alert,) = call(detector, 15, vm="vm-99")
    assert dict(alert.labels)["kind"] == "target"
    roaming = FirstSeenDetector(FIRST_TARGET)
    for day in range(15):
        call(roaming, day, vm=f"vm-{day // 3}")
    assert call(roaming, 15, vm="vm-99") == []
