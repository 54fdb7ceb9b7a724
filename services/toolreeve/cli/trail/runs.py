"""Groups in a row as runs: unbroken pieces of one epoch, with the heads before and behind each."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec.structs import replace

from toolreeve.audit.verify import Run

if TYPE_CHECKING:
    from toolreeve.wire import Group


class Runs:
    """Takes groups in the order of an export."""

    def __init__(self) -> None:
        self.closed: list[Run] = []
        self.last: Run | None = None
        """The run that may go on."""

    def take(self, group: Group, head: bytes) -> bool:
        """Add a group and the head behind it; whether it goes on from the one before."""
        last = self.last
        end = group.first_sequence + len(group.raws) - 1
        if last is not None and (
            (last.enforcer, last.epoch, last.last_sequence + 1, last.head_after)
            == (group.enforcer, group.epoch, group.first_sequence, group.previous_hash)
        ):
            self.last = replace(last, last_sequence=end, head_after=head)
            return True
        if last is not None:
            self.closed.append(last)
        self.last = Run(
            enforcer=group.enforcer,
            epoch=group.epoch,
            first_sequence=group.first_sequence,
            last_sequence=end,
            head_before=group.previous_hash,
            head_after=head,
        )
        return False

    def all(self) -> list[Run]:
        """Every run so far."""
        return [*self.closed, self.last] if self.last else [*self.closed]
