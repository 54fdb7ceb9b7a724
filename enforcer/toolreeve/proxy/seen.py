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

_JSON_WHITESPACE: Final = b" \t\r\n"


class Seen(msgspec.Struct):
    """The envelope of a message from upstream; absent members are UNSET."""

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
    """How a response says the call ended."""

    outcome: Outcome
    rpc_error_code: int | None = None
    detail: str = ""


class _Error(msgspec.Struct):
    code: object = None


class _Result(msgspec.Struct, rename="camel"):
    is_error: object = None
    result_type: object = None


class _Listing(msgspec.Struct):
    tools: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET


class _Params(msgspec.Struct):
    progress_token: object = msgspec.field(name="progressToken", default=None)
    request_id: object = msgspec.field(name="requestId", default=None)
    meta: object = msgspec.field(name="_meta", default=None)


_seen_decoder = msgspec.json.Decoder(Seen)
_error_decoder = msgspec.json.Decoder(_Error)
_result_decoder = msgspec.json.Decoder(_Result)
_listing_decoder = msgspec.json.Decoder(_Listing)
_params_decoder = msgspec.json.Decoder(_Params)
_DECODE_FAILURES = (msgspec.MsgspecError, UnicodeError, RecursionError)


def look(raw: bytes) -> Seen | None:
    """The envelope of one message, or None where the bytes are no JSON object."""
    try:
        return _seen_decoder.decode(raw)
    except _DECODE_FAILURES:
        return None


def finding(seen: Seen) -> Finding:
    """Read how a call ended from its response."""
    try:
        if isinstance(seen.error, msgspec.Raw):
            code = _error_decoder.decode(seen.error).code
            known = isinstance(code, int) and not isinstance(code, bool) and abs(code) < 2**31
            return Finding("rpc_error", code if known and isinstance(code, int) else None)
        if isinstance(seen.result, msgspec.Raw):
            result = _result_decoder.decode(seen.result)
            if result.result_type == "input_required":
                return Finding("input_required")
            return Finding("tool_error" if result.is_error is True else "success")
    except _DECODE_FAILURES:
        pass
    return Finding("unknown", detail="the answer could not be read")


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
        )
        self._gate.ended(self._token, ending)

    def answered(self, seen: Seen, response_bytes: int) -> None:
        """End with what a response says."""
        found = finding(seen)
        self.end(
            found.outcome,
            response_bytes=response_bytes,
            rpc_error_code=found.rpc_error_code,
            detail=found.detail,
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
