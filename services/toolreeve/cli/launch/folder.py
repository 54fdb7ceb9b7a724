"""The folder of one `toolreeve up`: what lies where, and who may use it."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
from contextlib import contextmanager
from typing import TYPE_CHECKING

from toolreeve.cli.failure import CommandError

if TYPE_CHECKING:
    from collections.abc import Generator
    from pathlib import Path

DEMO_MARK = "this-is-a-demo"
_EMPTY_ENOUGH = {"up.lock", DEMO_MARK}


class Folder:
    """Paths under one data folder. Made with mode 0700: keys and tokens lie here."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.run = root / "run"
        self.logs = root / "logs"
        self.nats = root / "nats"
        self.accounts = root / "accounts"
        self.control = root / "control"
        self.worker = root / "worker"
        self.gateway = root / "gateway"
        self.demo = root / "demo"
        self.record = root / "up.json"
        self.upstreams = root / "gateway.toml"
        self.port = root / "gateway.port"

    def make(self) -> None:
        """Create what is missing."""
        own = (self.run, self.logs, self.nats, self.accounts)
        for path in (*own, self.control, self.worker, self.gateway):
            path.mkdir(parents=True, exist_ok=True, mode=0o700)

    def begin_demo(self) -> None:
        """Empty a folder that only demos have used; refuse any other that holds something."""
        mark = self.root / DEMO_MARK
        if not mark.exists() and any(
            entry.name not in _EMPTY_ENOUGH for entry in self.root.iterdir()
        ):
            raise CommandError(
                f"{self.root} holds data that is not a demo's",
                "choose another folder with --data, or leave out --demo",
            )
        mark.write_text("Everything here is thrown away by the next 'toolreeve up --demo'.\n")
        for entry in self.root.iterdir():
            if entry.name in _EMPTY_ENOUGH:
                continue
            if entry.is_dir():
                shutil.rmtree(entry)
            else:
                entry.unlink()
        self.demo.mkdir()

    @contextmanager
    def locked(self) -> Generator[None]:
        """Hold the folder for this process; CommandError where another holds it."""
        self.root.mkdir(parents=True, exist_ok=True, mode=0o700)
        descriptor = os.open(self.root / "up.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                holder = os.read(descriptor, 20).decode(errors="replace").strip()
                raise CommandError(
                    f"another 'toolreeve up' (process {holder}) uses {self.root}",
                    "stop it, or choose another folder with --data",
                ) from None
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
            yield
        finally:
            os.close(descriptor)

    def write_record(self, facts: dict[str, object]) -> None:
        """Tell other commands where everything listens."""
        fresh = self.record.with_name("up.json.part")
        fresh.write_text(json.dumps(facts, indent=2) + "\n", encoding="utf-8")
        fresh.replace(self.record)
