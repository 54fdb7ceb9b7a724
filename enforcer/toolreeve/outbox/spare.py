"""The next segment's zeros, written before they are needed.

Filling a segment takes tens of milliseconds, on a slow disk a second, and the records of that time
would all wait for it. So it is done beside the flusher while the current segment still has room.
"""

from threading import Event

from toolreeve.outbox.host import HERE, Host, Worker
from toolreeve.outbox.segment import UNFINISHED, fill_blank

NAME = "blank"


class Spare:
    """At most one blank file, made by a thread of its own. Used by one thread."""

    def __init__(self, directory: int, size: int, host: Host = HERE) -> None:
        self._directory = directory
        self._size = size
        self._host = host
        self._worker: Worker | None = None
        self._stop = Event()
        self._descriptor: int | None = None

    def prepare(self) -> None:
        """Begin to make a blank file, unless there is one or one is being made."""
        if self._worker is None and not self._stop.is_set():
            self._worker = self._host.begin(self._fill, idle=lambda: False, name="outbox-spare")
            self._worker.wake()

    def failed(self) -> bool:
        """Whether a blank file could not be made; waits for the one that is being made."""
        if self._worker is None:
            return False
        self._worker.join()
        return self._descriptor is None

    def take(self) -> int | None:
        """The blank file's descriptor, once. None where none was prepared or it failed."""
        if self._worker is None:
            return None
        self._worker.join()
        self._worker = None
        descriptor, self._descriptor = self._descriptor, None
        return descriptor

    def close(self) -> None:
        """Give up what was prepared."""
        self._stop.set()
        descriptor = self.take()
        if descriptor is not None:
            self._host.close(descriptor)
            self._host.unlink(NAME + UNFINISHED, dir_fd=self._directory)

    def _fill(self) -> bool:
        try:
            self._descriptor = fill_blank(
                self._directory, NAME, self._size, stopped=self._stop.is_set, host=self._host
            )
        except OSError:  # whoever needs the segment tries again, and hears why
            self._descriptor = None
        return False
