"""A thousand histories of a small fleet, each from a seed, with every invariant checked."""

import logging
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog
from tests.simulation.world import play

SEEDS_OF_A_TEST = 100
ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True, scope="module")
def quiet() -> Iterator[None]:
    """What the processes log in ten thousand lives says nothing that the last steps do not."""
    before = structlog.get_config()["wrapper_class"]
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    yield
    structlog.configure(wrapper_class=before)


@pytest.mark.parametrize("first", range(0, 1000, SEEDS_OF_A_TEST))
def test_whatever_happens_the_invariants_hold(first: int) -> None:
    faults: set[str] = set()
    for seed in range(first, first + SEEDS_OF_A_TEST):
        history = play(seed)
        assert not history.violations, history.told_of()
        faults.update(history.faults)
    assert len(faults) > 15, "the nemesis has become tame"


def test_one_seed_is_one_history() -> None:
    asked = "import sys; from tests.simulation.soak import digest; sys.stdout.write(digest(7))"
    told = {
        subprocess.run(
            [sys.executable, "-c", asked],
            cwd=ROOT,
            env={**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": str(ROOT)},
            check=True,
            capture_output=True,
            text=True,
        ).stdout
        for seed in ("1", "2")
    }
    assert len(told) == 1
    assert told == {play(7).digest}
