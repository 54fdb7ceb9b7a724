"""What the proxy says in its own name, as JSON-RPC."""

from typing import Final

import msgspec

from toolreeve.proxy.strictjson import Refused

JSON_HEADERS: Final = ((b"content-type", b"application/json"),)
SSE_HEADERS: Final = (
    (b"content-type", b"text/event-stream"),
    (b"cache-control", b"no-cache, no-transform"),
)

INTERNAL_ERROR: Final = -32603
# Codes of our own, from the range that MCP leaves to implementations.
UNAUTHENTICATED: Final = -32001
UNREACHABLE: Final = -32003
TIMED_OUT: Final = -32004
BROKEN_OFF: Final = -32005
BUSY: Final = -32006
NO_SESSION: Final = -32007
NOT_FOUND: Final = -32008

_encode = msgspec.json.Encoder().encode


class _Fault(msgspec.Struct, omit_defaults=True):
    code: int
    message: str
    data: object = None


class _ErrorAnswer(msgspec.Struct):
    jsonrpc: str
    id: msgspec.Raw
    error: _Fault


class _ResultAnswer(msgspec.Struct):
    jsonrpc: str
    id: msgspec.Raw
    result: dict[str, object]


def error_answer(id_json: str, code: int, message: str, data: object = None) -> bytes:
    """A JSON-RPC error; `id_json` is the id as JSON, "null" where none could be read."""
    raw_id = msgspec.Raw(id_json.encode() or b"null")
    return _encode(_ErrorAnswer("2.0", raw_id, _Fault(code, message, data)))


def result_answer(id_json: str, result: dict[str, object]) -> bytes:
    """A JSON-RPC result."""
    return _encode(_ResultAnswer("2.0", msgspec.Raw(id_json.encode()), result))


def refused_answer(id_json: str, refused: Refused, data: object = None) -> bytes:
    return error_answer(id_json, refused.rpc_code, refused.reason, data)
