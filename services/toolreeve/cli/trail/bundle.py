"""An export on disk: a folder of lines, and one file that says what is in it.

    export.json     which runs there are, with the chain heads before and behind each
    events.jsonl    one event a line, run by run, each with its bytes and the head behind it;
                    or events.ocsf.jsonl or events.parquet, see `forms`

`export.json` is written last, so a folder that has one is whole.
"""

from __future__ import annotations

import os
from hashlib import file_digest
from pathlib import Path
from typing import TYPE_CHECKING, Self

import msgspec
from msgspec import Struct

from toolreeve.audit import GENESIS, link
from toolreeve.audit.verify import Run
from toolreeve.cli.failure import BAD_INPUT, CommandError
from toolreeve.cli.trail import forms
from toolreeve.cli.trail.runs import Runs
from toolreeve.runtime.version import VERSION
from toolreeve.wire import WireError, unpack

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from toolreeve.audit.details import Details

FORMAT = "toolreeve-export/2"
MANIFEST = "export.json"
UNFINISHED = ".part"
BLOCK_BYTES = 2 << 20


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
    """What export.json says. Times are UTC.

    `since` and `until` are null, and `enforcer` is empty, where nothing was left out.
    """

    format: str
    software: str
    made_at: str
    since: str | None
    until: str | None
    enforcer: str
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


class Writer:
    """Writes an export into a new folder. Use as a context; an error leaves no export.json."""

    def __init__(self, folder: Path, form: str = "jsonl") -> None:
        """Raises CommandError where something stands there already.

        `form` is one of `forms.NAMES`. Parquet is made of lines once they are all there.
        """
        if form == forms.PARQUET:
            from toolreeve.cli.trail import parquet

            parquet.library()  # rather now than when everything is written
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
        self._form = forms.FORMS.get(form, forms.JSONL)
        self._name = forms.PARQUET_FILE if form == forms.PARQUET else self._form.file
        self._lines = folder / (self._form.file + UNFINISHED)
        self._file = self._lines.open("wb")
        self._runs = Runs()
        self.events = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def take(self, payload: bytes) -> int:
        """Write the events of one group; returns how many. Raises WireError where it is none."""
        group = unpack(payload)
        head = group.previous_hash
        lines: list[bytes] = []
        for index, raw in enumerate(group.raws):
            head = link(head, raw)
            lines.append(self._line(raw, head, group.beside.get(index)))
        self._file.write(b"".join(lines))
        self.events += len(lines)
        self._runs.take(group, head)
        return len(lines)

    def _line(self, raw: bytes, head: bytes, details: Details | None) -> bytes:
        """An event's line; without details that it does not commit to, and so are missing."""
        if details is not None:
            try:
                return self._form.write(raw, head, details)
            except WireError:
                pass
        return self._form.write(raw, head, None)

    def finish(
        self, made_at: str, since: str | None, until: str | None, enforcer: str = ""
    ) -> Manifest:
        """Make the export whole and durable."""
        self._file.close()
        path = self._folder / self._name
        whole = self._lines
        if self._name == forms.PARQUET_FILE:
            from toolreeve.cli.trail import parquet

            whole = self._folder / (self._name + UNFINISHED)
            parquet.convert(self._lines, whole)
            self._lines.unlink()
        with whole.open("rb") as file:
            os.fsync(file.fileno())
            digest = file_digest(file, "sha256").hexdigest()
            size = file.tell()
        whole.rename(path)
        manifest = Manifest(
            format=FORMAT,
            software=f"toolreeve {VERSION}",
            made_at=made_at,
            since=since,
            until=until,
            enforcer=enforcer,
            runs=tuple(_text(run) for run in self._runs.all()),
            files=(FileText(name=self._name, bytes=size, sha256=digest),),
        )
        text = msgspec.json.format(msgspec.json.encode(manifest), indent=2) + b"\n"
        unfinished = self._folder / (MANIFEST + UNFINISHED)
        unfinished.write_bytes(text)
        unfinished.rename(self._folder / MANIFEST)
        return manifest


def _text(run: Run) -> RunText:
    return RunText(
        enforcer=run.enforcer,
        epoch=run.epoch,
        first_sequence=run.first_sequence,
        last_sequence=run.last_sequence,
        head_before=run.head_before.hex(),
        head_after=run.head_after.hex(),
    )


def read_manifest(folder: Path) -> Manifest:
    """Read export.json. Raises CommandError where there is none, or none that can be read."""
    path = folder / MANIFEST
    try:
        text = path.read_bytes()
        _known_form(path, text)
        manifest = msgspec.json.decode(text, type=Manifest)
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
    return manifest


class _Form(Struct, frozen=True):
    format: str


def _known_form(path: Path, text: bytes) -> None:
    """Raise CommandError for the form of another version, before its fields are looked at."""
    form = msgspec.json.decode(text, type=_Form).format
    if form != FORMAT:
        raise CommandError(
            f"{path} has format {form!r}, not {FORMAT!r}",
            "check it with the toolreeve that wrote it",
            exit_code=BAD_INPUT,
        )


def blocks_of(path: Path, see: Callable[[bytes], object]) -> Iterator[tuple[int, bytes]]:
    """A file in pieces of whole lines, each with where it begins; `see` gets all that is read.

    Raises CommandError.
    """
    try:
        with path.open("rb", buffering=0) as file:
            begin, rest = 0, b""
            while read := file.read(BLOCK_BYTES):
                see(read)
                read = rest + read if rest else read
                ends = read.rfind(b"\n") + 1
                rest = read[ends:]
                if ends:
                    yield begin, read[:ends]
                begin += ends
            if rest:
                yield begin, rest
    except OSError as error:
        raise CommandError(
            f"{path} cannot be read ({error.strerror})", "ask for the export again"
        ) from error


def _head(text: str) -> bytes:
    head = bytes.fromhex(text)
    if len(head) != len(GENESIS):
        raise ValueError(f"a head has {len(head)} bytes, not {len(GENESIS)}")
    return head
