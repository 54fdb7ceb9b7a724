"""Whether an exported history is whole and unchanged: everything that can be said without keys.

Events come in the order of the export, run by run. A *run* is an unbroken piece of one epoch of
one enforcer; the export says which runs it has and which chain heads stand before and behind
each. Every event brings the head that is claimed behind it, so a change shows at the event that
was changed and not only at the end of its run.
"""

from collections.abc import Iterator, Sequence
from enum import Enum

from msgspec import Struct

from toolreeve.audit.chain import link
from toolreeve.audit.event import Position, event_id


class Fault(Enum):
    """What can be wrong with a history."""

    EDITED = "edited"
    DELETED = "deleted"
    REPEATED = "repeated"
    REORDERED = "reordered"
    TRUNCATED = "truncated"
    FOREIGN = "foreign"
    FORKED = "forked"
    ROLLED_BACK = "rolled back"
    DETAILS_MISSING = "details missing"


class Finding(Struct, frozen=True):
    """One thing that is wrong. `event` is the first event concerned, `detail` is for people."""

    fault: Fault
    event: str
    detail: str


class Run(Struct, frozen=True, kw_only=True):
    """A piece of history without gaps, as the export declares it."""

    enforcer: str
    epoch: int
    first_sequence: int
    last_sequence: int
    head_before: bytes
    head_after: bytes

    @property
    def name(self) -> str:
        """For people: `edge-1:7:1..90`."""
        return f"{self.enforcer}:{self.epoch}:{self.first_sequence}..{self.last_sequence}"


class Evidence(Struct, frozen=True, kw_only=True):
    """One event as the export has it.

    `faithful` says whether everything else that the export says of the event is what its bytes
    say; whoever reads the export finds that out.
    """

    enforcer: str
    epoch: int
    sequence: int
    raw: bytes
    head: bytes
    faithful: bool


def seams(runs: Sequence[Run]) -> Iterator[Finding]:
    """What is wrong between the runs of one enforcer: a history that goes on from another one."""
    last: dict[str, Run] = {}
    for run in runs:
        before = last.get(run.enforcer)
        last[run.enforcer] = run
        if before is None:
            continue
        first = event_id(run.enforcer, Position(run.epoch, run.first_sequence))
        if (run.epoch, run.first_sequence) <= (before.epoch, before.last_sequence):
            yield Finding(Fault.REPEATED, first, f"the run {run.name} stands behind {before.name}")
        elif run.first_sequence == 1 and run.head_before != before.head_after:
            yield Finding(
                Fault.FORKED,
                first,
                f"epoch {run.epoch} goes on from another history than {before.name} ended with",
            )


class Trail:
    """Takes events one by one and says what is wrong with each; `finish` says what is missing."""

    def __init__(self, runs: Sequence[Run]) -> None:
        self._runs = list(runs)
        self._at = 0
        self._next = runs[0].first_sequence if runs else 0
        self._head = runs[0].head_before if runs else b""
        self._missing: dict[str, Finding] = {}  # by the event that is not there
        self.events = 0

    def take(self, event: Evidence) -> list[Finding]:
        """What is wrong with the next event."""
        self.events += 1
        found: list[Finding] = []
        name = event_id(event.enforcer, Position(event.epoch, event.sequence))
        if not self._is_here(event):
            index = self._run_of(event)
            if index is None:
                return [Finding(Fault.FOREIGN, name, "no run of this export has room for it")]
            if index < self._at:
                return [self._come_again(name)]
            found += self._leave_for(index)
        if event.sequence < self._next:
            return [*found, self._come_again(name)]
        if event.sequence > self._next:
            found += self._skip_to(event.sequence)
            self._head = b""  # what stood before this event is not known
        if not event.faithful:
            found.append(Finding(Fault.EDITED, name, "its text is not what its bytes say"))
        elif self._head and link(self._head, event.raw) != event.head:
            found.append(Finding(Fault.EDITED, name, "its bytes are not those that were chained"))
        self._head = event.head
        self._next = event.sequence + 1
        return found

    def go_on(self, count: int, head: bytes) -> bool:
        """Take so many events that are known to follow the last one, unbroken, up to `head`.

        False where the present run ends before that; then none is taken.
        """
        if self._at == len(self._runs):
            return count == 0
        if self._next + count - 1 > self._runs[self._at].last_sequence:
            return False
        self.events += count
        self._next += count
        self._head = head
        return True

    def finish(self) -> list[Finding]:
        """What is wrong at the end: runs that broke off, events that never came."""
        found = self._leave_for(len(self._runs)) if self._runs else []
        return [*found, *self._missing.values()]

    def _is_here(self, event: Evidence) -> bool:
        return self._at < len(self._runs) and _holds(self._runs[self._at], event)

    def _run_of(self, event: Evidence) -> int | None:
        for index, run in enumerate(self._runs):
            if _holds(run, event):
                return index
        return None

    def _come_again(self, name: str) -> Finding:
        if self._missing.pop(name, None) is not None:
            return Finding(Fault.REORDERED, name, "it stands behind events that came after it")
        return Finding(Fault.REPEATED, name, "it stands here a second time")

    def _skip_to(self, sequence: int) -> list[Finding]:
        """Events are passed over; whether they were deleted or moved shows at the end."""
        run = self._runs[self._at]
        for number in range(self._next, min(sequence, self._next + 1000)):
            name = event_id(run.enforcer, Position(run.epoch, number))
            detail = f"it is not there; the next event here has sequence {sequence}"
            self._missing[name] = Finding(Fault.DELETED, name, detail)
        self._next = sequence
        return []

    def _leave_for(self, index: int) -> list[Finding]:
        """Close the present run and every one up to `index`, and begin that one."""
        found: list[Finding] = []
        while self._at < index:
            run = self._runs[self._at]
            name = event_id(run.enforcer, Position(run.epoch, self._next))
            if self._next <= run.last_sequence:
                detail = f"the run {run.name} breaks off before it"
                found.append(Finding(Fault.TRUNCATED, name, detail))
            elif self._head != run.head_after:
                last = event_id(run.enforcer, Position(run.epoch, run.last_sequence))
                detail = f"the run {run.name} does not end with the head it declares"
                found.append(Finding(Fault.EDITED, last, detail))
            self._at += 1
            if self._at < len(self._runs):
                self._next = self._runs[self._at].first_sequence
                self._head = self._runs[self._at].head_before
        return found


def _holds(run: Run, event: Evidence) -> bool:
    return (run.enforcer, run.epoch) == (
        event.enforcer,
        event.epoch,
    ) and run.first_sequence <= event.sequence <= run.last_sequence
