"""Fetch the other gateways: each into an environment of its own, at its pinned version.

    python benchmarks/peers/install.py [NAME...]

What is there already is left alone. What cannot be had is written down beside the others, so that
the benchmark can say so in its place. Ends with 0 also then: a missing peer is a result.
"""

import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

from msgspec import Struct, convert

HERE = Path(__file__).parent
CACHE = HERE.parents[1] / ".peers"
INSTALL_SECONDS_MAX = 900


class Peer(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A row of versions.toml."""

    registry: str
    package: str
    version: str
    python: str = ""


def table() -> dict[str, Peer]:
    return convert(tomllib.loads((HERE / "versions.toml").read_text()), dict[str, Peer])


def folder(name: str) -> Path:
    """Where a peer lies; another version lies elsewhere."""
    return CACHE / f"{name}-{table()[name].version}"


def problem(name: str) -> str | None:
    """Why a peer cannot be run; None where it can."""
    home = folder(name)
    if (home / "installed").exists():
        return None
    failed = home / "failed"
    if failed.exists():
        return failed.read_text().strip()
    return "not fetched; `make bench-peers` does it"


def python_at_least(version: str) -> str:
    """An interpreter of this version or newer; ours where that will do. Raises RuntimeError."""
    wanted = tuple(map(int, version.split("."))) if version else (3, 11)
    if sys.version_info[:2] >= wanted:
        return sys.executable
    names = [f"python3.{minor}" for minor in range(wanted[1], 15)]
    found = [path for name in names if (path := shutil.which(name))]
    versions = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    for minor in range(wanted[1], 15):
        found += [str(path) for path in sorted(versions.glob(f"3.{minor}.*/bin/python3"))]
    for path in found:
        asked = subprocess.run([path, "-c", "import venv"], capture_output=True, check=False)
        if asked.returncode == 0:
            return path
    raise RuntimeError(f"it wants Python {version} or newer, and there is none here")


def commands(peer: Peer, home: Path) -> list[list[str]]:
    if peer.registry == "pypi":
        python = python_at_least(peer.python)
        pip = [str(home / "bin" / "python"), "-m", "pip", "install", "--quiet"]
        return [[python, "-m", "venv", str(home)], [*pip, f"{peer.package}=={peer.version}"]]
    npm = shutil.which("npm")
    if npm is None:
        raise RuntimeError("it comes from npm, and there is no npm on PATH")
    quiet = ["--no-audit", "--no-fund", "--loglevel=error"]
    return [[npm, "install", "--prefix", str(home), *quiet, f"{peer.package}@{peer.version}"]]


def install(name: str, peer: Peer) -> str | None:
    """Fetch one; the answer is why it did not work."""
    home = folder(name)
    shutil.rmtree(home, ignore_errors=True)
    home.mkdir(parents=True)
    try:
        for command in commands(peer, home):
            ended = subprocess.run(
                command, capture_output=True, text=True, check=False, timeout=INSTALL_SECONDS_MAX
            )
            if ended.returncode != 0:
                said = ended.stderr.strip().splitlines() or ["nothing was said"]
                return _failed(home, f"{Path(command[0]).name}: {said[-1]}")
    except (RuntimeError, OSError, subprocess.TimeoutExpired) as error:
        return _failed(home, str(error))
    (home / "installed").touch()
    return None


def _failed(home: Path, why: str) -> str:
    said = f"could not be installed: {why}"
    (home / "failed").write_text(said + "\n")
    return said


def main() -> None:
    peers = table()
    wanted = sys.argv[1:] or list(peers)
    for name in wanted:
        peer = peers[name]
        what = f"{name}: {peer.package} {peer.version} ({peer.registry})"
        if problem(name) is None:
            print(f"{what}: there already", flush=True)
            continue
        print(f"{what}: fetching", flush=True)
        why = install(name, peer)
        print(f"{what}: {why or 'installed'}", flush=True)


if __name__ == "__main__":
    main()
