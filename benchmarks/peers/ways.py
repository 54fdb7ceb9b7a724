"""How each peer is started, in its documented way, and for which scenes it is meant.

What a peer switches off here it switches off for speed or because it would end the measurement:
logs of each request, and limits of calls a minute. Nothing else differs from its defaults.
"""

import json
from collections.abc import Generator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from parts.load import Target
from parts.processes import MEASURED, free_port, started
from parts.way import Running, Scene, StdioStart, Upstream, Way
from peers import contextforge
from peers.install import folder as home_of
from peers.install import problem


def ways(scene: Scene) -> list[Way]:
    """The peers that stand between such a client and such a server."""
    match scene.client, scene.server:
        case "http", "http":
            found = [
                Way(name="FastMCP proxy", kind="peer", http=_fastmcp),
                Way(
                    name="ContextForge",
                    kind="peer",
                    http=contextforge.start,
                    prepare=contextforge.register,
                ),
                Way(name="MCP Hangar", kind="peer", http=_hangar),
            ]
        case "http", _:
            found = [
                Way(name="mcp-proxy (npm)", kind="peer", http=_mcp_proxy_npm),
                Way(name="mcp-proxy (PyPI)", kind="peer", http=_mcp_proxy_pypi),
                Way(name="supergateway, stateful", kind="peer", http=_supergateway_stateful),
                Way(name="supergateway", kind="peer", http=_supergateway),
                Way(name="FastMCP proxy", kind="peer", http=_fastmcp),
                Way(name="MCP Hangar", kind="peer", http=_hangar),
            ]
        case _, "http":
            found = [
                Way(name="mcp-proxy (PyPI)", kind="peer", stdio=_mcp_proxy_pypi_stdio),
                Way(name="supergateway", kind="peer", stdio=_supergateway_stdio),
                Way(name="FastMCP proxy", kind="peer", stdio=_fastmcp_stdio),
                Way(name="MCP Hangar", kind="peer", stdio=_hangar_stdio),
            ]
        case _:
            found = [
                Way(name="FastMCP proxy", kind="peer", stdio=_fastmcp_stdio),
                Way(name="MCP Hangar", kind="peer", stdio=_hangar_stdio),
            ]
    return [_checked(way) for way in found]


PACKAGES = {
    "FastMCP proxy": ("fastmcp",),
    "ContextForge": ("contextforge",),
    "MCP Hangar": ("hangar",),
    "mcp-proxy (npm)": ("mcp-proxy-npm", "node"),
    "mcp-proxy (PyPI)": ("mcp-proxy-pypi",),
    "supergateway": ("supergateway", "node"),
    "supergateway, stateful": ("supergateway", "node"),
}


def _checked(way: Way) -> Way:
    for package in PACKAGES[way.name]:
        why = problem(package)
        if why is not None:
            return Way(name=way.name, kind=way.kind, why_not=why)
    return way


def _program(peer: str, name: str) -> str:
    return str(home_of(peer) / "bin" / name)


def _node(peer: str, name: str) -> list[str]:
    """A program of npm under the pinned Node."""
    node = home_of("node") / "node_modules" / ".bin" / "node"
    return [str(node), str((home_of(peer) / "node_modules" / ".bin" / name).resolve())]


@contextmanager
def _listening(
    command: list[str],
    folder: Path,
    port: int,
    *,
    path: str = "/mcp",
    inside: str = "",
    env: dict[str, str] | None = None,
) -> Generator[Running]:
    with started(command, folder / "log", cores=MEASURED, env=env, folder=folder) as process:
        yield Running(
            target=Target(port=port, path=path, inside=inside),
            pid=process.pid,
            alive=lambda: process.poll() is None,
        )


# FastMCP: `fastmcp run` on an address, or on the file that clients keep their servers in.


def _fastmcp_command(folder: Path, upstream: Upstream, transport: list[str]) -> list[str]:
    source = upstream.url
    if not source:
        program, *arguments = upstream.command
        servers = {"mcpServers": {"bench": {"command": program, "args": arguments}}}
        file = folder / "mcp.json"
        file.write_text(json.dumps(servers))
        source = str(file)
    quiet = ["--no-banner", "--log-level", "ERROR"]
    return [_program("fastmcp", "fastmcp"), "run", source, "--transport", *transport, *quiet]


@contextmanager
def _fastmcp(folder: Path, upstream: Upstream) -> Generator[Running]:
    port = free_port()
    command = _fastmcp_command(folder, upstream, ["http", "--port", str(port)])
    with _listening(command, folder, port) as running:
        yield running


def _fastmcp_stdio(folder: Path, upstream: Upstream) -> StdioStart:
    return StdioStart(command=_fastmcp_command(folder, upstream, ["stdio"]), folder=folder)


# MCP Hangar: over HTTP in its default topology, where a call goes through `hangar_call`; on stdio
# as the front door that its `init` writes, where tools stand on the list by themselves.


_HANGAR_LIMITS = {"MCP_RATE_LIMIT_RPS": "1000000", "MCP_RATE_LIMIT_BURST": "1000000"}
_FRONT_DOOR = """tool_access:
  mode: front_door
auth:
  stdio:
    principal: {id: local-user, tenant_id: local, roles: [viewer]}
"""


def _hangar_command(folder: Path, upstream: Upstream, more: str) -> list[str]:
    server = {"mode": "remote", "endpoint": upstream.url}
    if not upstream.url:
        server = {"mode": "subprocess", "command": json.dumps(list(upstream.command))}
    lines = "".join(f"    {key}: {value}\n" for key, value in server.items())
    file = folder / "hangar.yaml"
    file.write_text(f"mcp_servers:\n  bench:\n{lines}{more}")
    quiet = ["--log-level", "ERROR"]
    return [_program("hangar", "mcp-hangar"), "serve", "--config", str(file), *quiet]


@contextmanager
def _hangar(folder: Path, upstream: Upstream) -> Generator[Running]:
    port = free_port()
    command = [*_hangar_command(folder, upstream, ""), "--http", "--port", str(port)]
    with _listening(command, folder, port, inside="hangar_call", env=_HANGAR_LIMITS) as running:
        yield running


def _hangar_stdio(folder: Path, upstream: Upstream) -> StdioStart:
    command = _hangar_command(folder, upstream, _FRONT_DOOR)
    return StdioStart(command=command, folder=folder, env=_HANGAR_LIMITS)


# mcp-proxy, the one of npm and the one of PyPI


@contextmanager
def _mcp_proxy_npm(folder: Path, upstream: Upstream) -> Generator[Running]:
    port = free_port()
    where = ["--host", "127.0.0.1", "--port", str(port), "--server", "stream"]
    command = [*_node("mcp-proxy-npm", "mcp-proxy"), *where, "--", *upstream.command]
    with _listening(command, folder, port) as running:
        yield running


@contextmanager
def _mcp_proxy_pypi(folder: Path, upstream: Upstream) -> Generator[Running]:
    port = free_port()
    where = ["--port", str(port), "--log-level", "ERROR"]
    command = [_program("mcp-proxy-pypi", "mcp-proxy"), *where, "--", *upstream.command]
    with _listening(command, folder, port) as running:
        yield running


def _mcp_proxy_pypi_stdio(folder: Path, upstream: Upstream) -> StdioStart:
    how = ["--transport", "streamablehttp", "--log-level", "ERROR"]
    command = [_program("mcp-proxy-pypi", "mcp-proxy"), *how, upstream.url]
    return StdioStart(command=command, folder=folder)


# supergateway


@contextmanager
def _supergateway(folder: Path, upstream: Upstream, *more: str) -> Generator[Running]:
    port = free_port()
    line = " ".join(upstream.command)
    how = ["--stdio", line, "--outputTransport", "streamableHttp", "--logLevel", "none"]
    command = [*_node("supergateway", "supergateway"), *how, "--port", str(port), *more]
    with _listening(command, folder, port) as running:
        yield running


def _supergateway_stateful(folder: Path, upstream: Upstream) -> AbstractContextManager[Running]:
    return _supergateway(folder, upstream, "--stateful")


def _supergateway_stdio(folder: Path, upstream: Upstream) -> StdioStart:
    how = ["--streamableHttp", upstream.url, "--outputTransport", "stdio", "--logLevel", "none"]
    return StdioStart(command=[*_node("supergateway", "supergateway"), *how], folder=folder)
