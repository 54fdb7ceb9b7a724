"""A small MCP server over an imaginary hypervisor, run as a process of its own.

`flat_server.py http [json]` prints its port and serves Streamable HTTP; `flat_server.py stdio`
serves on stdin and stdout. Every call it really receives is appended, one line each, to the file
that SEEN_FILE names: the tests' witness that something did or did not come through.
"""

import asyncio
import os
import socket
import sys
from pathlib import Path

import anyio
import uvicorn
from mcp.server import MCPServer
from mcp.server.mcpserver import Context
from mcp.server.streamable_http import EventCallback, EventMessage, EventStore
from mcp_types import CallToolResult, JSONRPCMessage, TextContent

mcp = MCPServer("flat")


def witness(line: str) -> None:
    seen = os.environ.get("SEEN_FILE")
    if seen:
        with Path(seen).open("a", encoding="utf-8") as file:
            file.write(line + "\n")


@mcp.tool()
def vm_list() -> list[str]:
    """List the machines."""
    witness("vm_list")
    return ["web", "db"]


@mcp.tool()
def vm_restart(id: int) -> str:  # noqa: A002  # the argument's name on the wire
    """Restart one machine."""
    witness(f"vm_restart {id}")
    return f"restarted {id}"


@mcp.tool()
async def vm_backup(id: int, ctx: Context) -> str:  # noqa: A002
    """Take long and say how far it is."""
    witness(f"vm_backup {id}")
    for step in (1, 2, 3):
        await ctx.report_progress(step, 3, f"step {step}")
    return f"backed up {id}"


@mcp.tool()
async def vm_wait(id: int, ctx: Context) -> str:  # noqa: A002
    """Never end by itself; say so when cancelled."""
    witness(f"vm_wait {id}")
    await ctx.report_progress(1, 2, "waiting")
    try:
        await asyncio.Event().wait()
    except asyncio.CancelledError:
        witness(f"cancelled {id}")
        raise
    return "never"


@mcp.tool()
def fails_by_flag() -> CallToolResult:
    """Fail the way the protocol means it."""
    return CallToolResult(content=[TextContent(type="text", text="no such machine")], is_error=True)


@mcp.tool()
def fails_by_raising() -> str:
    """Fail with an exception."""
    raise ValueError("the hypervisor is away")


@mcp.tool()
def fails_inside_success() -> dict[str, object]:
    """Fail with a result that calls itself a success."""
    return {"success": False, "error": "quota"}


@mcp.tool()
async def asks_the_client(ctx: Context) -> str:
    """Send a request to the client in the middle of a call."""
    roots = await ctx.session.list_roots()  # pyright: ignore[reportDeprecated]  # of the older era
    return f"{len(roots.roots)} roots"


@mcp.tool()
def big(size: int) -> str:
    """Answer with that many characters."""
    return "x" * size


@mcp.tool()
async def changes_the_tools(ctx: Context) -> str:
    """Tell subscribers that the list of tools is another one."""
    await ctx.notify_tools_changed()
    return "changed"


@mcp.tool()
async def breaks_off(ctx: Context) -> str:
    """Close the stream of its own answer, and answer when the client has come back for it."""
    await ctx.close_sse_stream()
    return "after the break"


@mcp.resource("vm:///{name}")
def machine(name: str) -> str:
    return f"machine {name}"


@mcp.prompt()
def greet(name: str) -> str:
    return f"hello {name}"


class Events(EventStore):
    """Everything that was said on any stream, so that a client may come back for it."""

    def __init__(self) -> None:
        self.said: list[tuple[str, JSONRPCMessage | None]] = []

    async def store_event(self, stream_id: str, message: JSONRPCMessage | None) -> str:
        self.said.append((stream_id, message))
        return str(len(self.said))

    async def replay_events_after(
        self, last_event_id: str, send_callback: EventCallback
    ) -> str | None:
        seen = int(last_event_id)
        stream = self.said[seen - 1][0]
        for number, (owner, message) in enumerate(self.said[seen:], start=seen + 1):
            if owner == stream and message is not None:
                await send_callback(EventMessage(message, str(number)))
        return stream


async def serve_http(*, json: bool) -> None:
    # Named as TCP, or asyncio would leave Nagle's algorithm on.
    listening = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listening.bind(("127.0.0.1", 0))
    listening.listen()
    app = mcp.streamable_http_app(
        json_response=json, event_store=None if json else Events(), retry_interval=50
    )
    server = uvicorn.Server(uvicorn.Config(app, log_level="warning", access_log=False))
    print(listening.getsockname()[1], flush=True)
    await server.serve(sockets=[listening])


def main() -> None:
    if sys.argv[1] == "stdio":
        print("flat server is up", file=sys.stderr, flush=True)
        anyio.run(mcp.run_stdio_async)
    else:
        asyncio.run(serve_http(json=sys.argv[2:] == ["json"]))


if __name__ == "__main__":
    main()
