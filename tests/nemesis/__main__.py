"""The long form: faults chosen by chance for as long as it is wished, and a report.

make nemesis SECONDS=3600 SEED=7
"""

import argparse
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from random import Random

from tests.nemesis.course import Course
from tests.nemesis.faults import FAULTS
from tests.nemesis.judge import Verdict

from toolreeve.cli.output import print_table
from toolreeve.cli.progress import Progress

ROUNDS_OF_ONE = 12
"""So many faults happen to one installation; then a fresh one is set up."""


def main() -> int:
    """Returns 1 where a promise was broken."""
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("--seconds", type=float, default=600.0)
    asked.add_argument("--seed", type=int, default=int(time.time()))
    wish = asked.parse_args()
    print(f"seed {wish.seed}")
    chance = Random(wish.seed)
    suffered: Counter[str] = Counter()
    verdicts: list[Verdict] = []
    began = time.monotonic()
    with Progress("nemesis", unit="seconds", total=int(wish.seconds)) as progress:
        told = 0
        while time.monotonic() - began < wish.seconds:
            verdicts.append(_one(chance, suffered, until=began + wish.seconds))
            progress.advance(int(time.monotonic() - began) - told)
            told = int(time.monotonic() - began)
            if verdicts[-1].faults:
                break
    return _report(suffered, verdicts)


def _one(chance: Random, suffered: Counter[str], *, until: float) -> Verdict:
    """One installation's life; its last verdict."""
    with tempfile.TemporaryDirectory(prefix="nemesis-") as folder:
        course = Course(Path(folder), seed=chance.randrange(1 << 32))
        try:
            course.start()
            for round_ in range(ROUNDS_OF_ONE):
                name = chance.choice(list(FAULTS))
                suffered[name] += 1
                verdict = course.suffer(name)
                if verdict.faults:
                    print(f"\nbroken by {name}: {verdict.faults}", file=sys.stderr)
                if verdict.faults or time.monotonic() > until or round_ == ROUNDS_OF_ONE - 1:
                    return verdict
        finally:
            course.close()
    raise AssertionError("there is at least one round")


def _report(suffered: Counter[str], verdicts: list[Verdict]) -> int:
    rows = [(name, times) for name, times in sorted(suffered.items())]
    print_table(("fault", "times"), rows, numeric=("times",))
    print()
    sums = {
        "calls made": sum(one.calls for one in verdicts),
        "forwarded": sum(one.forwarded for one in verdicts),
        "events": sum(one.events for one in verdicts),
        "forwarded without a record": sum(len(one.undecided) for one in verdicts),
        "lost": sum(len(one.lost) for one in verdicts),
        "doubled": sum(len(one.doubled) for one in verdicts),
        "over a limit": sum(one.overrun for one in verdicts),
        "unexplained": sum(len(one.unexplained) + len(one.overdue) for one in verdicts),
        "unverified histories": sum(bool(one.broken) for one in verdicts),
    }
    print_table(("what", "how many"), list(sums.items()), numeric=("how many",))
    return 1 if any(one.faults for one in verdicts) else 0


if __name__ == "__main__":
    sys.exit(main())
