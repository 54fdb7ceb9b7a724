"""The processes a benchmark starts, each for as long as a context lasts.

What is measured has one core for itself; the load, the upstream and the bus share the other, so
that calls a second are those of one core and nobody's work is counted as another's. With one core
they all share it.
"""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from parts.proctree import tree

READY_SECONDS_MAX = 20.0
END_SECONDS_MAX = 5.0
HERE = Path(__file__).parent

_CORES = sorted(os.sched_getaffinity(0))
MEASURED = {_CORES[-1]}
BESIDE = {_CORES[0]}


class NotStartedError(Exception):
    """A process did not come up; the text says what was seen of it."""


def keep_beside() -> None:
    """Leave the measured core to what is measured; for the benchmark's own process."""
    os.sched_setaffinity(0, BESIDE)


def spawn(
    command: Sequence[str],
    log: Path,
    *,
    cores: "set[int]",
    env: Mapping[str, str] | None = None,
    pipes: bool = False,
    prints: bool = False,
    folder: Path | None = None,
) -> "subprocess.Popen[bytes]":
    """Start a process in a session of its own, on these cores.

    With `pipes` its input and output are the caller's, with `prints` its output alone; else what
    it prints goes into its log.
    """
    try:
        with log.open("ab") as file:
            process = subprocess.Popen(
                list(command),
                stdin=subprocess.PIPE if pipes else subprocess.DEVNULL,
                stdout=subprocess.PIPE if pipes or prints else file,
                stderr=file,
                env={**os.environ, **(env or {})},
                cwd=folder,
                bufsize=0,
                start_new_session=True,
            )
    except OSError as error:
        raise NotStartedError(f"{command[0]}: {error.strerror}") from error
    os.sched_setaffinity(process.pid, cores)
    return process


def end(process: "subprocess.Popen[bytes]") -> None:
    """End a process with all it has started: asked first, then made to."""
    others = tree(process.pid)[1:]
    for stream in (process.stdin, process.stdout):
        if stream is not None:
            stream.close()
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(END_SECONDS_MAX)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
    for pid in others:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            continue


@contextmanager
def started(
    command: Sequence[str],
    log: Path,
    *,
    cores: "set[int] | None" = None,
    env: Mapping[str, str] | None = None,
    folder: Path | None = None,
    prints: bool = False,
) -> "Generator[subprocess.Popen[bytes]]":
    """A process for as long as the context lasts."""
    process = spawn(command, log, cores=cores or BESIDE, env=env, folder=folder, prints=prints)
    try:
        yield process
    finally:
        end(process)


@contextmanager
def upstream(
    folder: Path, kind: str, *arguments: str
) -> "Generator[tuple[int, subprocess.Popen[bytes]]]":
    """The port of an upstream over HTTP, and its process. `kind` is `raw` or `sdk`."""
    program = {"raw": "raw_upstream.py", "sdk": "sdk_server.py"}[kind]
    command = [sys.executable, str(HERE / program), *arguments]
    with started(command, folder / "upstream.log", prints=True) as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        if not line.strip().isdigit():
            raise NotStartedError(f"{program} did not start; see {folder / 'upstream.log'}")
        yield int(line), process


@contextmanager
def patient_upstream(folder: Path) -> "Generator[tuple[int, subprocess.Popen[bytes]]]":
    """The port and the process of the upstream that takes its time and holds streams open."""
    command = [sys.executable, str(HERE / "patient_server.py"), "--http"]
    with started(command, folder / "patient.log", prints=True) as process:
        assert process.stdout is not None
        yield int(process.stdout.readline()), process


def stdio_upstream(kind: str, tools: int) -> list[str]:
    """The command of an upstream on stdio."""
    if kind == "raw":
        return [sys.executable, str(HERE / "raw_stdio.py"), "--tools", str(tools)]
    program = [sys.executable, str(HERE / "sdk_server.py")]
    return [*program, "--answers", "stdio", "--tools", str(tools)]


def free_port() -> int:
    """A port that nobody listens on at this moment."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port: int = one.getsockname()[1]
    return port


def wait_for_facts(path: Path, process: "subprocess.Popen[bytes]") -> "dict[str, list[str] | str]":
    """What a process writes into its ready file. Raises NotStartedError where it does not."""
    deadline = time.monotonic() + READY_SECONDS_MAX
    while True:
        try:
            facts: dict[str, list[str] | str] = json.loads(path.read_text())
        except (FileNotFoundError, json.JSONDecodeError):
            if process.poll() is not None or time.monotonic() > deadline:
                raise NotStartedError(f"{path.name} did not come") from None
            time.sleep(0.002)
        else:
            return facts


def fsync_us(folder: Path, times: int = 200) -> float:
    """The median time this disk takes to write 1 kB for good, in microseconds."""
    path = folder / "fsync"
    taken: list[float] = []
    with path.open("wb", buffering=0) as file:
        file.write(bytes(1 << 20))
        os.fsync(file.fileno())
        for index in range(times):
            file.seek(index * 1024 % (1 << 20))
            began = time.perf_counter()
            file.write(bytes(1024))
            os.fdatasync(file.fileno())
            taken.append(time.perf_counter() - began)
    return sorted(taken)[times // 2] * 1e6


def last_words(log: Path, length: int = 200) -> str:
    """The last line a process has written to its log that says something."""
    try:
        lines = [line.strip() for line in log.read_text(errors="replace").splitlines()]
    except OSError:
        return ""
    said = [line for line in lines if line]
    return said[-1][:length] if said else ""
