"""How far the outbox is published, remembered in one small file.

The mark is a hint: without it groups are sent again, and whoever receives them knows them by their
ids. So it is written without waiting for the disk, except before segments are deleted because of
it. A mark that cannot be read counts as none.
"""

import os
import struct
import zlib
from threading import Lock

import structlog

from toolreeve.audit import Position
from toolreeve.outbox.host import HERE, Host
from toolreeve.outbox.segment import read_part, write_durably

log = structlog.get_logger()

NAME = "published"
_MAGIC = b"tRgMark1"
_FIELDS = struct.Struct("<8sQQ")
_SUM = struct.Struct("<I")
_BYTES = _FIELDS.size + _SUM.size


class Mark:
    """The file and what it says. May be used from several threads; never goes back."""

    def __init__(self, directory: int, host: Host = HERE) -> None:
        flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
        self._host = host
        self._descriptor = host.open(NAME, flags, 0o600, dir_fd=directory)
        self._lock = Lock()
        self.position = _decode(read_part(self._descriptor, 0, _BYTES, host))

    def advance(self, position: Position) -> None:
        """Remember `position`, lazily; one that is not ahead of the last one changes nothing."""
        with self._lock:
            if self.position is not None and position <= self.position:
                return
            self.position = position
            if self._descriptor < 0:  # closed; the hint is lost, and that is all
                return
            try:
                self._host.pwrite(self._descriptor, _encode(position), 0)
            except OSError as error:
                log.warning("outbox.mark_not_written", error=str(error))

    def settle(self) -> Position | None:
        """Make the mark durable and return what it says. Raises OSError."""
        with self._lock:
            if self.position is not None:
                write_durably(self._descriptor, [_encode(self.position)], 0, self._host)
            return self.position

    def close(self) -> None:
        with self._lock:
            if self._descriptor >= 0:
                self._host.close(self._descriptor)
                self._descriptor = -1


def _encode(position: Position) -> bytes:
    fields = _FIELDS.pack(_MAGIC, position.epoch, position.sequence)
    return fields + _SUM.pack(zlib.crc32(fields))


def _decode(block: bytes) -> Position | None:
    if len(block) != _BYTES:
        return None
    magic, epoch, sequence = _FIELDS.unpack_from(block)
    if magic != _MAGIC or block[_FIELDS.size :] != _SUM.pack(zlib.crc32(block[: _FIELDS.size])):
        return None
    return Position(epoch, sequence)
