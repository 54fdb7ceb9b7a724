"""The Poisson tail against exact sums."""

from collections.abc import Iterator
from fractions import Fraction
from math import exp, factorial

import pytest
from hypothesis import given
from hypothesis import strategies as st

from toolreeve.detect import poisson, tail, threshold


def exact(count: int, mean: float) -> float:
    """By rational arithmetic but for the last factor."""
    m = Fraction(mean)
    below = sum(m**k / factorial(k) for k in range(count))
    terms = sum(m**k / factorial(k) for k in range(count, count + 200))
    assert below >= 0
    return float(terms) * exp(-mean)


@given(st.integers(1, 60), st.floats(0.01, 40))
def test_the_tail_is_what_exact_arithmetic_says(count: int, mean: float) -> None:
    assert tail(count, mean) == pytest.approx(exact(count, mean), rel=1e-9, abs=1e-13)


@given(st.integers(0, 200), st.floats(0.001, 500))
def test_more_calls_are_never_more_likely(count: int, mean: float) -> None:
    assert tail(count + 1, mean) <= tail(count, mean) <= 1.0


def test_very_long_and_very_short_tails_stay_numbers() -> None:
    assert tail(2_000, 0.05) == 0.0
    assert tail(10_000, 9_999.0) == pytest.approx(0.5, abs=0.01)
    assert tail(0, 3.0) == 1.0


@given(st.floats(0.01, 300), st.sampled_from([1e-3, 1e-8, 1e-12]), st.integers(1, 20))
def test_the_threshold_is_the_first_count_over_the_line(
    mean: float, p_max: float, count_min: int
) -> None:
    line = threshold(mean, p_max, count_min=count_min)
    assert line >= count_min
    assert tail(line, mean) < p_max
    assert line == count_min or tail(line - 1, mean) >= p_max


@pytest.mark.parametrize("count", [200, 2_000, 50_000])
def test_what_is_too_unlikely_for_a_float_is_known_as_fast_as_anything_else(
    monkeypatch: pytest.MonkeyPatch, count: int
) -> None:
    terms: list[int] = []

    def counted(*bounds: int) -> Iterator[int]:
        for k in range(*bounds):
            terms.append(k)
            yield k

    monkeypatch.setattr(poisson, "range", counted, raising=False)
    assert poisson.tail(count, 0.05) == 0.0
    assert len(terms) <= 10
