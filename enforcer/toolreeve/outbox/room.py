"""Whether another segment can be had, asked before it is needed.

A blank segment is made beside the one that is being filled. Where that fails, or the outbox is at
its bound, what is left of the present segment is all there is: the journal then keeps its last
part for records that must not be lost to ordinary ones.
"""

from toolreeve.outbox.host import HERE, Host
from toolreeve.outbox.settings import OutboxSettings
from toolreeve.outbox.spare import Spare


class Room:
    """The next segment's blank file, and the bound on all of them. Used by one thread."""

    def __init__(self, directory: int, settings: OutboxSettings, host: Host = HERE) -> None:
        self._host = host
        self._spare = Spare(directory, settings.segment_bytes, host)
        self._settings = settings
        self._again_after = 0.0  # monotonic

    def at_bound(self, bytes_on_disk: int) -> bool:
        """Whether one more segment would pass the bound."""
        room = self._settings.bytes_on_disk_max - bytes_on_disk
        return room < self._settings.segment_bytes

    def prepare(self, bytes_on_disk: int) -> None:
        """Begin to make the next segment's blank file, where it may be made."""
        if not self.at_bound(bytes_on_disk):
            self._spare.prepare()

    def has_next(self, bytes_on_disk: int) -> bool:
        """Whether a further segment can be had; tries again now and then where it could not."""
        if self.at_bound(bytes_on_disk):
            return False
        if self._spare.failed() and self._host.monotonic() >= self._again_after:
            self._again_after = self._host.monotonic() + self._settings.retry_seconds
            self._spare.take()
            self._spare.prepare()
        return not self._spare.failed()

    def take(self) -> int | None:
        """The blank file's descriptor, once. None where there is none."""
        return self._spare.take()

    def close(self) -> None:
        """Give up what was prepared."""
        self._spare.close()
