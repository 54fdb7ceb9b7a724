"""Which segments the warehouse has whole, by what it said last.

JetStream is the transport and can be lost with everything in it. So an outbox that is kept "until
materialised" holds a segment until all of its events are in the warehouse, however long ago they
were published.
"""

from collections.abc import Callable, Iterable
from itertools import takewhile
from threading import Lock

from toolreeve.audit import Position
from toolreeve.audit.span import EpochSpan, covers
from toolreeve.outbox.frame import Group
from toolreeve.outbox.reader import reached
from toolreeve.outbox.segment import Identity


class Retention:
    """What is durable elsewhere. Nothing is, until it is said. May be used from several threads."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._spans: tuple[EpochSpan, ...] = ()
        self._read: dict[int, bool] = {}  # by segment number, for these spans
        self.heard = False

    def hear(self, spans: tuple[EpochSpan, ...]) -> None:
        """All that is durable. It may be less than before: a warehouse was lost."""
        with self._lock:
            self._spans, self._read, self.heard = spans, {}, True

    def frees(self, segment: Identity, behind: Identity) -> bool:
        """Whether every event of `segment`, which ends where `behind` begins, is known as durable.

        A segment with several epochs has to be looked into first: see `look_into`.
        """
        begins, ends = segment.after, behind.after
        with self._lock:
            if ends is None or begins == ends:
                return True
            if begins is not None and begins.epoch == ends.epoch:
                first = Position(begins.epoch, begins.sequence + 1)
                if covers(self._spans, first, ends):
                    return True
            return self._read.get(segment.number, False)

    def look_into(
        self,
        segment: Identity,
        behind: Identity,
        groups: Callable[[Position | None], Iterable[Group]],
    ) -> None:
        """Find out by the segment's own groups where its ends do not tell; `groups` reads them."""
        if self.frees(segment, behind):
            return
        with self._lock:
            spans = self._spans
            if not spans or segment.number in self._read:
                return
        within = takewhile(lambda group: reached(group.last, behind.after), groups(segment.after))
        durable = all(covers(spans, group.first, group.last) for group in within)
        with self._lock:
            if spans is self._spans:
                self._read[segment.number] = durable
