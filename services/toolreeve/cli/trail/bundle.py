"""An export on disk: a folder of lines, and one file that says what is in it.

    export.json     which runs there are, with the chain heads before and behind each
    events.jsonl    one event a line, run by run, each with its bytes and the head behind it

`export.json` is written last, so a folder that has one is whole.
"""

from __future__ import annotations

import os
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Self

import msgspec
from msgspec import Struct

from toolreeve.audit import GENESIS, Position, link
from toolreeve.audit.verify import Run
from toolreeve.cli.failure import BAD_INPUT, CommandError
from toolreeve.runtime.version import VERSION
from toolreeve.wire import unpack
from toolreeve.wire.lines import time_of, write_line

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

FORMAT = "toolreeve-export/1"
MANIFEST = "export.json"
EVENTS = "events.jsonl"
UNFINISHED = ".part"
_FLUSH_BYTES = 1 << 20


class RunText(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A run as export.json has it; heads in hex."""

    enforcer: str
    epoch: int
    first_sequence: int
    last_sequence: int
    head_before: str
    head_after: str


class FileText(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A file of the export."""

    name: str
    bytes: int
    sha256: str


class Manifest(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What export.json says. Times are UTC; `since` and `until` null where nothing was left out."""

    format: str
    software: str
    made_at: str
    since: str | None
    until: str | None
    runs: tuple[RunText, ...]
    files: tuple[FileText, ...]

    def declared(self) -> list[Run]:
        """The runs, as the verifier takes them. Raises ValueError where a head is no hex."""
        return [
            Run(
                enforcer=run.enforcer,
                epoch=run.epoch,
                first_sequence=run.first_sequence,
                last_sequence=run.last_sequence,
                head_before=_head(run.head_before),
                head_after=_head(run.head_after),
            )
            for run in self.runs
        ]


class Span(Struct, frozen=True):
    """From when to when, in nanoseconds since 1970; the end is not part of it."""

    since: int | None = None
    until: int | None = None

    def touches(self, raws: Iterable[bytes]) -> bool:
        """Whether one of these events lies inside."""
        if self.since is None and self.until is None:
            return True
        low, high = self.since or 0, self.until
        return any(low <= at and (high is None or at < high) for at in map(time_of, raws))


class Writer:
    """Writes an export into a new folder. Use as a context; an error leaves no export.json."""

    def __init__(self, folder: Path) -> None:
        """Raises CommandError where something stands there already."""
        try:
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            if any(folder.iterdir()):
                raise CommandError(
                    f"{folder} is not empty", "name a folder that is not there", exit_code=BAD_INPUT
                )
        except OSError as error:
            raise CommandError(
                f"{folder} cannot be made ({error.strerror})", "name another folder"
            ) from error
        self._folder = folder
        self._file = (folder / (EVENTS + UNFINISHED)).open("wb")
        self._digest = sha256()
        self._runs: list[RunText] = []
        self._head = GENESIS
        self.events = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def take(self, payload: bytes) -> None:
        """Write the events of one group. Raises WireError where it is none."""
        group = unpack(payload)
        head = group.previous_hash
        lines: list[bytes] = []
        for raw in group.raws:
            head = link(head, raw)
            lines.append(write_line(raw, head))
        written = b"".join(lines)
        self._file.write(written)
        self._digest.update(written)
        self.events += len(lines)
        self._note(
            group.enforcer,
            Position(group.epoch, group.first_sequence),
            len(lines),
            group.previous_hash,
            head,
        )

    def finish(self, made_at: str, since: str | None, until: str | None) -> Manifest:
        """Make the export whole and durable."""
        self._file.flush()
        os.fsync(self._file.fileno())
        size = self._file.tell()
        self._file.close()
        (self._folder / (EVENTS + UNFINISHED)).rename(self._folder / EVENTS)
        manifest = Manifest(
            format=FORMAT,
            software=f"toolreeve {VERSION}",
            made_at=made_at,
            since=since,
            until=until,
            runs=tuple(self._runs),
            files=(FileText(name=EVENTS, bytes=size, sha256=self._digest.hexdigest()),),
        )
        text = msgspec.json.format(msgspec.json.encode(manifest), indent=2) + b"\n"
        unfinished = self._folder / (MANIFEST + UNFINISHED)
        unfinished.write_bytes(text)
        unfinished.rename(self._folder / MANIFEST)
        return manifest

    def _note(
        self, enforcer: str, first: Position, count: int, before: bytes, after: bytes
    ) -> None:
        last = self._runs[-1] if self._runs else None
        goes_on = last is not None and (
            (last.enforcer, last.epoch, last.last_sequence + 1, last.head_after)
            == (enforcer, first.epoch, first.sequence, before.hex())
        )
        begin = self._runs.pop() if goes_on else None
        self._runs.append(
            RunText(
                enforcer=enforcer,
                epoch=first.epoch,
                first_sequence=first.sequence if begin is None else begin.first_sequence,
                last_sequence=first.sequence + count - 1,
                head_before=before.hex() if begin is None else begin.head_before,
                head_after=after.hex(),
            )
        )


def read_manifest(folder: Path) -> Manifest:
    """Read export.json. Raises CommandError where there is none, or none that can be read."""
    path = folder / MANIFEST
    try:
        manifest = msgspec.json.decode(path.read_bytes(), type=Manifest)
        manifest.declared()
    except FileNotFoundError as error:
        raise CommandError(
            f"{path} is not there",
            "name a folder that `audit export` has finished",
            exit_code=BAD_INPUT,
        ) from error
    except OSError as error:
        raise CommandError(
            f"{path} cannot be read ({error.strerror})", "look at the disk"
        ) from error
    except (msgspec.MsgspecError, ValueError) as error:
        raise CommandError(
            f"{path} cannot be understood: {error}",
            "ask for the export again; this file is not as it was written",
        ) from error
    if manifest.format != FORMAT:
        raise CommandError(
            f"{path} has format {manifest.format!r}, not {FORMAT!r}",
            "check it with the toolreeve that wrote it",
            exit_code=BAD_INPUT,
        )
    return manifest


def lines_of(folder: Path, name: str) -> Iterator[bytes]:
    """The lines of a file of the export, each with its newline. Raises CommandError."""
    path = folder / name
    try:
        with path.open("rb", buffering=_FLUSH_BYTES) as file:
            yield from file
    except OSError as error:
        raise CommandError(
            f"{path} cannot be read ({error.strerror})", "ask for the export again"
        ) from error


def _head(text: str) -> bytes:
    head = bytes.fromhex(text)
    if len(head) != len(GENESIS):
        raise ValueError(f"a head has {len(head)} bytes, not {len(GENESIS)}")
    return head
