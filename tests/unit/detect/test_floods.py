"""Tens of thousands of calls within one window cost the watcher little more each than a few."""

import random
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from toolreeve.audit import AlertRaised
from toolreeve.decision import Instant
from toolreeve.decision.instant import SECOND
from toolreeve.detect import Attempt, BurstDetector, BurstRule, poisson
from toolreeve.detect.history import History

START = 1_750_000_000 * SECOND
ATTEMPTS = 30_000
Counts = Counter[str]


@pytest.fixture
def work(monkeypatch: pytest.MonkeyPatch) -> Counts:
    """How often a window was counted, judged, and a baseline taken anew."""
    counts: Counts = Counter()

    def counted(name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def counting(*arguments: Any, **more: Any) -> Any:
            counts[name] += 1
            return call(*arguments, **more)

        return counting

    for name, what in (("windows", "_count"), ("baselines", "_usual_mean")):
        monkeypatch.setattr(History, what, counted(name, vars(History)[what]))
    monkeypatch.setattr(poisson, "tail", counted("tails", poisson.tail))
    return counts


def restarts(times: list[int]) -> Iterator[Attempt]:
    for at in times:
        yield Attempt(
            at=Instant(START + at),
            server="truenas",
            tool="vm_restart",
            grant="g-1",
            agent="night-shift",
            admitted=True,
            values=(("/id", "vm-7"),),
        )


def flood(order: str) -> list[int]:
    """Attempts in half a window, as two enforcers' batches bring them, or in any order at all."""
    times = [number * 10_000_000 for number in range(ATTEMPTS)]
    if order == "two enforcers":
        halves = (times[::2], times[1::2])
        return [
            at
            for begin in range(0, ATTEMPTS // 2, 500)
            for half in halves
            for at in half[begin : begin + 500]
        ]
    if order == "any":
        random.Random(20_261_121).shuffle(times)
    return times


@pytest.mark.parametrize("order", ["in order", "two enforcers", "any"])
def test_a_flood_is_one_alert_and_each_attempt_is_judged_about_once(
    work: Counts, order: str
) -> None:
    detector = BurstDetector(BurstRule())
    alerts = [
        finding
        for attempt in restarts(flood(order))
        for finding in detector.observe(attempt)
        if isinstance(finding, AlertRaised)
    ]
    assert len(alerts) == 1
    assert work["windows"] < 2 * ATTEMPTS
    assert work["tails"] < 2 * ATTEMPTS
    assert work["baselines"] < ATTEMPTS // 10


def test_late_attempts_of_a_burst_that_is_known_belong_to_it_and_to_no_other() -> None:
    detector = BurstDetector(BurstRule())
    early = [number * SECOND for number in range(0, 300, 2)]
    late = [number * SECOND for number in range(1, 300, 2)]
    found = [one for attempt in restarts(early) for one in detector.observe(attempt)]
    assert len(found) == 1
    assert [one for attempt in restarts(late) for one in detector.observe(attempt)] == []
