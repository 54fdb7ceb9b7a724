"""MCP's own HTTP headers: which era a request belongs to, and whether they tell the truth.

Since 2026-07-28 a request says in its headers what its body does, so that machines between can
route without reading bodies. Such a header is worth something only if it agrees with the body;
one that does not is refused. Before 2026-07-28 these headers mean nothing and are not passed on.
"""

import base64
import binascii
import enum
import re
from collections.abc import Iterator, Mapping
from typing import Final

import msgspec

from toolreeve.proxy.http_request import HttpRequest
from toolreeve.proxy.message import (
    INITIALIZE,
    PROTOCOL_VERSION_META,
    TOOLS_CALL,
    Kind,
    Message,
)
from toolreeve.proxy.shapes import is_object
from toolreeve.proxy.strictjson import INVALID_PARAMS, INVALID_REQUEST, Refused

SESSION_VERSIONS: Final = ("2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25")
STATELESS_VERSIONS: Final = ("2026-07-28",)
HEADER_MISMATCH: Final = -32020
UNSUPPORTED_VERSION: Final = -32022

VERSION_HEADER: Final = b"mcp-protocol-version"
SESSION_HEADER: Final = b"mcp-session-id"
METHOD_HEADER: Final = b"mcp-method"
NAME_HEADER: Final = b"mcp-name"
PARAM_PREFIX: Final = b"mcp-param-"

_NAMED_BY: Final = {"tools/call": "name", "prompts/get": "name", "resources/read": "uri"}
_ENCODED: Final = re.compile(r"=\?base64\?(.*)\?=", re.DOTALL)
_DECIMAL: Final = re.compile(r"-?[0-9]{1,20}(\.0+)?")
_TOKEN: Final = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_MIRRORED_TYPES: Final = ("string", "integer", "boolean")
_TOOLS_MAX: Final = 10_000
_PARAMS_MAX: Final = 64
_PATH_MAX: Final = 16


class Era(enum.Enum):
    """SESSION: `initialize`, session ids, GET streams. STATELESS: 2026-07-28."""

    SESSION = "session"
    STATELESS = "stateless"


def era_of(request: HttpRequest) -> Era | Refused:
    """The era the header says; a version nobody here knows is refused."""
    return _ERAS.get(request.headers.get(VERSION_HEADER), _UNKNOWN_VERSION)


_ERAS: Final[dict[bytes | None, Era]] = {
    None: Era.SESSION,
    **{version.encode(): Era.SESSION for version in SESSION_VERSIONS},
    **{version.encode(): Era.STATELESS for version in STATELESS_VERSIONS},
}
_UNKNOWN_VERSION: Final = Refused(
    code="protocol_version",
    reason="unsupported protocol version",
    rpc_code=UNSUPPORTED_VERSION,
)


def contradiction(request: HttpRequest, message: Message, era: Era) -> Refused | None:
    """Where the headers and the body of a request disagree."""
    claimed = message.meta.get(PROTOCOL_VERSION_META)
    if era is Era.SESSION:
        if claimed is None or message.method == INITIALIZE or message.kind is Kind.RESPONSE:
            return None
        if claimed in SESSION_VERSIONS:
            return None
        return _mismatch("the body speaks of a protocol version that the header does not name")
    if message.kind is Kind.RESPONSE:
        return Refused(
            code="envelope",
            reason="in this protocol version clients send requests, not responses",
            rpc_code=INVALID_REQUEST,
        )
    if message.kind is Kind.REQUEST and claimed is None:
        return _no_version()
    if message.kind is Kind.REQUEST and claimed != request.text(VERSION_HEADER):
        return _mismatch("MCP-Protocol-Version does not match the body's protocol version")
    method = request.text(METHOD_HEADER)
    if method != message.method and (message.kind is Kind.REQUEST or method is not None):
        return _mismatch("Mcp-Method does not match the body's method")
    member = _NAMED_BY.get(message.method)
    if member is None:
        return None
    named = message.params.get(member)
    if named is not None and decode_header(request.text(NAME_HEADER)) != named:
        return _mismatch(f"Mcp-Name does not match the body's {member}")
    return None


def encode_header(value: str) -> bytes:
    """A value as a header can hold it; `decode_header` gives it back."""
    plain = value.isascii() and value.isprintable() and value == value.strip()
    if plain and _ENCODED.fullmatch(value) is None:
        return value.encode()
    return b"=?base64?%b?=" % base64.b64encode(value.encode())


def routing_headers(message: Message) -> dict[bytes, bytes]:
    """The headers that say what a request of the stateless era does."""
    headers = {METHOD_HEADER: message.method.encode()}
    named = message.params.get(_NAMED_BY.get(message.method, ""))
    if isinstance(named, str):
        headers[NAME_HEADER] = encode_header(named)
    return headers


def decode_header(value: str | None) -> str | None:
    """A header's value, taken out of `=?base64?...?=` where it stands in it.

    None where the wrapping is not exactly what an encoder writes: it then matches nothing.
    """
    if value is None:
        return None
    wrapped = _ENCODED.fullmatch(value)
    if wrapped is None:
        return value
    inner = wrapped.group(1)
    try:
        plain = base64.b64decode(inner, validate=True)
        if base64.b64encode(plain).decode() != inner:
            return None
        return plain.decode("utf-8")
    except (binascii.Error, ValueError):
        return None


class _Param(msgspec.Struct, frozen=True):
    path: tuple[str, ...]
    header: bytes
    kind: str


class ParamHeaders:
    """The `Mcp-Param-*` headers that an upstream's tools ask for, learnt from its lists.

    A tool that no list has shown is not checked here: its upstream checks it.
    """

    def __init__(self) -> None:
        self._params: dict[str, tuple[_Param, ...]] = {}

    def learn(self, tools: list[object]) -> None:
        for tool in tools:
            name = tool.get("name") if is_object(tool) else None
            if not is_object(tool) or not isinstance(name, str):
                continue
            if name not in self._params and len(self._params) >= _TOOLS_MAX:
                return
            found = tuple(_annotated(tool.get("inputSchema"), ()))
            headers = {param.header for param in found}
            valid = len(headers) == len(found) <= _PARAMS_MAX
            self._params[name] = found if valid else ()

    def knows(self, tool: str) -> bool:
        """Whether a list has shown it."""
        return tool in self._params

    def written(self, message: Message) -> dict[bytes, bytes]:
        """The headers that a call of a known tool needs."""
        headers: dict[bytes, bytes] = {}
        for param in self._params.get(message.name, ()):
            value = _at(message.arguments, param.path)
            if isinstance(value, bool):
                headers[param.header] = b"true" if value else b"false"
            elif isinstance(value, str | int | float):
                headers[param.header] = encode_header(str(value))
        return headers

    def forget(self) -> None:
        """Know nothing any more; what may be seen has changed."""
        self._params.clear()

    def contradiction(self, request: HttpRequest, message: Message) -> Refused | None:
        """Where a tool call's parameter headers and its arguments disagree."""
        if message.method != TOOLS_CALL:
            return None
        for param in self._params.get(message.name, ()):
            value = _at(message.arguments, param.path)
            raw = request.text(param.header)
            label = param.header.decode()
            if not isinstance(value, str | int | float):
                if raw is not None:
                    return _mismatch(f"{label} stands for an argument that has no such value")
                continue
            if raw is None:
                return _mismatch(f"{label} is missing")
            decoded = decode_header(raw)
            if decoded is None or not _same(param.kind, value, decoded):
                return _mismatch(f"{label} does not match its argument")
        return None


def _annotated(schema: object, path: tuple[str, ...]) -> Iterator[_Param]:
    """Properties marked `x-mcp-header`, reached through `properties` alone."""
    properties = schema.get("properties") if is_object(schema) else None
    if len(path) >= _PATH_MAX or not is_object(properties):
        return
    for name, inner in properties.items():
        if not is_object(inner):
            continue
        mark, kind = inner.get("x-mcp-header"), inner.get("type")
        here = (*path, name)
        token = _TOKEN.fullmatch(mark) if isinstance(mark, str) else None
        if token is not None and isinstance(kind, str) and kind in _MIRRORED_TYPES:
            yield _Param(here, PARAM_PREFIX + token.group().lower().encode(), kind)
        yield from _annotated(inner, here)


def _at(arguments: Mapping[str, object], path: tuple[str, ...]) -> object:
    value: object = arguments
    for key in path:
        value = value.get(key) if is_object(value) else None
    return value


def _same(kind: str, value: object, header: str) -> bool:
    if isinstance(value, bool):
        return header == ("true" if value else "false")
    if isinstance(value, str):
        return header == value
    if isinstance(value, int | float):
        if kind == "integer" and float(value).is_integer() and _DECIMAL.fullmatch(header):
            return int(header.partition(".")[0]) == int(value)
        return header == str(value)
    return False


def _no_version() -> Refused:
    return Refused(
        code="params",
        reason=f"a request names its protocol version in _meta[{PROTOCOL_VERSION_META!r}]",
        rpc_code=INVALID_PARAMS,
    )


def _mismatch(reason: str) -> Refused:
    return Refused(code="header_mismatch", reason=reason, rpc_code=HEADER_MISMATCH)
