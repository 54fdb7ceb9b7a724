"""The last known good on disk: what an enforcer starts from when nobody answers.

    <folder>/bodies/<hex>.json        a revision's canonical bytes, named by their hash
    <folder>/servers/<name>.json      the signed manifest that names the revision
    <folder>/servers/<name>.highest   the highest sequence ever taken

Every file is written whole or not at all. What stands in a file is believed only as far as its
hash (bodies) or its signature (manifests) goes; the caller checks the signature. The highest
sequence is kept beside the manifest, so that a damaged manifest does not open the door for an old
one.
"""

import os
import threading
from collections.abc import Collection
from hashlib import sha256
from pathlib import Path
from urllib.parse import quote, unquote

import msgspec
import structlog
from msgspec import Struct

from toolreeve.policy.sign import Envelope, Manifest

log = structlog.get_logger()

BODIES_KEPT = 32
"""Revisions that are kept beside those in force: a rollback finds its text on disk."""

FILE_BYTES_MAX = 8 * 1024 * 1024
REVISION_SCHEME = "sha256:"


class ShelfError(Exception):
    """The shelf cannot be used. Says where and what to do."""

    def __init__(self, path: Path, problem: str, remedy: str) -> None:
        super().__init__(f"{path}: {problem}; {remedy}")
        self.path = path
        self.problem = problem
        self.remedy = remedy


class Shelved(Struct, frozen=True, kw_only=True):
    """What was taken last for one server; `body` has the hash that the manifest names."""

    envelope: Envelope
    body: bytes


class Shelf:
    """One enforcer's shelf. Calls wait for the disk: call them from a thread of their own."""

    def __init__(self, folder: Path) -> None:
        self._bodies = folder / "bodies"
        self._servers = folder / "servers"
        self._writing = threading.Lock()
        for path in (self._bodies, self._servers):
            try:
                path.mkdir(mode=0o700, parents=True, exist_ok=True)
            except OSError as error:
                raise ShelfError(
                    path, f"cannot be made: {error.strerror}", "make the data folder writable"
                ) from error

    def load(self) -> dict[str, Shelved]:
        """By server, everything that is whole; what is not is logged and left out."""
        found: dict[str, Shelved] = {}
        for path in sorted(self._servers.glob("*.json")):
            server = unquote(path.stem)
            shelved = self._load(path, server)
            if shelved is not None:
                found[server] = shelved
        return found

    def body(self, revision: str) -> bytes | None:
        """The canonical bytes of a revision, if they are here and whole."""
        path = self._body_path(revision)
        if path is None:
            return None
        try:
            body = _read(path)
        except FileNotFoundError:
            return None
        except OSError as error:
            log.warning("shelf.unreadable", file=str(path), error=error.strerror)
            return None
        if REVISION_SCHEME + sha256(body).hexdigest() != revision:
            log.warning("shelf.corrupt", file=str(path), revision=revision)
            return None
        return body

    def highest(self, server: str) -> int:
        """The highest manifest sequence ever taken for `server`; 0 for none.

        Raises ShelfError where that cannot be told: then nothing may be taken.
        """
        path = self._server_path(server, ".highest")
        try:
            return int(_read(path))
        except FileNotFoundError:
            return self._sequence_shelved(server)
        except (OSError, ValueError) as error:
            raise ShelfError(
                path,
                f"the highest sequence cannot be read: {error}",
                "restore the file, or write into it the sequence shown by `toolreeve fleet status`",
            ) from error

    def put(self, server: str, envelope: Envelope, body: bytes) -> None:
        """Keep what was taken for `server`. On disk for good once this has returned.

        The envelope must have been verified and the body checked. A sequence below the highest is
        an error of the caller. Raises ShelfError.
        """
        manifest = msgspec.json.decode(envelope.payload, type=Manifest)
        assert manifest.server == server, "the manifest is for this server"
        assert manifest.sequence >= self.highest(server), "a manifest never goes back"
        assert REVISION_SCHEME + sha256(body).hexdigest() == manifest.revision, "its own body"
        body_path = self._body_path(manifest.revision)
        assert body_path is not None
        try:
            with self._writing:
                _write(body_path, body)
                _write(self._server_path(server, ".highest"), b"%d\n" % manifest.sequence)
                _write(self._server_path(server, ".json"), msgspec.json.encode(envelope))
                self._forget_old()
        except OSError as error:
            raise ShelfError(
                self._servers,
                f"the policy cannot be kept: {error.strerror}",
                "make room on the disk and the folder writable",
            ) from error

    def _load(self, path: Path, server: str) -> Shelved | None:
        try:
            envelope = msgspec.json.decode(_read(path), type=Envelope)
            manifest = msgspec.json.decode(envelope.payload, type=Manifest)
        except (OSError, msgspec.MsgspecError) as error:
            log.warning("shelf.corrupt", file=str(path), error=str(error))
            return None
        if manifest.server != server:
            log.warning("shelf.corrupt", file=str(path), error="the manifest of another server")
            return None
        body = self.body(manifest.revision)
        if body is None:
            log.warning("shelf.body_missing", server=server, revision=manifest.revision)
            return None
        return Shelved(envelope=envelope, body=body)

    def _sequence_shelved(self, server: str) -> int:
        path = self._server_path(server, ".json")
        try:
            envelope = msgspec.json.decode(_read(path), type=Envelope)
            return msgspec.json.decode(envelope.payload, type=Manifest).sequence
        except FileNotFoundError:
            return 0
        except (OSError, msgspec.MsgspecError) as error:
            raise ShelfError(
                path, f"cannot be read: {error}", "restore the file, or delete it"
            ) from error

    def _forget_old(self) -> None:
        """Drop the bodies that were read or written longest ago, but none that is in force."""
        in_force = self._in_force()
        spare = [path for path in self._bodies.glob("*.json") if path.stem not in in_force]
        spare.sort(key=lambda path: path.stat().st_mtime_ns, reverse=True)
        for path in spare[BODIES_KEPT:]:
            path.unlink(missing_ok=True)

    def _in_force(self) -> Collection[str]:
        named: set[str] = set()
        for path in self._servers.glob("*.json"):
            try:
                envelope = msgspec.json.decode(_read(path), type=Envelope)
                manifest = msgspec.json.decode(envelope.payload, type=Manifest)
            except msgspec.MsgspecError:
                continue
            named.add(manifest.revision.removeprefix(REVISION_SCHEME))
        return named

    def _body_path(self, revision: str) -> Path | None:
        hexadecimal = revision.removeprefix(REVISION_SCHEME)
        if len(hexadecimal) != 64 or not set(hexadecimal) <= set("0123456789abcdef"):
            return None
        return self._bodies / f"{hexadecimal}.json"

    def _server_path(self, server: str, suffix: str) -> Path:
        return self._servers / (quote(server, safe="") + suffix)


def _read(path: Path) -> bytes:
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    with os.fdopen(descriptor, "rb") as file:
        return file.read(FILE_BYTES_MAX)


def _write(path: Path, content: bytes) -> None:
    """Replace a file: after a crash it holds all of the old or all of the new."""
    partial = path.with_name(path.name + ".part")
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
    descriptor = os.open(partial, flags, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(descriptor)
    partial.replace(path)
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
