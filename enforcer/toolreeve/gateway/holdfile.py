"""Holds on the enforcer's own disk: in force after a restart, with the control plane away."""

import os
from pathlib import Path

import msgspec
import structlog
from msgspec import Struct

from toolreeve.audit import Hold
from toolreeve.outbox import HERE, Host
from toolreeve.runtime.settings import SettingsError

log = structlog.get_logger()


class HeldState(Struct, frozen=True, kw_only=True):
    """All holds in force, as of the order with this sequence."""

    sequence: int = 0
    holds: tuple[Hold, ...] = ()


class HoldFile:
    """The file in which they lie; written whole or not at all."""

    def __init__(self, path: Path, host: Host = HERE) -> None:
        self._path = path
        self._host = host
        self.state = self._read()

    def keep(self, state: HeldState) -> None:
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

    def _read(self) -> HeldState:
        try:
            return msgspec.json.decode(self._bytes(), type=HeldState)
        except FileNotFoundError:
            return HeldState()
        except (msgspec.MsgspecError, OSError) as error:
            # To go on without the holds would let through what somebody has stopped.
            remedy = "restore the file; delete it only where nothing is held"
            raise SettingsError(str(self._path), f"cannot be read: {error}", remedy) from error

    def _bytes(self) -> bytes:
        handle = self._host.open(self._path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            return self._host.pread(handle, self._host.fstat(handle).st_size, 0)
        finally:
            self._host.close(handle)
