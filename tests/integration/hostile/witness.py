"""An upstream in a process of its own that keeps a list of everything that reaches it.

It prints its port, answers each MCP request in the plainest way, and gives its list to whoever
asks for `GET /seen`. The list is the tests' witness: what is not on it did not come through.
"""

import asyncio
import json
import secrets
from typing import Any

TOOLS = [
    {"name": "vm_list", "inputSchema": {"type": "object"}},
    {
        "name": "vm_move",
        "inputSchema": {
            "type": "object",
            "properties": {"site": {"type": "string", "x-mcp-header": "Site"}},
        },
    },
]
INTRODUCTION: dict[str, Any] = {
    "capabilities": {"tools": {}},
    "serverInfo": {"name": "witness", "version": "1"},
}
SEEN: list[dict[str, Any]] = []


def answer_to(message: dict[str, Any]) -> dict[str, Any] | None:
    method, number = message.get("method"), message.get("id")
    if method is None or number is None:
        return None
    result: dict[str, Any] = {}
    if method == "tools/list":
        result = {"tools": TOOLS, "resultType": "complete", "ttlMs": 0, "cacheScope": "private"}
    elif method == "tools/call":
        content = [{"type": "text", "text": "done"}]
        result = {"content": content, "isError": False, "resultType": "complete"}
    elif method == "initialize":
        result = {"protocolVersion": "2025-11-25", **INTRODUCTION}
    elif method == "server/discover":
        result = {"supportedVersions": ["2026-07-28", "2025-11-25"], **INTRODUCTION}
    return {"jsonrpc": "2.0", "id": number, "result": result}


def respond(method: str, target: str, headers: dict[str, str], body: bytes) -> tuple[bytes, bytes]:
    """Extra header lines and a body."""
    if target == "/seen":
        return b"", json.dumps(SEEN).encode()
    SEEN.append({"method": method, "headers": headers, "body": body.decode("utf-8", "replace")})
    if method != "POST":
        return b"", b""
    message = json.loads(body)
    answer = answer_to(message)
    if answer is None:
        return b"", b""
    more = b""
    if message["method"] == "initialize":
        more = b"Mcp-Session-Id: %b\r\n" % secrets.token_hex(8).encode()
    return more, json.dumps(answer).encode()


async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while True:
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
            method, target, _ = head[0].split(" ", 2)
            pairs = (line.partition(": ") for line in head[1:] if line)
            headers = {name.lower(): value for name, _, value in pairs}
            body = await reader.readexactly(int(headers.get("content-length", "0")))
            more, said = respond(method, target, headers, body)
            status = b"200 OK" if said else b"202 Accepted"
            writer.write(
                b"HTTP/1.1 %b\r\nContent-Type: application/json\r\n%bContent-Length: %d\r\n\r\n%b"
                % (status, more, len(said), said)
            )
            await writer.drain()
    except (OSError, EOFError):
        pass
    finally:
        writer.close()


async def main() -> None:
    server = await asyncio.start_server(serve, "127.0.0.1", 0, limit=1 << 24)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
