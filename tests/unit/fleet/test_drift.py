"""The evidence of drift: rarely against the harmless, soon against the harmful."""

import math
import random

import pytest

from toolreeve.fleet.drift import evidence_of_drift

ALPHA = 0.01
HALT = math.log(1 / ALPHA)
SEEDS = 2_000
CALLS_MAX = 2_000


def halted_after(
    seed: int, *, tightens: float, loosens: float, drift_max: float, calls_max: int = CALLS_MAX
) -> int | None:
    """Look after every single pair that could end it; returns after how many it has."""
    chance = random.Random(seed)
    tightened = loosened = 0
    for pairs in range(1, calls_max + 1):
        drawn = chance.random()
        if drawn < tightens:
            tightened += 1
            money = evidence_of_drift(
                pairs=pairs, tightened=tightened, loosened=loosened, drift_max=drift_max
            )
            if money >= HALT:
                return pairs
        elif drawn < tightens + loosens:
            loosened += 1
    return None


@pytest.mark.parametrize(
    ("tightens", "loosens", "drift_max"),
    [(0.02, 0.02, 0.0), (0.01, 0.0, 0.01), (0.03, 0.02, 0.01)],
)
def test_of_harmless_rollouts_fewer_than_alpha_are_halted_however_often_one_looks(
    tightens: float, loosens: float, drift_max: float
) -> None:
    halted = sum(
        halted_after(seed, tightens=tightens, loosens=loosens, drift_max=drift_max) is not None
        for seed in range(SEEDS)
    )
    assert halted <= ALPHA * SEEDS


@pytest.mark.parametrize(("tightens", "calls_max"), [(1.0, 15), (0.2, 150), (0.05, 700)])
def test_what_denies_more_is_seen_soon(tightens: float, calls_max: int) -> None:
    seen = [
        halted_after(seed, tightens=tightens, loosens=0.0, drift_max=0.01, calls_max=calls_max)
        for seed in range(100)
    ]
    assert sum(one is None for one in seen) <= 5


def test_money_never_runs_into_debt_and_begins_at_one() -> None:
    assert evidence_of_drift(pairs=0, tightened=0, loosened=0, drift_max=0.01) == pytest.approx(0)
    worst = evidence_of_drift(pairs=10**6, tightened=0, loosened=10**6, drift_max=0.01)
    assert math.isfinite(worst)
    assert worst < 0
    best = evidence_of_drift(pairs=10**6, tightened=10**6, loosened=0, drift_max=0.0)
    assert math.isfinite(best)
    assert best > HALT


def test_on_average_a_pair_at_the_bound_earns_nothing() -> None:
    """The money after one pair, in expectation, where the drift is just what it may be: 1."""
    for drift_max, loosens in ((0.0, 0.3), (0.01, 0.0), (0.2, 0.1)):
        tightens = drift_max + loosens
        outcomes = ((tightens, 1, 0), (loosens, 0, 1), (1 - tightens - loosens, 0, 0))
        expected = sum(
            share
            * math.exp(
                evidence_of_drift(
                    pairs=1, tightened=tightened, loosened=loosened, drift_max=drift_max
                )
            )
            for share, tightened, loosened in outcomes
        )
        assert expected == pytest.approx(1.0)
