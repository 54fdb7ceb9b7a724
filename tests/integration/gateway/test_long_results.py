"""A result of a hundred megabytes passes whole, and the gateway's memory stays where it was."""

import http.client
import json
import subprocess
import sys
from collections.abc import Generator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from tests.integration.gateway.big_server import text
from tests.integration.gateway.conftest import wait_for_file

BIG = Path(__file__).with_name("big_server.py")
MEGABYTES = 100
GROWTH_MB_MAX = 12.0
PREFIX, SUFFIX = b'"text":"', b'"}]'


class Gateway:
    """A gateway process of its own before the big server, and a client of it."""

    def __init__(self, process: "subprocess.Popen[bytes]", address: str) -> None:
        self._process = process
        self._address = address

    def peak_mb(self) -> float:
        """The most memory that the process has ever had."""
        status = Path(f"/proc/{self._process.pid}/status").read_text()
        line = next(line for line in status.splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) / 1024

    def call(self, era: str, **arguments: object) -> tuple[int, str]:
        """How many bytes of text came back, and their hash."""
        params: dict[str, object] = {"name": "big", "arguments": arguments}
        headers = {
            "Content-Type": "application/json",
            "Accept": "application/json, text/event-stream",
            "MCP-Protocol-Version": era,
        }
        server = "new" if era == "2026-07-28" else "old"
        if server == "new":
            params["_meta"] = {"io.modelcontextprotocol/protocolVersion": era}
            headers |= {"Mcp-Method": "tools/call", "Mcp-Name": "big"}
        message = {"jsonrpc": "2.0", "id": 7, "method": "tools/call", "params": params}
        connection = http.client.HTTPConnection(self._address, timeout=60)
        try:
            connection.request("POST", f"/{server}/mcp", json.dumps(message).encode(), headers)
            answer = connection.getresponse()
            assert answer.status == 200
            return self._hashed(answer)
        finally:
            connection.close()

    def _hashed(self, answer: http.client.HTTPResponse) -> tuple[int, str]:
        digest, size, held = sha256(), 0, b""
        while PREFIX not in held:
            held += answer.read(4096)
        held = held.partition(PREFIX)[2]
        while data := answer.read(1 << 20):
            held += data
            size += len(held) - 4096
            digest.update(held[:-4096])
            held = held[-4096:]
        rest, mark, _ = held.partition(SUFFIX)
        assert mark, "the answer has no end"
        digest.update(rest)
        return size + len(rest), digest.hexdigest()


@contextmanager
def running(folder: Path) -> Generator[Gateway]:
    config, ready = folder / "gateway.toml", folder / "ready.json"
    (folder / "policy.json").write_text('{"version": "1", "default": "deny", "tools": {"big": {}}}')
    with subprocess.Popen([sys.executable, str(BIG)], stdout=subprocess.PIPE) as big:
        assert big.stdout is not None
        port = int(big.stdout.readline())
        config.write_text(
            'listen = "127.0.0.1:0"\ndata = "data"\nready_file = "ready.json"\n'
            'policy = "policy.json"\n'
            f'[upstreams.old]\nurl = "http://127.0.0.1:{port}/old"\n'
            f'[upstreams.new]\nurl = "http://127.0.0.1:{port}/new"\n'
        )
        command = [sys.executable, "-m", "toolreeve.cli", "gateway", "--config", str(config)]
        with subprocess.Popen(command, stderr=subprocess.DEVNULL) as process:
            try:
                facts: dict[str, Any] = wait_for_file(ready, process)
                yield Gateway(process, facts["address"])
            finally:
                process.terminate()
                big.terminate()


def expected(megabytes: int) -> tuple[int, str]:
    digest = sha256()
    for piece in text(megabytes):
        digest.update(piece)
    return megabytes * 1024 * 1024, digest.hexdigest()


@pytest.mark.parametrize("form", ["json", "stream"])
def test_it_passes_whole_and_in_flat_memory(tmp_path: Path, form: str) -> None:
    """Whichever member of the answer comes first, in both eras."""
    with running(tmp_path) as gateway:
        for era in ("2025-11-25", "2026-07-28"):
            gateway.call(era, megabytes=2, form=form, first="id")
        before = gateway.peak_mb()
        for era in ("2025-11-25", "2026-07-28"):
            for first in ("id", "result"):
                found = gateway.call(era, megabytes=MEGABYTES, form=form, first=first)
                assert found == expected(MEGABYTES)
        growth = gateway.peak_mb() - before
        print(f"{form}: {before:.1f} MB before, {growth:.1f} MB more at the peak")
        assert growth < GROWTH_MB_MAX, f"{growth:.1f} MB more than before"
