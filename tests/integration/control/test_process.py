"""The control plane as a process: ready file, signals, kill -9."""

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import grpc
import pytest

from toolreeve.v1 import operator_pb2 as pb
from toolreeve.v1.operator_pb2_grpc import OperatorServiceStub

Start = Callable[[], "subprocess.Popen[bytes]"]
POLICY = b'{"version": "1", "name": "lab", "default": "deny", "tools": {"vm_status": {}}}'


@pytest.fixture
def start(tmp_path: Path, nats_url: str, prefix: str) -> Iterator[Start]:
    config = tmp_path / "control.toml"
    config.write_text(
        f'plaintext = true\nlisten = "127.0.0.1:0"\nnats_url = "{nats_url}"\nprefix = "{prefix}"\n'
        f'data = "{tmp_path / "data"}"\nready_file = "{tmp_path / "ready.json"}"\n'
        "stop_seconds_max = 0.2\n"
    )
    started: list[subprocess.Popen[bytes]] = []

    def run() -> "subprocess.Popen[bytes]":
        (tmp_path / "ready.json").unlink(missing_ok=True)
        with (tmp_path / "log").open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "toolreeve.cli", "control", "--config", str(config)],
                stderr=log,
            )
        started.append(process)
        return process

    yield run
    for process in started:
        process.kill()
        process.wait()


def ready(folder: Path, process: "subprocess.Popen[bytes]") -> dict[str, str]:
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline and process.poll() is None:
        try:
            facts: dict[str, str] = json.loads((folder / "ready.json").read_text())
        except FileNotFoundError:
            time.sleep(0.01)
            continue
        return facts
    raise AssertionError((folder / "log").read_text())


def publish(address: str) -> pb.PublishPolicyResponse:
    with grpc.insecure_channel(address) as channel:
        request = pb.PublishPolicyRequest(
            command=pb.Command(command_id="one", actor="ada"), server="vm", text=POLICY
        )
        return OperatorServiceStub(channel).PublishPolicy(request, timeout=10)


def test_it_says_where_it_listens_and_ends_in_order(tmp_path: Path, start: Start) -> None:
    process = start()
    facts = ready(tmp_path, process)
    assert facts["public_key"].startswith("ed25519:")
    assert publish(facts["address"]).manifest_sequence == 1
    process.send_signal(signal.SIGTERM)
    assert process.wait(10) == 0


def test_killed_and_started_again_it_has_its_key_and_its_state(
    tmp_path: Path, start: Start
) -> None:
    process = start()
    first = ready(tmp_path, process)
    answer = publish(first["address"])
    process.kill()
    process.wait()
    second = ready(tmp_path, start())
    assert second["public_key"] == first["public_key"]
    assert publish(second["address"]) == answer


def test_a_key_that_others_can_read_is_an_error_with_its_remedy(
    tmp_path: Path, start: Start
) -> None:
    process = start()
    ready(tmp_path, process)
    process.send_signal(signal.SIGTERM)
    process.wait(10)
    (key,) = (tmp_path / "data").glob("*.pem")
    key.chmod(0o644)
    process = start()
    assert process.wait(10) == 2
    last = (tmp_path / "log").read_text().splitlines()[-1]
    assert "others can read the signing key" in last
    assert "chmod 600" in last
