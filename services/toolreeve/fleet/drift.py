"""Whether a revision denies more than the one before: evidence that may be looked at any time.

Both revisions are asked about the same calls. Each pair is a difference d: 1 where only the new
one denies, -1 where only the old one does, 0 where they agree. A rollout is harmless as long as
the expected difference, whatever came before, is at most `drift_max`; call that number m.

Bet a share of one's money, again and again, that the next difference is above m: with the bet b,
0 <= b < 1 / (1 + m), a pair multiplies the money by 1 + b (d - m). That is never negative, and
where the rollout is harmless its expectation is at most 1: the money is a supermartingale that
begins at 1. By Ville's inequality the probability that it EVER reaches 1 / alpha is at most alpha,
so it may be looked at after every pair, or whenever somebody thinks of it. (A test made for one
look, repeated, halts about a third of all harmless rollouts.)

Nobody knows the best bet, so the money is laid in equal parts on `_BETS`, from bold ones, which
see a broken revision within fifteen calls, to timid ones, which see a drift of a fraction of a
percent. A mean of supermartingales is one too. All that is needed of the pairs is how many there
were of each kind: neither their order nor who has seen them matters, which is why reports of many
enforcers can simply be added up.

After Shafer and Vovk, "Game-Theoretic Foundations for Probability and Finance" (2019), and
Waudby-Smith and Ramdas, "Estimating means of bounded random variables by betting" (2023).
"""

import math

_BETS = tuple(0.98 * 0.7**place for place in range(24))
"""As parts of the largest bet that cannot end in debt."""


def evidence_of_drift(*, pairs: int, tightened: int, loosened: int, drift_max: float) -> float:
    """The natural logarithm of the money: 0 before the first pair, halt at log(1 / alpha)."""
    agreed = pairs - tightened - loosened
    grown = [
        tightened * math.log1p(bet * (1 - drift_max))
        + loosened * math.log1p(-bet * (1 + drift_max))
        + agreed * math.log1p(-bet * drift_max)
        for bet in (part / (1 + drift_max) for part in _BETS)
    ]
    best = max(grown)
    return best + math.log(math.fsum(math.exp(one - best) for one in grown) / len(grown))
