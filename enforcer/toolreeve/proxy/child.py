"""A server process behind pipes: started, fed line by line, and never left behind.

It runs in a process group of its own, dies when we die, and is ended in the order MCP names: its
stdin is closed, then it is asked to stop, then it is stopped, each with all it has started. What it
says on stderr goes to our log, and only so much of it. While somebody has a reason to hear nothing
more from it, its stdout is not read, so that it waits and not our memory grows.
"""

import asyncio
import contextlib
import os
import signal
import subprocess
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final

import msgspec
import structlog

from toolreeve.proxy.offspring import kill_marked, marked
from toolreeve.proxy.pace import Pace, PaceBounds
from toolreeve.proxy.pipes import LineSplitter, PipeReader, PipeWriter, one_line, widen
from toolreeve.runtime.child import dies_with_parent

log = structlog.get_logger()

_STDERR_LINE_MAX: Final = 2_000
_STDERR_BURST: Final = 200
_STDERR_LINES_A_SECOND: Final = 50
_RESTS: Final = "rests"
# What a server may see of our environment; the rest is given to it by name or not at all.
_PLAIN_VARIABLES: Final = (
    "HOME",
    "LANG",
    "LC_ALL",
    "LOGNAME",
    "PATH",
    "SHELL",
    "TERM",
    "TMPDIR",
    "TZ",
    "USER",
    "XDG_CACHE_HOME",
    "XDG_RUNTIME_DIR",
)


class ChildBounds(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What one server process may take."""

    line_bytes_max: int = 64 * 1024 * 1024
    backlog_bytes_max: int = 16 * 1024 * 1024  # to a server that does not read
    stop_seconds_max: float = 2.0  # for each of the gentler ways to end it
    last_answers_seconds_max: float = 10.0  # once a wrapper's client has said its last
    pace: PaceBounds = PaceBounds()


class ChildError(Exception):
    """The command could not be started. `str()` says which and why."""

    def __init__(self, command: Sequence[str], detail: str) -> None:
        super().__init__(f"cannot start {command[0] if command else 'nothing'!r}: {detail}")
        self.command = tuple(command)
        self.detail = detail


def child_environment(environ: Mapping[str, str], extra: Mapping[str, str]) -> dict[str, str]:
    """The environment for a server: a few plain variables of ours, and what was configured."""
    plain = {name: environ[name] for name in _PLAIN_VARIABLES if name in environ}
    return {**plain, **extra}


class Child:
    """One running server.

    `on_line` gets each line it writes, `on_end` is called once, when it has ended and its last
    line has been handed on. `on_bad` hears of what is no line: a word for it, why, and its size.
    """

    def __init__(
        self,
        command: Sequence[str],
        environ: Mapping[str, str],
        *,
        server: str,
        on_line: Callable[[bytes], None],
        on_end: Callable[[], None],
        on_bad: Callable[[str, str, int], None] = lambda _code, _reason, _size: None,
        cwd: Path | None = None,
        bounds: ChildBounds | None = None,
    ) -> None:
        """Start it. Raises ChildError."""
        self._server = server
        self._bounds = bounds or ChildBounds()
        self._on_line = on_line
        self._on_end = on_end
        self._on_bad = on_bad
        self._lines = LineSplitter(self._bounds.line_bytes_max)
        environ, self._mark = marked(environ)
        self._process = _start(command, environ, cwd)
        process = self._process
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stderr is not None
        for pipe in (process.stdin, process.stdout, process.stderr):
            os.set_blocking(pipe.fileno(), False)
        widen(process.stdin.fileno())
        loop = asyncio.get_running_loop()
        self._over = False
        self.ended: asyncio.Future[int] = loop.create_future()  # with its exit code, its kin gone
        self.on_drained: Callable[[], None] = lambda: None
        self._unread_for: set[str] = set()  # why it is not read just now
        self._rest: asyncio.TimerHandle | None = None
        self._pace = Pace(self._bounds.pace, loop.time())
        self._loop = loop
        self._stdin = PipeWriter(process.stdin.fileno(), self._drained, self._deaf)
        self._stdout = PipeReader(process.stdout.fileno(), self._said, lambda: None)
        self._stderr_log = _StderrLog(server)
        self._stderr = PipeReader(process.stderr.fileno(), self._stderr_log.feed, lambda: None)
        self._exit_watch = _ExitWatch(process, self._exited)

    @property
    def running(self) -> bool:
        return not self._over

    @property
    def backlog_bytes(self) -> int:
        """Bytes that it has not read yet."""
        return self._stdin.waiting_bytes

    def send(self, line: bytes) -> bool:
        """Write one line to it, at once as far as it reads. False if it has stopped reading.

        `line` is JSON. It goes as one line to every reader, also to those that end lines at more
        characters than LF.
        """
        if not self.running or self._stdin.waiting_bytes > self._bounds.backlog_bytes_max:
            return False
        if not line.isascii():
            line = one_line(line)
        self._stdin.write(line + b"\n")
        self._pace.earn()
        return True

    def pause(self, why: str = "") -> None:
        """Read nothing from it until `resume` with the same word."""
        self._unread_for.add(why)
        self._stdout.pause()

    def resume(self, why: str = "") -> None:
        """There is this reason no more; it is read when there is none."""
        self._unread_for.discard(why)
        if self.running and not self._unread_for:
            self._stdout.resume()

    @property
    def floods(self) -> bool:
        """Whether it is read slowly just now, because it says more than it may."""
        return self._rest is not None

    def rest(self, seconds: float) -> None:
        """Read nothing from it for so long, beside all other reasons."""
        if self._rest is None and seconds > 0:
            self.pause(_RESTS)
            self._rest = self._loop.call_later(seconds, self._rested)

    def close_stdin(self) -> None:
        """Tell it that no more will come, as soon as it has been given all there was."""
        stdin = self._process.stdin
        assert stdin is not None
        self._stdin.close_when_written(lambda: _close_quietly(stdin))

    async def stop(self) -> int:
        """End it, the gentlest way that works; the answer is its exit code."""
        self.close_stdin()
        for number in (None, signal.SIGTERM, signal.SIGKILL):
            if number is not None:
                self._kill(number)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._bounds.stop_seconds_max):
                    await asyncio.shield(self.ended)
            if self.ended.done():
                break
        self._kill(signal.SIGKILL)  # what it started and left behind
        return await self.ended

    def kill(self) -> None:
        """End it and all it has started now."""
        self._kill(signal.SIGKILL)

    def _kill(self, number: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, number)

    def _rested(self) -> None:
        self._rest = None
        self.resume(_RESTS)

    def _drained(self) -> None:
        self.on_drained()

    def _deaf(self) -> None:
        """It closed its stdin or is gone; its end is noticed elsewhere."""

    def _said(self, data: bytes) -> None:
        lines = self._lines.feed(data)
        self.rest(self._pace.spend(len(lines), self._loop.time()))
        for line in lines:
            if line is None:
                reason = f"a line has at most {self._bounds.line_bytes_max} bytes"
                self._on_bad("line_size", reason, self._bounds.line_bytes_max)
                self._kill(signal.SIGKILL)
            elif b"\r" in line:
                self._on_bad("bare_cr", "a carriage return stands inside a line", len(line))
            elif line and not line.isspace():
                self._on_line(line)

    def _exited(self, code: int) -> None:
        self._over = True
        self._stdout.drain()
        self._stderr.drain()
        self._stdin.close()
        for pipe in (self._process.stdin, self._process.stdout, self._process.stderr):
            if pipe is not None:
                _close_quietly(pipe)
        self._kill(signal.SIGKILL)
        if self._rest is not None:
            self._rest.cancel()
        log.info("upstream.ended", server=self._server, exit_code=code)
        self._on_end()
        searched = self._loop.run_in_executor(None, kill_marked, self._mark)
        searched.add_done_callback(lambda _: self._buried(code))

    def _buried(self, code: int) -> None:
        if not self.ended.done():
            self.ended.set_result(code)


def _start(
    command: Sequence[str], environ: Mapping[str, str], cwd: Path | None
) -> subprocess.Popen[bytes]:
    if not command:
        raise ChildError(command, "there is no command")
    try:
        return subprocess.Popen(
            list(command),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=dict(environ),
            cwd=cwd,
            bufsize=0,
            start_new_session=True,
            preexec_fn=dies_with_parent(signal.SIGKILL),  # noqa: PLW1509  # one C call, loaded before
        )
    except (OSError, ValueError) as problem:
        detail = getattr(problem, "strerror", None) or str(problem)
        raise ChildError(command, detail) from problem


def _close_quietly(pipe: object) -> None:
    close = getattr(pipe, "close", None)
    assert callable(close)
    with contextlib.suppress(OSError):
        close()


class _ExitWatch:
    """Notices the end of a process: by a descriptor of it, or by a thread that waits."""

    def __init__(self, process: subprocess.Popen[bytes], on_exit: Callable[[int], None]) -> None:
        self._loop = asyncio.get_running_loop()
        self._process = process
        self._on_exit = on_exit
        try:
            self._fd = os.pidfd_open(process.pid)
        except (AttributeError, OSError):
            waiting = self._loop.run_in_executor(None, process.wait)
            waiting.add_done_callback(lambda done: on_exit(done.result()))
        else:
            self._loop.add_reader(self._fd, self._ended)

    def _ended(self) -> None:
        code = self._process.poll()
        if code is None:
            return
        self._loop.remove_reader(self._fd)
        os.close(self._fd)
        self._on_exit(code)


class _StderrLog:
    """Takes a server's stderr to the log: short lines, and no more of them than is of use."""

    def __init__(self, server: str) -> None:
        self._server = server
        self._rest = b""
        self._allowance = float(_STDERR_BURST)
        self._at = 0.0
        self._dropped = 0

    def feed(self, data: bytes) -> None:
        now = asyncio.get_running_loop().time()
        earned = (now - self._at) * _STDERR_LINES_A_SECOND
        self._allowance = min(self._allowance + earned, _STDERR_BURST)
        self._at = now
        *lines, rest = (self._rest + data[-_STDERR_LINE_MAX * _STDERR_BURST :]).split(b"\n")
        self._rest = rest[:_STDERR_LINE_MAX]
        for line in lines:
            if self._allowance < 1:
                self._dropped += 1
                continue
            self._allowance -= 1
            text = line[:_STDERR_LINE_MAX].decode("utf-8", "replace").rstrip()
            if text:
                log.info("upstream.stderr", server=self._server, line=text, dropped=self._dropped)
                self._dropped = 0
