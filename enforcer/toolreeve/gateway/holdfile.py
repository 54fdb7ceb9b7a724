"""Holds on the enforcer's own disk: in force after a restart, with the control plane away."""

import os
from pathlib import Path

import msgspec
import structlog
from msgspec import Struct

from toolreeve.audit import Hold
from toolreeve.runtime.settings import SettingsError

log = structlog.get_logger()


class HeldState(Struct, frozen=True, kw_only=True):
    """All holds in force, as of the order with this sequence."""

    sequence: int = 0
    holds: tuple[Hold, ...] = ()


class HoldFile:
    """The file in which they lie; written whole or not at all."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.state = self._read()

    def keep(self, state: HeldState) -> None:
        """Have `state` on disk for good when this returns. Blocks on the disk; raises OSError."""
        partial = self._path.with_suffix(".part")
        handle = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(handle, "wb") as file:
            file.write(msgspec.json.encode(state))
            file.flush()
            os.fsync(handle)
        partial.replace(self._path)
        folder = os.open(self._path.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
        self.state = state

    def _read(self) -> HeldState:
        try:
            return msgspec.json.decode(self._path.read_bytes(), type=HeldState)
        except FileNotFoundError:
            return HeldState()
        except (msgspec.MsgspecError, OSError) as error:
            # To go on without the holds would let through what somebody has stopped.
            remedy = "restore the file; delete it only where nothing is held"
            raise SettingsError(str(self._path), f"cannot be read: {error}", remedy) from error
