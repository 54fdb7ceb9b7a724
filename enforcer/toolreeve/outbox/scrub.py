"""Reading everything that is kept, again and again, so that what rots on the disk is noticed.

An enforcer's outbox opens without reading what is published, so that a start takes no longer on the
day after than on the first. What the disk has changed there shows here, long before somebody
asks for it: a copy is kept as evidence at once, for the segment may soon be old enough to go. The
next opening reads everything and sets the folder aside.
"""

from toolreeve.audit import Position
from toolreeve.outbox.error import DamageError
from toolreeve.outbox.host import HERE, Host
from toolreeve.outbox.journal import Journal
from toolreeve.outbox.reader import Reader
from toolreeve.outbox.salvage import Salvage, keep_evidence

PIECE_BYTES = 256 << 10
"""So little that nobody else waits long for the interpreter: a millisecond or two."""


class Scrub:
    """Passes over an outbox that is open. For one thread at a time."""

    def __init__(self, journal: Journal, host: Host = HERE) -> None:
        self._journal = journal
        self._host = host
        self._reader: Reader | None = None
        self._known: set[str] = set()  # segments whose damage has been told

    def step(self) -> tuple[bool, Salvage | None]:
        """Prove the next piece. Whether the pass goes on, and what was found damaged in it.

        Each damaged segment is told once. Blocks; raises OutboxError and OSError where the disk
        cannot be read, and then the next step begins a new pass.
        """
        reader, self._reader = self._reader, None
        if reader is None:
            reader = self._journal.prover(None, slice_bytes=PIECE_BYTES)
        try:
            goes_on = reader.prove()
        except DamageError as found:
            return self._pass_over(found)
        if goes_on:
            self._reader = reader
        return goes_on, None

    def _pass_over(self, found: DamageError) -> tuple[bool, Salvage | None]:
        view = self._journal.view
        places = {segment.name: at for at, segment in enumerate(view.segments)}
        at = places.get(found.segment or "")
        if at is None:
            return False, None  # trimmed just now
        segment, limit, before = view.segments[at], view.end, None
        goes_on = at + 1 < len(view.segments)
        if goes_on:
            behind = view.segments[at + 1]
            limit = behind.previous_end
            if behind.after is not None:
                before = Position(behind.after.epoch, behind.after.sequence + 1)
            self._reader = self._journal.prover(behind.after, slice_bytes=PIECE_BYTES)
        if segment.name in self._known:
            return goes_on, None
        kept = keep_evidence(
            self._journal.folder, segment, limit, before=before, found=found, host=self._host
        )
        self._known.add(segment.name)
        return goes_on, kept
