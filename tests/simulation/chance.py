"""The one source of chance in a history: everything random is drawn here, in one order."""

import random


class Chance(random.Random):
    """Draws with a seed."""

    def seconds(self, least: float, most: float) -> float:
        """A wait, mostly short and sometimes long."""
        return least + (most - least) * self.random() ** 3

    def happens(self, share: float) -> bool:
        """True so often."""
        return self.random() < share
