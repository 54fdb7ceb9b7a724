"""What is usual for a key: robust to a burst, quick to learn a habit."""

import pytest

from toolreeve.decision import Instant
from toolreeve.decision.instant import DAY, HOUR, MINUTE, SECOND
from toolreeve.detect.counts import Baseline, Counts

FIRST_DAY = 20_000
START = FIRST_DAY * DAY
WINDOW = 10 * MINUTE


def counts(baseline: Baseline | None = None) -> Counts[int]:
    return Counts(baseline or Baseline(), window_ns=WINDOW, items_max=100)


def burst(of: Counts[int], day: int, calls: int, *, at: int = 10 * HOUR) -> int:
    """So many calls, two seconds apart; what the window held in the end."""
    held = 0
    for number in range(calls):
        held = of.add(Instant(START + day * DAY + at + number * 2 * SECOND), number)
    return held


def usual(of: Counts[int]) -> float:
    return of.usual(first_day=FIRST_DAY).mean


def test_of_a_key_that_nobody_has_seen_the_floor_is_usual() -> None:
    seen = counts()
    assert burst(seen, 0, 3) == 3
    assert usual(seen) == Baseline().floor


def test_a_burst_on_two_of_three_weeks_days_is_not_usual_and_one_on_the_third_is() -> None:
    seen = counts()
    for day in (2, 9):
        burst(seen, day, 40)
    burst(seen, 21, 1, at=20 * HOUR)
    assert usual(seen) == Baseline().floor
    burst(seen, 16, 40)
    assert usual(seen) > 1


def test_what_a_pipeline_does_every_day_is_usual() -> None:
    seen = counts()
    for day in range(10):
        burst(seen, day, 6, at=(8 + day) * HOUR)
    burst(seen, 10, 1, at=20 * HOUR)
    mean = usual(seen)
    assert 0.2 < mean < 6


def test_a_nightly_job_is_usual_at_its_time_of_day_and_not_at_others() -> None:
    seen = counts()
    for day in range(5):
        burst(seen, day, 30, at=2 * HOUR)
    burst(seen, 5, 1, at=2 * HOUR + 3 * MINUTE)
    assert usual(seen) == 30
    burst(seen, 5, 1, at=14 * HOUR)
    assert usual(seen) < 4


def test_where_calls_are_many_the_spread_is_their_own() -> None:
    seen = counts(Baseline(days=3))
    for day in range(3):
        for at in range(0, DAY, 2 * MINUTE):
            seen.add(Instant(START + day * DAY + at), 0)
    burst(seen, 3, 1)
    assert seen.usual(first_day=FIRST_DAY).spread == pytest.approx(0.0, abs=0.01)
    assert usual(seen) == pytest.approx(5, abs=0.2)


def test_a_window_ends_where_it_says() -> None:
    seen = counts()
    seen.add(Instant(START), 1)
    assert seen.add(Instant(START + WINDOW - 1), 2) == 2
    assert seen.add(Instant(START + WINDOW), 3) == 2
    assert seen.window() == [2, 3]
    assert seen.since == START + WINDOW - 1


def test_what_comes_late_stands_in_its_place_and_what_is_too_late_counts_for_its_day_only() -> None:
    seen = counts()
    seen.add(Instant(START + DAY), 1)
    assert seen.add(Instant(START + DAY - MINUTE), 0) == 2
    assert seen.window() == [0, 1]
    assert seen.add(Instant(START + HOUR), 9) == 0
    assert seen.add(Instant(START + DAY - WINDOW), 9) == 0
    assert seen.window() == [0, 1]


def test_a_flood_is_kept_up_to_a_bound_and_the_past_up_to_its_days() -> None:
    seen = counts()
    assert burst(seen, 0, 290) == 100
    for day in range(1, 200):
        burst(seen, day, 3, at=(day % 24) * HOUR)
    assert len(seen) < 100 + 3 * 23 + 25


def test_a_share_of_none_takes_the_quietest_day() -> None:
    seen = counts(Baseline(busy_share=0.0))
    burst(seen, 0, 40)
    burst(seen, 2, 1)
    assert usual(seen) == Baseline().floor


def test_the_oldest_of_the_days_still_counts_and_the_one_before_it_does_not() -> None:
    seen = counts(Baseline(days=3, busy_share=0.0))
    for day in range(3):
        burst(seen, day, 40, at=9 * HOUR)
    burst(seen, 3, 1, at=20 * HOUR)
    assert usual(seen) > 1
    burst(seen, 4, 1, at=20 * HOUR)
    assert usual(seen) == Baseline().floor
