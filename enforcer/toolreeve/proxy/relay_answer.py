"""An upstream's answer that came as one body: what it says, and what the client gets of it."""

from typing import Final

import msgspec

from toolreeve.proxy.answers import INTERNAL_ERROR, UNREACHABLE
from toolreeve.proxy.exchange import Exchange
from toolreeve.proxy.mcp_headers import Era
from toolreeve.proxy.message import INITIALIZE
from toolreeve.proxy.screen import Asker, Screen
from toolreeve.proxy.seen import finding, look, negotiated_version
from toolreeve.proxy.strictjson import METHOD_NOT_FOUND, Refused

_WHITESPACE: Final = b" \t\r\n"


class Judged(msgspec.Struct, frozen=True):
    """The body for the client, or why there is none for it and with which JSON-RPC code."""

    body: bytes = b""
    withheld: str = ""
    rpc_code: int = 0


def judge(screen: Screen, exchange: Exchange, status: int, body: bytes, *, json: bool) -> Judged:
    """Tell how a request ended, and say what its client gets."""
    message = exchange.message
    assert message is not None
    stateless = exchange.era is Era.STATELESS
    if exchange.lists_tools and (status < 300 or _may_list(body)):
        shown = screen.listing(
            exchange.caller, body, stateless=stateless, session=exchange.lists_for
        )
        if isinstance(shown, Refused):
            return Judged(withheld=shown.reason, rpc_code=shown.rpc_code)
        return Judged(shown)
    flight = exchange.flight
    seen = look(body) if json else None
    if seen is None or not seen.is_response:
        if flight is not None:
            detail = f"HTTP {status}" if status >= 400 else f"HTTP {status} without an answer"
            flight.end(
                "rpc_error" if status >= 400 else "unknown",
                response_bytes=len(body),
                detail=detail,
            )
        if json and status < 300 and body.strip(_WHITESPACE):
            reason = "what the upstream answered is not one answer"
            screen.withhold("unreadable", reason, len(body), exchange.caller)
            return Judged(withheld=reason, rpc_code=UNREACHABLE)
        return Judged(body)
    if seen.key not in (exchange.key, None):
        reason = "the upstream answered another request than this one"
        screen.withhold("stray_answer", reason, len(body), exchange.caller)
        if flight is not None:
            flight.end("unknown", response_bytes=len(body), detail=reason)
        return Judged(withheld=reason, rpc_code=INTERNAL_ERROR)
    found = finding(seen)
    if flight is not None:
        flight.answered(found, len(body))
    if message.method == INITIALIZE and exchange.session is not None:
        exchange.session.version = negotiated_version(seen)
    asker = Asker(message.method, message.id_json, message.is_call, stateless)
    shown = screen.answer(exchange.caller, body, found, asker)
    return Judged(shown if flight is None else flight.told(shown))


def refuses_method(body: bytes) -> bool:
    """Whether an answer says that the server does not know the method."""
    seen = look(body)
    return (
        seen is not None and seen.is_response and finding(seen).rpc_error_code == METHOD_NOT_FOUND
    )


def _may_list(body: bytes) -> bool:
    seen = look(body)
    return seen is not None and seen.holds_tools
