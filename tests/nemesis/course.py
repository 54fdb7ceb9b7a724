"""One installation through many faults, and its whole history judged after each."""

import random
import time
from pathlib import Path

from tests.nemesis.agents import Agents
from tests.nemesis.faults import FAULTS
from tests.nemesis.judge import Verdict, judge
from tests.nemesis.rig import Rig


class Course:
    """A later fault finds what an earlier one left behind. One seed chooses all moments."""

    def __init__(self, folder: Path, seed: int) -> None:
        self.rig = Rig(folder)
        self.agents: list[Agents] = []
        self._chance = random.Random(seed)
        self._folder = folder
        self._judged = 0

    def start(self) -> None:
        self.rig.start()

    def close(self) -> None:
        self.rig.close()

    def suffer(self, name: str) -> Verdict:
        """Let a fault happen while agents are at work; then judge everything up to now."""
        with self.at_work():
            time.sleep(0.2)
            FAULTS[name](self.rig, self._chance)
            time.sleep(0.3)
        return self.verdict()

    def at_work(self) -> Agents:
        """Further agents; they work while this is entered."""
        made = Agents(self.rig["gateway"].port)
        self.agents.append(made)
        return made

    def verdict(self) -> Verdict:
        self._judged += 1
        return judge(self.rig, self.agents, self._folder / f"verdict-{self._judged}")
