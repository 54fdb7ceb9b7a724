"""An upstream that takes its time when it is asked to, and holds streams open: for the soak.

A `tools/call` with `wait_ms` in its arguments is answered so much later, unless it is cancelled;
`subscriptions/listen` and a GET stay open and say something every second. Everything else is
answered as by the raw upstream. Over HTTP it prints its port; a call whose client has gone is
given up, as servers do.

    python benchmarks/parts/patient_server.py --http | --stdio
"""

import asyncio
import os
import re
import sys
from collections.abc import Coroutine
from typing import cast

import msgspec

sys.path[0] += "/.."  # run as a program: `parts` is a package in the folder above

from parts.raw_answers import Answers, Request

WAIT = re.compile(rb'"wait_ms":\s*(\d+)')
CANCELLED = re.compile(rb'"requestId":\s*("[^"]*"|\d+)')
LENGTH = re.compile(rb"content-length:\s*(\d+)", re.IGNORECASE)
SIGN_OF_LIFE_SECONDS = 1.0
EVENTS = (
    b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncache-control: no-store\r\n"
    b"transfer-encoding: chunked\r\n\r\n"
)
ANSWERS = Answers(3)
DECODER = msgspec.json.Decoder(Request)


def acknowledged(request_id: bytes) -> bytes:
    return (
        b'{"jsonrpc":"2.0","method":"notifications/subscriptions/acknowledged","params":'
        b'{"_meta":{"io.modelcontextprotocol/subscriptionId":%b},"notifications":{}}}'
    ) % request_id


def changed(request_id: bytes) -> bytes:
    meta = b""
    if request_id:
        meta = b',"params":{"_meta":{"io.modelcontextprotocol/subscriptionId":%b}}' % request_id
    return b'{"jsonrpc":"2.0","method":"notifications/tools/list_changed"%b}' % meta


class HttpSide(asyncio.Protocol):
    """One connection; one request at a time on it."""

    sessions = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._rest = b""
        self._task: asyncio.Task[None] | None = None

    def connection_lost(self, exc: Exception | None) -> None:
        del exc
        if self._task is not None:
            self._task.cancel()

    def data_received(self, data: bytes) -> None:
        self._rest += data
        end = self._rest.find(b"\r\n\r\n")
        if end < 0:
            return
        found = LENGTH.search(self._rest, 0, end)
        whole = end + 4 + (int(found.group(1)) if found else 0)
        if len(self._rest) < whole:
            return
        method, body = self._rest[:4], self._rest[end + 4 : whole]
        self._rest = self._rest[whole:]
        if method == b"GET ":
            self._later(self._stream(b""))
        elif method != b"POST":
            self._transport.write(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")
        elif b'"subscriptions/listen"' in body:
            self._later(self._stream(bytes(DECODER.decode(body).id)))
        elif (wait := WAIT.search(body)) is not None:
            self._later(self._answer_later(int(wait.group(1)) / 1e3, body))
        else:
            self._answer(body)

    def _later(self, work: Coroutine[None, None, None]) -> None:
        self._task = asyncio.get_running_loop().create_task(work)

    async def _answer_later(self, seconds: float, body: bytes) -> None:
        await asyncio.sleep(seconds)
        self._answer(body)

    def _answer(self, body: bytes) -> None:
        answer = ANSWERS.to(body)
        if answer is None:
            self._transport.write(b"HTTP/1.1 202 Accepted\r\ncontent-length: 0\r\n\r\n")
            return
        session = b""
        if b'"initialize"' in body:
            HttpSide.sessions += 1
            session = b"mcp-session-id: patient-%d\r\n" % HttpSide.sessions
        head = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n%b\r\n"
        self._transport.write(head % (len(answer), session) + answer)

    async def _stream(self, request_id: bytes) -> None:
        self._transport.write(EVENTS)
        if request_id:
            self._event(acknowledged(request_id))
        while True:
            self._event(changed(request_id))
            await asyncio.sleep(SIGN_OF_LIFE_SECONDS)

    def _event(self, message: bytes) -> None:
        event = b"event: message\r\ndata: %b\r\n\r\n" % message
        self._transport.write(b"%x\r\n%b\r\n" % (len(event), event))


class StdioSide:
    """Lines in, lines out; what takes its time does so beside the rest."""

    def __init__(self) -> None:
        self._under_way: dict[bytes, asyncio.Task[None]] = {}

    async def serve(self, lines: asyncio.StreamReader) -> None:
        while line := await lines.readline():
            request = DECODER.decode(line)
            request_id = bytes(request.id)
            if request.method == "notifications/cancelled":
                found = CANCELLED.search(line)
                task = self._under_way.pop(found.group(1), None) if found else None
                if task is not None:
                    task.cancel()
            elif request.method == "subscriptions/listen":
                self._begin(request_id, self._listen(request_id))
            elif (wait := WAIT.search(line)) is not None:
                self._begin(request_id, self._answer_later(int(wait.group(1)) / 1e3, line))
            else:
                self._write(ANSWERS.to(line))

    def _begin(self, request_id: bytes, work: Coroutine[None, None, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._under_way[request_id] = task
        task.add_done_callback(lambda _: self._under_way.pop(request_id, None))

    async def _answer_later(self, seconds: float, line: bytes) -> None:
        await asyncio.sleep(seconds)
        self._write(ANSWERS.to(line))

    async def _listen(self, request_id: bytes) -> None:
        self._write(acknowledged(request_id))
        while True:
            self._write(changed(request_id))
            await asyncio.sleep(SIGN_OF_LIFE_SECONDS)

    def _write(self, message: bytes | None) -> None:
        if message is not None:
            left = memoryview(message + b"\n")
            while left:
                left = left[os.write(1, left) :]


async def serve_http() -> None:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(HttpSide, "127.0.0.1", 0, backlog=4096)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


async def serve_stdio() -> None:
    loop = asyncio.get_running_loop()
    lines = asyncio.StreamReader(limit=1 << 24)
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin.buffer)
    await StdioSide().serve(lines)


if __name__ == "__main__":
    asyncio.run(serve_stdio() if "--stdio" in sys.argv else serve_http())
