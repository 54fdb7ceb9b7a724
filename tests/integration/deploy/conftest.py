"""A bus that runs with the configuration that is deployed."""

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

CONFIGURATION = Path(__file__).resolve().parents[3] / "deploy" / "nats" / "nats.conf"
ROLES = ("enforcer", "worker", "control", "admin")
READY_SECONDS_MAX = 10.0

Address = Callable[[str], str]


def configuration(store: Path) -> str:
    """The deployed configuration with ports and folder of a test."""
    text = CONFIGURATION.read_text()
    for deployed, here in {
        'listen: "0.0.0.0:4222"': 'listen: "127.0.0.1:-1"',
        'http: "127.0.0.1:8222"': "",
        'store_dir: "/data"': f'store_dir: "{store}"',
    }.items():
        assert deployed in text
        text = text.replace(deployed, here)
    return text


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Address]:
    """The URL with which a role connects to a server that runs as it is deployed."""
    home = tmp_path_factory.mktemp("nats")
    (home / "nats.conf").write_text(configuration(home / "store"))
    beside = Path(sys.executable).with_name("nats-server")
    program = beside if beside.exists() else shutil.which("nats-server")
    assert program, "no nats-server"
    passwords = {f"TOOLREEVE_{role.upper()}_PASSWORD": f"{role}Secret" for role in ROLES}
    with (
        (home / "log").open("wb") as log,
        subprocess.Popen(
            [program, "-c", home / "nats.conf", "--ports_file_dir", home],
            env=os.environ | passwords | {"TOOLREEVE_NATS_NAME": "test"},
            stderr=log,
        ) as server,
    ):
        try:
            there = wait_for_address(home, server)
            yield lambda role: f"nats://{role}:{role}Secret@{there}"
        finally:
            server.terminate()


def wait_for_address(home: Path, server: subprocess.Popen[bytes]) -> str:
    """HOST:PORT from the server's ports file; fails if the server has ended."""
    deadline = time.monotonic() + READY_SECONDS_MAX
    while time.monotonic() < deadline and server.poll() is None:
        for file in home.glob("*.ports"):
            if text := file.read_text():
                url: str = json.loads(text)["nats"][0]
                return url.removeprefix("nats://")
        time.sleep(0.005)
    pytest.fail((home / "log").read_text())
