"""One JSON-RPC message of MCP, read exactly.

A message is a request, a notification or a response, and nothing in between. Whatever two
programs might take for different things is refused: keys that match a known one but for their
case, an `id` that is null or a fraction, a tool call without an `id`, a method that only looks
like a tool call. Members that nobody knows stay: they are passed on untouched.
"""

import enum
import re
import unicodedata
from collections.abc import Mapping
from typing import Final

import msgspec

from toolreeve.proxy.shapes import is_array, is_object
from toolreeve.proxy.strictjson import (
    INVALID_PARAMS,
    INVALID_REQUEST,
    METHOD_NOT_FOUND,
    Refused,
    parse,
)

TOOLS_CALL: Final = "tools/call"
TOOLS_LIST: Final = "tools/list"
INITIALIZE: Final = "initialize"
SUBSCRIBE: Final = "subscriptions/listen"  # its answer is a stream that stays open
CANCELLED: Final = "notifications/cancelled"
PROTOCOL_VERSION_META: Final = "io.modelcontextprotocol/protocolVersion"
SUBSCRIPTION_META: Final = "io.modelcontextprotocol/subscriptionId"

NAME_LENGTH_MAX: Final = 128
METHOD_LENGTH_MAX: Final = 256
ID_LENGTH_MAX: Final = 256
# What a reader that has only doubles takes for no other integer. An id beyond it would be another
# request's there than here.
ID_INTEGER_MAX: Final = 2**53 - 1

_ENVELOPE_KEYS: Final = frozenset({"jsonrpc", "id", "method", "params", "result", "error"})
# Members of `params` that decide what a request does, for the methods that name something.
_PARAMS_KEYS: Final = frozenset(
    {"name", "arguments", "uri", "_meta", "task", "requeststate", "inputresponses"}
)
_PARAMS_EXACT: Final = frozenset(
    {"name", "arguments", "uri", "_meta", "task", "requestState", "inputResponses"}
)
_NAMING_METHODS: Final = frozenset({TOOLS_CALL, "prompts/get", "resources/read"})
# Methods on which the policy hangs, without all that some program might ignore.
_GUARDED_LETTERS: Final = {"toolscall": TOOLS_CALL, "toolslist": TOOLS_LIST}
_GUARDED: Final = frozenset(_GUARDED_LETTERS.values())
_BATCH_ELEMENTS_MAX: Final = 100
_PLAIN_NAME: Final = re.compile(rf"[A-Za-z0-9_-][A-Za-z0-9_.-]{{0,{NAME_LENGTH_MAX - 1}}}")
_ESCAPED: Final = re.compile(r"%[0-9A-Fa-f]{2}")
_STEPS: Final = re.compile(r"[/\\]")
_DOT_ABOVE: Final = "\u0307"  # what a capital I with a dot leaves behind


class Kind(enum.Enum):
    REQUEST = "request"
    NOTIFICATION = "notification"
    RESPONSE = "response"


class Message(msgspec.Struct, frozen=True, kw_only=True):
    """What was read, and the bytes to send on: every reader makes the same of them."""

    kind: Kind
    raw: bytes
    value: dict[str, object]
    method: str  # empty for a response
    id: int | str | None  # None for a notification only
    id_json: str  # as it stands in the message; empty for a notification
    params: dict[str, object]  # empty where there were none
    name: str = ""  # of the tool, for a tool call
    arguments: dict[str, object] = {}

    @property
    def is_call(self) -> bool:
        return self.method == TOOLS_CALL

    @property
    def goes_on_with(self) -> str | None:
        """The server's state that a call shows which goes on after more input.

        Empty where the server gave none, and None for a call that begins.
        """
        state = self.params.get("requestState")
        if isinstance(state, str):
            return state
        return "" if "inputResponses" in self.params else None

    @property
    def meta(self) -> Mapping[str, object]:
        """`params._meta`, or nothing where it is absent."""
        meta = self.params.get("_meta")
        return meta if is_object(meta) else {}

    @property
    def protocol_version(self) -> str | None:
        """What the 2026 envelope or `initialize` says; None where neither speaks."""
        version = self.meta.get(PROTOCOL_VERSION_META)
        if version is None and self.method == INITIALIZE:
            version = self.params.get("protocolVersion")
        return version if isinstance(version, str) else None


class Element(msgspec.Struct, frozen=True):
    """As much of a refused message as could be read, for its record and its answer."""

    method: str = ""
    tool: str = ""
    id_json: str = "null"


class NotAMessage(msgspec.Struct, frozen=True):
    """Why bytes are no message, with what they held: one element, or all those of a batch."""

    refused: Refused
    elements: tuple[Element, ...] = (Element(),)


_encode = msgspec.json.Encoder().encode


def read(raw: bytes) -> Message | NotAMessage:
    """Read one message."""
    parsed = parse(raw)
    if isinstance(parsed, Refused):
        return NotAMessage(parsed)
    value = parsed.value
    if is_array(value):
        return _batch(value)
    if not is_object(value):
        return NotAMessage(Refused(code="envelope", reason="a message is a JSON object"))
    envelope = value
    refused = _envelope_refused(envelope)
    if refused is None:
        message = _message(envelope, parsed.raw)
        if isinstance(message, Message):
            return message
        refused = message
    return NotAMessage(refused, (_element(envelope),))


def _batch(elements: list[object]) -> NotAMessage:
    seen = [_element(one if is_object(one) else {}) for one in elements[:_BATCH_ELEMENTS_MAX]]
    more = len(elements) - len(seen)
    reason = "batches are not part of MCP: send one message at a time"
    if more > 0:
        reason += f" (only the first {_BATCH_ELEMENTS_MAX} of {len(elements)} were looked at)"
    refused = Refused(code="batch", reason=reason)
    return NotAMessage(refused, tuple(seen) or (Element(),))


def _element(envelope: Mapping[str, object]) -> Element:
    method = envelope.get("method")
    params = envelope.get("params")
    tool = params.get("name") if method == TOOLS_CALL and is_object(params) else None
    number = envelope.get("id")
    known = _id_refused(number) is None
    return Element(
        method=method[:METHOD_LENGTH_MAX] if isinstance(method, str) else "",
        tool=tool[:NAME_LENGTH_MAX] if isinstance(tool, str) else "",
        id_json=_encode(number).decode() if known else "null",
    )


def _envelope_refused(envelope: Mapping[str, object]) -> Refused | None:
    if not envelope.keys() <= _ENVELOPE_KEYS:
        for key in envelope:
            if key not in _ENVELOPE_KEYS and _folded(key) in _ENVELOPE_KEYS:
                return _key_case_refused(key)
    if envelope.get("jsonrpc") != "2.0":
        return Refused(code="envelope", reason='a message says "jsonrpc": "2.0"')
    if "id" in envelope:
        refused = _id_refused(envelope["id"])
        # An error that answers something unreadable has a null id; nothing else has.
        if refused is not None and not (envelope["id"] is None and "error" in envelope):
            return refused
    return None


def _message(envelope: dict[str, object], raw: bytes) -> Message | Refused:
    if "method" not in envelope:
        return _response(envelope, raw)
    if "result" in envelope or "error" in envelope:
        return Refused(code="envelope", reason="a message is a request or a response, not both")
    method = envelope["method"]
    if not isinstance(method, str):
        return Refused(code="method", reason="a method is a string")
    has_id = "id" in envelope
    if not (method in _GUARDED and has_id):
        refused = _method_refused(method, has_id=has_id)
        if refused is not None:
            return refused
    params = _params(envelope)
    if isinstance(params, Refused):
        return params
    name: str = ""
    arguments: dict[str, object] = {}
    if method in _NAMING_METHODS:
        named = _named(method, params)
        if isinstance(named, Refused):
            return named
        name, arguments = named
    number = envelope.get("id")
    assert number is None or isinstance(number, int | str)
    return Message(
        kind=Kind.REQUEST if has_id else Kind.NOTIFICATION,
        raw=raw,
        value=envelope,
        method=method,
        id=number,
        id_json=_id_json(number) if has_id else "",
        params=params,
        name=name,
        arguments=arguments,
    )


def _params(envelope: Mapping[str, object]) -> dict[str, object] | Refused:
    if "params" not in envelope:
        return {}
    params = envelope["params"]
    if not is_object(params):
        return _params_refused("params", "params is an object where it stands at all")
    if "_meta" in params and not is_object(params["_meta"]):
        return _params_refused("params", "_meta is an object where it stands at all")
    return params


def _response(envelope: dict[str, object], raw: bytes) -> Message | Refused:
    if "id" not in envelope or ("result" in envelope) == ("error" in envelope):
        return Refused(
            code="envelope",
            reason="a message has a method, or an id and either a result or an error",
        )
    number = envelope["id"]
    assert number is None or isinstance(number, int | str)
    return Message(
        kind=Kind.RESPONSE,
        raw=raw,
        value=envelope,
        method="",
        id=number,
        id_json=_encode(number).decode(),
        params={},
    )


def _named(method: str, params: dict[str, object]) -> tuple[str, dict[str, object]] | Refused:
    """The tool and the arguments of a call; nothing for other methods that name something."""
    if not params.keys() <= _PARAMS_EXACT:
        for key in params:
            if key not in _PARAMS_EXACT and _folded(key) in _PARAMS_KEYS:
                return _key_case_refused(key)
    if method != TOOLS_CALL:
        return "", {}
    name = params.get("name")
    if not isinstance(name, str) or not name:
        return _params_refused("name", "a tool call names its tool with a string")
    if _PLAIN_NAME.fullmatch(name) is None:
        refused = _name_refused(name)
        if refused is not None:
            return refused
    if "arguments" not in params:
        return name, {}
    arguments = params["arguments"]
    if not is_object(arguments):
        return _params_refused("arguments", "arguments is an object where it stands at all")
    return name, arguments


def _name_refused(name: str) -> Refused | None:
    """What is wrong with a name that is not of the plain kind: what some programs read otherwise.

    They trim it, bring it into another form of Unicode, undo its escapes or walk it as a path.
    """
    if len(name) > NAME_LENGTH_MAX:
        return _params_refused("name", f"a tool's name has at most {NAME_LENGTH_MAX} characters")
    if not _printable(name):
        return _params_refused("name", "a tool's name holds no control or invisible characters")
    if name.strip() != name or unicodedata.normalize("NFKC", name) != name:
        return _params_refused("name", "a tool's name stands in its plain form, without blanks")
    if _ESCAPED.search(name) or {".", ".."} & set(_STEPS.split(name)):
        return _params_refused("name", "a tool's name holds no escapes and no steps of a path")
    return None


def _method_refused(method: str, *, has_id: bool) -> Refused | None:
    if not method or len(method) > METHOD_LENGTH_MAX or not _printable(method):
        return Refused(code="method", reason="a method is a short string of printable characters")
    guarded = _GUARDED_LETTERS.get(_letters(method), method)
    if method != guarded:
        return Refused(
            code="method",
            reason=f"this is not the method {guarded}, though some programs might take it for one",
            http_status=404,
            rpc_code=METHOD_NOT_FOUND,
        )
    if not has_id and not method.startswith("notifications/"):
        return Refused(code="no_id", reason="a request has an id; only notifications have none")
    return None


def _id_json(number: int | str | None) -> str:
    return str(number) if type(number) is int else _encode(number).decode()


def _id_refused(number: object) -> Refused | None:
    if isinstance(number, str):
        if len(number) <= ID_LENGTH_MAX:
            return None
        return Refused(code="id", reason=f"an id has at most {ID_LENGTH_MAX} characters")
    if isinstance(number, int) and not isinstance(number, bool):
        if abs(number) <= ID_INTEGER_MAX:
            return None
        return Refused(code="id", reason="an id is an integer below 2 to the 53rd, or a string")
    return Refused(code="id", reason="an id is a string or an integer")


def _key_case_refused(key: str) -> Refused:
    return Refused(
        code="key_case",
        reason=f"the key {key[:32]!r} differs from a known one by its letters' form alone",
        rpc_code=INVALID_REQUEST,
    )


def _params_refused(code: str, reason: str) -> Refused:
    return Refused(code=code, reason=reason, rpc_code=INVALID_PARAMS)


def _printable(text: str) -> bool:
    """No control, format, surrogate or separator characters; ordinary spaces are fine."""
    if text.isascii():
        return text.isprintable()
    return all(character == " " or character.isprintable() for character in text)


def _folded(text: str) -> str:
    """Text as the most careless program reads it: any case, any form, nothing that is not seen."""
    if not text.isascii():
        # By way of capitals, because some programs compare those: there a dotless i is an I.
        text = unicodedata.normalize("NFKC", text).upper().casefold().replace(_DOT_ABOVE, "")
    elif text.isalnum():
        return text.lower()
    return "".join(sign for sign in text if sign.isprintable() and sign != " ").lower()


def _letters(method: str) -> str:
    if method in _GUARDED:
        return ""
    return "".join(letter for letter in _folded(method) if letter.isalnum())
