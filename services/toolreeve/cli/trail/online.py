"""The history as the worker hands it out, checked group by group while it comes.

No text is written again here, for none is read: the bytes themselves come, so all there is to show
is that they follow each other, that their enforcers' seals hold over them, and that the worker's
checkpoints lead to the roots they sign. Four microseconds an event.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from toolreeve.audit import CheckpointMade, Position, link
from toolreeve.audit.event import event_id
from toolreeve.audit.verify import Evidence, Fault, Finding, seams
from toolreeve.cli.trail.logged import Log, Made
from toolreeve.cli.trail.runs import Runs
from toolreeve.cli.trail.stretch import VOUCHING_KINDS
from toolreeve.wire import WireError, read_event, unpack
from toolreeve.wire.lines import glance

if TYPE_CHECKING:
    from toolreeve.audit import Body
    from toolreeve.audit.details import Absences
    from toolreeve.audit.vouching import Vouching
    from toolreeve.cli.trail.extents import Extents
    from toolreeve.wire import Group


class Online:
    """Takes groups by enforcer and epoch, each history in its order."""

    def __init__(
        self,
        vouching: Vouching,
        log: Log,
        extents: Extents,
        absences: Absences,
        *,
        from_the_beginning: bool,
    ) -> None:
        """`from_the_beginning`: no group may be left out before the first one of an epoch."""
        self._vouching = vouching
        self._log = log
        self._extents = extents
        self._absences = absences
        self._whole = from_the_beginning
        self.runs = Runs()
        self.events = 0

    def take(self, payload: bytes) -> list[Finding]:
        """What is wrong with the next group."""
        try:
            group = unpack(payload)
        except WireError as error:
            return [Finding(Fault.EDITED, f"behind event {self.events}", str(error))]
        found: list[Finding] = []
        head = group.previous_hash
        for sequence, raw in enumerate(group.raws, group.first_sequence):
            head = link(head, raw)
            found += self._take_event(group, sequence, raw, head)
        last = group.first_sequence + len(group.raws) - 1
        found += self._seam(group, head)
        self._log.group((group.enforcer, group.epoch, group.first_sequence, last), head)
        self.events += len(group.raws)
        return found

    def finish(self) -> list[Finding]:
        """What is wrong over all: between epochs, with the seals, and with the checkpoints."""
        keys = {name: known.keys for name, known in self._vouching.enforcers.items()}
        return [
            *seams(self.runs.all()),
            *self._vouching.finish(),
            *self._log.judge(keys),
        ]

    def _take_event(self, group: Group, sequence: int, raw: bytes, head: bytes) -> list[Finding]:
        name = event_id(group.enforcer, Position(group.epoch, sequence))
        body: Body | None = None
        try:
            kind, *place, said = glance(raw)
            if kind in VOUCHING_KINDS:
                body = read_event(raw).body
        except WireError as error:
            return [Finding(Fault.EDITED, name, str(error))]
        if place != [group.enforcer, group.epoch, sequence]:
            return [Finding(Fault.FOREIGN, name, "it says that it stands somewhere else")]
        if said and not self._has_details(group, sequence, said):
            return [Finding(Fault.EDITED, name, "its details are not those recorded with it")]
        self._absences.read(body)
        if isinstance(body, CheckpointMade):
            position = Position(group.epoch, sequence)
            self._log.checkpoint(Made(group.enforcer, position, body))
            self._extents.checkpoint(group.enforcer, position, body)
        event = Evidence(
            enforcer=group.enforcer,
            epoch=group.epoch,
            sequence=sequence,
            raw=raw,
            head=head,
            faithful=True,
        )
        found = self._vouching.take(event, body)
        return found + self._extents.pass_by(group.enforcer, group.epoch, sequence, [head])

    def _has_details(self, group: Group, sequence: int, said: bytes) -> bool:
        """Whether what stands beside an event is what it commits to, or nothing."""
        details = group.beside.get(sequence - group.first_sequence)
        if details is None:
            self._absences.gone(group.enforcer, group.epoch, sequence)
            return True
        self._absences.kept += 1
        return details.commitment == said

    def _seam(self, group: Group, head: bytes) -> list[Finding]:
        """Whether a group follows the one before it, of the same epoch."""
        before = self.runs.last
        if self.runs.take(group, head):
            return []
        name = event_id(group.enforcer, Position(group.epoch, group.first_sequence))
        if before is None or (before.enforcer, before.epoch) != (group.enforcer, group.epoch):
            if self._whole and group.first_sequence > 1:
                first = event_id(group.enforcer, Position(group.epoch, 1))
                return [Finding(Fault.DELETED, first, f"its epoch begins with {name} here")]
            return []
        following = before.last_sequence + 1
        if group.first_sequence > following:
            missing = event_id(group.enforcer, Position(group.epoch, following))
            return [Finding(Fault.DELETED, missing, f"it is not there; {name} comes next")]
        if group.first_sequence == following:
            return [Finding(Fault.EDITED, name, "it does not follow the event before it")]
        return []  # it comes again, which is seen where runs meet
