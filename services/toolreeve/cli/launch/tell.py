"""What `toolreeve up` says on the terminal: where everything is and how to use it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from msgspec import Struct
from rich.text import Text

from toolreeve.runtime.version import VERSION

if TYPE_CHECKING:
    from rich.console import Console

    from toolreeve.cli.launch.folder import Folder


class Running(Struct, frozen=True, kw_only=True):
    """Where everything listens. `token` is what a client of the user's presents, None: nothing.

    `authority` and `token_file` are what commands show to the control plane, as files.
    """

    gateway_url: str
    control: str
    query: str
    nats: str
    servers: tuple[str, ...]
    authority: str
    token_file: str
    token: str | None = None

    def server_url(self, name: str) -> str:
        """Return where a client finds a server."""
        return f"{self.gateway_url}/{name}/mcp"


def greeting(console: Console) -> None:
    """Say that something has begun, before the first wait."""
    line = Text(f"toolreeve {VERSION}", style="bold")
    line.append(" on this machine: nothing listens beyond 127.0.0.1.", style="not bold")
    console.print(line)


def parts(console: Console, running: Running, seconds: float) -> None:
    """List the parts with what each is for."""
    console.print()
    for name, where, what in (
        ("gateway", running.gateway_url, "decides and records each call, then lets it through"),
        ("nats-server", running.nats, "carries every event"),
        ("worker", running.query, "puts them into DuckDB and watches for bursts"),
        ("control", running.control, "signs policies and brings them to gateways"),
    ):
        line = Text(f"  {name:<12}", style="bold")
        line.append(f" {where:<24} {what}", style="not bold")
        console.print(line, soft_wrap=True)
    console.print(f"  Ready after {seconds:.1f} s.")


def how_to_use(console: Console, folder: Folder, running: Running) -> None:
    """Say how to connect a client, what to try, where data lies and how to stop."""
    console.print()
    if running.servers:
        _clients(console, running)
    else:
        _line(console, "Add an MCP server", f"in {folder.upstreams}, then start again.")
    console.print()
    _line(console, "Try", "toolreeve audit tail")
    _line(console, "", "toolreeve report usage")
    _line(console, "", 'toolreeve audit query "SELECT * FROM decisions ORDER BY time DESC LIMIT 5"')
    _line(console, "", "toolreeve policy publish FILE --server NAME")
    _line(console, "Data", f"{folder.root} (logs in {folder.logs.name}/)")
    _line(console, "Stop", "Ctrl-C")


def _clients(console: Console, running: Running) -> None:
    name = running.servers[0]
    url = running.server_url(name)
    entry: dict[str, object] = {"url": url}
    header = ""
    if running.token is not None:
        authorization = f"Bearer {running.token}"
        entry["headers"] = {"Authorization": authorization}
        header = f' --header "Authorization: {authorization}"'
    for one in running.servers:
        _line(console, "Server", running.server_url(one))
    if running.token is not None:
        _line(console, "Token", running.token)
    _line(console, "Claude Code", f"claude mcp add --transport http {name} {url}{header}")
    _line(console, "Cursor", f"~/.cursor/mcp.json: {_json({'mcpServers': {name: entry}})}")
    code = _json({"servers": {name: {"type": "http", **entry}}})
    _line(console, "VS Code", f".vscode/mcp.json: {code}")
    python = f'async with Client("{url}") as client: ...'
    if running.token is not None:
        python += "   # with an http_client that sends the token"
    _line(console, "MCP SDK", python)


def _json(value: object) -> str:
    return json.dumps(value)


def _line(console: Console, label: str, text: str) -> None:
    line = Text(f"  {label:<18}", style="bold")
    line.append(text, style="not bold")
    console.print(line, soft_wrap=True)
