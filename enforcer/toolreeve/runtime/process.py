"""How a process lives: one coroutine, ended in order by a signal."""

import asyncio
import json
import os
import signal
from collections.abc import Awaitable, Callable, Coroutine
from pathlib import Path
from typing import Any

import structlog

log = structlog.get_logger()


class Stopping:
    """Set once, when the process has been asked to end. `reason` says by what."""

    def __init__(self) -> None:
        self._asked = asyncio.Event()
        self.reason = ""

    def ask(self, reason: str) -> None:
        """Ask the process to end; the first reason stands."""
        if not self._asked.is_set():
            self.reason = reason
            self._asked.set()

    @property
    def asked(self) -> bool:
        """Whether the process is to end."""
        return self._asked.is_set()

    async def wait(self) -> str:
        """Return the reason once the process has been asked to end."""
        await self._asked.wait()
        return self.reason


def run(main: Callable[[Stopping], Coroutine[Any, Any, int]]) -> int:
    """Run `main` until it returns, and return its exit code.

    SIGINT and SIGTERM ask it to end in order; a second one ends it at once. uvloop is used where
    it is installed (the extra `fast`).
    """
    factory: Callable[[], asyncio.AbstractEventLoop] | None = None
    try:
        import uvloop  # noqa: PLC0415  (an extra)

        factory = uvloop.new_event_loop
    except ImportError:
        pass

    async def supervised() -> int:
        stopping = Stopping()
        loop = asyncio.get_running_loop()

        def on_signal(number: signal.Signals) -> None:
            if stopping.asked:
                os._exit(128 + number)
            log.info("process.stopping", signal=number.name)
            stopping.ask("signal")

        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, on_signal, number)
        return await main(stopping)

    with asyncio.Runner(loop_factory=factory) as runner:
        return runner.run(supervised())


async def until_stopped(stopping: Stopping, *tasks: Awaitable[object]) -> None:
    """Run `tasks` side by side until the process is asked to end, then cancel them.

    A task that ends by itself or fails ends all: nothing here is meant to end first.
    """
    async with asyncio.TaskGroup() as group:
        running = [group.create_task(_named(task)) for task in tasks]
        await stopping.wait()
        for task in running:
            task.cancel()


async def _named(task: Awaitable[object]) -> None:
    await task


def write_ready_file(path: Path | None, facts: dict[str, object]) -> None:
    """Say in a file that the process is ready, whole or not at all. None: say nothing."""
    if path is None:
        return
    partial = path.with_name(path.name + ".part")
    partial.write_text(json.dumps(facts) + "\n", encoding="utf-8")
    partial.replace(path)
