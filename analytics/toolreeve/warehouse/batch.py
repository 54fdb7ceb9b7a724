"""What one load adds, put together before the transaction begins."""

from collections.abc import Callable, Collection, Mapping, Sequence
from hashlib import sha256

from msgspec import Struct

from toolreeve.audit import Decided, Effect, Event, link
from toolreeve.decision import Instant
from toolreeve.warehouse.errors import EventUnreadableError
from toolreeve.warehouse.rows import MICROSECOND, decision_of, row_of
from toolreeve.warehouse.rows_trail import erased_of, leaves_of
from toolreeve.warehouse.runs import Duplicate, Fork, Placed, Run, Span, place
from toolreeve.warehouse.tables import (
    ANOMALIES,
    COMPLETED,
    CURSORS,
    GROUPS,
    QUARANTINE,
    Row,
    Table,
)
from toolreeve.wire import Group, WireError, attach, read_event

EpochId = tuple[str, int]
DecisionId = tuple[str, int, int]


class Epoch(Struct, frozen=True):
    """What is loaded of one epoch: its runs and the time of its newest event, microseconds."""

    runs: tuple[Run, ...] = ()
    last_time: int | None = None


class Anomaly(Struct, frozen=True, kw_only=True):
    """Something wrong with a history as it arrived: gap, gap_filled, fork, overlap, poison or
    details."""

    kind: str
    enforcer: str
    epoch: int
    first_sequence: int
    last_sequence: int
    detail: str


class Spoiled(Struct, frozen=True):
    """A message that is no group: kept as it is. `source` says who is known to have sent it."""

    source: str
    reason: str
    payload: bytes


class Kept(Struct, frozen=True):
    """A group whose bytes are to be kept. `times` are those of its first and last event, in
    microseconds; None where one of its events cannot be read."""

    group: Group
    head: bytes
    times: tuple[int, int] | None


class Batch:
    """Rows by table, new cursors, and what was noticed, for one load at `at`.

    `spoiled_events` are digests of events that are known to make their table refuse the load.
    """

    def __init__(self, at: Instant, spoiled_events: frozenset[bytes] = frozenset()) -> None:
        self.rows: dict[str, tuple[Table, list[Row]]] = {}
        self.epochs: dict[EpochId, Epoch] = {}
        self.events: list[Event] = []
        self.anomalies: list[Anomaly] = []
        self.duplicates = 0
        self.quarantined: dict[bytes, Row] = {}
        self.repeated: list[tuple[Group, bytes]] = []
        self.refused: list[tuple[Group, str, str]] = []
        self.kept: list[Kept] = []
        self.decided: set[DecisionId] = set()
        self.completed: list[DecisionId] = []
        self._at = at
        self._spoiled_events = spoiled_events
        self._heads: dict[tuple[str, int, int, int], bytes] = {}

    def add(self, table: Table, row: Row) -> None:
        """One more row, without its `load`."""
        entry = self.rows.get(table.name)
        if entry is None:
            self.rows[table.name] = (table, [row])
        else:
            entry[1].append(row)

    def take(self, group: Group, known: Mapping[EpochId, Epoch], *, newest: bool) -> None:
        """Add what `group` brings. `newest`: no later epoch of its enforcer is loaded."""
        key = (group.enforcer, group.epoch)
        epoch = self.epochs.get(key) or known.get(key) or Epoch()
        heads = [group.previous_hash]
        for raw in group.raws:
            heads.append(link(heads[-1], raw))
        match place(epoch.runs, group.first_sequence, heads):
            case Duplicate():
                self._repeat(group, heads[-1])
            case Fork(behind=behind):
                self.refuse(group, "fork", f"does not follow event {behind} as it is loaded")
            case Placed() as placed:
                at_end = newest and all(run.last < group.first_sequence for run in epoch.runs)
                times = self._load(group, placed.missing, at_end=at_end)
                last_time = max(times, default=None)
                self.epochs[key] = Epoch(placed.runs, _later(epoch.last_time, last_time))
                self._note_group(group, heads[-1], placed)
                is_read = len(times) == len(group.raws)
                ends = (min(times), max(times)) if is_read else None
                self.kept.append(Kept(group, heads[-1], ends))

    def refuse(self, group: Group, kind: str, detail: str) -> None:
        """Keep a whole group aside, event by event."""
        self.refused.append((group, kind, detail))
        for sequence, raw in enumerate(group.raws, group.first_sequence):
            self._keep(raw, kind, group, sequence)

    def spoil(self, message: Spoiled) -> None:
        """Keep a whole message aside that is no group."""
        digest = sha256(message.payload).digest()
        row = (self._now, message.reason, message.source, 0, 0, digest, message.payload)
        self.quarantined.setdefault(digest, row)

    def seal(self, known: Collection[bytes]) -> None:
        """Add the rows of cursors, quarantine and anomalies; nothing may be taken any more.

        `known` are digests that are in quarantine already: they are not kept twice, and a group
        that was refused before is not reported again.
        """
        for (enforcer, number), epoch in self.epochs.items():
            for run in epoch.runs:
                ends = (run.first, run.last, run.previous_hash, run.head, epoch.last_time)
                self.add(CURSORS, (enforcer, number, *ends))
        for group, kind, detail in self.refused:
            if not all(sha256(raw).digest() in known for raw in group.raws):
                last = group.first_sequence + len(group.raws) - 1
                follows = group.previous_hash.hex()
                span = Span(group.first_sequence, last)
                self._note(kind, group, span, f"{detail}; it says it follows {follows}")
        self.quarantined = {
            digest: row for digest, row in self.quarantined.items() if digest not in known
        }
        for row in self.quarantined.values():
            self.add(QUARANTINE, row)
        for found in self.anomalies:
            where = (found.enforcer, found.epoch, found.first_sequence, found.last_sequence)
            self.add(ANOMALIES, (self._now, found.kind, *where, found.detail))

    def mark_again(self, is_again: Callable[[int], bool]) -> None:
        """Set `again` on the outcomes that `is_again` says by their place in `completed`."""
        if COMPLETED.name in self.rows:
            rows = self.rows[COMPLETED.name][1]
            for index, row in enumerate(rows):
                if is_again(index):
                    rows[index] = (*row[:-1], True)

    @property
    def _now(self) -> int:
        return self._at // MICROSECOND

    def _repeat(self, group: Group, head: bytes) -> None:
        last = group.first_sequence + len(group.raws) - 1
        known = self._heads.get((group.enforcer, group.epoch, group.first_sequence, last))
        if known is None:
            self.repeated.append((group, head))
        elif known != head:
            self.refuse(group, "fork", "another group stands in its place")
        else:
            self.duplicates += len(group.raws)

    def _load(self, group: Group, missing: Sequence[Span], *, at_end: bool) -> list[int]:
        """Add the missing events; returns the times of those that could be read."""
        times: list[int] = []
        for span in missing:
            for sequence in range(span.first, span.last + 1):
                raw = group.raws[sequence - group.first_sequence]
                try:
                    event = self._read(group, sequence, raw)
                except (WireError, EventUnreadableError) as error:
                    self._keep(raw, str(error), group, sequence)
                    self._note("poison", group, Span(sequence, sequence), str(error))
                    continue
                times.append(event.at // MICROSECOND)
                self.events.append(event)
                if at_end and _waits_for_outcome(event):
                    self.decided.add((event.enforcer, event.epoch, event.sequence))
        return times

    def _read(self, group: Group, sequence: int, raw: bytes) -> Event:
        """Read an event and add its row, or raise and add nothing."""
        if self._spoiled_events and sha256(raw).digest() in self._spoiled_events:
            raise EventUnreadableError("its values do not fit the table")
        event = read_event(raw)
        claimed = (event.enforcer, event.epoch, event.sequence)
        if claimed != (group.enforcer, group.epoch, sequence):
            raise EventUnreadableError(f"says that it is {event.id}")
        event = self._with_details(group, event)
        table, row = row_of(event, erased=sequence in group.erased)
        leaves = leaves_of(event)
        self.add(table, row)
        for more in (*leaves, *erased_of(event)):
            self.add(*more)
        if table is COMPLETED:
            self.completed.append((event.enforcer, *decision_of(row)))
        return event

    def _with_details(self, group: Group, event: Event) -> Event:
        """The event with what stands beside it, where that is what it commits to."""
        details = group.beside.get(event.sequence - group.first_sequence)
        said = event.body.arguments.commitment if isinstance(event.body, Decided) else b""
        problem = "its details did not come with it"
        if details is not None:
            try:
                return attach(event, details)
            except WireError as error:
                problem = str(error)
        if details is not None or (said and event.sequence not in group.erased):
            self._note("details", group, Span(event.sequence, event.sequence), problem)
        return event

    def _note_group(self, group: Group, head: bytes, placed: Placed) -> None:
        last = group.first_sequence + len(group.raws) - 1
        self._heads[(group.enforcer, group.epoch, group.first_sequence, last)] = head
        ends = (group.first_sequence, last, group.previous_hash, head)
        self.add(GROUPS, (group.enforcer, group.epoch, *ends))
        if placed.gap:
            self._note("gap", group, placed.gap, "events that were not seen before later ones")
        for span in placed.filled:
            self._note("gap_filled", group, span, "events that were missing have come")
        for sequence in placed.broken:
            detail = "was loaded before the event it should follow, and does not follow it"
            self._note("fork", group, Span(sequence, sequence), detail)

    def _keep(self, raw: bytes, reason: str, group: Group, sequence: int) -> None:
        digest = sha256(raw).digest()
        row = (self._now, reason, group.enforcer, group.epoch, sequence, digest, raw)
        self.quarantined.setdefault(digest, row)

    def _note(self, kind: str, group: Group, span: Span, detail: str) -> None:
        found = Anomaly(
            kind=kind,
            enforcer=group.enforcer,
            epoch=group.epoch,
            first_sequence=span.first,
            last_sequence=span.last,
            detail=detail,
        )
        self.anomalies.append(found)


def bad_events(
    groups: Sequence[Group], at: Instant, fits: Callable[["Batch"], bool]
) -> frozenset[bytes]:
    """Digests of the events that `fits` says no to, tried one by one."""
    bad: set[bytes] = set()
    for group in groups:
        for offset, raw in enumerate(group.raws):
            beside = group.beside.get(offset)
            alone = Group(
                enforcer=group.enforcer,
                epoch=group.epoch,
                first_sequence=group.first_sequence + offset,
                previous_hash=group.previous_hash,
                raws=(raw,),
                payload=group.payload,
                beside={} if beside is None else {0: beside},
            )
            trial = Batch(at)
            trial.take(alone, {}, newest=False)
            if not fits(trial):
                bad.add(sha256(raw).digest())
    return frozenset(bad)


def _waits_for_outcome(event: Event) -> bool:
    return isinstance(event.body, Decided) and event.body.effect is Effect.ALLOW


def _later(one: int | None, other: int | None) -> int | None:
    return other if one is None else one if other is None else max(one, other)
