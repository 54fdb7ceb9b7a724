"""A signing key's file: made at the first start, readable by its owner only.

Loading this takes the cryptography library along; a process that must start fast loads it late.
"""

import os
import secrets
import stat
from pathlib import Path

from toolreeve.policy.sign import KeyTextError, SigningKey


class KeyFileError(Exception):
    """A signing key cannot be used. Says what is wrong and what to do."""

    def __init__(self, path: Path, problem: str, remedy: str) -> None:
        super().__init__(f"{path}: {problem}; {remedy}")
        self.path = path
        self.problem = problem
        self.remedy = remedy


def load_or_create(path: Path) -> tuple[SigningKey, bool]:
    """The key in `path`, and whether it was made just now because there was none.

    Raises KeyFileError for a file that others can read, that is a link, or that holds no key: a
    key that has been read by others is not quietly used, and never replaced.
    """
    try:
        return _load(path), False
    except FileNotFoundError:
        pass
    try:
        return _create(path), True
    except FileExistsError:  # another replica on this machine was quicker
        return _load(path), False
    except OSError as error:
        raise KeyFileError(
            path, f"the key cannot be written: {error.strerror}", "make its folder writable"
        ) from error


def load(path: Path) -> SigningKey:
    """The key in `path`. Raises KeyFileError, as `load_or_create`, and where there is none."""
    try:
        return _load(path)
    except FileNotFoundError as error:
        raise KeyFileError(path, "there is no such file", "give the path of a key") from error


def _load(path: Path) -> SigningKey:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise KeyFileError(
            path,
            f"the key cannot be opened: {error.strerror}",
            "it must be a plain file of the user that runs this process",
        ) from error
    with os.fdopen(descriptor, "rb") as file:
        mode = stat.S_IMODE(os.fstat(descriptor).st_mode)
        if mode & 0o077:
            raise KeyFileError(
                path,
                f"others can read the signing key (mode {mode:04o})",
                "chmod 600 it; if others may have read it, make a new one and pin that everywhere",
            )
        pem = file.read()
    try:
        return SigningKey.from_pem(pem)
    except KeyTextError as error:
        raise KeyFileError(
            path,
            str(error),
            "restore the key from its backup; whoever has pinned it trusts no other",
        ) from error


def _create(path: Path) -> SigningKey:
    """Write a new key so that it stands there whole or not at all."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    key = SigningKey.generate()
    partial = path.with_name(f"{path.name}.{secrets.token_hex(4)}.part")
    descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(key.to_pem())
            file.flush()
            os.fsync(descriptor)
        os.link(partial, path)  # fails where a key has come to stand there meanwhile
    finally:
        partial.unlink()
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
    return key
