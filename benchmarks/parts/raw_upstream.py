"""A raw upstream over HTTP: answers in about ten microseconds, so that it is never the limit.

Speaks as much HTTP as the benchmark needs: bodies have a content length. Prints its port.

    python benchmarks/parts/raw_upstream.py [--tools N] [--answers json|sse] [--stateless]
"""

import argparse
import asyncio
import re
import sys
from typing import cast

sys.path[0] += "/.."  # run as a program: `parts` is a package in the folder above

from parts.raw_answers import Answers

LENGTH = re.compile(rb"content-length:\s*(\d+)", re.IGNORECASE)
SESSION = b"mcp-session-id: raw-1\r\n"


class RawUpstream(asyncio.Protocol):
    """One connection. Requests may come in pieces; they are answered in their order."""

    answers: Answers
    events = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.WriteTransport", transport)
        self._rest = b""

    def data_received(self, data: bytes) -> None:
        self._rest += data
        while True:
            end = self._rest.find(b"\r\n\r\n")
            if end < 0:
                return
            found = LENGTH.search(self._rest, 0, end)
            whole = end + 4 + (int(found.group(1)) if found else 0)
            if len(self._rest) < whole:
                return
            self._answer(self._rest[:4], self._rest[end + 4 : whole])
            self._rest = self._rest[whole:]

    def _answer(self, method: bytes, body: bytes) -> None:
        if method != b"POST":
            status = b"405 Method Not Allowed" if method == b"GET " else b"200 OK"
            self._transport.write(b"HTTP/1.1 %b\r\ncontent-length: 0\r\n\r\n" % status)
            return
        answer = self.answers.to(body)
        if answer is None:
            self._transport.write(b"HTTP/1.1 202 Accepted\r\ncontent-length: 0\r\n\r\n")
            return
        session = SESSION if b'"initialize"' in body[:4096] else b""
        if self.events:
            event = b"event: message\r\ndata: %b\r\n\r\n" % answer
            head = (
                b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncache-control: no-store\r\n"
                b"transfer-encoding: chunked\r\n%b\r\n%x\r\n%b\r\n0\r\n\r\n"
            )
            self._transport.write(head % (session, len(event), event))
            return
        head = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n%b\r\n"
        self._transport.write(head % (len(answer), session) + answer)


async def serve(tools: int, *, events: bool, stateless: bool) -> None:
    RawUpstream.answers = Answers(tools, stateless=stateless)
    RawUpstream.events = events
    loop = asyncio.get_running_loop()
    server = await loop.create_server(RawUpstream, "127.0.0.1", 0, backlog=4096)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tools", type=int, default=3)
    parser.add_argument("--answers", choices=("json", "sse"), default="json")
    parser.add_argument("--stateless", action="store_true")
    options = parser.parse_args()
    events = options.answers == "sse"
    serving = serve(options.tools, events=events, stateless=options.stateless)
    try:
        import uvloop
    except ImportError:
        asyncio.run(serving)
    else:
        uvloop.run(serving)
