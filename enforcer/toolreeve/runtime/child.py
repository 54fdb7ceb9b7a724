"""Child processes that never outlive us, however we die."""

import asyncio
import contextlib
import ctypes
import os
import signal
from collections.abc import Callable

_PR_SET_PDEATHSIG = 1


def dies_with_parent(number: signal.Signals = signal.SIGTERM) -> Callable[[], None]:
    """A `preexec_fn`: the kernel sends the child `number` when its parent thread has ended.

    The C library is loaded here, before the fork; between fork and exec only one call is made.
    The parent is looked at afterwards, for it may have ended before the call.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    parent = os.getpid()

    def prepare() -> None:
        libc.prctl(_PR_SET_PDEATHSIG, int(number), 0, 0, 0)
        if os.getppid() != parent:
            os.kill(os.getpid(), number)

    return prepare


async def end_group(process: asyncio.subprocess.Process, *, grace_seconds: float = 3.0) -> int:
    """End a child started with `start_new_session=True`, and all that it has started.

    SIGTERM to its group, then, after `grace_seconds`, SIGKILL. Returns the child's exit code.
    """
    for number, seconds in ((signal.SIGTERM, grace_seconds), (signal.SIGKILL, None)):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        try:
            async with asyncio.timeout(seconds):
                code = await process.wait()
        except TimeoutError:
            continue
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)  # grandchildren that ignored the first
        return code
    raise AssertionError("a process survived SIGKILL")
