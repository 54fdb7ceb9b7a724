"""How a demo server is started: over stdio or Streamable HTTP, writing down what reaches it."""

from __future__ import annotations

import argparse
import json
import os
import socket
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from mcp.server import MCPServer
    from mcp.server.context import CallNext, HandlerResult, ServerRequestContext


class SeenCall(msgspec.Struct, frozen=True):
    """A tool call as it arrived, before the server looked at it."""

    tool: Any
    arguments: dict[str, Any] | None


class CallBook:
    """The tool calls that reached a server, in order; in a file too, one JSON line each."""

    def __init__(self, path: Path | None = None) -> None:
        self.calls: list[SeenCall] = []
        self._path = path

    async def middleware(
        self, ctx: ServerRequestContext[Any, Any], call_next: CallNext
    ) -> HandlerResult:
        """Write down a tools/call, then let the server see it."""
        if ctx.method == "tools/call":
            params = ctx.params or {}
            self.note(SeenCall(params.get("name"), params.get("arguments")))
        return await call_next(ctx)

    def note(self, call: SeenCall) -> None:
        """Add one call."""
        self.calls.append(call)
        if self._path is not None:
            with self._path.open("ab") as file:
                file.write(msgspec.json.encode(call) + b"\n")


def read_calls(path: Path) -> list[SeenCall]:
    """Return what a CallBook wrote to `path`; nothing where no call has come yet."""
    if not path.exists():
        return []
    return msgspec.json.Decoder(SeenCall).decode_lines(path.read_bytes())


def serve(
    build: Callable[[CallBook], MCPServer[Any]], arguments: Sequence[str] | None = None
) -> None:
    """Run one demo server until its input ends (stdio) or a signal comes (HTTP)."""
    options = _options(arguments)
    book = CallBook(options.calls)
    server = build(book)
    if options.stdio:
        server.run("stdio")
    else:
        _serve_http(server, options.port, options.ready_file)


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="A demo MCP server over an in-memory hypervisor.")
    transport = parser.add_mutually_exclusive_group(required=True)
    transport.add_argument("--stdio", action="store_true", help="talk over stdin and stdout")
    transport.add_argument("--http", action="store_true", help="serve /mcp on 127.0.0.1")
    parser.add_argument("--port", type=int, default=0, help="with --http; 0 takes a free one")
    parser.add_argument("--ready-file", type=Path, help="with --http: written with the URL")
    parser.add_argument("--calls", type=Path, help="append each call that arrives to this file")
    return parser.parse_args(arguments)


def _serve_http(server: MCPServer[Any], port: int, ready_file: Path | None) -> None:
    import uvicorn

    listener = socket.create_server(("127.0.0.1", port))
    bound: int = listener.getsockname()[1]
    url = f"http://127.0.0.1:{bound}/mcp"
    config = uvicorn.Config(server.streamable_http_app(), log_level="warning", access_log=False)
    if ready_file is not None:  # the socket listens already: a client that comes early waits
        fresh = ready_file.with_name(ready_file.name + ".new")
        fresh.write_text(
            json.dumps({"url": url, "port": bound, "pid": os.getpid()}) + "\n", encoding="utf-8"
        )
        fresh.replace(ready_file)
    else:
        print(url, file=sys.stderr, flush=True)
    uvicorn.Server(config).run(sockets=[listener])
