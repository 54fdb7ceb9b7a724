"""The call that every way is asked to make, in the form of each transport and era.

One tool, `truenas`, with an action and the action's own arguments; its answer must hold the
`note` of this very call. Ids have nine digits and machines three, so all calls of a size have
the same length, and a call is three bytes objects put together.
"""

from typing import Final

SESSIONS: Final = "2025-11-25"
STATELESS: Final = "2026-07-28"
FIRST_ID: Final = 100_000_000
MACHINES: Final = 900
"""How many machines take turns, so that limits kept for each of them have many to keep."""

_META: Final = (
    b'"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28",'
    b'"io.modelcontextprotocol/clientInfo":{"name":"bench","version":"1"},'
    b'"io.modelcontextprotocol/clientCapabilities":{}},'
)


_TEXT: Final = b"disk 4 of pool tank is online and was last scrubbed on Sunday; "


def text(length: int) -> bytes:
    """So much plain text. One letter again and again would be hard on programs that search it."""
    return (_TEXT * (length // len(_TEXT) + 1))[:length]


class CallForm:
    """Tool calls of one size. `padding` is how long the note is, beside its own nine digits."""

    def __init__(
        self, padding: int, *, stateless: bool = False, tool: str = "truenas", inside: str = ""
    ) -> None:
        """`inside` names a tool that takes calls as its arguments, as one peer's does."""
        meta = _META if stateless else b""
        name = f'"name":"{inside or tool}","arguments":'.encode()
        if inside:
            name += b'{"calls":[{"mcp_server":"bench","tool":"%b","arguments":' % tool.encode()
        self.tool = inside or tool
        self._begin = b'{"jsonrpc":"2.0","id":'
        self._middle = (
            b',"method":"tools/call","params":{%b%b{"category":"vm","action":"vm_restart",'
            b'"params":{"id":' % (meta, name)
        )
        self._end = b"-" + text(padding) + b'"}}' + (b"}]}" if inside else b"") + b"}}"

    def body(self, call_id: int) -> bytes:
        machine = 100 + call_id % MACHINES
        return b'%b%d%b%d,"note":"%d%b' % (
            self._begin,
            call_id,
            self._middle,
            machine,
            call_id,
            self._end,
        )


def wanted(call_id: int) -> bytes:
    """What the answer to this call must hold; no other part of the answer does."""
    return b"%d-" % call_id


def looks_wrong(answer: bytes, call_id: int) -> str | None:
    """Why this is not the answer to this call; None where it is."""
    if wanted(call_id) not in answer:
        return f"unexpected answer: {answer[:300]!r}"
    if b'"isError":true' in answer or b'"isError": true' in answer:
        return f"the tool failed: {answer[:300]!r}"
    return None


def initialize(request_id: int) -> bytes:
    return (
        b'{"jsonrpc":"2.0","id":%d,"method":"initialize","params":{"protocolVersion":"%b",'
        b'"capabilities":{},"clientInfo":{"name":"bench","version":"1"}}}'
    ) % (request_id, SESSIONS.encode())


INITIALIZED: Final = b'{"jsonrpc":"2.0","method":"notifications/initialized"}'


def list_tools(request_id: int, *, stateless: bool) -> bytes:
    params = b',"params":{%b}' % _META.rstrip(b",") if stateless else b""
    return b'{"jsonrpc":"2.0","id":%d,"method":"tools/list"%b}' % (request_id, params)
