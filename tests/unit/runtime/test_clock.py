"""The clock that never steps back."""

from toolreeve.decision import Instant
from toolreeve.runtime.clock import Clock


def test_time_is_the_wall_clocks_at_the_start_and_elapsed_time_from_then_on() -> None:
    elapsed = [50]
    clock = Clock(wall_ns=lambda: 1_000, elapsed_ns=lambda: elapsed[0])
    assert clock.now() == 1_000
    elapsed[0] = 57
    assert clock.now() == 1_007


def test_a_wall_clock_behind_the_record_goes_on_from_the_record() -> None:
    clock = Clock(not_before=Instant(5_000), wall_ns=lambda: 1_000, elapsed_ns=lambda: 50)
    assert clock.now() == 5_000


def test_the_real_clock_rises() -> None:
    clock = Clock()
    times = [clock.now() for _ in range(1_000)]
    assert times == sorted(times)
