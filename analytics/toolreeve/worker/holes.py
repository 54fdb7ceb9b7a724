"""What of an enforcer's history has not arrived, seen from what has.

An outbox numbers its events from 1 in every epoch, and its hash chain goes on from epoch to epoch.
So what is loaded says by itself where something is missing: within an epoch by the numbers, between
two epochs by the chain, and at the end by what the enforcer says it has. The walk begins where the
enforcer's outbox begins, because nobody can be asked for anything older.
"""

from collections.abc import Callable, Sequence

from msgspec import Struct

from toolreeve.audit import GENESIS, Position
from toolreeve.audit.span import EpochSpan, Missing


class EpochRun(Struct, frozen=True):
    """Loaded events `first` to `last` of an epoch, with the chain's head before and behind them."""

    epoch: int
    first: int
    last: int
    previous_hash: bytes
    head: bytes

    @property
    def begins(self) -> Position:
        return Position(self.epoch, self.first)

    @property
    def ends(self) -> Position:
        return Position(self.epoch, self.last)


class Break(Struct, frozen=True):
    """Nothing is missing between `behind` and `before`, and yet the one does not follow the other:
    the history went on from an earlier place, or began anew."""

    behind: Position
    before: Position


class Walk(Struct, frozen=True):
    """What was found on the way to the newest event that is loaded, `reached`."""

    reached: Position
    missing: tuple[Missing, ...]
    breaks: tuple[Break, ...]

    def has(self, position: Position) -> bool:
        """Whether everything up to there is loaded."""
        holes = any(one.after < position for one in self.missing)
        return position <= self.reached and not holes

    def lacks(self, up_to: Position) -> tuple[Missing, ...]:
        """What is missing up to there."""
        if self.reached < up_to:
            return (*self.missing, Missing(self.reached, up_to))
        return self.missing


def walk(
    runs: Sequence[EpochRun],
    *,
    kept_after: Position,
    kept_after_head: bytes,
    was_head: Callable[[bytes], bool],
) -> Walk:
    """Go through `runs`, in order, from where the outbox begins.

    `was_head` says whether a chain's head stood behind some group that is loaded: a run that goes
    on from such a one misses nothing.
    """
    at, head = kept_after, kept_after_head
    if not at.epoch:
        head = GENESIS
    missing: list[Missing] = []
    breaks: list[Break] = []
    for run in runs:
        if run.ends <= at:
            continue
        same_epoch = run.epoch == at.epoch
        if same_epoch and run.first <= at.sequence:
            pass  # the outbox begins within it
        elif same_epoch and run.first == at.sequence + 1:
            if run.previous_hash != head and at != kept_after:
                breaks.append(Break(at, run.begins))
        elif run.first > 1 or not (run.previous_hash == head or _is_known(run, at, was_head)):
            missing.append(Missing(at, Position(run.epoch, run.first - 1)))
        elif run.previous_hash != head:
            breaks.append(Break(at, run.begins))
        at, head = run.ends, run.head
    return Walk(at, tuple(missing), tuple(breaks))


def spans(runs: Sequence[EpochRun]) -> tuple[EpochSpan, ...]:
    """What of a history is loaded."""
    return tuple(EpochSpan(run.epoch, run.first, run.last) for run in runs)


def _is_known(run: EpochRun, at: Position, was_head: Callable[[bytes], bool]) -> bool:
    if run.previous_hash == GENESIS:
        return at.epoch > 0
    return was_head(run.previous_hash)
