"""The folder of an outbox: made for good, and one process's at a time."""

import os
from fcntl import LOCK_EX, LOCK_NB
from pathlib import Path

from toolreeve.outbox.error import OutboxError
from toolreeve.outbox.host import Host, make_folder

_LOCK = "lock"


def open_folder(folder: Path, host: Host) -> int:
    """Have the folder and return its descriptor. Raises OutboxError."""
    try:
        make_folder(folder, host)
        return host.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError as error:
        raise OutboxError(
            f"cannot be opened ({error.strerror})",
            remedy="name a folder that this user may write in, and no symbolic link",
            folder=folder,
        ) from error


def lock_folder(folder: Path, directory: int, host: Host) -> int:
    """Have it to ourselves as long as the descriptor is open. Raises OutboxError."""
    flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        descriptor = host.open(_LOCK, flags, 0o600, dir_fd=directory)
    except OSError as error:
        raise OutboxError(
            f"its lock cannot be opened ({error.strerror})",
            remedy="let this user write in the folder",
            folder=folder,
        ) from error
    try:
        host.flock(descriptor, LOCK_EX | LOCK_NB)
    except OSError as error:
        holder = host.pread(descriptor, 32, 0).decode(errors="replace").strip()
        host.close(descriptor)
        raise OutboxError(
            f"process {holder or 'unknown'} works with it",
            remedy="stop that process, or give this one a folder of its own",
            folder=folder,
        ) from error
    host.ftruncate(descriptor, 0)
    host.pwrite(descriptor, f"{host.getpid()}\n".encode(), 0)
    return descriptor
