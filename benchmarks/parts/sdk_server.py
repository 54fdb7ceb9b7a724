"""An upstream as a user would write one: the MCP SDK for Python, on uvicorn or on stdio.

    python benchmarks/parts/sdk_server.py --answers json|sse|stdio [--tools N]

Over HTTP it prints its port. The called tool answers with the note it was given.
"""

import argparse
import socket
import sys
from typing import Any

from mcp.server import MCPServer

sys.path[0] += "/.."  # run as a program: `parts` is a package in the folder above

from parts.raw_answers import DESCRIPTION, tools


def truenas(category: str, action: str, params: dict[str, Any]) -> str:
    """Run one operation."""
    del category, action
    return str(params["note"])


def build(count: int) -> MCPServer[Any]:
    server: MCPServer[Any] = MCPServer("sdk", version="1", log_level="ERROR")
    for tool in tools(count):
        name = str(tool["name"])
        server.add_tool(truenas, name=name, description=DESCRIPTION, structured_output=False)
    return server


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--tools", type=int, default=3)
    parser.add_argument("--answers", choices=("json", "sse", "stdio"), default="json")
    options = parser.parse_args()
    server = build(options.tools)
    if options.answers == "stdio":
        server.run("stdio")
        return
    import uvicorn

    listener = socket.create_server(("127.0.0.1", 0), backlog=4096)
    print(listener.getsockname()[1], flush=True)
    app = server.streamable_http_app(json_response=options.answers == "json")
    config = uvicorn.Config(app, log_level="error", access_log=False, backlog=4096)
    uvicorn.Server(config).run(sockets=[listener])


if __name__ == "__main__":
    main()
