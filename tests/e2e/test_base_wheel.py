"""The light install: the wheel without extras in an empty venv runs an enforcer, and only that."""

import json
import os
import re
import shutil
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SECONDS_MAX = 20.0
VERSION = "2026-07-28"


def run(*command: str | Path, **environment: str) -> str:
    done = subprocess.run(
        [str(part) for part in command],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
        env={**os.environ, **environment},
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def light(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A venv that holds the wheel and what it asks for, at the locked versions."""
    folder = tmp_path_factory.mktemp("light")
    run(sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", folder)
    (wheel,) = folder.glob("*.whl")
    lock = (ROOT / "requirements.lock").read_text()
    pins = folder / "constraints.txt"
    pins.write_text("\n".join(re.findall(r"^[a-z0-9._-]+==[^\s\\]+", lock, re.MULTILINE)) + "\n")
    venv = folder / "venv"
    uv = shutil.which("uv")
    if uv is None:
        run(sys.executable, "-m", "venv", venv)
        run(venv / "bin" / "pip", "install", "-q", "-c", pins, wheel)
    else:
        run(uv, "venv", "-q", "--python", sys.executable, venv)
        run(uv, "pip", "install", "-q", "--python", venv / "bin" / "python", "-c", pins, wheel)
    return venv


@pytest.fixture
def upstream(tmp_path: Path) -> Iterator[str]:
    """The flat demo server's URL; it runs in the full install."""
    ready = tmp_path / "flat.json"
    where = ["--http", "--ready-file", str(ready)]
    command = [sys.executable, "-m", "toolreeve.cli.demo.flat", *where]
    with subprocess.Popen(command) as process:
        try:
            yield str(wait_for(ready, process)["url"])
        finally:
            process.terminate()


def wait_for(path: Path, process: "subprocess.Popen[bytes]") -> dict[str, object]:
    deadline = time.monotonic() + SECONDS_MAX
    while not path.exists():
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.02)
    facts: dict[str, object] = json.loads(path.read_text())
    return facts


def call(url: str, tool: str) -> dict[str, object]:
    """One stateless tools/call, spoken by hand: the light install has no MCP SDK."""
    meta = {
        "io.modelcontextprotocol/protocolVersion": VERSION,
        "io.modelcontextprotocol/clientInfo": {"name": "test", "version": "1"},
        "io.modelcontextprotocol/clientCapabilities": {},
    }
    params = {"name": tool, "arguments": {"id": 1}, "_meta": meta}
    body = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}
    request = urllib.request.Request(
        url,
        json.dumps(body).encode(),
        {
            "Content-Type": "application/json",
            "Accept": "application/json, text/event-stream",
            "MCP-Protocol-Version": VERSION,
            "Mcp-Method": "tools/call",
            "Mcp-Name": tool,
        },
    )
    with urllib.request.urlopen(request, timeout=10) as answer:
        text: str = answer.read().decode()
    if text.startswith("{"):
        said: dict[str, object] = json.loads(text)
    else:
        said = json.loads(next(line[5:] for line in text.splitlines() if line.startswith("data:")))
    result = said["result"]
    assert isinstance(result, dict)
    return dict(result)  # pyright: ignore[reportUnknownArgumentType, reportUnknownVariableType]


def test_the_light_install_runs_an_enforcer(light: Path, upstream: str, tmp_path: Path) -> None:
    for heavy in ("duckdb", "mcp", "starlette"):
        missing = f"import importlib.util as u; assert u.find_spec({heavy!r}) is None"
        run(light / "bin" / "python", "-c", missing)
    (tmp_path / "policy.json").write_text(
        '{"version": "1", "default": "deny", "tools": {"vm_status": {}}}'
    )
    (tmp_path / "gateway.toml").write_text(
        'enforcer = "light"\nlisten = "127.0.0.1:0"\ndata = "data"\npolicy = "policy.json"\n'
        f'ready_file = "ready.json"\n[upstreams.flat]\nurl = "{upstream}"\n'
    )
    command = [str(light / "bin" / "toolreeve"), "gateway", "--config", "gateway.toml"]
    with subprocess.Popen(command, cwd=tmp_path) as process:
        try:
            url = f"{wait_for(tmp_path / 'ready.json', process)['url']}/flat/mcp"
            assert "web-1" in str(call(url, "vm_status"))
            assert "[POLICY DENIED]" in str(call(url, "vm_restart"))
        finally:
            process.terminate()
    assert process.returncode == 0


@pytest.mark.parametrize(("command", "extra"), [("worker", "analytics"), ("control", "control")])
def test_a_command_without_its_extra_says_what_to_install(
    light: Path, command: str, extra: str
) -> None:
    done = subprocess.run(
        [str(light / "bin" / "toolreeve"), command], capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert f"toolreeve[{extra}]" in done.stderr
    assert "Traceback" not in done.stderr
