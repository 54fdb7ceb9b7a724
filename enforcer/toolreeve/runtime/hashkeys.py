"""The keys of hashes over arguments: one file beside an enforcer's data, the newest key last.

    2026-11-21T17:04:05Z kY2Jt4…=

A line is a key and when it was made. The last one is in use; the others stay for as long as
somebody may want to find events by a value they know. Who takes a line out makes the hashes that
were made with its key say nothing to anybody. Readable by its owner only.
"""

import base64
import os
import secrets
import stat
from datetime import UTC, datetime
from pathlib import Path

from msgspec import Struct

from toolreeve.runtime.settings import SettingsError

FILE = "hash.keys"
KEY_BYTES = 32


class HashKey(Struct, frozen=True):
    """A key, and when it was made: in UTC, to the second."""

    key: bytes
    made_at: str


def newest_or_first(path: Path, now: float) -> HashKey:
    """The key in use; made now, in seconds since 1970, where there is none.

    Raises SettingsError where the file cannot be used.
    """
    try:
        return read_keys(path)[-1]
    except FileNotFoundError:
        pass
    _write(path, [_made(now)])
    return read_keys(path)[-1]


def rotate(path: Path, now: float) -> HashKey:
    """Have a new key in use from the enforcer's next start on; returns it.

    Raises SettingsError, and FileNotFoundError where there is no file to go on from.
    """
    made = _made(now)
    _write(path, [*read_keys(path), made])
    return made


def read_keys(path: Path) -> list[HashKey]:
    """All keys, the oldest first; at least one.

    Raises SettingsError for a file that others can read, that is a link, or that holds something
    else, and FileNotFoundError.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except FileNotFoundError:
        raise
    except OSError as error:
        problem = f"the keys cannot be opened: {error.strerror}"
        raise SettingsError(str(path), problem, "it must be a plain file of this user") from error
    with os.fdopen(descriptor, "rb") as file:
        if stat.S_IMODE(os.fstat(descriptor).st_mode) & 0o077:
            raise SettingsError(str(path), "the keys can be read by others", f"chmod 600 {path}")
        text = file.read()
    keys = [_read(path, number, line) for number, line in enumerate(text.splitlines(), 1)]
    if not keys:
        problem, remedy = "it holds no key", "restore it, or delete it: a new key is made then"
        raise SettingsError(str(path), problem, remedy)
    return keys


def _read(path: Path, number: int, line: bytes) -> HashKey:
    made_at, _, encoded = line.decode("ascii", "replace").partition(" ")
    try:
        datetime.fromisoformat(made_at)
        key = base64.b64decode(encoded, validate=True)
    except ValueError:
        key = b""
    if len(key) != KEY_BYTES:
        raise SettingsError(
            f"{path}:{number}",
            f"it is not a time and {KEY_BYTES} bytes in base64",
            "restore the file; without its keys no event is found by their hashes",
        )
    return HashKey(key, made_at)


def _made(now: float) -> HashKey:
    made_at = f"{datetime.fromtimestamp(now, UTC):%Y-%m-%dT%H:%M:%SZ}"
    return HashKey(secrets.token_bytes(KEY_BYTES), made_at)


def _write(path: Path, keys: list[HashKey]) -> None:
    """Have these keys in the file, whole or as it was."""
    lines = [f"{one.made_at} {base64.b64encode(one.key).decode()}\n" for one in keys]
    partial = path.with_name(f"{path.name}.{secrets.token_hex(4)}.part")
    descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(descriptor, "w") as file:
            file.writelines(lines)
            file.flush()
            os.fsync(descriptor)
        partial.replace(path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
