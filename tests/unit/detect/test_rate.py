"""Bursts against a key's own habits."""

from collections.abc import Iterator

from toolreeve.audit import AlertRaised
from toolreeve.decision import Instant
from toolreeve.decision.instant import DAY, HOUR, MINUTE, SECOND
from toolreeve.detect import Attempt, Ended, Finding
from toolreeve.detect.rate import RateDetector
from toolreeve.detect.seen import Detector
from toolreeve.detect.standard import CLONE_STORM, DENIAL_SPIKE, RESTART_RATE

START = 20_000 * DAY


def call(
    at: int,
    *,
    tool: str = "vm_restart",
    vm: str = "vm-7",
    agent: str = "night-shift",
    admitted: bool = True,
) -> Attempt:
    return Attempt(
        at=Instant(START + at),
        server="hypervisor",
        tool=tool,
        grant="nights",
        agent=agent,
        admitted=admitted,
        values=(("/id", vm),),
    )


def series(
    begin: int, calls: int, step: int = 20 * SECOND, *, vm: str = "vm-7"
) -> Iterator[Attempt]:
    for number in range(calls):
        yield call(begin + number * step, vm=vm)


def shown(detector: Detector, attempts: Iterator[Attempt]) -> list[Finding]:
    return [found for attempt in attempts for found in detector.observe(attempt)]


def test_the_fifth_restart_of_a_quiet_vm_raises_one_alert_that_says_who_and_what() -> None:
    detector = RateDetector(RESTART_RATE)
    assert shown(detector, series(0, 4)) == []
    (alert,) = shown(detector, series(80 * SECOND, 20))
    assert isinstance(alert, AlertRaised)
    assert (alert.rule, alert.observed, alert.threshold) == ("vm-restart-rate", 5.0, 5.0)
    labels = dict(alert.labels)
    assert (labels["target"], labels["agent"], labels["pointer"]) == ("vm-7", "night-shift", "/id")
    assert alert.since_at == START
    assert "arguments['/id']::VARCHAR = 'vm-7'" in alert.query


def test_a_vm_that_a_pipeline_restarts_all_day_needs_more() -> None:
    detector = RateDetector(RESTART_RATE)
    for day in range(14):
        for hour in (9, 13, 17):
            shown(detector, series(day * DAY + hour * HOUR, 4))
    assert shown(detector, series(14 * DAY + 9 * HOUR, 8)) == []
    (alert,) = shown(detector, series(14 * DAY + 15 * HOUR, 25))
    assert isinstance(alert, AlertRaised)
    assert alert.threshold > 8
    assert alert.baseline > 0.2


def test_an_alert_is_over_half_an_hour_after_the_last_crossing() -> None:
    detector = RateDetector(RESTART_RATE)
    (alert,) = shown(detector, series(0, 6))
    assert isinstance(alert, AlertRaised)
    crossed = START + 100 * SECOND
    assert detector.advance(Instant(crossed + 30 * MINUTE)) == []
    over = Instant(crossed + 30 * MINUTE)
    assert detector.advance(Instant(over + 1)) == [Ended(alert.alert_id, over, "quiet")]


def test_clones_count_by_agent_whatever_they_clone() -> None:
    detector = RateDetector(CLONE_STORM)
    clones = [call(n * 20 * SECOND, tool="vm_clone", vm=f"vm-{n}") for n in range(8)]
    (alert,) = shown(detector, iter(clones))
    assert isinstance(alert, AlertRaised)
    assert dict(alert.labels)["agent"] == "night-shift"
    assert "target" not in dict(alert.labels)
    others = [call(DAY + n * 20 * SECOND, tool="vm_clone", agent=f"a-{n}") for n in range(8)]
    assert not any(isinstance(found, AlertRaised) for found in shown(detector, iter(others)))


def test_only_what_was_refused_is_a_denial() -> None:
    detector = RateDetector(DENIAL_SPIKE)
    assert shown(detector, series(0, 30, 5 * SECOND)) == []
    refused = (call(HOUR + n * SECOND, admitted=False) for n in range(8))
    (alert,) = shown(detector, refused)
    assert isinstance(alert, AlertRaised)
    assert alert.rule == "denial-spike"
    assert dict(alert.labels)["admitted"] == "0"


def test_what_comes_more_than_an_hour_late_raises_nothing_and_what_comes_earlier_does() -> None:
    for late, alerts in ((HOUR, 1), (HOUR + MINUTE, 0)):
        detector = RateDetector(RESTART_RATE)
        detector.observe(call(5 * 20 * SECOND + late, vm="vm-1"))
        assert len(shown(detector, series(20 * SECOND, 5))) == alerts
