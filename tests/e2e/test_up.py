"""`toolreeve up` as its user meets it: the installed command, a data folder, signals."""

import asyncio
import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from toolreeve.cli.demo.agent import Era, connected

COMMAND = str(Path(sys.executable).with_name("toolreeve"))
START_SECONDS_MAX = 60.0
END_SECONDS_MAX = 30.0

pytestmark = pytest.mark.timeout(240)


def wait_until(condition: Callable[[], bool], seconds_max: float, what: str) -> None:
    deadline = time.monotonic() + seconds_max
    while not condition():
        assert time.monotonic() < deadline, f"after {seconds_max} s: {what}"
        time.sleep(0.05)


def processes_of(data: Path) -> set[int]:
    """Every process of a `toolreeve up`, grandchildren too: each has the folder in its words."""
    found: set[int] = set()
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            with contextlib.suppress(OSError):
                if str(data).encode() in (entry / "cmdline").read_bytes():
                    found.add(int(entry.name))
    return found


def record_of(data: Path) -> dict[str, Any]:
    record: dict[str, Any] = json.loads((data / "up.json").read_text(encoding="utf-8"))
    return record


@contextmanager
def running_up(data: Path, *options: str) -> Generator[subprocess.Popen[bytes]]:
    """A `toolreeve up` that has said where everything listens."""
    command = [COMMAND, "up", "--data", str(data), "--port", "0", *options]
    output = data.with_name("up.output")
    with (
        output.open("wb") as file,
        subprocess.Popen(command, stdout=file, stderr=subprocess.STDOUT) as up,
    ):
        try:
            wait_until(
                lambda: (data / "up.json").exists() or up.poll() is not None,
                START_SECONDS_MAX,
                "no up.json",
            )
            assert up.poll() is None, output.read_text()
            yield up
        finally:
            up.kill()


def toolreeve(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [COMMAND, *arguments], capture_output=True, text=True, timeout=60, check=False
    )


@pytest.fixture
def data(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "data"
    yield folder
    for process_id in processes_of(folder):
        with contextlib.suppress(ProcessLookupError):
            os.kill(process_id, signal.SIGKILL)


def test_the_demo_tells_its_story_finds_it_in_duckdb_and_leaves_nobody_behind(data: Path) -> None:
    done = toolreeve("up", "--demo", "--once", "--data", str(data), "--port", "0")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Seen in DuckDB, part by part: " in done.stdout
    assert "No rule allows vm_delete" in done.stdout
    assert "Try again in " in done.stdout
    assert "\x1b[" not in done.stdout
    assert processes_of(data) == set()


def test_a_client_of_ones_own_and_every_command_work_beside_the_demo(data: Path) -> None:
    with running_up(data, "--demo"):
        output = data.with_name("up.output")
        wait_until(lambda: "Ctrl-C" in output.read_text(), START_SECONDS_MAX, "the story's end")
        record = record_of(data)
        token = json.loads((data / "demo" / "tokens.json").read_text())["you"]
        assert f'--header "Authorization: Bearer {token}"' in output.read_text()

        async def main() -> None:
            for era, tools in ((Era.NEWEST, 7), (Era.SESSIONS, 7)):
                url = record["servers"]["hypervisor"]
                async with asyncio.timeout(30), connected("me", url, token=token, era=era) as me:
                    assert len(await me.tools()) == tools
                    assert not (await me.call("vm_list")).is_refused

        asyncio.run(main())
        here = ("--data", str(data))
        (alert,) = json.loads(toolreeve("alerts", "list", "--json", *here).stdout)
        assert (alert["rule"], alert["labels"]["tool"]) == ("vm-restart-burst", "vm_restart")
        shown = toolreeve("audit", "query", alert["query"], "--csv", *here)
        assert shown.returncode == 0, shown.stderr
        assert len(shown.stdout.splitlines()) > alert["threshold"]
        usage = json.loads(
            toolreeve("report", "usage", "--server", "truenas", "--json", *here).stdout
        )
        restarts = next(row for row in usage if row["tool"] == "vm_restart")
        assert (restarts["allowed"], restarts["limited"], restarts["denied"]) == (10, 3, 4)
        assert restarts["p50_ms"] > 0
        assert_a_decision_on_record_is_explained(here)
        assert_tail_follows_until_it_is_interrupted(here)


def assert_a_decision_on_record_is_explained(here: tuple[str, str]) -> None:
    sql = "SELECT decision_id FROM decisions WHERE code = 'limited' AND server = 'truenas' LIMIT 1"
    (row,) = json.loads(toolreeve("audit", "query", sql, "--json", *here).stdout)
    asked = ("policy", "explain", "--decision", row["decision_id"], "--json", *here)
    explained = json.loads(toolreeve(*asked).stdout)
    rule, limit = explained["looks"]
    assert (rule["pointer"], rule["known"]) == ("/tools/vm_restart", True)
    assert (limit["pointer"], limit["known"]) == (explained["decision"]["rule"], False)


def assert_tail_follows_until_it_is_interrupted(here: tuple[str, str]) -> None:
    command = [COMMAND, "audit", "tail", "--tool", "vm_restart", "--last", "3", "--json", *here]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as tail:
        assert tail.stdout is not None
        assert tail.stderr is not None
        seen = [json.loads(tail.stdout.readline()) for _ in range(3)]
        tail.send_signal(signal.SIGINT)
        assert tail.wait(END_SECONDS_MAX) == 130
        assert tail.stderr.read().strip() == b""  # no traceback
    assert [one["code"] for one in seen] == ["limited", "limited", "denied"]
    assert seen[0]["arguments"] == {"/id": 3}


def test_after_kill_9_no_child_is_left_behind(data: Path) -> None:
    with running_up(data, "--demo") as up:
        assert len(processes_of(data)) >= 6  # up, nats, control, worker, gateway, demo servers
        up.kill()
        up.wait()
        wait_until(lambda: not processes_of(data), END_SECONDS_MAX, "a child lives on")


def test_ctrl_c_ends_everything_in_order(data: Path) -> None:
    with running_up(data) as up:
        up.send_signal(signal.SIGINT)
        assert up.wait(END_SECONDS_MAX) == 0
        assert processes_of(data) == set()
        assert not (data / "up.json").exists()
    output = data.with_name("up.output").read_text()
    assert str(data / "gateway.toml") in output  # how to add a server, as there is none
    assert "Ctrl-C" in output


def test_a_second_up_on_the_folder_is_refused(data: Path) -> None:
    with running_up(data) as up:
        second = toolreeve("up", "--data", str(data))
        assert second.returncode == 1
        assert second.stderr.startswith(
            f"toolreeve: another 'toolreeve up' (process {up.pid}) uses {data}; "
        )
        assert up.poll() is None


def test_a_part_that_dies_comes_back_where_it_was(data: Path) -> None:
    with running_up(data):
        before = record_of(data)
        os.kill(before["processes"]["worker"], signal.SIGKILL)
        wait_until(
            lambda: toolreeve("audit", "query", "SELECT 1", "--data", str(data)).returncode == 0,
            END_SECONDS_MAX,
            f"nobody answers at {before['query']}",
        )
        wait_until(lambda: record_of(data) != before, END_SECONDS_MAX, "up.json names the dead")
        after = record_of(data)
        assert after["query"] == before["query"]
        assert after["processes"]["worker"] in processes_of(data)


def test_commands_find_the_services_of_a_running_up(data: Path) -> None:
    with running_up(data):
        for command in (
            ["fleet", "status"],
            ["policy", "list"],
            ["hold", "list"],
            ["report", "usage"],
            ["alerts", "list"],
            ["audit", "query", "SELECT count(*) AS decisions FROM decisions"],
        ):
            done = toolreeve(*command, "--data", str(data), "--json")
            assert done.returncode == 0, done.stderr
            assert isinstance(json.loads(done.stdout), list)
        broken = toolreeve("audit", "query", "SELEKT", "--data", str(data))
        assert broken.returncode == 2
        assert broken.stderr.startswith("toolreeve: ")


def test_wrong_servers_are_said_before_anything_starts(data: Path) -> None:
    data.mkdir()
    (data / "gateway.toml").write_text('[upstreams.files]\nurll = "http://127.0.0.1:1/mcp"\n')
    done = toolreeve("up", "--data", str(data))
    assert done.returncode == 2
    assert done.stderr.startswith(f"toolreeve: {data}/gateway.toml: ")
    assert "urll" in done.stderr
    assert not (data / "logs" / "nats.log").exists()


def test_a_port_that_is_taken_is_said_before_anything_starts(data: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = toolreeve("up", "--data", str(data), "--port", str(port))
    assert done.returncode == 1
    assert f"something listens on 127.0.0.1:{port} already; " in done.stderr
