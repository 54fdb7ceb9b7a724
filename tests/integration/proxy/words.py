"""Requests and answers of the proxy's tests, as bytes."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.integration.proxy.conftest import Answer, Arrived, Ends

PLAIN = (
    b"Host: localhost\r\nContent-Type: application/json\r\n"
    b"Accept: application/json, text/event-stream\r\n"
)
SESSION = PLAIN + b"Mcp-Session-Id: s-1\r\n"
OK = b'{"jsonrpc":"2.0","id":1,"result":{"content":[],"isError":false}}'
EVENT_STREAM = b"content-type: text/event-stream\r\n"
JSON = b"content-type: application/json\r\n"


def request(method: str, headers: bytes = PLAIN, **params: object) -> bytes:
    body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}).encode()
    length = b"Content-Length: %d\r\n\r\n" % len(body)
    return b"POST /flat/mcp HTTP/1.1\r\n" + headers + length + body


CALL = request("tools/call", name="vm_list")
LIST = request("tools/list")


def fixed(body: bytes, *, headers: bytes = JSON, status: bytes = b"200 OK") -> bytes:
    head = b"HTTP/1.1 %b\r\n%bcontent-length: %d\r\n\r\n" % (status, headers, len(body))
    return head + body


def saying(data: bytes, *, then_close: bool = False) -> Answer:
    async def answer(_: Arrived, ends: Ends) -> None:
        ends.writer.write(data)
        if then_close:
            await ends.writer.drain()
            raise EOFError

    return answer


STREAM_HEAD = b"HTTP/1.1 200 OK\r\n" + EVENT_STREAM + b"\r\n"
