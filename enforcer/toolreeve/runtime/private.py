"""Files that only their owner may read: keys, tokens and credentials, whole or not at all."""

import os
import secrets
import stat
from pathlib import Path


class PrivateFileError(Exception):
    """A private file cannot be used. Says what is wrong and what to do."""

    def __init__(self, path: Path, problem: str, remedy: str) -> None:
        super().__init__(f"{path}: {problem}; {remedy}")
        self.path = path
        self.problem = problem
        self.remedy = remedy


def read_private(path: Path) -> bytes:
    """What the file holds. Raises PrivateFileError where it is a link or others can read it."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError as error:
        raise PrivateFileError(
            path,
            f"it cannot be opened: {error.strerror}",
            "it must be a plain file of the user that runs this process",
        ) from error
    with os.fdopen(descriptor, "rb") as file:
        mode = stat.S_IMODE(os.fstat(descriptor).st_mode)
        if mode & 0o077:
            raise PrivateFileError(
                path,
                f"others can read it (mode {mode:04o})",
                "chmod 600 it; if others may have read it, make it anew",
            )
        return file.read()


def create_private(path: Path, content: bytes) -> None:
    """Write a file that is not there yet. Raises FileExistsError where it is."""
    partial = _written(path, content)
    try:
        os.link(partial, path)
    finally:
        partial.unlink()
    _sync_folder(path.parent)


def replace_private(path: Path, content: bytes) -> None:
    """Write a file, or one in its place: after a crash there is the old one or the new one."""
    partial = _written(path, content)
    partial.replace(path)
    _sync_folder(path.parent)


def _written(path: Path, content: bytes) -> Path:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    partial = path.with_name(f"{path.name}.{secrets.token_hex(4)}.part")
    descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(descriptor)
    return partial


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
