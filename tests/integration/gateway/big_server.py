"""`big_server.py`: an MCP server whose answer to any call is as long as the call says.

It prints its port, and speaks the stateless era at `/new` and the era of sessions at `/old`.
`arguments` hold `megabytes`, `form` (json or stream) and `first` (the member of
the answer that comes first); the text is pseudo-random, so that a piece in the wrong place shows.
"""

import asyncio
import json
import random
from typing import Any

PIECE = random.Random(1).randbytes(128 * 1024).hex().encode()  # a quarter of a megabyte


def text(megabytes: int) -> list[bytes]:
    return [PIECE] * (megabytes * 4)


async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while True:
            head = await reader.readuntil(b"\r\n\r\n")
            lines = head.decode().lower().split("\r\n")
            length = next(int(line[15:]) for line in lines if line.startswith("content-length:"))
            message: dict[str, Any] = json.loads(await reader.readexactly(length))
            if message["method"] == "tools/call":
                await answer(message, writer)
            elif head.startswith(b"POST /new") and message["method"] == "server/discover":
                writer.write(discovered(message["id"]))
            else:
                writer.write(b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n")
    except (OSError, EOFError):
        pass
    finally:
        writer.close()


def discovered(number: object) -> bytes:
    result: dict[str, Any] = {
        "resultType": "complete",
        "supportedVersions": ["2026-07-28"],
        "capabilities": {"tools": {}},
        "serverInfo": {"name": "big", "version": "1"},
    }
    body = json.dumps({"jsonrpc": "2.0", "id": number, "result": result}).encode()
    head = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n"
    return head % len(body) + body


async def answer(message: dict[str, Any], writer: asyncio.StreamWriter) -> None:
    asked = message["params"]["arguments"]
    number = b'"jsonrpc":"2.0","id":%d' % message["id"]
    opening, closing = (
        b'"result":{"content":[{"type":"text","text":"',
        b'"}],"resultType":"complete"}',
    )
    if asked["first"] == "id":
        opening = number + b"," + opening
    else:
        closing += b"," + number
    body = [b"{" + opening, *text(asked["megabytes"]), closing + b"}"]
    if asked["form"] == "json":
        size = sum(len(piece) for piece in body)
        media = b"content-type: application/json\r\ncontent-length: %d" % size
    else:
        body = [b"event: message\r\ndata: ", *body, b"\r\n\r\n"]
        media = b"content-type: text/event-stream\r\nconnection: close"
    writer.write(b"HTTP/1.1 200 OK\r\n" + media + b"\r\n\r\n")
    for piece in body:
        writer.write(piece)
        await writer.drain()
    if asked["form"] == "stream":
        raise EOFError


async def main() -> None:
    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
