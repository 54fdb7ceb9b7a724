"""Which events of an epoch are loaded, as unbroken runs, and where an arriving group belongs.

An outbox numbers its events from 1 without gaps and chains them by hash, so what has arrived of an
epoch is a few runs of sequences; in good order there is one, and it starts at 1. The chain's head
is known at both ends of a run. A group that touches or overlaps a run must agree with it there:

- it agrees and brings nothing new: a duplicate, skipped;
- it agrees and brings something: just that is loaded, and the runs grow or join;
- it touches nothing: loaded at once, behind a gap. The gap delays nobody, not even the newer
  events of its own enforcer; when the missing groups come they are loaded like any others;
- it disagrees with the run it should follow: a fork, two histories of one epoch. The history that
  was there first stays and the other is refused, for its bytes to be kept aside;
- it follows well, but the run behind it was loaded earlier from another history: loaded, and left
  unjoined, so that the break stays to be seen.

Uniqueness needs no index: a sequence is loaded if and only if a run covers it.
"""

from collections.abc import Sequence

from msgspec import Struct


class Run(Struct, frozen=True):
    """Loaded events `first` to `last`, with the chain's head before and behind them."""

    first: int
    last: int
    previous_hash: bytes
    head: bytes


class Span(Struct, frozen=True):
    """Sequences `first` to `last`, both included."""

    first: int
    last: int


class Placed(Struct, frozen=True):
    """Load `missing`; then the epoch's runs are `runs`.

    `gap` was opened by this group, `filled` was closed by it, and `broken` are sequences from
    which a run that was loaded earlier does not follow this group.
    """

    runs: tuple[Run, ...]
    missing: tuple[Span, ...]
    gap: Span | None = None
    filled: tuple[Span, ...] = ()
    broken: tuple[int, ...] = ()


class Duplicate(Struct, frozen=True):
    """Every event of the group is loaded already."""


class Fork(Struct, frozen=True):
    """The group does not follow the loaded event `behind`, though its number says so."""

    behind: int


def place(runs: Sequence[Run], first: int, heads: Sequence[bytes]) -> Placed | Duplicate | Fork:
    """Say what to do with a group that starts at sequence `first`.

    `heads` are the chain's heads before the group and behind each of its events, by the group's
    own account: one more than it has events. `runs` are in order and do not overlap.
    """
    last = first + len(heads) - 2

    def head_behind(sequence: int) -> bytes:
        return heads[sequence - first + 1]

    for run in runs:
        if first - 1 <= run.last <= last and head_behind(run.last) != run.head:
            return Fork(behind=run.last)
    missing = _uncovered(runs, first, last)
    if not missing:
        return Duplicate()
    broken = tuple(
        run.first
        for run in runs
        if first <= run.first <= last + 1 and head_behind(run.first - 1) != run.previous_hash
    )
    fresh = [
        Run(span.first, span.last, head_behind(span.first - 1), head_behind(span.last))
        for span in missing
    ]
    before = max((run.last for run in runs if run.last < first), default=0)
    behind = any(run.first > last for run in runs)
    gap = Span(before + 1, first - 1) if before + 1 < first and not behind else None
    after = _joined(sorted([*runs, *fresh], key=lambda run: run.first))
    filled = tuple(span for span in missing if _closes(runs, span))
    return Placed(runs=after, missing=missing, gap=gap, filled=filled, broken=broken)


def _uncovered(runs: Sequence[Run], first: int, last: int) -> tuple[Span, ...]:
    missing: list[Span] = []
    at = first
    for run in runs:
        if run.last < at:
            continue
        if run.first > last:
            break
        if run.first > at:
            missing.append(Span(at, run.first - 1))
        at = run.last + 1
    if at <= last:
        missing.append(Span(at, last))
    return tuple(missing)


def _joined(runs: Sequence[Run]) -> tuple[Run, ...]:
    joined: list[Run] = []
    for run in runs:
        left = joined[-1] if joined else None
        if left and left.last + 1 == run.first and left.head == run.previous_hash:
            joined[-1] = Run(left.first, run.last, left.previous_hash, run.head)
        else:
            joined.append(run)
    return tuple(joined)


def _closes(runs: Sequence[Run], span: Span) -> bool:
    """Whether `span` lies in what was a gap: loaded events came behind it before."""
    return any(run.first > span.last for run in runs)
