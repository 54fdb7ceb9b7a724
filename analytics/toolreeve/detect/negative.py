"""How unlikely it is to see so many calls, if calls come in clusters at a known rate.

Calls that come independently are Poisson; those of people and scripts are not: who restarts a VM
restarts it again. A negative binomial N of mean m and spread s (variance m + s m^2; s = 0 is
Poisson, s = 1 geometric) says how much more often large counts then come:

    P(N = k) = G(k + r) / (k! G(r)) * (1 - q)^r * q^k,   r = 1 / s,  q = m / (r + m)

Each term is (k + r) / (k + 1) * q times the one before, so that the tail is summed from its first
term on, which is taken by the logarithm.
"""

from functools import lru_cache
from math import exp, expm1, lgamma, log, log1p

from toolreeve.detect import poisson

SPREAD_MIN = 1e-6
"""Below it the distribution is Poisson to all digits that matter."""
HALVINGS = 50


def tail(count: int, mean: float, spread: float) -> float:
    """P(N >= count); `mean` is above 0, `spread` 0 or more."""
    if count <= 0:
        return 1.0
    if spread < SPREAD_MIN:
        return poisson.tail(count, mean)
    r = 1 / spread
    q = mean / (r + mean)
    if count == 1:
        return -expm1(-r * log1p(mean / r))
    if count <= mean:
        return max(0.0, 1.0 - _sum(0, count, r, q))
    return min(1.0, _sum(count, count + poisson.TERMS_MAX, r, q))


def _sum(first: int, end: int, r: float, q: float) -> float:
    """The sum of the terms from `first` up to `end`, or until they no longer matter."""
    term = exp(lgamma(first + r) - lgamma(first + 1) - lgamma(r) + r * log1p(-q) + first * log(q))
    total = term
    for k in range(first, end - 1):
        ratio = (k + r) / (k + 1) * q
        term *= ratio
        total += term
        if ratio < 1 and term <= total * poisson.PRECISION * (1 - ratio):
            break
    return total


def threshold(mean: float, spread: float, p_max: float, *, count_min: int) -> int:
    """The smallest count from `count_min` on whose tail is below `p_max`."""
    low = high = count_min
    while tail(high, mean, spread) >= p_max:
        low, high = high + 1, high * 2 + 1
    while low < high:
        middle = (low + high) // 2
        if tail(middle, mean, spread) < p_max:
            high = middle
        else:
            low = middle + 1
    return low


@lru_cache(4_096)
def mean_of(count: int, chance: float, spread: float) -> float:
    """The mean at which `count` or more come with just this chance; `count` is 1 or more."""
    low, high = 0.0, float(count)
    while tail(count, high, spread) < chance:
        low, high = high, high * 2
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        if middle == 0.0 or tail(count, middle, spread) < chance:
            low = middle
        else:
            high = middle
    return high
