"""What the two protocol eras call the same thing, and how one's messages become the other's.

Only what both eras know is carried over. What one of them does not have is left out where leaving
it out says nothing false (a capability), and is otherwise not here: then there is no translation.
"""

from collections.abc import Callable, Mapping
from typing import Final

import msgspec

from toolreeve.proxy.answers import BROKEN_OFF, BUSY, INTERNAL_ERROR, TIMED_OUT, UNREACHABLE
from toolreeve.proxy.mcp_headers import SESSION_VERSIONS, STATELESS_VERSIONS
from toolreeve.proxy.message import PROTOCOL_VERSION_META, SUBSCRIPTION_META, TOOLS_CALL
from toolreeve.proxy.shapes import is_array, is_object
from toolreeve.runtime.version import VERSION

SESSION_VERSION: Final = SESSION_VERSIONS[-1]
STATELESS_VERSION: Final = STATELESS_VERSIONS[-1]

_META: Final = "io.modelcontextprotocol/"
CLIENT_INFO_META: Final = f"{_META}clientInfo"
CLIENT_CAPABILITIES_META: Final = f"{_META}clientCapabilities"
SERVER_INFO_META: Final = f"{_META}serverInfo"
LOG_LEVEL_META: Final = f"{_META}logLevel"
_RESERVED: Final = frozenset(
    {PROTOCOL_VERSION_META, CLIENT_INFO_META, CLIENT_CAPABILITIES_META, LOG_LEVEL_META}
)

DISCOVER: Final = "server/discover"
# Answers of ours, or of a server in trouble: they say nothing of what it speaks.
IN_TROUBLE: Final = frozenset({UNREACHABLE, TIMED_OUT, BROKEN_OFF, BUSY, INTERNAL_ERROR})
# Requests that mean the same in both eras.
COMMON: Final = frozenset(
    {
        TOOLS_CALL,
        "tools/list",
        "prompts/list",
        "prompts/get",
        "resources/list",
        "resources/templates/list",
        "resources/read",
        "completion/complete",
    }
)
# In the stateless era, the answer to one of these may be a question.
ASKING: Final = frozenset({TOOLS_CALL, "prompts/get", "resources/read"})
# What a server may ask a client, and the capability that says that it may.
QUESTIONS: Final = {
    "elicitation/create": "elicitation",
    "sampling/createMessage": "sampling",
    "roots/list": "roots",
}
_CACHED: Final = frozenset(
    {"tools/list", "prompts/list", "resources/list", "resources/templates/list", "resources/read"}
)
_OF_RESULTS: Final = ("resultType", "ttlMs", "cacheScope")  # in the stateless era alone
_CLIENT_CAPABILITIES: Final = ("elicitation", "experimental", "sampling")
_NOT_OF_SERVERS: Final = frozenset({"tasks"})  # other in the two eras, or only in one
LEVELS: Final = (
    "debug",
    "info",
    "notice",
    "warning",
    "error",
    "critical",
    "alert",
    "emergency",
)
LOG: Final = "notifications/message"
CANCELLED: Final = "notifications/cancelled"
RESOURCE_UPDATED: Final = "notifications/resources/updated"
# Announcements, and the member of a subscription that asks for each.
ANNOUNCEMENTS: Final = {
    "notifications/tools/list_changed": "toolsListChanged",
    "notifications/prompts/list_changed": "promptsListChanged",
    "notifications/resources/list_changed": "resourcesListChanged",
}

Object = dict[str, object]
_Members = dict[str, msgspec.Raw]
_members = msgspec.json.Decoder(_Members).decode
_encode = msgspec.json.Encoder().encode
_DECODE_FAILURES: Final = (msgspec.MsgspecError, UnicodeError, RecursionError)


def own_info() -> Object:
    return {"name": "toolreeve", "version": VERSION}


def object_in(value: object) -> Object:
    return value if is_object(value) else {}


# From a client that has no session to a server that wants one.


def introduction(meta: Mapping[str, object]) -> Object:
    """The parameters of `initialize`, for a client that speaks of itself with each request."""
    declared = object_in(meta.get(CLIENT_CAPABILITIES_META))
    capabilities: Object = {
        name: declared[name] for name in _CLIENT_CAPABILITIES if name in declared
    }
    if "roots" in declared:
        capabilities["roots"] = {}  # it cannot say later that they have changed
    return {
        "protocolVersion": SESSION_VERSION,
        "capabilities": capabilities,
        "clientInfo": object_in(meta.get(CLIENT_INFO_META)) or own_info(),
    }


def discovered(initialized: Mapping[str, object]) -> Object:
    """The result of `server/discover`, from the result of `initialize`."""
    declared = object_in(initialized.get("capabilities"))
    result: Object = {
        "resultType": "complete",
        "supportedVersions": list(STATELESS_VERSIONS),
        "capabilities": {k: v for k, v in declared.items() if k not in _NOT_OF_SERVERS},
        "ttlMs": 0,
        "cacheScope": "private",
        "_meta": {SERVER_INFO_META: object_in(initialized.get("serverInfo"))},
    }
    if isinstance(initialized.get("instructions"), str):
        result["instructions"] = initialized["instructions"]
    return result


def in_session(params: Mapping[str, object], token: int | None) -> Object:
    """A request's parameters without what only the stateless era knows.

    `token` stands in for the client's own progress token, where it gave one.
    """
    plain = {k: v for k, v in params.items() if k not in ("inputResponses", "requestState")}
    meta = {k: v for k, v in object_in(params.get("_meta")).items() if k not in _RESERVED}
    if token is not None:
        meta["progressToken"] = token
    plain.pop("_meta", None)
    return {**plain, "_meta": meta} if meta else plain


def stateless_answer(
    raw: bytes, client_id: str, method: str, server: Mapping[str, object] | None = None
) -> bytes:
    """A server's answer as the stateless era has it; everything else in it stays as it is.

    `server` is what the server said of itself when the session began.
    """
    members = _members(raw)
    members["id"] = msgspec.Raw(client_id.encode())
    if "result" in members:
        try:
            result = _members(members["result"])
        except _DECODE_FAILURES:
            return _encode(members)
        result.setdefault("resultType", msgspec.Raw(b'"complete"'))
        if method in _CACHED:
            result.setdefault("ttlMs", msgspec.Raw(b"0"))
            result.setdefault("cacheScope", msgspec.Raw(b'"private"'))
        if server:
            _name_server(result, server)
        members["result"] = msgspec.Raw(_encode(result))
    return _encode(members)


def _name_server(result: _Members, server: Mapping[str, object]) -> None:
    """Say in `_meta` whose answer it is, as servers without sessions do each time."""
    try:
        meta = _members(result["_meta"]) if "_meta" in result else {}
    except _DECODE_FAILURES:
        return
    meta.setdefault(SERVER_INFO_META, msgspec.Raw(_encode(server)))
    result["_meta"] = msgspec.Raw(_encode(meta))


# From a client that has a session to a server that wants none.


def initialized(discover: Mapping[str, object], asked_version: object) -> Object:
    """The result of `initialize`, from the result of `server/discover`."""
    meta = object_in(discover.get("_meta"))
    declared = object_in(discover.get("capabilities"))
    known = asked_version if asked_version in SESSION_VERSIONS else SESSION_VERSION
    result: Object = {
        "protocolVersion": known,
        "capabilities": {k: v for k, v in declared.items() if k not in _NOT_OF_SERVERS},
        "serverInfo": object_in(meta.get(SERVER_INFO_META)) or own_info(),
    }
    if isinstance(discover.get("instructions"), str):
        result["instructions"] = discover["instructions"]
    return result


def stateless(
    params: Mapping[str, object], client: Mapping[str, object], level: str | None
) -> Object:
    """A request's parameters with what a client without a session says each time.

    `client` holds the parameters of its `initialize`; `level` is what it wants to see of the log.
    """
    meta = {**object_in(params.get("_meta")), **spoken_for(client)}
    if level is not None:
        meta[LOG_LEVEL_META] = level
    return {**params, "_meta": meta}


def spoken_for(client: Mapping[str, object]) -> Object:
    """The `_meta` of a request without a session, for a client that has introduced itself once."""
    declared = object_in(client.get("capabilities"))
    capabilities = {k: v for k, v in declared.items() if k != "tasks"}
    return {
        PROTOCOL_VERSION_META: STATELESS_VERSION,
        CLIENT_INFO_META: object_in(client.get("clientInfo")) or own_info(),
        CLIENT_CAPABILITIES_META: capabilities,
    }


def session_answer(raw: bytes, client_id: str) -> bytes:
    """A server's answer as the era of sessions has it; everything else in it stays as it is."""
    members = _members(raw)
    members["id"] = msgspec.Raw(client_id.encode())
    if "result" in members:
        try:
            result = _members(members["result"])
        except _DECODE_FAILURES:
            return _encode(members)
        for name in _OF_RESULTS:
            result.pop(name, None)
        if "_meta" in result:
            _forget_server_info(result)
        members["result"] = msgspec.Raw(_encode(result))
    return _encode(members)


def _forget_server_info(result: _Members) -> None:
    """Take out of `_meta` what a client with a session was told at its begin."""
    try:
        meta = _members(result["_meta"])
    except _DECODE_FAILURES:
        return
    if meta.pop(SERVER_INFO_META, None) is not None:
        result["_meta"] = msgspec.Raw(_encode(meta))
        if not meta:
            del result["_meta"]


# Both ways.


def speaks_stateless(discover: object) -> bool:
    """Whether a result of `server/discover` names a version of the stateless era."""
    versions = object_in(discover).get("supportedVersions")
    return is_array(versions) and any(version in STATELESS_VERSIONS for version in versions)


def with_token(raw: bytes, token: object) -> bytes:
    """A progress notification with the token that its client knows."""
    return _with_params(raw, lambda params: {**params, "progressToken": token})


def of_subscription(raw: bytes, client_id: object) -> bytes:
    """A notification marked as of the subscription that asked for it."""

    def mark(params: Object) -> Object:
        return {**params, "_meta": {**object_in(params.get("_meta")), SUBSCRIPTION_META: client_id}}

    return _with_params(raw, mark)


def no_subscription(raw: bytes) -> bytes:
    """The same without the mark, for a client that knows none."""

    def clear(params: Object) -> Object:
        meta = {k: v for k, v in object_in(params.get("_meta")).items() if k != SUBSCRIPTION_META}
        plain = {k: v for k, v in params.items() if k != "_meta"}
        return {**plain, "_meta": meta} if meta else plain

    return _with_params(raw, clear)


def _with_params(raw: bytes, change: Callable[[Object], Object]) -> bytes:
    value = msgspec.json.decode(raw)
    assert is_object(value), "it has been looked at before"
    params = change(object_in(value.pop("params", None)))
    return _encode({**value, "params": params} if params else value)


def result_of(raw: bytes) -> Object | None:
    """The result in an answer, or None where it is none."""
    try:
        result = object_in(msgspec.json.decode(raw)).get("result")
    except _DECODE_FAILURES:
        return None
    return result if is_object(result) else None


def fault(text: str) -> bytes:
    """An answer of our own where a server gave none; its id is put in later."""
    error: Object = {"code": BROKEN_OFF, "message": text}
    return _encode({"jsonrpc": "2.0", "id": None, "error": error})
