"""What every command has in common: exit codes, one clear line on stderr, a light start."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from toolreeve.cli.__main__ import COMMANDS

COMMAND = str(Path(sys.executable).with_name("toolreeve"))
NOWHERE = "127.0.0.1:1"
HEAVY = ("grpc", "nats", "duckdb", "mcp", "rich", "cryptography", "asyncio")


def toolreeve(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [COMMAND, *arguments],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
        env={**os.environ, **environment},
    )


def test_help_names_every_command_and_exits_0() -> None:
    done = toolreeve("--help")
    assert done.returncode == 0
    for name in (*COMMANDS, "--version"):
        assert name in done.stdout


def test_help_loads_nothing_heavy() -> None:
    program = (
        "import sys; from toolreeve.cli.__main__ import run; run(['--help']); "
        f"print([name for name in {HEAVY} if name in sys.modules], file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=30, check=True
    )
    assert done.stderr == "[]\n"


def test_version_is_that_of_the_distribution() -> None:
    assert toolreeve("--version").stdout.startswith("toolreeve 0.")


@pytest.mark.parametrize(
    "arguments",
    [
        ["nonsense"],
        ["policy", "publish"],
        ["report", "usage", "--since", "yesterday"],
        ["audit", "query"],
        ["audit", "query", "SELECT 1", "--csv", "--json"],
        ["hold", "place"],
        ["hold", "place", "--argument", "/id", "{"],
        ["up", "--once"],
    ],
)
def test_a_wrong_command_line_exits_2_with_a_remedy(arguments: list[str]) -> None:
    done = toolreeve(*arguments)
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.startswith("toolreeve: ")
    assert "; " in done.stderr
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "option", "name"),
    [
        (["policy", "list"], "--control", "control plane"),
        (["policy", "show", "truenas"], "--control", "control plane"),
        (["fleet", "status"], "--control", "control plane"),
        (["hold", "list"], "--control", "control plane"),
        (["hold", "place", "--fleet", "--reason", "r"], "--control", "control plane"),
        (["hold", "release", "h-1", "--reason", "r"], "--control", "control plane"),
        (["audit", "query", "SELECT 1"], "--query", "query service"),
        (["audit", "tail"], "--query", "query service"),
        (["report", "usage"], "--query", "query service"),
        (["alerts", "list"], "--query", "query service"),
    ],
)
def test_a_service_that_is_not_there_is_named_with_its_address_and_a_way_out(
    arguments: list[str], option: str, name: str
) -> None:
    done = toolreeve(*arguments, option, NOWHERE)
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr.startswith(f"toolreeve: no {name} answers at {NOWHERE} ")
    assert "toolreeve up" in done.stderr


def test_the_environment_says_where_a_service_is() -> None:
    done = toolreeve("fleet", "status", TOOLREEVE_CONTROL=NOWHERE)
    assert f"no control plane answers at {NOWHERE}" in done.stderr


def test_the_record_of_a_running_up_says_where_a_service_is(tmp_path: Path) -> None:
    (tmp_path / "up.json").write_text('{"query": "127.0.0.1:2"}')
    done = toolreeve("report", "usage", "--data", str(tmp_path))
    assert done.returncode == 1
    assert f"no query service answers at 127.0.0.1:2 (from {tmp_path}/up.json)" in done.stderr


def test_a_data_folder_without_a_running_up_is_said_so(tmp_path: Path) -> None:
    done = toolreeve("report", "usage", "--data", str(tmp_path))
    assert done.returncode == 1
    assert f"no 'toolreeve up' is running on {tmp_path}; start it with" in done.stderr
