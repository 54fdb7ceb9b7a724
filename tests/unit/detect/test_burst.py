"""Bursts: what raises an alert, what belongs to it, when it is over."""

from collections.abc import Iterable, Sequence

import pytest

from toolreeve.audit import AlertRaised
from toolreeve.decision import Instant
from toolreeve.decision.instant import DAY, HOUR, MINUTE, SECOND
from toolreeve.detect import Attempt, BurstDetector, BurstRule, Ended, Finding

START = Instant(1_750_000_000 * SECOND)


def restart(
    at: int,
    vm: str | None = "vm-7",
    *,
    grant: str = "g-1",
    admitted: bool = True,
    tool: str = "vm_restart",
) -> Attempt:
    return Attempt(
        at=Instant(START + at),
        server="truenas",
        tool=tool,
        grant=grant,
        agent=f"agent of {grant}",
        admitted=admitted,
        values=() if vm is None else (("/id", vm),),
    )


def observe_all(detector: BurstDetector, attempts: Iterable[Attempt]) -> list[Finding]:
    return [finding for attempt in attempts for finding in detector.observe(attempt)]


def raised(findings: Sequence[Finding]) -> list[AlertRaised]:
    return [finding for finding in findings if isinstance(finding, AlertRaised)]


def test_the_fifth_restart_of_one_vm_within_ten_minutes_raises_one_alert() -> None:
    detector = BurstDetector(BurstRule())
    assert observe_all(detector, (restart(n * MINUTE) for n in range(4))) == []
    (alert,) = detector.observe(restart(4 * MINUTE))
    assert isinstance(alert, AlertRaised)
    assert alert.rule == "vm-restart-burst"
    assert (alert.since_at, alert.crossed_at) == (START, START + 4 * MINUTE)
    assert (alert.observed, alert.threshold) == (5.0, 5.0)
    labels = dict(alert.labels)
    assert labels["target"] == "vm-7"
    assert labels["grant"] == "g-1"


def test_restarts_further_apart_than_the_window_raise_nothing() -> None:
    detector = BurstDetector(BurstRule())
    assert observe_all(detector, (restart(n * 3 * MINUTE) for n in range(60))) == []


def test_twelve_restarts_in_seconds_under_a_cap_of_ten_are_one_alert() -> None:
    detector = BurstDetector(BurstRule())
    story = [restart(n * SECOND // 3, admitted=n < 10) for n in range(12)]
    (alert,) = observe_all(detector, story)
    assert isinstance(alert, AlertRaised)
    assert dict(alert.labels)["admitted"] == "5"


def test_refused_attempts_are_a_burst_too_and_the_label_says_so() -> None:
    detector = BurstDetector(BurstRule())
    (alert,) = observe_all(detector, (restart(n * SECOND, admitted=False) for n in range(6)))
    assert isinstance(alert, AlertRaised)
    assert dict(alert.labels)["admitted"] == "0"


def test_many_vms_by_one_grant_raise_one_alert_of_the_grant() -> None:
    detector = BurstDetector(BurstRule())
    story = [restart(n * SECOND, f"vm-{n}") for n in range(15)]
    (alert,) = observe_all(detector, story)
    assert isinstance(alert, AlertRaised)
    assert "target" not in dict(alert.labels)
    assert dict(alert.labels)["grant"] == "g-1"
    assert alert.observed == 10


def test_calls_whose_vm_is_not_known_count_for_their_grant() -> None:
    detector = BurstDetector(BurstRule())
    assert len(observe_all(detector, (restart(n * SECOND, None) for n in range(30)))) == 1


def test_an_agent_cannot_hide_a_vm_behind_another_way_to_write_its_id() -> None:
    detector = BurstDetector(BurstRule())
    story = [restart(n * SECOND, "7", tool=("vm_restart", "restart_vm")[n % 2]) for n in range(5)]
    (alert,) = raised(observe_all(detector, story))
    assert dict(alert.labels)["tool"] == "restart_vm, vm_restart"


def test_other_tools_are_not_counted() -> None:
    detector = BurstDetector(BurstRule())
    assert observe_all(detector, (restart(n, tool="vm_status") for n in range(500))) == []


def test_an_alert_ends_when_it_has_been_quiet_and_the_next_burst_is_another() -> None:
    detector = BurstDetector(BurstRule())
    first = raised(observe_all(detector, (restart(n * SECOND) for n in range(8))))
    assert detector.advance(Instant(START + 7 * SECOND + 10 * MINUTE)) == []
    (ended,) = detector.advance(Instant(START + 7 * SECOND + 10 * MINUTE + 1))
    assert ended == Ended(first[0].alert_id, Instant(START + 7 * SECOND + 10 * MINUTE), "quiet")
    again = raised(observe_all(detector, (restart(HOUR + n * SECOND) for n in range(8))))
    assert len(again) == 1
    assert again[0].alert_id != first[0].alert_id


def test_a_burst_that_goes_on_stays_one_alert() -> None:
    detector = BurstDetector(BurstRule())
    findings = observe_all(detector, (restart(n * 30 * SECOND) for n in range(240)))
    assert len(findings) == 1


def test_a_vm_that_is_always_restarted_needs_more_than_one_nobody_touches() -> None:
    usual = [restart(minute * 5 * MINUTE) for minute in range(7 * 24 * 12)]  # two in ten minutes
    detector = BurstDetector(BurstRule())
    assert observe_all(detector, usual) == []
    end = 7 * DAY
    assert observe_all(detector, (restart(end + n * SECOND) for n in range(8))) == []
    (alert,) = observe_all(detector, (restart(end + MINUTE + n * SECOND) for n in range(20)))
    assert isinstance(alert, AlertRaised)
    assert alert.baseline == pytest.approx(2.0, rel=0.05)
    assert alert.threshold > 12


def test_a_nightly_job_raises_nothing_once_three_nights_are_known() -> None:
    detector = BurstDetector(BurstRule())
    nights = [
        observe_all(detector, (restart(night * DAY + n * SECOND) for n in range(20)))
        for night in range(8)
    ]
    assert [len(raised(found)) for found in nights[:2]] == [1, 1]
    assert [len(raised(found)) for found in nights[4:]] == [0, 0, 0, 0]


def test_a_burst_last_week_does_not_excuse_one_today() -> None:
    detector = BurstDetector(BurstRule())
    observe_all(detector, (restart(n * SECOND) for n in range(400)))
    (alert,) = raised(observe_all(detector, (restart(3 * DAY + n * SECOND) for n in range(6))))
    assert alert.baseline < 0.1


def test_a_burst_that_comes_late_from_another_enforcer_is_found() -> None:
    detector = BurstDetector(BurstRule())
    assert observe_all(detector, [restart(40 * MINUTE)]) == []
    (alert,) = raised(observe_all(detector, (restart(n * SECOND) for n in range(5))))
    assert alert.since_at == START


def test_what_comes_later_than_the_bound_is_counted_and_not_judged() -> None:
    detector = BurstDetector(BurstRule())
    observe_all(detector, [restart(5 * HOUR)])
    assert observe_all(detector, (restart(n * SECOND) for n in range(50))) == []


def test_the_query_of_an_alert_quotes_what_agents_chose() -> None:
    detector = BurstDetector(BurstRule())
    (alert,) = raised(observe_all(detector, (restart(n, "o'vm") for n in range(5))))
    assert "arguments['/id']::VARCHAR = 'o''vm'" in alert.query
    assert "tool IN ('vm_restart')" in alert.query


def test_memory_is_bounded_in_keys_and_in_attempts() -> None:
    rule = BurstRule(keys_max=50, attempts_kept_max=20)
    detector = BurstDetector(rule)
    observe_all(detector, (restart(n * HOUR, f"vm-{n}", grant=f"g-{n}") for n in range(500)))
    assert detector.held() == (50, 50)
    observe_all(detector, (restart(500 * HOUR + n) for n in range(1_000)))
    keys, attempts = detector.held()
    assert keys <= 51
    assert attempts <= 50 + 2 * 20
