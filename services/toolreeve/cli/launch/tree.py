"""A tree of processes: started in order, kept alive, ended in the opposite order."""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import sys
import time
from typing import TYPE_CHECKING, Any, Self

import structlog
from msgspec import Struct

from toolreeve.cli.failure import CommandError
from toolreeve.runtime.child import dies_with_parent, end_group

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path
    from types import TracebackType

log = structlog.get_logger()

READY_SECONDS_MAX = 60.0
GRACE_SECONDS = 8.0
BACKOFF_SECONDS_MAX = 15.0
STEADY_SECONDS = 60.0  # a part that lived this long begins again with the shortest pause
_LOOK_SECONDS = 0.02

Facts = dict[str, Any]


class Part(Struct, frozen=True, kw_only=True):
    """One process of the tree.

    `prepare` writes what the process reads at its start and returns the command line; it is
    handed the facts of the life before, so that a part comes back where others look for it.
    `ready` returns the facts once the process with this id is ready, None before.
    """

    name: str
    log: Path
    prepare: Callable[[Facts | None], Sequence[str]]
    ready: Callable[[int], Facts | None]


class Tree:
    """The running parts. Leaving the context ends them all, youngest first.

    With `restart`, a part that dies is started again after a pause that grows, and `restarted` is
    called; without, its death ends the context with a CommandError.
    """

    def __init__(self, *, restart: bool) -> None:
        self.restarted: Callable[[], None] = lambda: None
        self._restart = restart
        self._keepers = asyncio.TaskGroup()
        self._running: dict[str, asyncio.subprocess.Process] = {}
        self._tasks: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Self:
        await self._keepers.__aenter__()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for task in self._tasks:
            task.cancel()
        try:
            for process in reversed(list(self._running.values())):
                if process.returncode is None:
                    await end_group(process, grace_seconds=GRACE_SECONDS)
        finally:
            await self._keepers.__aexit__(kind, error, traceback)

    async def start(self, part: Part) -> Facts:
        """Start a part and return its facts once it is ready."""
        process = await self._spawn(part, None)
        facts = await self._wait_ready(part, process)
        self._tasks.append(self._keepers.create_task(self._keep(part, process, facts)))
        return facts

    def process_ids(self) -> dict[str, int]:
        """Return the process id of each part that runs now."""
        return {name: process.pid for name, process in self._running.items()}

    async def _keep(self, part: Part, process: asyncio.subprocess.Process, facts: Facts) -> None:
        pause = 0.2
        while True:
            began = time.monotonic()
            code = await process.wait()
            if not self._restart:
                raise CommandError(
                    f"{part.name} ended with {_ending(code)}", f"see {part.log}{_tail(part.log)}"
                )
            if time.monotonic() - began > STEADY_SECONDS:
                pause = 0.2
            log.warning("part.died", part=part.name, ending=_ending(code), retry_seconds=pause)
            await asyncio.sleep(pause * random.uniform(0.5, 1.0))  # noqa: S311
            pause = min(pause * 2, BACKOFF_SECONDS_MAX)
            try:
                process = await self._spawn(part, facts)
                facts = await self._wait_ready(part, process)
            except CommandError as error:
                log.warning("part.failed", part=part.name, problem=error.problem)
            else:
                log.warning("part.restarted", part=part.name)
                self.restarted()

    async def _spawn(self, part: Part, facts: Facts | None) -> asyncio.subprocess.Process:
        command = part.prepare(facts)
        with part.log.open("wb" if facts is None else "ab") as output:
            process = await asyncio.create_subprocess_exec(
                *command,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env=_environment(),
                start_new_session=True,
                preexec_fn=dies_with_parent(signal.SIGKILL),
            )
        self._running[part.name] = process
        return process

    async def _wait_ready(self, part: Part, process: asyncio.subprocess.Process) -> Facts:
        deadline = time.monotonic() + READY_SECONDS_MAX
        while (facts := part.ready(process.pid)) is None:
            if process.returncode is not None:
                raise CommandError(
                    f"{part.name} ended with {_ending(process.returncode)} before it was ready",
                    f"see {part.log}{_tail(part.log)}",
                )
            if time.monotonic() > deadline:
                await end_group(process, grace_seconds=GRACE_SECONDS)
                raise CommandError(
                    f"{part.name} was not ready after {READY_SECONDS_MAX:.0f} s",
                    f"see {part.log}{_tail(part.log)}",
                )
            await asyncio.sleep(_LOOK_SECONDS)
        return facts


def own_command(*arguments: str) -> tuple[str, ...]:
    """Return the command line of one of our own commands under this very interpreter."""
    return (sys.executable, "-m", "toolreeve.cli", *arguments)


def read_ready_file(path: Path) -> Facts | None:
    """Return what a part wrote when it became ready, None before."""
    try:
        facts: Facts = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    return facts


def _environment() -> dict[str, str]:
    """Our environment without what would override the settings files that we write."""
    return {key: value for key, value in os.environ.items() if not key.startswith("TOOLREEVE_")}


def _ending(code: int) -> str:
    return f"exit code {code}" if code >= 0 else f"signal {signal.Signals(-code).name}"


def _tail(path: Path, lines_max: int = 8) -> str:
    """Return the end of a log, so that nobody has to open the file to learn what happened."""
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines()[-lines_max:]
    return "".join(f"\n  {line}" for line in lines)
