"""What the control plane orders, on the enforcer's own disk: in force after a restart, and with
the control plane away."""

import os
from pathlib import Path
from typing import Generic, TypeVar

import msgspec

from toolreeve.outbox import Host
from toolreeve.runtime.settings import SettingsError

T = TypeVar("T")


class KeptFile(Generic[T]):
    """One value in a file, written whole or not at all. `nothing` stands for a missing file.

    Raises SettingsError where the file is there and cannot be read: to go on without what is in it
    would let through what somebody has stopped; `remedy` says what an operator can do.
    """

    def __init__(self, path: Path, kind: type[T], nothing: T, remedy: str, host: Host) -> None:
        self._path = path
        self._kind = kind
        self._nothing = nothing
        self._remedy = remedy
        self._host = host
        self.state = self._read()

    def keep(self, state: T) -> None:
        """Have `state` on disk for good when this returns. Blocks on the disk; raises OSError."""
        host, partial = self._host, self._path.with_suffix(".part")
        handle = host.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        try:
            text = msgspec.json.encode(state)
            written = 0
            while written < len(text):
                written += host.pwrite(handle, text[written:], written)
            host.fsync(handle)
        finally:
            host.close(handle)
        host.rename(partial, self._path)
        folder = host.open(self._path.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            host.fsync(folder)
        finally:
            host.close(folder)
        self.state = state

    def _read(self) -> T:
        try:
            return msgspec.json.decode(self._bytes(), type=self._kind)
        except FileNotFoundError:
            return self._nothing
        except (msgspec.MsgspecError, OSError) as error:
            problem = f"cannot be read: {error}"
            raise SettingsError(str(self._path), problem, self._remedy) from error

    def _bytes(self) -> bytes:
        handle = self._host.open(self._path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            return self._host.pread(handle, self._host.fstat(handle).st_size, 0)
        finally:
            self._host.close(handle)
