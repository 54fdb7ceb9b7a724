"""A folder for each wrapper that runs at the same time.

Two clients may spawn the same server, each through a wrapper of its own. Each wrapper is an
enforcer with its own history, so each needs its own folder; and one that starts later takes up the
folder, and the history, that an earlier one has left.
"""

import fcntl
import os
from pathlib import Path

from toolreeve.runtime.settings import SettingsError

SLOTS_MAX = 64


class Slot:
    """Folder `number` of those below one parent, ours until the process ends."""

    def __init__(self, folder: Path, number: int, lock: int) -> None:
        self.folder = folder
        self.number = number
        self._lock = lock  # held open: the lock is gone when the process is


def claim_slot(parent: Path) -> Slot:
    """Take the first folder below `parent` that nobody has. Raises SettingsError."""
    for number in range(SLOTS_MAX):
        folder = parent / str(number)
        try:
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            lock = os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            problem = f"cannot be used: {error.strerror}"
            raise SettingsError(str(folder), problem, "choose another --data") from error
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(lock)
            continue
        return Slot(folder, number, lock)
    problem = f"{SLOTS_MAX} wrappers of this server run already"
    raise SettingsError(str(parent), problem, "end some of them, or choose another --data")
