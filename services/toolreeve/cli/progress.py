"""How far long work has come: a bar on a terminal's stderr, nothing anywhere else."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from types import TracebackType

    from rich.progress import Progress as Bar
    from rich.progress import TaskID

_STEP = 997  # how many are gathered before the bar hears of them


class Progress:
    """Counts up to `total`, where that is known. Use as a context."""

    def __init__(self, doing: str, *, unit: str, total: int | None = None) -> None:
        self._doing = doing
        self._unit = unit
        self._total = total
        self._gathered = 0
        self._bar: Bar | None = None
        self._task: TaskID | None = None

    def __enter__(self) -> Self:
        if sys.stderr.isatty():
            from rich.console import Console
            from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

            columns = (
                TextColumn("{task.description}"),
                BarColumn(),
                TextColumn("{task.completed:,.0f} {task.fields[unit]}"),
                TimeRemainingColumn(),
            )
            self._bar = Progress(*columns, console=Console(stderr=True), transient=True)
            self._task = self._bar.add_task(self._doing, total=self._total, unit=self._unit)
            self._bar.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._bar is not None:
            self._bar.stop()

    def expect(self, total: int) -> None:
        """There will be so many."""
        if self._bar is not None and self._task is not None and total != self._total:
            self._total = total
            self._bar.update(self._task, total=total)

    def advance(self, count: int) -> None:
        """So many more are done."""
        if self._bar is None or self._task is None:
            return
        self._gathered += count
        if self._gathered >= _STEP:
            self._bar.advance(self._task, self._gathered)
            self._gathered = 0
