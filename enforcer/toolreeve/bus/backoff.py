"""How long to wait before the next attempt."""

from random import SystemRandom

_random = SystemRandom()


def full_jitter(attempt: int, *, seconds_first: float = 0.1, seconds_max: float = 5.0) -> float:
    """A random wait before attempt `attempt` + 1, counted from 1; its bound doubles each time.

    Random over the whole span, so that clients that lost a server together do not come back
    together.
    """
    bound = min(seconds_max, seconds_first * 2.0 ** min(attempt - 1, 30))
    return _random.uniform(0.0, bound)
