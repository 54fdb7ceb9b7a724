"""A gateway that is killed while it renews what it proves itself with."""

import os
import signal
import time
from pathlib import Path

import pytest
from tests.integration.identity.process import site_of, wait_until

from toolreeve.runtime.credentials import FILE, read_credentials

LIFE = 6
ROUNDS = 4


@pytest.mark.timeout(240)
def test_a_gateway_killed_in_the_middle_of_a_renewal_comes_back_as_itself(
    tmp_path: Path, nats_url: str, prefix: str
) -> None:
    data = tmp_path / "gateway"
    with site_of(tmp_path, nats_url, prefix, f"certificate_hours = {LIFE / 3600}") as site:
        site.log_in()
        token = site.json("enforcer", "token", "gw-1")["token"]
        pin = ("--pin", site.pin, "--data", str(data))
        assert site.run("enforcer", "join", site.address, *pin, says=token).returncode == 0
        settings = (
            f'enforcer = "gw-1"\ndata = "{data}"\nlisten = "127.0.0.1:0"\nstatus_seconds = 0.2\n'
            f'control = {{ address = "{site.members}", keys = ["{site.public_key}"] }}'
        )
        seen: set[str] = set()
        for _ in range(ROUNDS):
            gateway, _ = site.start("gateway", settings)
            wait_until(lambda: site.json("enforcer", "list")[0]["connected"])
            seen.add(kill_in_renewal(gateway.pid, data))
            gateway.wait(10)
            found = read_credentials(data)
            assert found is not None
            assert found.name == "gw-1"
        gateway, _ = site.start("gateway", settings)
        wait_until(lambda: site.json("enforcer", "list")[0]["connected"])
        (member,) = site.json("enforcer", "list")
        assert member["joins"] == 1, "it never had to join again"
        assert seen <= {"a part is written", "the new one stands"}


def kill_in_renewal(process_id: int, data: Path) -> str:
    """SIGKILL at the first sign of new credentials; returns what that was."""
    before = (data / FILE).stat().st_ino
    left = set(data.glob("*.part"))
    deadline = time.monotonic() + 3 * LIFE
    while time.monotonic() < deadline:
        if set(data.glob(f"{FILE}.*.part")) - left:
            os.kill(process_id, signal.SIGKILL)
            return "a part is written"
        if (data / FILE).stat().st_ino != before:
            os.kill(process_id, signal.SIGKILL)
            return "the new one stands"
    raise AssertionError("it never renewed")
