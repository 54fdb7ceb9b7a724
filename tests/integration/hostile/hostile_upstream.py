"""An upstream that answers as the corpus says: `hostile_upstream.py http` prints its port.

Which case is meant stands in the header `X-Case` over HTTP, and is the tool's name over stdio; any
other request is answered in the plainest way. `hostile_upstream.py stdio` serves on its pipes.
"""

import asyncio
import json
import os
import sys
from typing import Any

from tests.integration.hostile.cases import STATELESS, Answer, Piece, answer_bytes, read_cases

PLAIN = Answer(name="plain", body=["@OK"], says=[["@OK"]])
WHO = {"name": "hostile", "version": "1"}
DISCOVERED: list[Piece] = [
    '{"jsonrpc":"2.0","id":@ID,"result":'
    + json.dumps(
        {"supportedVersions": [STATELESS], "capabilities": {"tools": {}}, "serverInfo": WHO}
    )
    + "}"
]


def head(case: Answer, length: int | None) -> bytes:
    lines = [case.line, *case.headers]
    if length is not None:
        lines.append(f"Content-Length: {length}")
    return "\r\n".join([*lines, "", ""]).encode("latin-1")


def beginning(case: Answer, number: object) -> bytes:
    """What is sent first."""
    if case.raw is not None:
        return answer_bytes(case.raw, number)
    if case.events is not None:
        lines = [case.line, "Content-Type: text/event-stream", "", ""]
        events = [b"data: " + answer_bytes(one, number) + b"\n\n" for one in case.events]
        return "\r\n".join(lines).encode() + b"".join(events)
    body = answer_bytes(case.body, number)
    return head(case, None if case.then in ("close", "repeat") else len(body)) + body


async def answer(case: Answer, number: object, writer: asyncio.StreamWriter) -> None:
    writer.write(beginning(case, number))
    await writer.drain()
    again = answer_bytes(case.again, number)
    while case.then == "repeat":
        writer.write(again)
        await writer.drain()
        if len(again) < 64:
            await asyncio.sleep(0.02)  # a drip, which is never to end
    if case.then == "wait":
        await asyncio.sleep(3600)
    if case.then == "close" or case.events is not None:
        raise EOFError


async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    cases = {case.name: case for case in read_cases("upstream_http.jsonl", Answer)}
    try:
        while True:
            lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
            pairs = (line.partition(": ") for line in lines[1:] if line)
            headers = {name.lower(): value for name, _, value in pairs}
            body = await reader.readexactly(int(headers.get("content-length", "0")))
            message: dict[str, Any] = json.loads(body or b"{}")
            case = cases.get(headers.get("x-case", ""), PLAIN)
            await answer(case, message.get("id"), writer)
    except (OSError, EOFError):
        pass
    finally:
        writer.close()


async def serve_http() -> None:
    server = await asyncio.start_server(serve, "127.0.0.1", 0, limit=1 << 24)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


def serve_stdio() -> None:
    cases = {case.name: case for case in read_cases("upstream_stdio.jsonl", Answer)}
    for line in sys.stdin.buffer:
        message = json.loads(line)
        number, params = message.get("id"), message.get("params", {})
        case = cases.get(params.get("name", params.get("cursor", "")), PLAIN)
        if "method" not in message or number is None:
            continue
        if message["method"] == "server/discover":
            case = Answer(name="discovered", says=[DISCOVERED])
        for says in case.says:
            sys.stdout.buffer.write(answer_bytes(says, number) + b"\n")
        if case.raw is not None:
            sys.stdout.buffer.write(answer_bytes(case.raw, number))
        sys.stdout.buffer.flush()
        again = answer_bytes(case.again, number)
        while case.then == "repeat":
            sys.stdout.buffer.write(again + b"\n")
            sys.stdout.buffer.flush()
        while case.then == "pour":
            sys.stdout.buffer.write(again)
            sys.stdout.buffer.flush()
        if case.then == "close":
            os._exit(3)


if __name__ == "__main__":
    if sys.argv[1] == "stdio":
        serve_stdio()
    else:
        asyncio.run(serve_http())
