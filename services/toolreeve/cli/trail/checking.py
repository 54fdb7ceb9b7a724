"""What is wrong with an export's files, in the order of its history."""

from __future__ import annotations

import multiprocessing
import os
from collections import deque
from concurrent.futures import Future, ProcessPoolExecutor
from hashlib import file_digest
from typing import TYPE_CHECKING

from toolreeve.audit.verify import Evidence, Fault, Finding, Trail
from toolreeve.cli.failure import BAD_INPUT, CommandError
from toolreeve.cli.trail.bundle import blocks_of
from toolreeve.cli.trail.forms import BY_FILE, PARQUET_FILE
from toolreeve.cli.trail.stretch import VOUCHING_KINDS, Stretch, check_line, stretches
from toolreeve.wire import WireError, read_event

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from toolreeve.audit.vouching import Vouching
    from toolreeve.cli.progress import Progress
    from toolreeve.cli.trail.bundle import FileText
    from toolreeve.wire.lines import Place

ALONE_BYTES_MAX = 16 << 20
"""A file up to this size is done before other processes have started."""
PROCESSES_MAX = 8


class Checker:
    """Takes the files of one export."""

    def __init__(self, trail: Trail, vouching: Vouching, progress: Progress) -> None:
        self._trail = trail
        self._vouching = vouching
        self._progress = progress

    def check(self, folder: Path, file: FileText) -> tuple[list[Finding], bool]:
        """Everything wrong in one file; and whether it is the file that was exported."""
        if file.name == PARQUET_FILE:
            found = self._check_parquet(folder / file.name)
        elif file.name in BY_FILE:
            found = [one for ones in self._check_lines(folder, file) for one in ones]
        else:
            raise CommandError(
                f"{file.name!r} is no file that an export has",
                "check it with the toolreeve that wrote it",
                exit_code=BAD_INPUT,
            )
        with (folder / file.name).open("rb") as opened:
            digest = file_digest(opened, "sha256").hexdigest()
        size = (folder / file.name).stat().st_size
        return found, (digest, size) == (file.sha256, file.bytes)

    def _check_lines(self, folder: Path, file: FileText) -> Iterator[list[Finding]]:
        number = 1
        for block, checked in _checked(file, blocks_of(folder, file.name)):
            yield self._take(file.name, block, number, checked)
            count = block.count(b"\n")
            number += count
            self._progress.advance(count)

    def _take(
        self, name: str, block: bytes, number: int, checked: list[Stretch] | None
    ) -> list[Finding]:
        """Put one block behind those before it; line by line from where anything is odd."""
        if checked is None:
            return self._one_by_one(name, block.splitlines(keepends=True), number)
        found: list[Finding] = []
        at = 0
        for stretch in checked:
            first, *others = _evidences(stretch)
            amiss = self._trail.take(first)
            found += [*amiss, *self._vouch(first, stretch)]
            if amiss or not self._trail.go_on(len(others), stretch.heads[-1]):
                lines = block.splitlines(keepends=True)[at + 1 :]
                return [*found, *self._one_by_one(name, lines, number + at + 1)]
            for event in others:
                found += self._vouch(event, stretch)
            at += len(stretch.heads)
        return found

    def _vouch(self, event: Evidence, stretch: Stretch) -> list[Finding]:
        raw = stretch.vouching.get(event.sequence)
        return self._vouching.take(event, None if raw is None else read_event(raw).body)

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
        return [*self._trail.take(event), *self._vouching.take(event, body)]


def _evidences(stretch: Stretch) -> Iterator[Evidence]:
    """Its events. Only the first has its bytes: the others are known to follow it."""
    for at, head in enumerate(stretch.heads):
        yield Evidence(
            enforcer=stretch.enforcer,
            epoch=stretch.epoch,
            sequence=stretch.first_sequence + at,
            raw=b"" if at else stretch.first_raw,
            head=head,
            faithful=True,
        )


def _checked(
    file: FileText, blocks: Iterator[bytes]
) -> Iterator[tuple[bytes, list[Stretch] | None]]:
    """Each block with what another process says of it, in order; a short file is done here."""
    processes = min(os.cpu_count() or 1, PROCESSES_MAX)
    if file.bytes <= ALONE_BYTES_MAX or processes == 1:
        for block in blocks:
            yield block, stretches(file.name, block)
        return
    spawned = multiprocessing.get_context("spawn")  # the bar on the terminal has a thread
    with ProcessPoolExecutor(processes, mp_context=spawned) as pool:
        waiting: deque[tuple[bytes, Future[list[Stretch] | None]]] = deque()
        for block in blocks:
            waiting.append((block, pool.submit(stretches, file.name, block)))
            if len(waiting) > 2 * processes:
                done, future = waiting.popleft()
                yield done, future.result()
        for done, future in waiting:
            yield done, future.result()
