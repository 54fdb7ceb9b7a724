"""What an enforcer says of its own epoch, to be held against what arrives elsewhere."""

from collections.abc import Sequence

from toolreeve.audit import GENESIS, Decided, Draft, Effect
from toolreeve.outbox import Group


class Tally:
    """How many calls were decided, up to an event and with the chain's head behind it.

    All of it changes together, group by group as groups become durable, so that whoever has the
    same events can count them again and must come to the same.
    """

    def __init__(self) -> None:
        self.sequence = 0
        self.head = GENESIS
        self.allowed = 0
        self.denied = 0

    def note(self, group: Group, drafts: Sequence[Draft]) -> None:
        """Count what has become durable."""
        self.sequence, self.head = group.last.sequence, group.head
        for draft in drafts:
            if isinstance(draft.body, Decided):
                if draft.body.effect is Effect.ALLOW:
                    self.allowed += 1
                else:
                    self.denied += 1
