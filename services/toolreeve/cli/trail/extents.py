"""Whether a history ends before the place up to which somebody has seen it.

An older copy of a history is whole too: its chain holds, and so do its seals. That it is not the
newest is known to whoever has seen more. A checkpoint of the worker names the groups that it was
made over; a witness keeps the checkpoints themselves; an earlier export and the worker have heads.
"""

from __future__ import annotations

from bisect import bisect_left
from functools import partial
from typing import TYPE_CHECKING

from msgspec import Struct

from toolreeve.audit import Position
from toolreeve.audit.event import event_id
from toolreeve.audit.note import (
    Checkpoint,
    NamedKey,
    NoteError,
    note_text,
    read_checkpoint,
    verify_note,
)
from toolreeve.audit.verify import Fault, Finding

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from toolreeve.audit import CheckpointMade
    from toolreeve.audit.verify import Run


class Seen(Struct, frozen=True):
    """Up to `sequence` an epoch was seen by `who`."""

    sequence: int
    who: str


class NothingSignedError(Exception):
    """No checkpoint that a witness keeps can be compared: the reason."""


class Extents:
    """Takes what was seen, then a history in its order; `judge` says where it ends too early."""

    def __init__(self, verifies: Callable[[bytes, bytes, bytes], bool]) -> None:
        """`verifies` takes (public key, signature, message)."""
        self._verifies = verifies
        self._furthest: dict[tuple[str, int], Seen] = {}
        self._heads: dict[tuple[str, int], dict[int, tuple[bytes, str]]] = {}
        self._places: dict[tuple[str, int], list[int]] = {}
        self._logs: dict[str, dict[int, bytes]] = {}  # roots by size, by the log's name
        self._witnessed: list[str] = []

    def saw(self, enforcer: str, last: Position, head: bytes, who: str) -> None:
        """Somebody else has the history up to `last`, with this head behind it."""
        here = (enforcer, last.epoch)
        self._reach(here, Seen(last.sequence, who))
        self._heads.setdefault(here, {})[last.sequence] = (head, who)
        self._places[here] = sorted(self._heads[here])

    def witness(self, notes: Iterable[str]) -> None:
        """Somebody keeps these signed checkpoints."""
        self._witnessed += notes

    def checkpoint(self, enforcer: str, position: Position, body: CheckpointMade) -> None:
        """A checkpoint stands in the history itself."""
        who = f"the checkpoint {event_id(enforcer, position)}"
        for run in body.added:
            last = run.first_sequence + sum(run.events) - 1
            self._reach((run.enforcer, run.epoch), Seen(last, who))
        try:
            made = read_checkpoint(note_text(body.note))
        except NoteError:
            return  # which is found where checkpoints are judged
        self._logs.setdefault(enforcer, {})[made.size] = made.root

    def pass_by(
        self, enforcer: str, epoch: int, first_sequence: int, heads: Sequence[bytes]
    ) -> list[Finding]:
        """Events come by, with the head behind each: whether they are those that were seen."""
        here = (enforcer, epoch)
        places = self._places.get(here)
        if places is None:
            return []
        found: list[Finding] = []
        for place in places[bisect_left(places, first_sequence) :]:
            if place >= first_sequence + len(heads):
                break
            head, who = self._heads[here][place]
            if heads[place - first_sequence] != head:
                name = event_id(enforcer, Position(epoch, place))
                what = f"{who} has another history up to here"
                found.append(Finding(Fault.FORKED, name, what))
        return found

    def judge(self, runs: Sequence[Run], keys: Mapping[str, Sequence[bytes]]) -> list[Finding]:
        """Where the history that came by ends too early; it must have been asked for to its end.

        `keys` are what each history says it signs with. Raises NothingSignedError where a witness
        was named whose checkpoints cannot be compared.
        """
        begins: dict[str, int] = {}
        ends: dict[tuple[str, int], int] = {}
        for run in runs:
            begins[run.enforcer] = min(run.epoch, begins.get(run.enforcer, run.epoch))
            here = (run.enforcer, run.epoch)
            ends[here] = max(run.last_sequence, ends.get(here, 0))
        found: list[Finding] = []
        for (enforcer, epoch), seen in sorted(self._furthest.items()):
            # What stands before the first epoch here was left out, or is kept no longer.
            end = ends.get((enforcer, epoch), 0)
            if enforcer in begins and epoch >= begins[enforcer] and seen.sequence > end:
                missing = event_id(enforcer, Position(epoch, end + 1))
                what = f"{seen.who} has events up to {seen.sequence}: this is an older copy"
                found.append(Finding(Fault.ROLLED_BACK, missing, what))
        return [*found, *self._judge_logs(ends, keys)]

    def _judge_logs(
        self, ends: Mapping[tuple[str, int], int], keys: Mapping[str, Sequence[bytes]]
    ) -> list[Finding]:
        if not self._witnessed:
            return []
        newest: dict[str, Checkpoint] = {}
        for note in self._witnessed:
            signed = self._signed(note, keys)
            if signed is not None and (
                signed.origin not in newest or signed.size > newest[signed.origin].size
            ):
                newest[signed.origin] = signed
        if not newest:
            raise NothingSignedError("no checkpoint of the witness is by a key of this history")
        found: list[Finding] = []
        for origin, seen in sorted(newest.items()):
            log = self._logs.get(origin, {})
            here = max((place for place in ends if place[0] == origin), default=(origin, 0))
            last = event_id(origin, Position(here[1], ends.get(here, 0)))
            if seen.size > max(log, default=0):
                what = (
                    f"the witness has a checkpoint over {seen.size} groups, the last one here is"
                    f" over {max(log, default=0)}: this is an older copy"
                )
                found.append(Finding(Fault.ROLLED_BACK, last, what))
            elif seen.size >= min(log) and log.get(seen.size) != seen.root:
                what = f"the witness has another root over {seen.size} groups"
                found.append(Finding(Fault.FORKED, last, what))
        return found

    def _signed(self, note: str, keys: Mapping[str, Sequence[bytes]]) -> Checkpoint | None:
        """What a note says, if a key of the log that it names has signed it."""
        origin = note.partition("\n")[0]
        named = [
            NamedKey(origin, raw, partial(self._verifies, raw)) for raw in keys.get(origin, ())
        ]
        try:
            return read_checkpoint(verify_note(note, named)[0])
        except NoteError:
            return None

    def _reach(self, here: tuple[str, int], seen: Seen) -> None:
        known = self._furthest.get(here)
        if known is None or seen.sequence > known.sequence:
            self._furthest[here] = seen
