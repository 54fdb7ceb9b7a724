"""What was seen from outside while a history was played: the oracle that the checker believes.

Nothing here is told by the product about itself, but the answers it gave: what an upstream got,
what an agent heard, what a caller of the outbox was promised, what the nemesis did.
"""

from collections import deque
from hashlib import sha256

from msgspec import Struct

from toolreeve.audit import Draft, Position

STEPS_SHOWN = 60


class Received(Struct, frozen=True, kw_only=True):
    """One call as an upstream got it. `decided` is when it was asked for, in true time."""

    enforcer: str
    request_id: str
    tool: str
    grant: str
    authorised: bool
    held: str
    decided: float
    at: float


class Heard(Struct, frozen=True, kw_only=True):
    """How an agent's call ended for the agent; None: in no way, for too long."""

    request_id: str
    answer: str | None
    seconds: float


class History:
    """Everything that was seen, and the last steps in words."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.received: list[Received] = []
        self.heard: list[Heard] = []
        self.told: dict[tuple[str, Position], Draft] = {}
        self.flipped: set[str] = set()  # whose disk has turned a bit over
        self.unwritten: set[str] = set()  # decisions whose outcome the disk did not take
        self.intruders: list[str] = []
        self.violations: list[str] = []
        self.faults: dict[str, int] = {}
        self.set_forward = False  # a wall clock was, and limits are by each enforcer's own clock
        self.last_steps: deque[str] = deque(maxlen=STEPS_SHOWN)
        self._digest = sha256()
        self.steps = 0

    def note(self, at: float, step: str) -> None:
        """One step, in words."""
        line = f"{at:10.4f}  {step}"
        self.last_steps.append(line)
        self._digest.update(line.encode())
        self.steps += 1

    def fault(self, at: float, name: str, where: str = "") -> None:
        """Something the nemesis did."""
        self.faults[name] = self.faults.get(name, 0) + 1
        self.note(at, f"fault     {name} {where}")

    def violate(self, invariant: str, what: str) -> None:
        self.violations.append(f"{invariant}: {what}")

    @property
    def digest(self) -> str:
        """Equal for two runs that went the same way, step by step."""
        return self._digest.hexdigest()

    def told_of(self) -> str:
        """What to print when something was violated."""
        lines = [*self.last_steps, "", *self.violations[:20], ""]
        lines.append(f"seed {self.seed}; faults: {self.faults}")
        lines.append(f"play it again with: make soak SEED={self.seed}")
        return "\n".join(lines)
