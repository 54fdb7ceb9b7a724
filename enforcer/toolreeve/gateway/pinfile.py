"""Pins on disk: one file for each server, for every process that stands in front of it.

Several enforcers may keep pins of one server together (wrappers of one user, workers of one
gateway), and `toolreeve tools approve` writes too while they run. So whoever changes a file holds
its lock from reading to writing; whoever only reads needs none, for a file is replaced whole or
not at all. What was changed and is not yet on record stands beside the pins as `untold`: an
enforcer that ends in between finds it there, and records it when it starts again.
"""

import fcntl
import os
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar
from urllib.parse import quote, unquote

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from toolreeve.audit import Draft, ToolApproved, ToolChanged, ToolPinned
from toolreeve.decision import Instant
from toolreeve.enforcement.definition import Definition, is_whole
from toolreeve.enforcement.pins import News, Pins

FOLDER = "pins"
SUFFIX = ".json"
BYTES_MAX = 64 << 20

T = TypeVar("T")


class Untold(Struct, frozen=True, kw_only=True):
    """Something to be recorded, by the enforcer `by` or, where that is empty, by any.

    Exactly one of the others is set.
    """

    at: Instant
    by: str = ""
    pinned: ToolPinned | None = None
    changed: ToolChanged | None = None
    approved: ToolApproved | None = None

    @property
    def draft(self) -> Draft:
        body = self.pinned or self.changed or self.approved
        assert body is not None, "reading has seen to it"
        return Draft(self.at, body)


def untold(news: News, at: Instant, by: str = "") -> Untold:
    """What is to be recorded, as the file holds it."""
    match news:
        case ToolPinned():
            return Untold(at=at, by=by, pinned=news)
        case ToolChanged():
            return Untold(at=at, by=by, changed=news)
        case ToolApproved():
            return Untold(at=at, by=by, approved=news)


class Kept(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a file holds."""

    pins: Pins = Pins()
    untold: tuple[Untold, ...] = ()


class PinFileError(Exception):
    """A file of pins cannot be read. Says which, why, and what to do."""

    def __init__(self, path: Path, problem: str) -> None:
        self.problem = problem
        self.remedy = "restore it, or delete it and approve the tools again"
        super().__init__(f"{path}: {problem}; {self.remedy}")


class PinFile:
    """The pins of one server, below a folder that is made when something is written."""

    def __init__(self, folder: Path, server: str) -> None:
        self.server = server
        self.path = folder / (quote(server, safe="") + SUFFIX)
        self._read_as: tuple[int, int, int] | None = None

    @property
    def changed(self) -> bool:
        """Whether the file is another one than was read or written last."""
        return _fingerprint(self.path) != self._read_as

    def read(self) -> Kept:
        """What the file says; nothing where there is none. Raises PinFileError."""
        self._read_as = _fingerprint(self.path)
        try:
            if self._read_as is not None and self._read_as[2] > BYTES_MAX:
                raise PinFileError(self.path, f"it has more than {BYTES_MAX} bytes")
            kept = msgspec.json.decode(self.path.read_bytes(), type=Kept)
        except FileNotFoundError:
            return Kept()
        except OSError as error:
            raise PinFileError(self.path, f"cannot be read: {error.strerror}") from error
        except (msgspec.MsgspecError, UnicodeError) as error:
            raise PinFileError(self.path, f"is damaged: {error}") from error
        damage = _damage(kept)
        if damage:
            raise PinFileError(self.path, f"is damaged: {damage}")
        return kept

    @contextmanager
    def locked(self) -> Generator[None]:
        """Be the only one who writes. Waits for others; raises OSError."""
        folder = self.path.parent
        if not folder.exists():
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            _as_beside(folder, folder.parent)
        lock = self.path.with_suffix(".lock")
        handle = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            _as_beside(lock, folder)
            fcntl.flock(handle, fcntl.LOCK_EX)
            yield
        finally:
            os.close(handle)

    def keep(self, kept: Kept) -> None:
        """Have it on disk for good when this returns. Only while locked; raises OSError."""
        partial = self.path.with_suffix(".part")
        handle = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        with os.fdopen(handle, "wb") as file:
            file.write(msgspec.json.encode(kept))
            file.flush()
            os.fsync(handle)
        _as_beside(partial, self.path.parent)
        partial.replace(self.path)
        self._read_as = _fingerprint(self.path)
        folder = os.open(self.path.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)

    def change(self, how: Callable[[Kept], tuple[Kept, T]]) -> T:
        """Read, change and write as one step. Raises PinFileError and OSError."""
        with self.locked():
            kept = self.read()
            changed, answer = how(kept)
            if changed != kept:
                self.keep(changed)
        return answer

    def told(self, told: tuple[Untold, ...]) -> None:
        """These are on record now. Raises PinFileError and OSError."""

        def without(kept: Kept) -> tuple[Kept, None]:
            left = tuple(one for one in kept.untold if one not in told)
            return replace(kept, untold=left), None

        self.change(without)


def pin_files(folder: Path) -> list[PinFile]:
    """Every file in a folder, by the name of its server."""
    names = sorted(path.name for path in folder.glob(f"*{SUFFIX}"))
    return [PinFile(folder, unquote(name.removesuffix(SUFFIX))) for name in names]


def _fingerprint(path: Path) -> tuple[int, int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns, found.st_size


def _as_beside(path: Path, pattern: Path) -> None:
    """Give what root has written to whom the folder belongs, or an enforcer could not read it."""
    if os.geteuid() == 0:
        owner = pattern.stat()
        if (owner.st_uid, owner.st_gid) != (0, 0):
            os.chown(path, owner.st_uid, owner.st_gid)


def _damage(kept: Kept) -> str:
    """What cannot be true of a file that nobody has tampered with; empty where all is well."""
    for name, pin in kept.pins.tools.items():
        whole = all(
            is_whole(Definition(name, digest, json))
            for digest, json in (
                (pin.approved, pin.approved_json),
                (pin.offered, pin.definition_offered.json),
            )
        )
        if pin.tool != name or not whole:
            return f"the definition of {name!r} is not the one that its digest names"
    for one in kept.untold:
        if sum(body is not None for body in (one.pinned, one.changed, one.approved)) != 1:
            return "an entry under untold says nothing"
    return ""
