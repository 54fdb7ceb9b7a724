"""The files in deploy/ fit the product they deploy."""

import re
from pathlib import Path

from toolreeve.runtime.settings import load_settings


def test_the_compose_settings_are_taken_by_their_processes(repository: Path) -> None:
    from toolreeve.control.settings import ControlSettings
    from toolreeve.gateway.settings import GatewaySettings
    from toolreeve.worker.settings import WorkerSettings

    folder = repository / "deploy" / "compose"
    bus = {"TOOLREEVE_BUS_URL": "nats://enforcer:secret@nats:4222"}
    gateway = load_settings(GatewaySettings, folder / "gateway.toml", environment=bus)
    assert gateway.bus is not None
    assert gateway.bus.url == bus["TOOLREEVE_BUS_URL"]
    where = {"TOOLREEVE_NATS_URL": "nats://control:secret@nats:4222"}
    control = load_settings(ControlSettings, folder / "control.toml", environment=where)
    assert control.nats_url == where["TOOLREEVE_NATS_URL"]
    worker = load_settings(WorkerSettings, folder / "worker.toml", environment=where)
    assert worker.nats_url == where["TOOLREEVE_NATS_URL"]
    assert gateway.data == control.data_folder == worker.folder


def test_no_password_stands_in_the_files_of_a_deployment(repository: Path) -> None:
    given = re.compile(r"(?i)password[\"']?(=|:\s+)(?!\$)\S|://[^/@\s]*:(?!\$\{)[^/@\s]+@")
    found = [
        (path.name, match.group())
        for path in (repository / "deploy").rglob("*")
        if path.suffix in {".yaml", ".conf", ".toml", ".service", ".example"}
        for line in path.read_text().splitlines()
        if not line.lstrip().startswith("#")
        for match in given.finditer(line)
    ]
    assert not found
