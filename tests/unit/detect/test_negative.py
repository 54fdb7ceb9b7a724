"""The negative binomial tail against exact sums, and what is taken from it."""

from fractions import Fraction
from math import comb

import pytest
from hypothesis import given
from hypothesis import strategies as st

from toolreeve.detect import negative, poisson


def exact(count: int, mean: Fraction, size: int) -> Fraction:
    """By rational arithmetic, for a whole size r = 1 / spread."""
    q = mean / (size + mean)
    terms = (comb(k + size - 1, k) * (1 - q) ** size * q**k for k in range(count))
    return 1 - sum(terms, Fraction(0))


@given(st.integers(1, 60), st.integers(1, 400), st.sampled_from([1, 2, 4, 8]))
def test_the_tail_is_what_exact_arithmetic_says(count: int, tenths: int, size: int) -> None:
    wanted = float(exact(count, Fraction(tenths, 10), size))
    assert negative.tail(count, tenths / 10, 1 / size) == pytest.approx(wanted, rel=1e-8, abs=1e-14)


@given(st.integers(0, 100), st.floats(0.01, 60))
def test_without_spread_it_is_poisson(count: int, mean: float) -> None:
    wanted = poisson.tail(count, mean)
    assert negative.tail(count, mean, 0.0) == wanted
    assert negative.tail(count, mean, 2e-6) == pytest.approx(wanted, rel=0.02, abs=1e-9)


@given(st.integers(0, 200), st.floats(0.001, 200), st.floats(0.01, 10))
def test_more_calls_are_never_more_likely(count: int, mean: float, spread: float) -> None:
    more, fewer = negative.tail(count + 1, mean, spread), negative.tail(count, mean, spread)
    assert 0 <= more <= fewer * (1 + 1e-9) <= 1 + 1e-9


@given(st.floats(0.01, 100), st.floats(0, 4), st.sampled_from([1e-3, 1e-6]), st.integers(1, 12))
def test_the_threshold_is_the_first_count_over_the_line(
    mean: float, spread: float, p_max: float, count_min: int
) -> None:
    line = negative.threshold(mean, spread, p_max, count_min=count_min)
    assert line >= count_min
    assert negative.tail(line, mean, spread) < p_max
    assert line == count_min or negative.tail(line - 1, mean, spread) >= p_max


@given(st.integers(1, 80), st.sampled_from([1 / 288, 0.5]), st.sampled_from([0.0, 0.5, 2.0]))
def test_a_mean_is_found_at_which_a_count_comes_with_a_chance(
    count: int, chance: float, spread: float
) -> None:
    mean = negative.mean_of(count, chance, spread)
    assert negative.tail(count, mean, spread) == pytest.approx(chance, rel=1e-6)
