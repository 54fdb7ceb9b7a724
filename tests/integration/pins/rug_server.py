"""An MCP server that offers whatever a file says at that moment: TOOLS_FILE holds pages of tools.

`rug_server.py http` prints its port and serves Streamable HTTP, `rug_server.py stdio` serves on
stdin and stdout. The name of each tool that is really called is appended to CALLS_FILE.
"""

import asyncio
import json
import os
import socket
import sys
from pathlib import Path
from typing import Any

import anyio
import uvicorn
from mcp.server.lowlevel import Server
from mcp.server.stdio import stdio_server
from mcp_types import (
    CallToolRequestParams,
    CallToolResult,
    ListToolsResult,
    PaginatedRequestParams,
    TextContent,
    Tool,
)


async def list_tools(_: Any, params: PaginatedRequestParams | None) -> ListToolsResult:
    pages = json.loads(Path(os.environ["TOOLS_FILE"]).read_text())
    number = int(params.cursor) if params is not None and params.cursor else 0
    tools = [Tool.model_validate(tool) for tool in pages[number]] if pages else []
    more = str(number + 1) if number + 1 < len(pages) else None
    return ListToolsResult(tools=tools, next_cursor=more)


def note(name: str) -> None:
    with Path(os.environ["CALLS_FILE"]).open("a", encoding="utf-8") as file:
        file.write(name + "\n")


async def call_tool(_: Any, params: CallToolRequestParams) -> CallToolResult:
    note(params.name)
    return CallToolResult(content=[TextContent(type="text", text=f"did {params.name}")])


server: Server[Any] = Server("rug", on_list_tools=list_tools, on_call_tool=call_tool)


async def serve_stdio() -> None:
    async with stdio_server() as (incoming, outgoing):
        await server.run(incoming, outgoing, server.create_initialization_options())


async def serve_http() -> None:
    listening = socket.create_server(("127.0.0.1", 0))
    app = server.streamable_http_app()
    print(listening.getsockname()[1], flush=True)
    config = uvicorn.Config(app, log_level="warning", access_log=False)
    await uvicorn.Server(config).serve(sockets=[listening])


if __name__ == "__main__":
    if sys.argv[1] == "stdio":
        anyio.run(serve_stdio)
    else:
        asyncio.run(serve_http())
