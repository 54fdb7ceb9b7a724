"""Servers and clients played by hand: each says messages and keeps what it hears."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any

from toolreeve.proxy.shapes import is_object

STATELESS = "2026-07-28"
SESSION = "2025-11-25"
Message = dict[str, Any]


class HttpServer:
    """A hand-made upstream. Requests wait until they are answered; GET streams stay open."""

    def __init__(self) -> None:
        self.heard: asyncio.Queue[Message] = asyncio.Queue()
        self.heads: list[bytes] = []
        self.listening = asyncio.Event()  # a GET stream is open
        self.session = "s-1"
        self.url = ""
        self._waiting: dict[object, asyncio.StreamWriter] = {}
        self._begun: set[object] = set()
        self._listener: asyncio.StreamWriter | None = None
        self.left: list[object] = []  # requests whose client went away

    async def say(self, raw: bytes, *, on: object = None) -> None:
        message: object = json.loads(raw)
        number = message.get("id") if is_object(message) else None
        known = isinstance(number, str | int) and number in self._waiting
        answers = number if known and is_object(message) and "method" not in message else None
        target = answers if answers is not None else on
        if target is None:
            await asyncio.wait_for(self.listening.wait(), 5)
            assert self._listener is not None
            await self._event(self._listener, raw)
            return
        writer = self._waiting[target]
        if answers is None:
            await self._begin(target, writer)
            await self._event(writer, raw)
            return
        del self._waiting[target]
        if target in self._begun:
            await self._event(writer, raw)
            writer.close()
        else:
            writer.write(
                b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nmcp-session-id: %b\r\n"
                b"connection: close\r\ncontent-length: %d\r\n\r\n%b"
                % (self.session.encode(), len(raw), raw)
            )
            await writer.drain()
            writer.close()

    async def say_event(self, event: bytes, *, on: object) -> None:
        """Put an event, as it is, on the stream of the request `on`."""
        await self._begin(on, self._waiting[on])
        self._waiting[on].write(event)

    async def close_stream(self, on: object) -> None:
        """End the stream of the request `on` without an answer."""
        self._waiting.pop(on).close()

    async def _begin(self, target: object, writer: asyncio.StreamWriter) -> None:
        if target not in self._begun:
            self._begun.add(target)
            writer.write(
                b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n"
                b"mcp-session-id: %b\r\n\r\n" % self.session.encode()
            )

    async def _event(self, writer: asyncio.StreamWriter, raw: bytes) -> None:
        writer.write(b"event: message\r\ndata: " + raw + b"\r\n\r\n")
        await writer.drain()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, EOFError, asyncio.CancelledError):
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                self.heads.append(head)
                if head.startswith(b"GET"):
                    writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n")
                    writer.write(b": here\n\n")
                    self._listener = writer
                    self.listening.set()
                    await reader.read(1)
                    break
                body = await reader.readexactly(_length(head))
                if not body:  # DELETE
                    writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")
                    continue
                message: Message = json.loads(body)
                await self._take(message, writer)
                if "id" in message and "method" in message:
                    gone = await reader.read(1) == b"" and message["id"] in self._waiting
                    if gone:
                        self.left.append(message["id"])
                    break
        writer.close()

    async def _take(self, message: Message, writer: asyncio.StreamWriter) -> None:
        if "id" in message and "method" in message:
            self._waiting[message["id"]] = writer
        else:
            writer.write(b"HTTP/1.1 202 Accepted\r\ncontent-length: 0\r\n\r\n")
        await self.heard.put(message)


class PuppetServer:
    """A server on stdio, its strings in our hands. Every process of it is the same server."""

    def __init__(self) -> None:
        self.heard: asyncio.Queue[Message] = asyncio.Queue()
        self.port = 0
        self._strings: asyncio.StreamWriter | None = None

    async def say(self, raw: bytes, *, on: object = None) -> None:
        assert self._strings is not None
        self._strings.write(raw + b"\n")
        await self._strings.drain()

    def deafen(self) -> None:
        """Read nothing any more."""
        assert self._strings is not None
        transport = self._strings.transport
        assert isinstance(transport, asyncio.Transport)
        transport.pause_reading()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._strings = writer
        with contextlib.suppress(OSError, asyncio.CancelledError):
            while line := await reader.readline():
                await self.heard.put(json.loads(line))
        writer.close()


class HttpClient:
    """A client that posts each message on a connection of its own."""

    def __init__(
        self, port: int, era: str, tasks: Callable[[Coroutine[Any, Any, None]], asyncio.Task[None]]
    ) -> None:
        self.heard: asyncio.Queue[bytes] = asyncio.Queue()
        self.events: list[bytes] = []  # raw, as they stood in the streams
        self.session = ""
        self.statuses: list[int] = []
        self.more_headers: list[bytes] = []
        self._begun = asyncio.Event()
        self._port = port
        self._era = era
        self._spawn = tasks
        self._stream: asyncio.Task[None] | None = None
        self._posts: list[asyncio.Task[None]] = []

    async def say(self, message: Message) -> None:
        taken = asyncio.Event()
        self._posts.append(self._spawn(self.post(message, taken)))
        if "id" not in message or "method" not in message:
            await taken.wait()

    async def post(self, message: Message, taken: asyncio.Event) -> None:
        headers = [b"Content-Type: application/json", *self.more_headers]
        if self._era == STATELESS:
            headers += [
                b"MCP-Protocol-Version: " + STATELESS.encode(),
                b"Mcp-Method: " + message["method"].encode(),
            ]
            params: Message = message.get("params", {})
            if message["method"] in ("tools/call", "prompts/get", "resources/read"):
                named = str(params.get("name", params.get("uri")))
                headers.append(b"Mcp-Name: " + named.encode())
        elif message.get("method") != "initialize" and self._era >= "2025-06-18":
            headers.append(b"MCP-Protocol-Version: " + self._era.encode())
        await self.request(b"POST", headers, json.dumps(message).encode(), taken)

    async def listen(self, *, last: str = "") -> None:
        """Open the stream for what belongs to no request."""
        headers = [b"Last-Event-ID: " + last.encode()] if last else []
        status = 409
        while status == 409:  # the one before has not been noticed to be gone
            opened = asyncio.Event()
            self._stream = self._spawn(self.request(b"GET", headers, b"", opened))
            await asyncio.wait_for(opened.wait(), 5)
            status = self.statuses[-1]

    async def leave(self) -> None:
        """Go away from that stream."""
        assert self._stream is not None
        self._stream.cancel()
        await asyncio.wait([self._stream])

    async def until_answering(self) -> None:
        """Wait until the first answer has begun."""
        await asyncio.wait_for(self._begun.wait(), 5)

    async def all_answered(self) -> None:
        """Wait until no request's stream is open any more."""
        await asyncio.wait(self._posts)

    async def request(
        self, method: bytes, headers: list[bytes], body: bytes, taken: asyncio.Event
    ) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
        if self.session:
            headers = [*headers, b"Mcp-Session-Id: " + self.session.encode()]
        try:
            writer.write(
                b"\r\n".join(
                    (
                        method + b" /flat/mcp HTTP/1.1",
                        b"Host: localhost",
                        b"Accept: application/json, text/event-stream",
                        b"Content-Length: %d" % len(body),
                        *headers,
                        b"",
                        body,
                    )
                )
            )
            head = await reader.readuntil(b"\r\n\r\n")
            self.statuses.append(int(head.split()[1]))
            self._begun.set()
            found = _header(head, b"mcp-session-id")
            self.session = self.session or found
            if b"text/event-stream" not in head:
                whole = await reader.readexactly(_length(head))
                if whole and method == b"POST":
                    await self.heard.put(whole)
                taken.set()
                return
            taken.set()
            async for event in _events(reader):
                self.events.append(event)
                data = _data(event)
                if data:
                    await self.heard.put(data)
        finally:
            writer.close()


class StdioClient:
    """A client in front of `toolreeve wrap`."""

    def __init__(self, to: int, back: int) -> None:
        self.heard: asyncio.Queue[bytes] = asyncio.Queue()
        self._to = to
        self._back = back

    async def say(self, message: Message) -> None:
        await asyncio.to_thread(os.write, self._to, json.dumps(message).encode() + b"\n")

    async def read(self) -> None:
        rest = b""
        while data := await asyncio.to_thread(os.read, self._back, 65536):
            *lines, rest = (rest + data).split(b"\n")
            for line in lines:
                await self.heard.put(line)


async def _events(reader: asyncio.StreamReader) -> AsyncIterator[bytes]:
    rest = b""
    with contextlib.suppress(asyncio.IncompleteReadError):
        while size := int(await reader.readline() or b"0", 16):
            rest += await reader.readexactly(size)
            await reader.readexactly(2)
            *whole, rest = rest.replace(b"\r\n", b"\n").split(b"\n\n")
            for event in whole:
                yield event


def unchunked(answer: bytes) -> bytes:
    """The body of an answer that came in chunks."""
    whole, rest = b"", answer.partition(b"\r\n\r\n")[2]
    while rest:
        size, _, rest = rest.partition(b"\r\n")
        count = int(size, 16)
        whole, rest = whole + rest[:count], rest[count + 2 :]
    return whole


def _data(event: bytes) -> bytes:
    lines = event.split(b"\n")
    return b"\n".join(line[5:].removeprefix(b" ") for line in lines if line.startswith(b"data:"))


def _header(head: bytes, name: bytes) -> str:
    for line in head.split(b"\r\n"):
        key, _, value = line.partition(b": ")
        if key.lower() == name:
            return value.decode()
    return ""


def _length(head: bytes) -> int:
    return int(_header(head, b"content-length") or 0)
