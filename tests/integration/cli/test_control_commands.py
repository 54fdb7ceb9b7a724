"""Commands that speak to the control plane, against a real one."""

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

COMMAND = str(Path(sys.executable).with_name("toolreeve"))
FIXTURES = Path(__file__).parents[2] / "fixtures" / "policies"
READY_SECONDS_MAX = 30.0

Toolreeve = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def toolreeve(tmp_path: Path, nats_url: str, prefix: str) -> Iterator[Toolreeve]:
    """Runs the installed command beside a control plane of the test's own."""
    ready, config = tmp_path / "ready.json", tmp_path / "control.toml"
    config.write_text(
        f'plaintext = true\nlisten = "127.0.0.1:0"\ndata = "{tmp_path}"\nnats_url = "{nats_url}"\n'
        f'prefix = "{prefix}"\nready_file = "{ready}"\nlog_level = "warning"\n'
    )
    with subprocess.Popen([COMMAND, "control", "--config", str(config)]) as control:
        try:
            deadline = time.monotonic() + READY_SECONDS_MAX
            while not ready.exists():
                assert control.poll() is None, "the control plane has ended"
                assert time.monotonic() < deadline, "the control plane is not ready"
                time.sleep(0.02)
            address = json.loads(ready.read_text())["address"]

            def run(*arguments: str) -> subprocess.CompletedProcess[str]:
                return subprocess.run(
                    [COMMAND, *arguments, "--control", address],
                    capture_output=True,
                    text=True,
                    timeout=30,
                    check=False,
                )

            yield run
        finally:
            control.terminate()
    assert control.returncode == 0


def test_a_published_policy_is_listed_and_shown_and_publishing_it_again_changes_nothing(
    toolreeve: Toolreeve,
) -> None:
    file = str(FIXTURES / "vm_restart.json")
    publish = ("policy", "publish", file, "--server", "truenas", "--actor", "mia", "--json")
    first, second = toolreeve(*publish), toolreeve(*publish)
    assert (first.returncode, second.returncode) == (0, 0), first.stderr + second.stderr
    published = json.loads(first.stdout)
    assert (published["unchanged"], json.loads(second.stdout)["unchanged"]) == (False, True)

    (listed,) = json.loads(toolreeve("policy", "list", "--json").stdout)
    assert (listed["server"], listed["actor"]) == ("truenas", "mia")
    assert listed["revision"] == published["revision"]

    shown = json.loads(toolreeve("policy", "show", "truenas").stdout)
    assert shown == json.loads((FIXTURES / "vm_restart.json").read_text())
    assert json.loads(toolreeve("policy", "show", published["revision"]).stdout) == shown


def test_a_broken_file_changes_nothing(toolreeve: Toolreeve, tmp_path: Path) -> None:
    broken = tmp_path / "broken.json"
    broken.write_text('{"version": "1", "default": "maybe"}')
    done = toolreeve("policy", "publish", str(broken), "--server", "truenas")
    assert done.returncode == 2
    assert done.stderr.startswith(f"{broken}:1:")
    assert json.loads(toolreeve("policy", "list", "--json").stdout) == []


def test_a_policy_that_was_never_published_cannot_be_shown(toolreeve: Toolreeve) -> None:
    for name in ("truenas", "sha256:" + "0" * 64):
        done = toolreeve("policy", "show", name)
        assert done.returncode == 1
        assert done.stderr.startswith("toolreeve: ")


def test_a_hold_is_placed_listed_and_lifted(toolreeve: Toolreeve) -> None:
    what = ("--server", "truenas", "--tool", "vm_restart", "--argument", "/id", " 3 ")
    why = ("--for", "1h", "--reason", "ticket 4711", "--actor", "mia")
    placed = toolreeve("hold", "place", *what, *why, "--json")
    assert placed.returncode == 0, placed.stderr
    (held,) = json.loads(toolreeve("hold", "list", "--json").stdout)
    assert held == json.loads(placed.stdout)
    assert (held["tool"], held["argument"], held["actor"]) == ("vm_restart", "/id = 3", "mia")
    assert held["expires"] is not None

    lifted = toolreeve("hold", "release", held["hold"], "--reason", "fixed")
    assert lifted.returncode == 0, lifted.stderr
    assert json.loads(toolreeve("hold", "list", "--json").stdout) == []


def test_tables_in_a_pipe_are_aligned_never_cut_and_without_colours(toolreeve: Toolreeve) -> None:
    toolreeve("policy", "publish", str(FIXTURES / "vm_stop.json"), "--server", "a-server")
    toolreeve("policy", "publish", str(FIXTURES / "vm_start.json"), "--server", "b")
    head, _, *rows = toolreeve("policy", "list").stdout.splitlines()
    start = head.index("revision")
    assert [row[start : start + 7] for row in rows] == ["sha256:", "sha256:"]
    assert all(len(row.split()[2]) == len("sha256:") + 64 for row in rows)
    assert "\x1b" not in head


def test_a_fleet_without_enforcers_says_so(toolreeve: Toolreeve) -> None:
    assert json.loads(toolreeve("fleet", "status", "--json").stdout) == []
    assert "no enforcer has ever connected" in toolreeve("fleet", "status").stdout
