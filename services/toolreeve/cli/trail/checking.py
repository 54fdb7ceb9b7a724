"""What is wrong with an export's files, in the order of its history."""

from __future__ import annotations

import multiprocessing
import os
from collections import deque
from concurrent.futures import Future, ProcessPoolExecutor
from hashlib import file_digest, sha256
from typing import TYPE_CHECKING

from toolreeve.audit import CheckpointMade, Position
from toolreeve.audit.verify import Evidence, Fault, Finding, Trail
from toolreeve.cli.failure import BAD_INPUT, CommandError
from toolreeve.cli.trail.bundle import blocks_of
from toolreeve.cli.trail.forms import BY_FILE, PARQUET_FILE
from toolreeve.cli.trail.stretch import (
    VOUCHING_KINDS,
    Stretch,
    check_line,
    stretches,
    stretches_at,
)
from toolreeve.wire import WireError, read_event
from toolreeve.wire.lines import lacks_details

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

    from toolreeve.audit import Body
    from toolreeve.audit.details import Absences
    from toolreeve.audit.vouching import Vouching
    from toolreeve.cli.progress import Progress
    from toolreeve.cli.trail.bundle import FileText
    from toolreeve.cli.trail.extents import Extents
    from toolreeve.wire.lines import Place

ALONE_BYTES_MAX = 16 << 20
"""A file up to this size is done before other processes have started."""
PROCESSES_MAX = 8


class Checker:
    """Takes the files of one export."""

    def __init__(
        self,
        trail: Trail,
        vouching: Vouching,
        extents: Extents,
        absences: Absences,
        progress: Progress,
    ) -> None:
        self._trail = trail
        self._vouching = vouching
        self._extents = extents
        self._absences = absences
        self._progress = progress

    def check(self, folder: Path, file: FileText) -> tuple[list[Finding], bool]:
        """Everything wrong in one file; and whether it is the file that was exported."""
        path = folder / file.name
        found: list[Finding] = []
        if file.name == PARQUET_FILE:
            found += self._check_parquet(path)
            with path.open("rb") as opened:
                digest = file_digest(opened, "sha256")
        elif file.name in BY_FILE:
            digest = sha256()
            number = 1
            for block, checked in _checked(path, file, blocks_of(path, digest.update)):
                found += self._take(file.name, block, number, checked)
                count = block.count(b"\n")
                number += count
                self._progress.advance(count)
        else:
            raise CommandError(
                f"{file.name!r} is no file that an export has",
                "check it with the toolreeve that wrote it",
                exit_code=BAD_INPUT,
            )
        size = path.stat().st_size
        return found, (digest.hexdigest(), size) == (file.sha256, file.bytes)

    def _take(
        self, name: str, block: bytes, number: int, checked: list[Stretch] | None
    ) -> list[Finding]:
        """Put one block behind those before it; line by line from where anything is odd."""
        if checked is None:
            return self._one_by_one(name, block.splitlines(keepends=True), number)
        found: list[Finding] = []
        at = 0
        for stretch in checked:
            amiss = self._trail.take(_first_of(stretch))
            found += amiss
            if amiss or not self._trail.go_on(len(stretch.heads) - 1, stretch.heads[-1]):
                found += self._vouch(stretch, stretch.heads[:1])
                lines = block.splitlines(keepends=True)[at + 1 :]
                return [*found, *self._one_by_one(name, lines, number + at + 1)]
            found += self._vouch(stretch, stretch.heads)
            at += len(stretch.heads)
        return found

    def _vouch(self, stretch: Stretch, heads: Sequence[bytes]) -> list[Finding]:
        """What the seals and checkpoints among its first events say, and whoever has seen them."""
        enforcer, epoch, first = stretch.enforcer, stretch.epoch, stretch.first_sequence
        found = self._extents.pass_by(enforcer, epoch, first, heads)
        self._absences.kept += stretch.detailed
        for sequence in stretch.lacking:
            if sequence < first + len(heads):
                self._absences.gone(enforcer, epoch, sequence)
        at = 0
        for sequence, raw in stretch.vouching.items():
            place = sequence - first
            if place >= len(heads):
                break
            self._vouching.pass_over(enforcer, epoch, first + at, heads[at:place])
            event = Evidence(
                enforcer=enforcer,
                epoch=epoch,
                sequence=sequence,
                raw=raw,
                head=heads[place],
                faithful=True,
            )
            found += self._hear(event, read_event(raw).body)
            at = place + 1
        self._vouching.pass_over(enforcer, epoch, first + at, heads[at:])
        return found

    def _hear(self, event: Evidence, body: Body | None) -> list[Finding]:
        if isinstance(body, CheckpointMade):
            position = Position(event.epoch, event.sequence)
            self._extents.checkpoint(event.enforcer, position, body)
        self._absences.read(body)
        return self._vouching.take(event, body)

    def _one_by_one(self, name: str, lines: Iterable[bytes], number: int) -> list[Finding]:
        form = BY_FILE[name]
        found: list[Finding] = []
        for at, line in enumerate(lines, number):
            try:
                place, faithful = check_line(form, line)
                found += self._take_one(place, faithful=faithful)
            except WireError as error:
                found.append(Finding(Fault.EDITED, f"{name}:{at}", str(error)))
        return found

    def _check_parquet(self, path: Path) -> list[Finding]:
        from toolreeve.cli.trail import parquet

        found: list[Finding] = []
        try:
            for place, faithful in parquet.rows(path):
                found += self._take_one(place, faithful=faithful)
                self._progress.advance(1)
        except WireError as error:
            found.append(Finding(Fault.EDITED, path.name, str(error)))
        return found

    def _take_one(self, place: Place, *, faithful: bool) -> list[Finding]:
        """The next event of the trail. Raises WireError where its bytes are no event."""
        event = Evidence(
            enforcer=place.enforcer,
            epoch=place.epoch,
            sequence=place.sequence,
            raw=place.bytes,
            head=bytes.fromhex(place.head),
            faithful=faithful,
        )
        body = read_event(place.bytes).body if place.kind in VOUCHING_KINDS else None
        found = [*self._trail.take(event), *self._hear(event, body)]
        heads = [event.head]
        if place.details is not None:
            self._absences.kept += 1
        elif lacks_details(place):
            self._absences.gone(event.enforcer, event.epoch, event.sequence)
        return [*found, *self._extents.pass_by(event.enforcer, event.epoch, event.sequence, heads)]


def _first_of(stretch: Stretch) -> Evidence:
    return Evidence(
        enforcer=stretch.enforcer,
        epoch=stretch.epoch,
        sequence=stretch.first_sequence,
        raw=stretch.first_raw,
        head=stretch.heads[0],
        faithful=True,
    )


def _checked(
    path: Path, file: FileText, blocks: Iterator[tuple[int, bytes]]
) -> Iterator[tuple[bytes, list[Stretch] | None]]:
    """Each block with what another process says of it, in order; a short file is done here."""
    processes = min(os.cpu_count() or 1, PROCESSES_MAX)
    if file.bytes <= ALONE_BYTES_MAX or processes == 1:
        for _, block in blocks:
            yield block, stretches(file.name, block)
        return
    spawned = multiprocessing.get_context("spawn")  # the bar on the terminal has a thread
    with ProcessPoolExecutor(processes, mp_context=spawned) as pool:
        waiting: deque[tuple[bytes, Future[list[Stretch] | None]]] = deque()
        for begin, block in blocks:
            waiting.append((block, pool.submit(stretches_at, str(path), begin, len(block))))
            if len(waiting) > 2 * processes:
                done, future = waiting.popleft()
                yield done, future.result()
        for done, future in waiting:
            yield done, future.result()
