"""What both raw upstreams say: an MCP server with as little in it as one can have.

A `tools/call` is answered with the text of its own `note`, so that whoever asked can see that the
answer is to its own call and has come back whole. Speaks the era of sessions; `stateless` adds
what the revision of 2026-07-28 asks for, so that a gateway finds it to be of that era.
"""

import json
import re

import msgspec

NOTE = re.compile(rb'"note":\s*"')
OLD_NAMES = ("core_ping", "disk_list")  # beside `truenas`, what three tools are
DESCRIPTION = "Run one operation of this kind on the appliance, and tell what has come of it."


class Request(msgspec.Struct):
    """As much of a message as an answer depends on."""

    method: str = ""
    id: msgspec.Raw = msgspec.Raw(b"")
    params: msgspec.Raw = msgspec.Raw(b"{}")


class Greeting(msgspec.Struct):
    """What a client says of itself in `initialize`."""

    protocol_version: str = msgspec.field(default="2025-06-18", name="protocolVersion")


DECODER = msgspec.json.Decoder(Request)


def tools(count: int) -> list[dict[str, object]]:
    """`count` tools as `tools/list` shows them; the first is `truenas`, which is called."""
    schema: dict[str, object] = {
        "type": "object",
        "properties": {
            "category": {"type": "string", "description": "what it is about"},
            "action": {"type": "string", "description": "what to do"},
            "params": {"type": "object", "description": "what the action needs"},
        },
        "required": ["action"],
    }
    names = ["truenas", *OLD_NAMES, *(f"tool_{index}" for index in range(3, count))][:count]
    return [{"name": name, "description": DESCRIPTION, "inputSchema": schema} for name in names]


DISCOVERED = (
    b'{"supportedVersions":["2026-07-28"],"capabilities":{"tools":{}},"resultType":"complete",'
    b'"ttlMs":60000,"cacheScope":"public",'
    b'"_meta":{"io.modelcontextprotocol/serverInfo":{"name":"raw","version":"1"}}}'
)


class Answers:
    """Answers to messages, as bytes of JSON. The list of tools is made once."""

    def __init__(self, tools_count: int, *, stateless: bool = False) -> None:
        cached = {"resultType": "complete", "ttlMs": 60_000, "cacheScope": "public"}
        listing = {"tools": tools(tools_count), **(cached if stateless else {})}
        self._listing = json.dumps(listing).encode()
        self._stateless = stateless
        self._kind = b',"resultType":"complete"' if stateless else b""

    def to(self, body: bytes) -> bytes | None:
        """The answer, or None where the message asks for none."""
        request = DECODER.decode(body)
        if not request.id:
            return None
        request_id = bytes(request.id)
        if request.method == "tools/call":
            found = NOTE.search(body)
            begin = found.end() if found else 0
            text = body[begin : body.find(b'"', begin)] if found else b"no note"
            return (
                b'{"jsonrpc":"2.0","id":%b,"result":{"content":[{"type":"text","text":"%b"}],'
                b'"isError":false%b}}' % (request_id, text, self._kind)
            )
        if request.method == "tools/list":
            result = self._listing
        elif request.method == "initialize":
            said = msgspec.json.decode(request.params, type=Greeting).protocol_version
            result = (
                b'{"protocolVersion":"%b","capabilities":{"tools":{}},'
                b'"serverInfo":{"name":"raw","version":"1"}}' % said.encode()
            )
        elif request.method == "ping":
            result = b"{}"
        elif request.method == "server/discover" and self._stateless:
            result = DISCOVERED
        else:
            return (
                b'{"jsonrpc":"2.0","id":%b,"error":{"code":-32601,"message":"not here"}}'
                % request_id
            )
        return b'{"jsonrpc":"2.0","id":%b,"result":%b}' % (request_id, result)
