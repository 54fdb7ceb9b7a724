"""How an outbox stands: when it is opened, and at any moment."""

from msgspec import Struct

from toolreeve.audit import Position
from toolreeve.outbox.salvage import Salvage


class Recovered(Struct, frozen=True, kw_only=True):
    """What an outbox held when it was opened.

    `torn_bytes` is what a crash left of a group that nobody was told of; it is gone now.
    `salvaged` tells of damage: of groups that were durable and cannot be read any more.
    """

    last: Position | None
    head: bytes
    published: Position | None
    torn_bytes: int
    salvaged: Salvage | None = None

    @property
    def next_epoch(self) -> int:
        """The lowest epoch of which no record can ever have been written here.

        A group that is gone may have been the first one of an epoch; that epoch is left out.
        """
        last = 0 if self.last is None else self.last.epoch
        return last + (2 if self.torn_bytes or self.salvaged else 1)


class OutboxStatus(Struct, frozen=True, kw_only=True):
    """Where an outbox stands. `bytes_on_disk` counts whole segments, `waiting` records.

    `recent_bytes` is what is kept in memory of durable groups for followers that are not there yet.
    Everything behind `kept_after`, where the head was `kept_after_head`, is on disk.
    """

    last: Position | None
    head: bytes
    published: Position | None
    bytes_on_disk: int
    recent_bytes: int
    waiting: int
    kept_after: Position | None
    kept_after_head: bytes
