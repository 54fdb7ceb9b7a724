"""An MCP server that offers all there is to offer, as the conformance suite wants to find it.

`python -m tests.conformance.everything http [json]` prints its port; `... stdio` serves on pipes;
`... warm SOCKET` prints a line and is a server on stdio for everyone who runs `join.py SOCKET`.
Tools, prompts and resources carry the names and the texts that the suite's scenarios ask for. It
speaks both protocol eras, each with the client that opens with it.
"""

import asyncio
import json
import os
import signal
import socket
import sys
from typing import Any

import uvicorn
from mcp.server.stdio import stdio_server
from mcp.server.streamable_http import EventCallback, EventMessage, EventStore
from mcp_types import JSONRPCMessage
from tests.conformance.everything.server import everything


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


async def serve_http(*, as_json: bool) -> None:
    # Named as TCP, or asyncio would leave Nagle's algorithm on.
    listening = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listening.bind(("127.0.0.1", 0))
    listening.listen()
    app: Any = everything().streamable_http_app(
        json_response=as_json, event_store=None if as_json else Events(), retry_interval=100
    )
    server = uvicorn.Server(uvicorn.Config(app, http="h11", log_level="warning", access_log=False))
    print(listening.getsockname()[1], flush=True)
    await server.serve(sockets=[listening])


async def serve_stdio() -> None:
    server = everything()
    async with stdio_server() as (read, write):
        await server.run(read, write, server.create_initialization_options())


def serve_warm(path: str) -> None:
    """Fork a server for each who comes, onto the descriptors they hand over."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for them
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listening:
        listening.bind(path)
        listening.listen(64)
        print("warm", flush=True)
        while True:
            connection, _ = listening.accept()
            if os.fork() == 0:
                listening.close()
                break
            connection.close()
    told, descriptors, *_ = socket.recv_fds(connection, 65_536, 3)
    os.environ.update(json.loads(told))
    for number, descriptor in enumerate(descriptors):
        os.dup2(descriptor, number)
        os.close(descriptor)
    asyncio.run(serve_stdio())
    os._exit(0)


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["stdio"]:
            asyncio.run(serve_stdio())
        case ["warm", where]:
            serve_warm(where)
        case ["http", *form]:
            asyncio.run(serve_http(as_json=form == ["json"]))
        case _:
            sys.exit("say http, stdio or warm SOCKET")
