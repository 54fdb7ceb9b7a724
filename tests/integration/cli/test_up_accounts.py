"""The bus of a `toolreeve up` from before every part had a login of its own."""

import asyncio
import subprocess
import time
from pathlib import Path

from tests.conftest import nats_server_binary, port_when_ready

from toolreeve.bus import Publisher, Subjects, connect, ensure_stream, login_file
from toolreeve.cli.launch.folder import Folder
from toolreeve.cli.launch.nats import nats_part

SUBJECTS = Subjects()


def test_streams_from_before_there_were_accounts_are_taken_along(tmp_path: Path) -> None:
    folder = Folder(tmp_path)
    folder.make()
    config = tmp_path / "old.conf"
    config.write_text(f'jetstream {{ store_dir: "{folder.nats}" }}\n')
    ports = tmp_path / "ports"
    ports.mkdir()
    old = [nats_server_binary(), "-c", str(config), "-a", "127.0.0.1", "-p", "-1"]

    async def write(url: str) -> None:
        async with connect(url, name="worker") as connection:
            await ensure_stream(connection, SUBJECTS.audit_stream, [SUBJECTS.audit_all])
            stream = SUBJECTS.audit_stream
            publisher = Publisher(connection, SUBJECTS.audit("gw-1"), stream=stream)
            await publisher.publish(b"before", "gw-1:1:1")

    async def read(url: str) -> bytes | None:
        login = login_file(folder.accounts / "worker.creds")
        async with connect(url, name="worker", login=login) as connection:
            await ensure_stream(connection, SUBJECTS.audit_stream, [SUBJECTS.audit_all])
            stream = SUBJECTS.audit_stream
            return await Publisher(connection, SUBJECTS.audit("gw-1"), stream=stream).stored(1)

    with subprocess.Popen([*old, "--ports_file_dir", str(ports)]) as server:
        asyncio.run(asyncio.wait_for(write(url_in(ports, server)), 20))
        server.terminate()
    part = nats_part(folder)
    with subprocess.Popen(part.prepare(None)) as server:
        try:
            facts = None
            deadline = time.monotonic() + 20
            while facts is None:
                assert time.monotonic() < deadline
                facts = part.ready(server.pid)
                time.sleep(0.01)
            assert asyncio.run(asyncio.wait_for(read(facts["url"]), 20)) == b"before"
        finally:
            server.terminate()
    accounts = (folder.accounts / "accounts.conf").read_bytes()
    nats_part(folder)
    assert (folder.accounts / "accounts.conf").read_bytes() == accounts, "made once"


def url_in(ports: Path, server: "subprocess.Popen[bytes]") -> str:
    return f"nats://127.0.0.1:{port_when_ready(ports, server, ports / 'none')}"
