"""Approvals while clients leave and processes stop or die, on a whole `toolreeve up`."""

import json
import os
import signal
import threading
import time
from collections.abc import Iterator

import pytest
from tests.e2e.waiting import META_KEY, Calling, Installation, installed, told

pytestmark = pytest.mark.timeout(300)


@pytest.fixture(scope="module")
def installation(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    with installed(tmp_path_factory.mktemp("up")) as made:
        yield made


def test_a_client_that_leaves_while_its_call_is_held_uses_no_permit(
    installation: Installation,
) -> None:
    answer: list[bytes] = []

    def leaving() -> None:
        with installation.post("vm_delete", 8, progress=True) as opened:
            answer.append(opened.readline())  # a first word, and then it leaves

    thread = threading.Thread(target=leaving)
    thread.start()
    asked = installation.pending(8)
    thread.join(20)
    assert answer
    time.sleep(0.3)
    installation.done("approvals", "approve", asked["approval"])
    time.sleep(1)
    assert not installation.reached("vm_delete", 8)
    shown = installation.done("approvals", "show", asked["approval"])
    assert shown["state"] == "approved"


def test_with_the_control_plane_away_nothing_is_let_through(installation: Installation) -> None:
    with installation.post("vm_delete", 12, progress=True) as leaving:
        leaving.readline()
        approval = installation.pending(12)["approval"]
    installation.done("approvals", "approve", approval)
    record = json.loads((installation.data / "up.json").read_text())
    os.kill(record["processes"]["control"], signal.SIGSTOP)
    try:
        calling = Calling(installation, "vm_delete", 13)
        result = installation.call("vm_delete", 12)
        for one in (result, calling.answer()):
            assert told(one)["approval"] == {"state": "not_asked"}
            assert told(one)["retryable"]
    finally:
        os.kill(record["processes"]["control"], signal.SIGCONT)
    assert not installation.reached("vm_delete", 12)
    assert not installation.reached("vm_delete", 13)
    deadline = time.monotonic() + 40
    while META_KEY in (result := installation.call("vm_delete", 12)).get("_meta", {}):
        assert time.monotonic() < deadline, result
    assert installation.reached("vm_delete", 12) == 1


@pytest.mark.parametrize("part", ["gateway", "control"])
def test_what_is_pending_outlives_a_killed_process(installation: Installation, part: str) -> None:
    vm = {"gateway": 9, "control": 10}[part]
    calling = Calling(installation, "vm_delete", vm)
    approval = installation.pending(vm)["approval"]
    record = json.loads((installation.data / "up.json").read_text())
    os.kill(record["processes"][part], signal.SIGKILL)
    deadline = time.monotonic() + 90
    while True:
        ran = installation.run("approvals", "approve", approval, "--json")
        if ran.returncode == 0:
            break
        assert time.monotonic() < deadline, ran.stderr
        time.sleep(0.2)
    while not installation.reached("vm_delete", vm):
        assert time.monotonic() < deadline, calling.result
        if not calling.is_alive():
            calling = Calling(installation, "vm_delete", vm)
        time.sleep(0.2)
    time.sleep(1)
    assert installation.reached("vm_delete", vm) == 1
    assert installation.done("approvals", "show", approval)["state"] == "used"
