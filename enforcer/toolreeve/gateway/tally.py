"""What an enforcer says of its own epoch, to be held against what arrives elsewhere."""

from collections.abc import Sequence

from toolreeve.audit import GENESIS, Decided, Draft, Effect, Position
from toolreeve.audit.event import event_id
from toolreeve.outbox import Group


class Tally:
    """How many calls were decided, up to an event and with the chain's head behind it.

    All of it changes together, group by group as groups become durable, so that whoever has the
    same events can count them again and must come to the same.
    """

    def __init__(self, enforcer: str) -> None:
        self.sequence = 0
        self.head = GENESIS
        self.allowed = 0
        self.denied = 0
        self._enforcer = enforcer
        self._firsts: dict[tuple[str, str], str] = {}

    def note(self, group: Group, drafts: Sequence[Draft]) -> None:
        """Count what has become durable."""
        self.sequence, self.head = group.last.sequence, group.head
        for draft in drafts:
            if isinstance(draft.body, Decided):
                if draft.body.effect is Effect.ALLOW:
                    self.allowed += 1
                else:
                    self.denied += 1
        if self._firsts:
            self._look_for_firsts(group, drafts)

    def await_first(self, server: str, revision: str) -> None:
        """Look out for the first decision that is made with a revision from now on."""
        if (server, revision) not in self._firsts:
            others = {known: at for known, at in self._firsts.items() if known[0] != server}
            self._firsts = {**others, (server, revision): ""}

    def first_of(self, server: str, revision: str) -> str:
        """The id of that decision; empty as long as it is not durable."""
        return self._firsts.get((server, revision), "")

    def _look_for_firsts(self, group: Group, drafts: Sequence[Draft]) -> None:
        for place, draft in enumerate(drafts):
            if not isinstance(draft.body, Decided):
                continue
            made_with = draft.body.server, draft.body.policy_revision
            if self._firsts.get(made_with) == "":
                position = Position(group.first.epoch, group.first.sequence + place)
                self._firsts[made_with] = event_id(self._enforcer, position)
