"""What a history is compared with, so that an older copy of it is known as one."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
from msgspec import Struct

from toolreeve.audit import Position
from toolreeve.cli.failure import BAD_INPUT, CommandError
from toolreeve.cli.reach import Place, channel
from toolreeve.cli.trail.bundle import read_manifest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from toolreeve.cli.trail.bundle import Manifest
    from toolreeve.cli.trail.extents import Extents

WORKER = "worker"


class Witnessed(Struct, frozen=True):
    """A line of a witness's file."""

    note: str


def compare_with(
    extents: Extents,
    names: Iterable[str],
    place: Place,
    is_whole: Callable[[Path, Manifest], bool],
) -> None:
    """Tell `extents` what those who are named have seen: the worker, exports, witnesses' files.

    Raises CommandError where one of them cannot be read, or is an export that is not whole itself.
    """
    for name in names:
        path = Path(name)
        if name == WORKER:
            _ask(extents, place)
        elif path.is_dir():
            manifest = read_manifest(path)
            if not is_whole(path, manifest):
                raise CommandError(
                    f"{path} is not whole itself", "look at it with `audit verify --export`"
                )
            for run in manifest.declared():
                last = Position(run.epoch, run.last_sequence)
                extents.saw(run.enforcer, last, run.head_after, f"the export {path}")
        else:
            extents.witness(_notes(path))


def _ask(extents: Extents, place: Place) -> None:
    from toolreeve.v1.query_pb2 import GetProgressRequest
    from toolreeve.v1.query_pb2_grpc import QueryServiceStub

    with channel(place) as opened:
        answer = QueryServiceStub(opened).GetProgress(GetProgressRequest())
    for mark in answer.watermarks:
        last = Position(mark.epoch, mark.sequence)
        extents.saw(mark.enforcer_id, last, mark.head, "the worker")


def _notes(path: Path) -> Iterator[str]:
    """The signed checkpoints in a witness's file; a line that is none says nothing."""
    try:
        lines = path.read_bytes().splitlines()
    except OSError as error:
        raise CommandError(
            f"{path} cannot be read ({error.strerror})",
            "name an export's folder, a witness's file, or 'worker'",
            exit_code=BAD_INPUT,
        ) from error
    for line in lines:
        try:
            yield msgspec.json.decode(line, type=Witnessed).note
        except msgspec.MsgspecError:
            continue
