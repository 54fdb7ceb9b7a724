"""VMs that are switched on and off."""

from toolreeve.audit import AlertRaised
from toolreeve.decision import Instant
from toolreeve.decision.instant import DAY, HOUR, MINUTE
from toolreeve.detect import Attempt, Finding
from toolreeve.detect.flapping import FlappingDetector, FlappingRule

START = 20_000 * DAY


def show(
    detector: FlappingDetector, tools: list[str], *, at: int = 0, admitted: bool = True
) -> list[Finding]:
    """Calls on one VM, a minute apart."""
    return [
        found
        for number, tool in enumerate(tools)
        for found in detector.observe(
            Attempt(
                at=Instant(START + at + number * MINUTE),
                server="hypervisor",
                tool=tool,
                grant="g",
                agent="pipeline",
                admitted=admitted,
                values=(("/id", "vm-7"),),
            )
        )
    ]


def test_the_seventh_turn_within_twenty_minutes_raises_an_alert() -> None:
    detector = FlappingDetector(FlappingRule())
    assert show(detector, ["vm_stop", "vm_start"] * 3) == []
    (alert,) = show(detector, ["vm_stop", "vm_start"], at=6 * MINUTE)
    assert isinstance(alert, AlertRaised)
    assert (alert.rule, alert.observed) == ("vm-flapping", 7.0)
    assert dict(alert.labels)["tool"] == "vm_start, vm_stop"


def test_asking_for_what_is_there_already_is_no_turn() -> None:
    detector = FlappingDetector(FlappingRule())
    assert show(detector, ["vm_stop"] * 15) == []
    assert show(detector, ["vm_start"] * 3, at=15 * MINUTE) == []


def test_restarts_alone_are_no_flapping_and_count_two_turns_beside_stops() -> None:
    detector = FlappingDetector(FlappingRule())
    assert show(detector, ["vm_restart"] * 15) == []
    (alert,) = show(detector, ["vm_stop", "vm_start", "vm_stop"], at=15 * MINUTE)
    assert isinstance(alert, AlertRaised)


def test_refused_calls_turn_nothing() -> None:
    detector = FlappingDetector(FlappingRule())
    assert show(detector, ["vm_stop", "vm_start"] * 8, admitted=False) == []


def test_a_test_machine_that_flaps_every_day_needs_more() -> None:
    detector = FlappingDetector(FlappingRule())
    for day in range(8):
        show(detector, ["vm_stop", "vm_start"] * 4, at=day * DAY + (8 + day) * HOUR)
    day = 8 * DAY + 20 * HOUR
    assert not any(
        isinstance(found, AlertRaised)
        for found in show(detector, ["vm_stop", "vm_start"] * 5, at=day)
    )


def test_a_stop_at_night_and_a_start_in_the_morning_are_nothing() -> None:
    detector = FlappingDetector(FlappingRule())
    for day in range(20):
        assert show(detector, ["vm_stop"], at=day * DAY + 20 * HOUR) == []
        assert show(detector, ["vm_start"], at=day * DAY + 29 * HOUR) == []
