"""An event loop whose time is a number, and processes that can be killed between two callbacks.

Nothing here waits: where nothing is ready, time jumps to the next timer. Everything runs on one
thread in one order, so a history follows from its seed. What is begun inside a process belongs to
it, and a process that is dead does nothing more: its callbacks are left out, whatever they wait
for.
"""

import asyncio
from asyncio.events import _set_running_loop  # pyright: ignore[reportPrivateUsage]
from collections import deque
from collections.abc import Callable, Coroutine
from contextlib import suppress
from contextvars import Context, ContextVar, copy_context
from heapq import heappop, heappush
from itertools import count
from typing import Any, TypeVar, TypeVarTuple, Unpack, cast

from tests.simulation.chance import Chance

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

STEPS_MAX = 2_000_000


class KilledError(BaseException):
    """This process is no more; raised through whatever it was doing."""


class Process:
    """One process. `fuse` is how many more callbacks it lives to see; negative: no end in sight."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.alive = True
        self.fuse = -1
        self.tasks: list[tuple[asyncio.Task[Any], Any]] = []
        self._left_behind: list[Callable[[], None]] = []

    def when_dead(self, clean_up: Callable[[], None]) -> None:
        """What the kernel and the peers see of its death."""
        self._left_behind.append(clean_up)

    def ended(self, _: object) -> None:
        """Its main has come to an end."""
        self.kill()

    def kill(self) -> None:
        """kill -9: no handler runs, no buffer is written."""
        if self.alive:
            self.alive = False
            for clean_up in self._left_behind:
                clean_up()


PROCESS: ContextVar[Process | None] = ContextVar("process", default=None)


class VirtualLoop(asyncio.BaseEventLoop):
    """Runs until what it was given is done. `chance` says how long work on other threads takes."""

    def __init__(self, chance: Chance) -> None:
        super().__init__()
        self._now = 0.0
        self._chance = chance
        self._serial = count()
        self._due: deque[tuple[asyncio.Handle, Callable[..., Any], tuple[Any, ...], Context]]
        self._due = deque()
        self._later: list[tuple[float, int, asyncio.Handle, Callable[..., Any], Any, Context]] = []
        self.steps = 0

    def time(self) -> float:
        return self._now

    def call_soon(
        self,
        callback: Callable[[Unpack[Ts]], object],
        *args: *Ts,
        context: Context | None = None,
    ) -> asyncio.Handle:
        context = copy_context() if context is None else context
        handle = asyncio.Handle(callback, args, self, context)
        self._due.append((handle, callback, args, context))
        return handle

    call_soon_threadsafe = call_soon

    def call_at(
        self,
        when: float,
        callback: Callable[[Unpack[Ts]], object],
        *args: *Ts,
        context: Context | None = None,
    ) -> asyncio.TimerHandle:
        context = copy_context() if context is None else context
        handle = asyncio.TimerHandle(when, callback, args, self, context)
        heappush(self._later, (when, next(self._serial), handle, callback, args, context))
        return handle

    def call_later(
        self,
        delay: float,
        callback: Callable[[Unpack[Ts]], object],
        *args: *Ts,
        context: Context | None = None,
    ) -> asyncio.TimerHandle:
        return self.call_at(self._now + delay, callback, *args, context=context)

    def create_task(
        self,
        coro: Any,
        *,
        name: object = None,
        context: Context | None = None,
    ) -> asyncio.Task[Any]:
        task: asyncio.Task[Any] = asyncio.Task(
            coro, loop=self, name=None if name is None else str(name), context=context
        )
        process = PROCESS.get() if context is None else context.get(PROCESS)
        if process is not None:
            process.tasks.append((task, coro))
        return task

    def run_in_executor(  # type: ignore[override]
        self, executor: Any, func: Callable[..., T], *args: Any
    ) -> "asyncio.Future[T]":
        """Like a thread that takes its time and then does everything at once."""
        done: asyncio.Future[T] = self.create_future()

        def work() -> None:
            try:
                result = func(*args)
            except Exception as error:  # noqa: BLE001  (it belongs to whoever waits)
                if not done.done():
                    done.set_exception(error)
            else:
                if not done.done():
                    done.set_result(result)

        self.call_later(self._chance.seconds(0.0001, 0.002), work)
        return done

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        """The dead leave tasks behind; a task of the living that fails is awaited by somebody."""

    def get_debug(self) -> bool:
        return False

    def close(self) -> None:
        self._due.clear()
        self._later.clear()
        super().close()

    def play(self, story: Coroutine[Any, Any, T]) -> T:
        """Run until `story` has ended, and give its result."""
        _set_running_loop(self)
        try:
            task = self.create_task(story)
            while not task.done():
                self._step()
            return cast(T, task.result())
        finally:
            _set_running_loop(None)

    def _step(self) -> None:
        if not self._due:
            assert self._later, "nothing will ever happen again"
            when = self._later[0][0]
            self._now = max(self._now, when)
            while self._later and self._later[0][0] <= when:
                _, _, handle, callback, args, context = heappop(self._later)
                if not handle.cancelled():
                    self._due.append((handle, callback, args, context))
            return
        self.steps += 1
        assert self.steps < STEPS_MAX, "this history goes on and on"
        handle, callback, args, context = self._due.popleft()
        if handle.cancelled():
            return
        process = context.get(PROCESS)
        if process is not None:
            if process.fuse >= 0:
                process.fuse -= 1
                if process.fuse < 0:
                    process.kill()
            if not process.alive:
                return
        with suppress(KilledError):
            context.run(callback, *args)


def bury(process: Process) -> None:
    """Let go of what a dead process was doing, without hearing what it has to say about it."""
    for task, story in process.tasks:
        if not task.done():
            with suppress(BaseException):
                story.close()
    process.tasks.clear()
