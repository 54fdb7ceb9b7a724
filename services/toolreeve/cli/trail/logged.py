"""Whether signed checkpoints lead to the roots they sign, over groups that the worker hands out.

A checkpoint says which groups it added to the log and what the log's root is behind them. With
every group at hand the tree is built again from the groups' own heads; where one is not at hand, as
when an enforcer or a time was asked for, what comes behind it cannot be checked.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from msgspec import Struct

from toolreeve.audit import CheckpointMade, Position
from toolreeve.audit.event import event_id
from toolreeve.audit.merkle import Frontier, leaf_hash
from toolreeve.audit.note import Checkpoint, NamedKey, NoteError, read_checkpoint, verify_note
from toolreeve.audit.seal import logged_text
from toolreeve.audit.verify import Fault, Finding

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

Place = tuple[str, int, int, int]
"""A group: enforcer, epoch, first and last sequence."""


class Logged(Struct, frozen=True, kw_only=True):
    """What is known of one log. `groups` are those that a checkpoint vouches for."""

    origin: str
    checkpoints: int
    checked: int
    groups: int


class Made(Struct, frozen=True):
    """A checkpoint as an event."""

    enforcer: str
    position: Position
    body: CheckpointMade


class Log:
    """Takes groups and checkpoints in any order; `judge` says what is wrong once all are there."""

    def __init__(self, verifies: Callable[[bytes, bytes, bytes], bool]) -> None:
        """`verifies` takes (public key, signature, message)."""
        self._verifies = verifies
        self._leaves: dict[Place, bytes] = {}
        self._made: dict[str, list[Made]] = {}
        self.logs: list[Logged] = []

    def group(self, place: Place, head: bytes) -> None:
        """A group is at hand, with the head that its own bytes lead to."""
        enforcer, epoch, first, last = place
        self._leaves[place] = leaf_hash(logged_text(enforcer, Position(epoch, first), last, head))

    def checkpoint(self, made: Made) -> None:
        """A checkpoint is at hand."""
        self._made.setdefault(made.enforcer, []).append(made)

    def judge(self, keys: Mapping[str, list[bytes]]) -> list[Finding]:
        """Every checkpoint that does not hold. `keys` are what each history says it signs with."""
        found: list[Finding] = []
        for origin, made in sorted(self._made.items()):
            named = [
                NamedKey(origin, raw, partial(self._verifies, raw)) for raw in keys.get(origin, [])
            ]
            found += self._judge_one(origin, made, named)
        return found

    def _judge_one(self, origin: str, made: list[Made], keys: list[NamedKey]) -> list[Finding]:
        found: list[Finding] = []
        frontier: Frontier | None = Frontier()
        checked = vouched = 0
        for one in made:
            try:
                checkpoint = read_checkpoint(verify_note(one.body.note, keys)[0])
            except NoteError as error:
                found.append(
                    _finding(Fault.FOREIGN, one, f"this checkpoint does not hold: {error}")
                )
                continue
            frontier = self._grown(frontier, one, checkpoint)
            if frontier is None:
                continue
            if Checkpoint(origin, frontier.size, frontier.root) != checkpoint:
                what = "the groups here do not lead to the root that this checkpoint signs"
                found.append(_finding(Fault.EDITED, one, what))
                frontier = None
                continue
            checked, vouched = checked + 1, frontier.size
        log = Logged(origin=origin, checkpoints=len(made), checked=checked, groups=vouched)
        self.logs.append(log)
        return found

    def _grown(
        self, frontier: Frontier | None, made: Made, checkpoint: Checkpoint
    ) -> Frontier | None:
        """The tree behind a checkpoint; None where a group of it, or of its past, is missing."""
        added = list(_places(made.body))
        if frontier is None or frontier.size + len(added) != checkpoint.size:
            return None
        leaves = [leaf for place in added if (leaf := self._leaves.get(place)) is not None]
        return frontier.append(leaves) if len(leaves) == len(added) else None


def _places(body: CheckpointMade) -> Iterator[Place]:
    for run in body.added:
        first = run.first_sequence
        for count in run.events:
            yield (run.enforcer, run.epoch, first, first + count - 1)
            first += count


def _finding(fault: Fault, made: Made, detail: str) -> Finding:
    return Finding(fault, event_id(made.enforcer, made.position), detail)
