"""A machine, and what a process on it sees: the simulated side of `toolreeve.outbox.Host`."""

import asyncio
import errno
import fcntl
import os
from collections.abc import Callable, Sequence

from tests.simulation.chance import Chance
from tests.simulation.disk import Disk, File, Folder, missing, no_space
from tests.simulation.loop import KilledError, Process

SECOND_NS = 1_000_000_000
EPOCH_NS = 1_800_000_000 * SECOND_NS


class Machine:
    """A disk and two clocks. `skew_ns` is what somebody has done to the wall clock."""

    def __init__(self, name: str, loop: asyncio.AbstractEventLoop, chance: Chance) -> None:
        self.name = name
        self.loop = loop
        self.chance = chance
        self.disk = Disk(chance)
        self.skew_ns = 0
        self.booted_ns = 0
        self.process: Process | None = None
        self.cut_at_write = -1  # the power fails in the middle of the write with this number
        self.kill_at_step = -1  # kill -9 between two calls of the kernel

    def elapsed_ns(self) -> int:
        return int(self.loop.time() * SECOND_NS) - self.booted_ns

    def time_ns(self) -> int:
        return EPOCH_NS + int(self.loop.time() * SECOND_NS) + self.skew_ns

    def cut_power(self) -> None:
        """Everything on it ends at once, and only what is on the medium is left."""
        if self.process is not None:
            self.process.kill()
        self.disk.cut()
        self.booted_ns = int(self.loop.time() * SECOND_NS)


class SimulatedHost:
    """One process's view of its machine. Every call is a point at which the process may end."""

    def __init__(self, machine: Machine, process: Process) -> None:
        self._machine = machine
        self._process = process
        self._disk = machine.disk
        self._open: dict[int, File | Folder] = {}
        self._next = 100
        process.when_dead(self._let_go)

    # Files

    def open(
        self,
        path: str | os.PathLike[str],
        flags: int,
        mode: int = 0o777,
        *,
        dir_fd: int | None = None,
    ) -> int:
        self._step()
        if os.fspath(path) == ".":
            return self._handle(self._disk.root)
        folder, name = self._place(path, dir_fd)
        entry = folder.names.get(name)
        if entry is None:
            if not flags & os.O_CREAT:
                raise missing(name)
            if self._disk.full and self._machine.chance.happens(0.5):
                raise no_space()
            entry = File(self.time())
            folder.change((name, entry))
        elif flags & os.O_EXCL:
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), name)
        if flags & os.O_TRUNC and isinstance(entry, File):
            entry.resize(0)
        return self._handle(entry)

    def close(self, fd: int, /) -> None:
        entry = self._open.pop(fd, None)
        if isinstance(entry, File) and entry.holder == (self._process, fd):
            entry.holder = None

    def flock(self, fd: int, operation: int, /) -> None:
        self._step()
        assert operation & fcntl.LOCK_EX
        file = self._file(fd)
        if file.holder not in {None, (self._process, fd)}:
            raise BlockingIOError(errno.EWOULDBLOCK, os.strerror(errno.EWOULDBLOCK))
        file.holder = (self._process, fd)

    def fstat(self, fd: int, /) -> os.stat_result:
        return _stat(self._file(fd))

    def pread(self, fd: int, length: int, offset: int, /) -> bytes:
        self._step()
        return bytes(self._file(fd).cache[offset : offset + length])

    def pwrite(self, fd: int, data: bytes, offset: int, /) -> int:
        self._step()
        self._file(fd).write(data, offset, self.time())
        return len(data)

    def pwritev(self, fd: int, buffers: Sequence[bytes], offset: int, flags: int = 0, /) -> int:
        self._step()
        file, machine = self._file(fd), self._machine
        data = b"".join(buffers)
        if machine.kill_at_step == 0:  # in the middle: some of it is in the cache
            machine.kill_at_step = -1
            part = machine.chance.choice([0, 512, 4096, len(data)])
            file.write(data[:part], offset, self.time())
            self._process.kill()
            raise KilledError
        if flags & os.RWF_DSYNC:
            self._disk.check_write(file, buffers, offset, self.time())
        file.write(data, offset, self.time())
        if machine.cut_at_write >= 0 and flags & os.RWF_DSYNC:
            machine.cut_at_write -= 1
            if machine.cut_at_write < 0:
                machine.cut_power()
                raise KilledError
        if flags & os.RWF_DSYNC:
            file.sync_range(offset, len(data))
        return len(data)

    def ftruncate(self, fd: int, length: int, /) -> None:
        self._step()
        self._file(fd).resize(length)

    def posix_fallocate(self, fd: int, offset: int, length: int, /) -> None:
        self._step()
        if self._disk.full:
            raise no_space()
        file = self._file(fd)
        file.resize(max(len(file.cache), offset + length))

    def fsync(self, fd: int, /) -> None:
        self._step()
        if self._disk.bad_writes > 0:
            self._disk.bad_writes -= 1
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        self._open[fd].sync()

    fdatasync = fsync

    # Names

    def listdir(self, path: str | os.PathLike[str], /) -> list[str]:
        self._step()
        entry = self._disk.find(os.fspath(path))
        assert isinstance(entry, Folder)
        return list(entry.names)

    def exists(self, path: str | os.PathLike[str], /) -> bool:
        try:
            self._disk.find(os.fspath(path))
        except FileNotFoundError:
            return False
        return True

    def makedirs(
        self, name: str | os.PathLike[str], mode: int = 0o777, exist_ok: bool = False
    ) -> None:
        self._step()
        folder = self._disk.root
        for part in os.fspath(name).strip("/").split("/"):
            entry = folder.names.get(part)
            if entry is None:
                entry = Folder()
                folder.change((part, entry))
            assert isinstance(entry, Folder)
            folder = entry

    def stat(self, path: str, *, dir_fd: int | None = None) -> os.stat_result:
        folder, name = self._place(path, dir_fd)
        entry = folder.names.get(name)
        if not isinstance(entry, File):
            raise missing(name)
        return _stat(entry)

    def rename(
        self,
        src: str | os.PathLike[str],
        dst: str | os.PathLike[str],
        *,
        src_dir_fd: int | None = None,
        dst_dir_fd: int | None = None,
    ) -> None:
        self._step()
        folder, name = self._place(src, src_dir_fd)
        target, new_name = self._place(dst, dst_dir_fd)
        assert folder is target, "nothing moves between folders"
        entry = folder.names.get(name)
        if entry is None:
            raise missing(name)
        folder.change((name, None), (new_name, entry))

    def unlink(self, path: str, *, dir_fd: int | None = None) -> None:
        self._step()
        folder, name = self._place(path, dir_fd)
        if name not in folder.names:
            raise missing(name)
        folder.change((name, None))

    def remove_folder(self, path: str | os.PathLike[str], /) -> None:
        self._step()
        folder, name = self._place(path, None)
        if name in folder.names:
            folder.change((name, None))

    # Clocks, chance, threads

    def time_ns(self) -> int:
        return self._machine.time_ns()

    def elapsed_ns(self) -> int:
        return self._machine.elapsed_ns()

    def time(self) -> float:
        return self._machine.time_ns() / SECOND_NS

    def monotonic(self) -> float:
        return self._machine.elapsed_ns() / SECOND_NS

    def urandom(self, size: int, /) -> bytes:
        return self._machine.chance.randbytes(size)

    def getpid(self) -> int:
        return 4711

    def begin(
        self, step: Callable[[], bool], *, idle: Callable[[], bool], name: str
    ) -> "TakesTurns":
        return TakesTurns(self._machine, step, idle)

    def _step(self) -> None:
        if not self._process.alive:
            raise KilledError
        machine = self._machine
        if machine.kill_at_step > 0:
            machine.kill_at_step -= 1
            if machine.kill_at_step == 0 and machine.chance.happens(0.5):
                machine.kill_at_step = -1
                self._process.kill()
                raise KilledError

    def _place(self, path: str | os.PathLike[str], dir_fd: int | None) -> tuple[Folder, str]:
        if dir_fd is None:
            return self._disk.folder_of(os.fspath(path))
        folder = self._open[dir_fd]
        assert isinstance(folder, Folder)
        return folder, os.fspath(path)

    def _handle(self, entry: File | Folder) -> int:
        self._next += 1
        self._open[self._next] = entry
        return self._next

    def _file(self, fd: int) -> File:
        file = self._open[fd]
        assert isinstance(file, File)
        return file

    def _let_go(self) -> None:
        for fd in list(self._open):
            self.close(fd)


class TakesTurns:
    """A thread of the process, as the loop sees it: each step comes a while after it was asked."""

    def __init__(
        self, machine: Machine, step: Callable[[], bool], idle: Callable[[], bool]
    ) -> None:
        self._machine = machine
        self._step = step
        self._idle = idle
        self._coming = False
        self._ended = False

    def wake(self) -> None:
        if not self._coming and not self._ended:
            self._coming = True
            wait = self._machine.chance.seconds(0.0001, 0.002) * self._machine.disk.slow
            self._machine.loop.call_later(wait, self._turn)

    def join(self) -> None:
        while not self._ended:
            assert not self._idle(), "it would wait for ever"
            self._ended = not self._step()

    def _turn(self) -> None:
        self._coming = False
        if not self._ended and not self._idle():
            self._ended = not self._step()
            if not self._idle():
                self.wake()


def _stat(file: File) -> os.stat_result:
    return os.stat_result((0o100600, 0, 0, 1, 0, 0, len(file.cache), 0, int(file.changed), 0))
