"""IBM ContextForge: a server with a database and tokens, so it is set up over its own API first.

Its limit of calls a minute is raised, because the load would be over it in a second; it may reach
this machine, where the upstream is. It listens with its own program, on SQLite, one process.
"""

import asyncio
import os
import secrets
import subprocess
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from parts.http_wire import BrokenConnectionError, HttpWire
from parts.load import LoadError, Target
from parts.processes import MEASURED, free_port, last_words, started
from parts.way import Running, Upstream
from peers.install import folder as home_of

UP_SECONDS_MAX = 120.0
ADMIN = "admin@example.com"


def _program(name: str) -> str:
    return str(home_of("contextforge") / "bin" / name)


def _environment(folder: Path) -> dict[str, str]:
    """Its settings; the secrets are made once and kept in the folder."""
    file = folder / "secret"
    if not file.exists():
        file.write_text(secrets.token_urlsafe(48))
    secret = file.read_text()
    return {
        "JWT_SECRET_KEY": secret,
        "AUTH_ENCRYPTION_SECRET": secret[::-1],
        "BASIC_AUTH_PASSWORD": secret[:24] + "_1aA",
        "DEFAULT_USER_PASSWORD": secret[:24] + "_1aA",
        "PLATFORM_ADMIN_EMAIL": ADMIN,
        "PLATFORM_ADMIN_PASSWORD": secret[:24] + "_1aA",
        "DATABASE_URL": f"sqlite:///{folder / 'mcp.db'}",
        "LOG_LEVEL": "ERROR",
        "MCPGATEWAY_UI_ENABLED": "false",
        "RATE_LIMITING_ENABLED": "false",
        "SSRF_ALLOW_LOCALHOST": "true",
        "SSRF_ALLOW_PRIVATE_NETWORKS": "true",
    }


def _token(folder: Path) -> str:
    file = folder / "token"
    if not file.exists():
        module = ["-m", "mcpgateway.utils.create_jwt_token", "--username", ADMIN, "--exp", "10080"]
        secret = _environment(folder)["JWT_SECRET_KEY"]
        made = subprocess.run(
            [_program("python"), *module, "--secret", secret],
            env={**os.environ, **_environment(folder)},
            capture_output=True,
            text=True,
            check=True,
        )
        file.write_text(made.stdout.strip().splitlines()[-1])
    return file.read_text()


@contextmanager
def start(folder: Path, upstream: Upstream) -> Generator[Running]:
    """It serves everything it has registered at one address; a tool's name is prefixed there."""
    del upstream  # in its database
    port = free_port()
    command = [_program("mcpgateway"), "--host", "127.0.0.1", "--port", str(port)]
    with started(
        command, folder / "log", cores=MEASURED, env=_environment(folder), folder=folder
    ) as process:
        yield Running(
            target=Target(
                port=port,
                path="/mcp/",
                headers=(("Authorization", f"Bearer {_token(folder)}"),),
                tool="bench-truenas",
            ),
            pid=process.pid,
            alive=lambda: process.poll() is None,
        )


async def register(folder: Path, upstream: Upstream) -> None:
    """Make its database, with the upstream in it. Raises LoadError."""
    with start(folder, upstream) as running:
        await _register(folder, upstream, running)


async def _register(folder: Path, upstream: Upstream, running: Running) -> None:
    body = msgspec.json.encode(
        {"name": "bench", "url": upstream.url, "transport": "STREAMABLEHTTP"}
    )
    try:
        async with asyncio.timeout(UP_SECONDS_MAX):
            while True:
                try:
                    status, answer = await _ask(running, "GET", "/health")
                    if status == 200:
                        break
                except (OSError, BrokenConnectionError):
                    if not running.alive():
                        raise LoadError(f"it has ended: {last_words(folder / 'log')}") from None
                await asyncio.sleep(0.2)
            status, answer = await _ask(running, "POST", "/gateways", body)
            if status >= 300:
                raise LoadError(f"registering the upstream: HTTP {status} {answer[:300]!r}")
            status, answer = await _ask(running, "GET", "/tools")
    except TimeoutError:
        raise LoadError(f"not up after {UP_SECONDS_MAX:.0f} s") from None
    if b'"bench-' not in answer:
        raise LoadError(f"the upstream's tools are not in its catalogue: {answer[:300]!r}")


async def _ask(running: Running, method: str, path: str, body: bytes = b"") -> tuple[int, bytes]:
    target = running.target
    wire = HttpWire()
    await asyncio.get_running_loop().create_connection(lambda: wire, "127.0.0.1", target.port)
    head = (
        f"{method} {path} HTTP/1.1\r\nHost: 127.0.0.1:{target.port}\r\n"
        f"{target.headers[0][0]}: {target.headers[0][1]}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    try:
        status, _, answer = await wire.ask(head.encode() + body)
    finally:
        wire.close()
    return status, answer
