"""What an outbox stands on: the files, clocks, chance and threads of one machine.

`HERE` is the machine that this process runs on, and each of its calls is the operating system's
own. The simulator brings machines of its own, whose disks forget what was not made durable and
whose threads take turns (docs/explanation/simulation.md).
"""

import os
import shutil
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from fcntl import flock
from pathlib import Path
from threading import Thread
from typing import Protocol


class Worker(Protocol):
    """Somebody who works beside the event loop."""

    def wake(self) -> None:
        """There is something to do now. Never blocks."""

    def join(self) -> None:
        """Return when it has ended. Blocks."""


class Host(Protocol):
    """What is asked of a machine. Files as in `os`, with the same errors."""

    def open(
        self, path: str | os.PathLike[str], flags: int, mode: int = ..., *, dir_fd: int | None = ...
    ) -> int: ...
    def close(self, fd: int, /) -> None: ...
    def flock(self, fd: int, operation: int, /) -> None: ...
    def fstat(self, fd: int, /) -> os.stat_result: ...
    def pread(self, fd: int, length: int, offset: int, /) -> bytes: ...
    def pwrite(self, fd: int, data: bytes, offset: int, /) -> int: ...
    def pwritev(self, fd: int, buffers: Sequence[bytes], offset: int, flags: int = ..., /) -> int:
        """Writes that carry RWF_DSYNC are durable on return."""
        ...

    def ftruncate(self, fd: int, length: int, /) -> None: ...
    def posix_fallocate(self, fd: int, offset: int, length: int, /) -> None: ...
    def fsync(self, fd: int, /) -> None: ...
    def fdatasync(self, fd: int, /) -> None: ...

    def listdir(self, path: str | os.PathLike[str], /) -> list[str]: ...
    def exists(self, path: str | os.PathLike[str], /) -> bool: ...
    def makedirs(
        self, name: str | os.PathLike[str], mode: int = ..., exist_ok: bool = ...
    ) -> None: ...
    def stat(self, path: str, *, dir_fd: int | None = ...) -> os.stat_result: ...
    def rename(
        self,
        src: str | os.PathLike[str],
        dst: str | os.PathLike[str],
        *,
        src_dir_fd: int | None = ...,
        dst_dir_fd: int | None = ...,
    ) -> None: ...
    def unlink(self, path: str, *, dir_fd: int | None = ...) -> None: ...
    def remove_folder(self, path: str | os.PathLike[str], /) -> None:
        """With everything in it; what cannot be removed stays, silently."""
        ...

    def time_ns(self) -> int:
        """The wall clock."""
        ...

    def elapsed_ns(self) -> int:
        """Since the machine was started; nobody sets it, and it goes on while it sleeps."""
        ...

    def time(self) -> float:
        """The wall clock in seconds."""
        ...

    def monotonic(self) -> float: ...
    def urandom(self, size: int, /) -> bytes: ...
    def getpid(self) -> int: ...

    def begin(self, step: Callable[[], bool], *, idle: Callable[[], bool], name: str) -> Worker:
        """Have `step` called again and again, beside the loop, until it says False.

        It may block until `wake`; `idle` says whether it would.
        """
        ...


class _OwnThread:
    """A thread. It blocks where it wants to, so nobody has to wake it."""

    def __init__(self, step: Callable[[], bool], name: str) -> None:
        self._step = step
        self._thread = Thread(target=self._run, name=name, daemon=True)
        self._thread.start()
        self.join = self._thread.join

    def wake(self) -> None:
        pass

    def _run(self) -> None:
        while self._step():
            pass


class _ThisHost:
    open = staticmethod(os.open)
    close = staticmethod(os.close)
    flock = staticmethod(flock)
    fstat = staticmethod(os.fstat)
    pread = staticmethod(os.pread)
    pwrite = staticmethod(os.pwrite)
    pwritev = staticmethod(os.pwritev)
    ftruncate = staticmethod(os.ftruncate)
    posix_fallocate = staticmethod(os.posix_fallocate)
    fsync = staticmethod(os.fsync)
    fdatasync = staticmethod(os.fdatasync)

    listdir = staticmethod(os.listdir)
    exists = staticmethod(os.path.exists)
    makedirs = staticmethod(os.makedirs)
    stat = staticmethod(os.stat)
    rename = staticmethod(os.rename)
    unlink = staticmethod(os.unlink)

    time_ns = staticmethod(time.time_ns)
    monotonic = staticmethod(time.monotonic)
    urandom = staticmethod(os.urandom)
    getpid = staticmethod(os.getpid)
    time = staticmethod(time.time)  # behind the others: it hides the module

    def elapsed_ns(self) -> int:
        return time.clock_gettime_ns(time.CLOCK_BOOTTIME)

    def remove_folder(self, path: str | os.PathLike[str], /) -> None:
        shutil.rmtree(path, ignore_errors=True)

    def begin(self, step: Callable[[], bool], *, idle: Callable[[], bool], name: str) -> Worker:
        del idle
        return _OwnThread(step, name)


HERE: Host = _ThisHost()


def make_folder(folder: Path, host: Host) -> None:
    """Have the folder, and its name, and those of the folders above it, on disk for good.

    Also where it is there already: whoever made it may have been killed before its name was.
    """
    above = [folder]
    while not host.exists(above[-1]):
        above.append(above[-1].parent)
    for one in reversed(above):
        host.makedirs(one, 0o700 if one is folder else 0o777, exist_ok=True)
        with suppress(PermissionError):  # a folder that we cannot read is none of our making
            settle(one.parent, host)


def settle(folder: Path, host: Host) -> None:
    """Make the names in a folder durable."""
    descriptor = host.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        host.fsync(descriptor)
    finally:
        host.close(descriptor)
