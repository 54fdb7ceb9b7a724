"""Finding all that a server process has started, also what has left its process group.

Whatever a process starts inherits its environment, so each server is given a mark in it. A process
that goes into a session of its own, or whose parent has ended, is found by its mark; only one that
was started with another environment on purpose is not.
"""

import contextlib
import os
import secrets
import signal
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

MARK: Final = "TOOLREEVE_SERVER_RUN"
_PROC: Final = Path("/proc")
_ROUNDS_MAX: Final = 10
_ENVIRON_BYTES_MAX: Final = 1 << 20


def marked(environ: Mapping[str, str]) -> tuple[dict[str, str], str]:
    """An environment with a mark that no other run of a server has, and the mark."""
    mark = secrets.token_hex(16)
    return {**environ, MARK: mark}, mark


def kill_marked(mark: str) -> int:
    """Kill every process that carries the mark; how many there were.

    Looks again until none is left, because one may start another meanwhile. Blocks for as long as
    it takes to look at every process of the machine: keep it off a busy loop.
    """
    wanted = f"{MARK}={mark}".encode()
    killed = 0
    for _ in range(_ROUNDS_MAX):
        found = sum(_kill_if(process, wanted) for process in _processes())
        killed += found
        if not found:
            break
    return killed


def _processes() -> Iterator[int]:
    with contextlib.suppress(OSError):  # where there is no such folder, nobody is found
        for entry in os.scandir(_PROC):
            if entry.name.isdigit():
                yield int(entry.name)


def _kill_if(process: int, wanted: bytes) -> bool:
    """Kill a process if its environment holds `wanted`.

    The descriptor is opened before the look and used after it, so that another process which got
    the number meanwhile is not meant.
    """
    with contextlib.suppress(OSError):
        handle = os.pidfd_open(process)
        try:
            with (_PROC / str(process) / "environ").open("rb") as file:
                if wanted not in file.read(_ENVIRON_BYTES_MAX).split(b"\0"):
                    return False
            signal.pidfd_send_signal(handle, signal.SIGKILL)
            return True
        finally:
            os.close(handle)
    return False
