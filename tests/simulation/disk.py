"""A disk that forgets: what was not made durable may be there, or not, or in part after a cut.

A file has two faces. What processes see is its `cache`; what a power cut leaves is its `media`.
Sectors of 512 bytes go from one to the other when they are synced, or by themselves at any time
before: so at a cut each dirty sector is new or old, on its own. After an error of the disk a
sector may be clean and yet never have reached the medium, as with Linux. Names are the same: a
folder's entries are durable when the folder was synced; before, any number of the oldest changes.
"""

import errno
import os
from collections.abc import Sequence

from tests.simulation.chance import Chance

SECTOR = 512


class File:
    """What an inode holds. `holder` is who has it locked."""

    def __init__(self, now: float) -> None:
        self.cache = bytearray()
        self.media = bytearray()
        self.dirty: set[int] = set()
        self.changed = now
        self.holder: object | None = None

    def write(self, data: bytes, offset: int, now: float) -> None:
        end = offset + len(data)
        if end > len(self.cache):
            self.cache.extend(bytes(end - len(self.cache)))
        self.cache[offset:end] = data
        self.dirty.update(range(offset // SECTOR, (end + SECTOR - 1) // SECTOR))
        self.changed = now

    def resize(self, size: int) -> None:
        if size < len(self.cache):
            del self.cache[size:]
            self.dirty = {sector for sector in self.dirty if sector * SECTOR < size}
            self.dirty.add(-1)
        else:
            self.cache.extend(bytes(size - len(self.cache)))

    def sync(self) -> None:
        """Everything in it, its size included, is on the medium."""
        for sector in self.dirty:
            self._settle(sector)
        self.dirty.clear()
        self._fit()

    def sync_range(self, offset: int, size: int) -> None:
        for sector in range(offset // SECTOR, (offset + size + SECTOR - 1) // SECTOR):
            self._settle(sector)
            self.dirty.discard(sector)

    def fail_range(self, offset: int, size: int, chance: Chance) -> None:
        """The disk did not take it, and the kernel will not try again."""
        for sector in range(offset // SECTOR, (offset + size + SECTOR - 1) // SECTOR):
            if chance.happens(0.5):
                self._settle(sector)
            self.dirty.discard(sector)

    def cut(self, chance: Chance) -> None:
        """What is there when the power comes back."""
        for sector in sorted(self.dirty):
            if chance.happens(0.5):
                self._settle(sector)
        self.dirty.clear()
        self.cache = bytearray(self.media)
        self.holder = None

    def flip(self, bit: int) -> None:
        """One bit turns over, on the medium."""
        for face in (self.cache, self.media):
            face[bit // 8] ^= 1 << (bit % 8)

    def _settle(self, sector: int) -> None:
        if sector < 0:
            return
        begin = sector * SECTOR
        if len(self.media) < begin + SECTOR:
            size = min(begin + SECTOR, len(self.cache))
            self.media.extend(bytes(max(0, size - len(self.media))))
        self.media[begin : begin + SECTOR] = self.cache[begin : begin + SECTOR]

    def _fit(self) -> None:
        size = len(self.cache)
        del self.media[size:]
        self.media.extend(bytes(size - len(self.media)))


class Folder:
    """Names. `pending` are changes that are not durable, oldest first, each whole or not at all."""

    def __init__(self) -> None:
        self.names: dict[str, File | Folder] = {}
        self.media: dict[str, File | Folder] = {}
        self.pending: list[list[tuple[str, File | Folder | None]]] = []

    def change(self, *entries: "tuple[str, File | Folder | None]") -> None:
        for name, entry in entries:
            _set(self.names, name, entry)
        self.pending.append(list(entries))

    def sync(self) -> None:
        self.media = dict(self.names)
        self.pending.clear()

    def cut(self, chance: Chance) -> None:
        for change in self.pending[: chance.randint(0, len(self.pending))]:
            for name, entry in change:
                _set(self.media, name, entry)
        self.pending.clear()
        self.names = dict(self.media)
        for entry in self.names.values():
            entry.cut(chance)


class Disk:
    """One machine's disk. `full`: no new room; `bad_writes`: so many more writes fail."""

    def __init__(self, chance: Chance) -> None:
        self.chance = chance
        self.root = Folder()
        self.full = False
        self.bad_writes = 0
        self.slow = 1.0

    def cut(self) -> None:
        """The power fails."""
        self.root.cut(self.chance)
        self.bad_writes = 0

    def find(self, path: str) -> "File | Folder":
        """Raises FileNotFoundError."""
        entry: File | Folder = self.root
        for part in _parts(path):
            below = entry.names.get(part) if isinstance(entry, Folder) else None
            if below is None:
                raise missing(path)
            entry = below
        return entry

    def folder_of(self, path: str) -> tuple[Folder, str]:
        """The folder in which a path's last name stands. Raises FileNotFoundError."""
        *above, name = _parts(path)
        folder = self.find("/".join(above))
        if not isinstance(folder, Folder):
            raise missing(path)
        return folder, name

    def check_write(self, file: File, parts: Sequence[bytes], offset: int, now: float) -> None:
        """Raise OSError where this write is one that fails."""
        if self.bad_writes > 0:
            self.bad_writes -= 1
            data = b"".join(parts)
            file.write(data, offset, now)
            file.fail_range(offset, len(data), self.chance)
            raise OSError(errno.EIO, os.strerror(errno.EIO))


def no_space() -> OSError:
    return OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def missing(path: str) -> FileNotFoundError:
    return FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path)


def _parts(path: str) -> list[str]:
    return [part for part in path.split("/") if part not in {"", "."}]


def _set(names: "dict[str, File | Folder]", name: str, entry: "File | Folder | None") -> None:
    if entry is None:
        names.pop(name, None)
    else:
        names[name] = entry
