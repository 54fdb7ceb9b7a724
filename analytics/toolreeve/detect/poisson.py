"""How unlikely it is to see so many calls, if calls came independently at a known rate.

For N ~ Poisson(m), the probability of n or more is

    P(N >= n) = sum over k >= n of e^-m * m^k / k!

Above the mean the terms fall by the factor m / (k + 1) each, so that the sum is taken from its
first term on in the logarithm, without overflow and without cancellation.
"""

from math import exp, lgamma, log

TERMS_MAX = 100_000
PRECISION = 1e-12


def tail(count: int, mean: float) -> float:
    """P(N >= count) for N ~ Poisson(mean), to twelve digits; `mean` is above 0."""
    if count <= 0:
        return 1.0
    if count <= mean:
        return max(0.0, 1.0 - _sum_below(count, mean))
    term = exp(-mean + count * log(mean) - lgamma(count + 1))
    total = term
    for k in range(count + 1, count + TERMS_MAX):
        term *= mean / k
        total += term
        if term <= total * PRECISION:  # also where all of it is too small for a float
            break
    return min(1.0, total)


def threshold(mean: float, p_max: float, *, count_min: int) -> int:
    """The smallest count from `count_min` on whose tail is below `p_max`."""
    low = high = count_min
    while tail(high, mean) >= p_max:
        low, high = high + 1, high * 2 + 1
    while low < high:
        middle = (low + high) // 2
        if tail(middle, mean) < p_max:
            high = middle
        else:
            low = middle + 1
    return low


def _sum_below(count: int, mean: float) -> float:
    """P(N < count) for a count up to the mean, from its largest term down."""
    k = count - 1
    term = exp(-mean + k * log(mean) - lgamma(k + 1))
    total = term
    while k > 0:
        term *= k / mean
        total += term
        if term < total * PRECISION:
            break
        k -= 1
    return total
