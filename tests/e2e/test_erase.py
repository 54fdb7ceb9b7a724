"""A person's data, from a call through a real gateway to its erasure, by the installed command."""

import asyncio
import contextlib
import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.e2e.test_up import (
    START_SECONDS_MAX,
    processes_of,
    record_of,
    running_up,
    toolreeve,
    wait_until,
)

from toolreeve.cli.demo.agent import Era, connected

pytestmark = pytest.mark.timeout(240)

NAME, NOTE = "ada-vm-1815", "call Ada on +44 20 7946 0000"


@pytest.fixture
def data(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "data"
    yield folder
    for process_id in processes_of(folder):
        with contextlib.suppress(ProcessLookupError):
            os.kill(process_id, signal.SIGKILL)


def told(*arguments: str) -> Any:
    done = toolreeve(*arguments, "--json")
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads(done.stdout)


def test_a_value_is_found_and_erased_and_the_history_stays_whole(data: Path) -> None:
    with running_up(data, "--demo"):
        output = data.with_name("up.output")
        wait_until(lambda: "Ctrl-C" in output.read_text(), START_SECONDS_MAX, "the story's end")
        token = json.loads((data / "demo" / "tokens.json").read_text())["you"]
        url = record_of(data)["servers"]["hypervisor"]

        async def call() -> None:
            async with asyncio.timeout(30), connected("me", url, token=token, era=Era.NEWEST) as me:
                await me.call("vm_status", {"name": NAME, "note": NOTE})

        asyncio.run(call())
        here = ("--data", str(data))
        keys = next(data.glob("**/hash.keys"))
        wait_until(
            lambda: len(told("audit", "match", "--value", NAME, *here)) == 1, 30.0, "the event"
        )
        (found,) = told("audit", "match", "--value", NOTE, "--key-file", str(keys), *here)
        assert found["found_by"] == "hash"
        whole = told("audit", "verify", *here)["details"]
        assert whole["erased"] == 0

        asked = ("--value", NOTE, "--key-file", str(keys), "--reason", "she asked")
        erased = told("audit", "erase", *asked, *here)
        assert (erased["events"], erased["done"]) == (1, True)
        assert told("audit", "match", "--value", NAME, *here) == []
        after = told("audit", "verify", *here)["details"]
        assert (after["erased"], after["unexplained"]) == (1, 0)
        assert after["kept"] >= whole["kept"] - 1
        (row,) = told("audit", "query", "SELECT actor, reason, events FROM erasures", *here)
        assert (row["reason"], row["events"]) == ("she asked", 1)
