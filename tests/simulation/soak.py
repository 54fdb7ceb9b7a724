"""`make soak SEEDS=...`: play many histories, or one again, and say what was violated."""

import argparse
import logging
import sys
import time

import structlog
from tests.simulation.world import play


def digest(seed: int) -> str:
    """What tells a history from any other."""
    _be_quiet()
    return play(seed).digest


def main() -> int:
    """0 where every invariant held in every history."""
    _be_quiet()
    parser = argparse.ArgumentParser()
    parser.add_argument("--seeds", type=int, default=10_000)
    parser.add_argument("--first", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int)
    parser.add_argument("--all", action="store_true", help="go on until ten are violated")
    asked = parser.parse_args()
    seeds = range(asked.first, asked.first + asked.seeds) if asked.seed is None else [asked.seed]
    begun, number, bad, faults = time.monotonic(), 0, 0, dict[str, int]()
    for seed in seeds:
        number += 1
        history = play(seed)
        for name, count in history.faults.items():
            faults[name] = faults.get(name, 0) + count
        if history.violations:
            bad += 1
            sys.stdout.write(history.told_of() + "\n")
            if bad == (10 if asked.all else 1):
                break
        elif asked.seed is not None:
            sys.stdout.write("\n".join(history.last_steps) + "\n")
        if number % 500 == 0:
            seconds = time.monotonic() - begun
            sys.stdout.write(f"{number} histories in {seconds:.0f} s, {bad} violated\n")
    seconds = time.monotonic() - begun
    sys.stdout.write(f"{number} histories in {seconds:.1f} s, {bad} violated; faults: {faults}\n")
    return 1 if bad else 0


def _be_quiet() -> None:
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))


if __name__ == "__main__":
    sys.exit(main())
