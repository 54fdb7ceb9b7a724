"""An MCP upstream that answers in about ten microseconds, so that it is never the limit.

Speaks as much HTTP as the benchmark needs: POST with a content length. Every `tools/call` gets
the same small result under its own id; `tools/list` lists what is asked for. Prints its port.

    python benchmarks/parts/raw_upstream.py [--tools N]
"""

import argparse
import asyncio
import json
import re

ID = re.compile(rb'"id":\s*("[^"]*"|\d+)')
LENGTH = re.compile(rb"content-length:\s*(\d+)", re.IGNORECASE)
RESULT = b'{"jsonrpc":"2.0","id":%b,"result":{"content":[{"type":"text","text":"done"}]}}'


class RawUpstream(asyncio.Protocol):
    """One connection. Requests may come in pieces; they are answered in their order."""

    listing = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
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
            self._answer(self._rest[end + 4 : whole])
            self._rest = self._rest[whole:]

    def _answer(self, body: bytes) -> None:
        found = ID.search(body)
        request_id = found.group(1) if found else b"null"
        if b'"tools/list"' in body:
            answer = b'{"jsonrpc":"2.0","id":%b,"result":{"tools":%b}}' % (request_id, self.listing)
        else:
            answer = RESULT % request_id
        head = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n"
        self._transport.write(head % len(answer) + answer)


async def serve(tools: int) -> None:
    RawUpstream.listing = json.dumps(
        [{"name": f"tool_{index}", "inputSchema": {"type": "object"}} for index in range(tools)]
    ).encode()
    loop = asyncio.get_running_loop()
    server = await loop.create_server(RawUpstream, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tools", type=int, default=8)
    asyncio.run(serve(parser.parse_args().tools))
