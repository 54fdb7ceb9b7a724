"""An agent on stdio: a process of its own, lines out and lines in, on plain blocking pipes."""

import os
import select
import time
from pathlib import Path

from parts.calls import FIRST_ID, INITIALIZED, CallForm, initialize, list_tools, looks_wrong
from parts.load import LATE_SECONDS_MAX, Load, LoadError
from parts.processes import MEASURED, end, last_words, spawn
from parts.way import StdioStart

READ_BYTES = 1 << 20
START_SECONDS_MAX = 60.0


class StdioAgent:
    """A server process that speaks MCP on its pipes. `close` it in the end.

    Raises LoadError from everything, NotStartedError where there is no such program.
    """

    def __init__(self, start: StdioStart, log: Path, *, padding: int) -> None:
        self._log = log
        self._form = CallForm(padding, tool=start.tool)
        self._next = FIRST_ID
        self._rest = bytearray()
        self._begin = 0
        self.process = spawn(
            start.command, log, cores=MEASURED, env=start.env, pipes=True, folder=start.folder
        )
        try:
            self._greet()
        except BaseException:
            self.close()
            raise

    def _greet(self) -> None:
        assert self.process.stdin is not None
        os.set_blocking(self.process.stdin.fileno(), False)
        self._write(initialize(1))
        answer = self._read_line(START_SECONDS_MAX)
        if b'"protocolVersion"' not in answer:
            raise LoadError(f"initialize: {answer[:300]!r}")
        self._write(INITIALIZED)

    def list_tools(self) -> tuple[int, int]:
        """How long the list took in nanoseconds, and how many tools it holds."""
        began = time.perf_counter_ns()
        self._write(list_tools(self._take_id(), stateless=False))
        answer = self._read_line()
        count = answer.count(b'"inputSchema"')
        if not count:
            raise LoadError(f"tools/list: {answer[:300]!r}")
        return time.perf_counter_ns() - began, count

    def call(self, seconds: float, outstanding: int, calls_max: int = 1_000_000) -> Load:
        """Call for so long with so many calls under way, and look at every answer."""
        under_way: dict[int, int] = {}
        latencies: list[int] = []
        in_time = 0
        began = time.perf_counter_ns()
        until = began + int(seconds * 1e9)
        left = calls_max
        for _ in range(min(outstanding, left)):
            self._send(under_way)
        left -= len(under_way)
        while under_way:
            line = self._read_line()
            now = time.perf_counter_ns()
            call_id = self._answered(line, under_way)
            latencies.append(now - under_way.pop(call_id))
            in_time += now <= until
            if now < until and left > 0:
                left -= 1
                self._send(under_way)
        ended = time.perf_counter_ns()
        return Load(
            latencies_ns=tuple(latencies),
            in_time=in_time,
            seconds=min(ended - began, int(seconds * 1e9)) / 1e9,
            seconds_all=(ended - began) / 1e9,
            agents=outstanding,
        )

    def close(self) -> None:
        end(self.process)

    def _take_id(self) -> int:
        self._next += 1
        return self._next

    def _send(self, under_way: dict[int, int]) -> None:
        call_id = self._take_id()
        under_way[call_id] = time.perf_counter_ns()
        self._write(self._form.body(call_id))

    def _answered(self, line: bytes, under_way: dict[int, int]) -> int:
        """Which call this line answers: one that is under way, and with its own note."""
        for call_id in under_way:
            if b"%d-" % call_id in line:
                wrong = looks_wrong(line, call_id)
                if wrong is not None:
                    raise LoadError(wrong)
                return call_id
        raise LoadError(f"unexpected line: {line[:300]!r}")

    def _write(self, message: bytes) -> None:
        """Write a line, and read meanwhile: a server that waits for us to read reads nothing."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        into, out = self.process.stdin.fileno(), self.process.stdout.fileno()
        left = memoryview(message + b"\n")
        while left:
            try:
                left = left[os.write(into, left) :]
            except BlockingIOError:
                readable, _, _ = select.select([out], [into], [], LATE_SECONDS_MAX)
                if readable:
                    self._read(out)
            except BrokenPipeError:
                raise LoadError(f"it has ended: {last_words(self._log)}") from None

    def _read_line(self, seconds_max: float = LATE_SECONDS_MAX) -> bytes:
        """The next line that answers something; notifications are passed over."""
        assert self.process.stdout is not None
        file = self.process.stdout.fileno()
        while True:
            end_of_line = self._rest.find(b"\n", self._begin)
            if end_of_line >= 0:
                line = bytes(self._rest[self._begin : end_of_line])
                self._begin = end_of_line + 1
                if self._begin == len(self._rest):
                    self._rest.clear()
                    self._begin = 0
                if b'"result"' in line or b'"error"' in line:
                    return line
                continue
            ready, _, _ = select.select([file], [], [], seconds_max)
            if not ready:
                raise LoadError(f"no answer for {seconds_max:.0f} s: {last_words(self._log)}")
            self._read(file)

    def _read(self, file: int) -> None:
        data = os.read(file, READ_BYTES)
        if not data:
            raise LoadError(f"it has ended: {last_words(self._log)}")
        self._rest += data
