"""What passes from an upstream to a client, seen without being taken apart.

An upstream's message is decoded only as far as its envelope; results stay the bytes they are. So
a large answer costs one scan, and nothing in it is lost that nobody here knows.
"""

import time
from typing import Any, Final

import msgspec

from toolreeve.proxy.gate import Ending, Gate, Outcome
from toolreeve.proxy.message import SUBSCRIPTION_META
from toolreeve.proxy.shapes import is_object

UNREADABLE: Final = "?"  # in the place of a method that a server asks for in no readable way
_KNOWN: Final = frozenset({"jsonrpc", "id", "method", "params", "result", "error"})
_JSON_WHITESPACE: Final = b" \t\r\n"


class Seen(msgspec.Struct):
    """The envelope of a message from upstream; absent members are UNSET."""

    jsonrpc: object = msgspec.UNSET
    id: object = msgspec.UNSET
    method: object = msgspec.UNSET
    params: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    result: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    error: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET

    @property
    def is_response(self) -> bool:
        return self.method is msgspec.UNSET and self.id is not msgspec.UNSET

    @property
    def is_request(self) -> bool:
        return isinstance(self.method, str) and self.id is not msgspec.UNSET

    @property
    def key(self) -> str | None:
        """Its id as a key: some servers answer 7 as "7", so both are one."""
        number = self.id
        if isinstance(number, str) or (isinstance(number, int) and not isinstance(number, bool)):
            return str(number)
        return None

    @property
    def holds_tools(self) -> bool:
        """Whether this may be the answer to tools/list."""
        return isinstance(self.result, msgspec.Raw) and _has_tools(self.result)


class Finding(msgspec.Struct, frozen=True):
    """How a response says the request ended.

    `asked` are the methods of what the server asks its client in it, before it goes on;
    `request_state` is what it wants to be shown then.
    """

    outcome: Outcome
    rpc_error_code: int | None = None
    detail: str = ""
    asked: tuple[str, ...] = ()
    request_state: str | None = None


_SUCCEEDED: Final = Finding("success")
_FAILED: Final = Finding("tool_error")


class _Error(msgspec.Struct):
    code: object = None


class _Result(msgspec.Struct, rename="camel"):
    is_error: object = None
    result_type: object = None
    request_state: object = None
    input_requests: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET


class _Introduction(msgspec.Struct, rename="camel"):
    protocol_version: object = None


class _Asked(msgspec.Struct):
    method: object = None


class _Listing(msgspec.Struct):
    tools: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET


class _Params(msgspec.Struct):
    progress_token: object = msgspec.field(name="progressToken", default=None)
    request_id: object = msgspec.field(name="requestId", default=None)
    meta: object = msgspec.field(name="_meta", default=None)


class _Plain(Seen, forbid_unknown_fields=True):
    """A message with no other members."""


_plain_decoder = msgspec.json.Decoder(_Plain)
_seen_decoder = msgspec.json.Decoder(Seen)
_members_decoder = msgspec.json.Decoder(dict[str, msgspec.Raw])
_error_decoder = msgspec.json.Decoder(_Error)
_result_decoder = msgspec.json.Decoder(_Result)
_introduction_decoder = msgspec.json.Decoder(_Introduction)
_asked_decoder = msgspec.json.Decoder(dict[str, _Asked])
_listing_decoder = msgspec.json.Decoder(_Listing)
_params_decoder = msgspec.json.Decoder(_Params)
_DECODE_FAILURES = (msgspec.MsgspecError, UnicodeError, RecursionError)


def look(raw: bytes) -> Seen | None:
    """The envelope of one message, or None where the bytes are no JSON object.

    Nor is it one where a member differs from a known one by its letters' case alone: some clients
    would take it for that.
    """
    try:
        return _plain_decoder.decode(raw)
    except msgspec.ValidationError:
        pass  # another member, or no object
    except _DECODE_FAILURES:
        return None
    try:
        members = _members_decoder.decode(raw)
        if any(name.casefold() in _KNOWN and name not in _KNOWN for name in members):
            return None
        return _seen_decoder.decode(raw)
    except _DECODE_FAILURES:
        return None


def finding(seen: Seen) -> Finding:
    """Read how a call ended from its response."""
    try:
        whole = isinstance(seen.result, msgspec.Raw)
        if isinstance(seen.error, msgspec.Raw) and not (whole and bytes(seen.error) == b"null"):
            if whole:
                return Finding("unknown", detail="the answer is a result and an error")
            code = _error_decoder.decode(seen.error).code
            known = isinstance(code, int) and not isinstance(code, bool) and abs(code) < 2**31
            return Finding("rpc_error", code if known and isinstance(code, int) else None)
        if isinstance(seen.result, msgspec.Raw):
            result = _result_decoder.decode(seen.result)
            waits = result.result_type == "input_required"
            if waits or result.input_requests is not msgspec.UNSET:
                return _question(result, "input_required" if waits else "success")
            return _FAILED if result.is_error is True else _SUCCEEDED
    except _DECODE_FAILURES:
        pass
    return Finding("unknown", detail="the answer could not be read")


def _question(result: _Result, outcome: Outcome) -> Finding:
    asked: tuple[str, ...] = ()
    if isinstance(result.input_requests, msgspec.Raw):
        try:
            requests = _asked_decoder.decode(result.input_requests)
            asked = tuple(str(one.method) for one in requests.values())
        except _DECODE_FAILURES:
            asked = (UNREADABLE,)
    state = result.request_state
    return Finding(outcome, asked=asked, request_state=state if isinstance(state, str) else None)


def negotiated_version(seen: Seen) -> str:
    """The protocol version that an answer to `initialize` settles on; empty where it says none."""
    try:
        if isinstance(seen.result, msgspec.Raw):
            version = _introduction_decoder.decode(seen.result).protocol_version
            return version if isinstance(version, str) else ""
    except _DECODE_FAILURES:
        pass
    return ""


def progress_token(seen: Seen) -> object:
    """The token of a progress notification, or None."""
    return _params(seen).progress_token


def subscription(seen: Seen) -> object:
    """The id of the `subscriptions/listen` request a notification belongs to, or None."""
    meta = _params(seen).meta
    return meta.get(SUBSCRIPTION_META) if is_object(meta) else None


def cancelled_id(seen: Seen) -> object:
    """The id that a `notifications/cancelled` names, or None."""
    return _params(seen).request_id


def _params(seen: Seen) -> _Params:
    if isinstance(seen.params, msgspec.Raw):
        try:
            return _params_decoder.decode(seen.params)
        except _DECODE_FAILURES:
            pass
    return _Params()


def _has_tools(result: msgspec.Raw) -> bool:
    try:
        tools = _listing_decoder.decode(result).tools
    except _DECODE_FAILURES:
        return False
    return isinstance(tools, msgspec.Raw) and bytes(tools).lstrip(_JSON_WHITESPACE)[:1] == b"["


class Flight:
    """A call that was let through. Ends once, however many see it end."""

    __slots__ = ("_gate", "_started_ns", "_token", "_warning", "ended")

    def __init__(self, gate: Gate, token: object, warning: str = "") -> None:
        self._gate = gate
        self._token = token
        self._warning = warning
        self._started_ns = time.monotonic_ns()
        self.ended = False

    def end(
        self,
        outcome: Outcome,
        *,
        response_bytes: int = 0,
        rpc_error_code: int | None = None,
        detail: str = "",
        request_state: str | None = None,
    ) -> None:
        """Tell the gate, unless it has been told."""
        if self.ended:
            return
        self.ended = True
        ending = Ending(
            outcome=outcome,
            duration_ns=time.monotonic_ns() - self._started_ns,
            response_bytes=response_bytes,
            rpc_error_code=rpc_error_code,
            detail=detail,
            request_state=request_state,
        )
        self._gate.ended(self._token, ending)

    def answered(self, found: Finding, response_bytes: int) -> None:
        """End with what a response says."""
        self.end(
            found.outcome,
            response_bytes=response_bytes,
            rpc_error_code=found.rpc_error_code,
            detail=found.detail,
            request_state=found.request_state,
        )

    def told(self, raw: bytes) -> bytes:
        """The response as the agent is to get it: with the gate's warning, where there is one.

        A response whose result has no list of content is passed as it is.
        """
        return _warned(raw, self._warning) if self._warning else raw


def _warned(raw: bytes, warning: str) -> bytes:
    try:
        message: Any = msgspec.json.decode(raw)
        message["result"]["content"].append({"type": "text", "text": warning})
    except (*_DECODE_FAILURES, KeyError, TypeError, AttributeError):
        return raw
    return msgspec.json.encode(message)
