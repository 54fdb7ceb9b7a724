"""Answers in our own name to a request that was let through and then came to nothing.

Each leaves an event before it is said. A tool call has left two by then, its decision and its
outcome; every other request leaves one here.
"""

from typing import Final

from toolreeve.proxy.answers import (
    BROKEN_OFF,
    BUSY,
    NO_SESSION,
    TIMED_OUT,
    UNREACHABLE,
    error_answer,
)
from toolreeve.proxy.exchange import Exchange
from toolreeve.proxy.gate import BadRequest
from toolreeve.proxy.screen import Screen
from toolreeve.proxy.sse import message_event
from toolreeve.proxy.strictjson import METHOD_NOT_FOUND, Refused

CANCELLED_BY_CLIENT: Final = "cancelled by the client"


def no_session(reason: str, http_status: int) -> Refused:
    """It belongs to a session that is not there."""
    return Refused(code="no_session", reason=reason, http_status=http_status, rpc_code=NO_SESSION)


def busy(reason: str, http_status: int = 503) -> Refused:
    """There is no room for it at the moment."""
    return Refused(code="busy", reason=reason, http_status=http_status, rpc_code=BUSY)


def unreachable(reason: str) -> Refused:
    """The upstream cannot be reached, or what it answered cannot be passed on."""
    return Refused(code="unreachable", reason=reason, http_status=502, rpc_code=UNREACHABLE)


def timed_out(reason: str) -> Refused:
    """The upstream did not answer in time."""
    return Refused(code="timed_out", reason=reason, http_status=504, rpc_code=TIMED_OUT)


def broken_off(reason: str) -> Refused:
    """The upstream stopped before its answer was whole."""
    return Refused(code="broken_off", reason=reason, http_status=502, rpc_code=BROKEN_OFF)


def method_denied(method: str, http_status: int = 200) -> Refused:
    """The policy does not let a client use this method."""
    return Refused(
        code="method_denied",
        reason=f"[POLICY DENIED] the method {method} is not allowed here",
        http_status=http_status,
        rpc_code=METHOD_NOT_FOUND,
    )


async def say(screen: Screen, exchange: Exchange, refused: Refused) -> None:
    """Record a refusal and answer with it."""
    await _record(screen, exchange, refused)
    await tell(exchange, refused.http_status, refused.rpc_code, refused.reason)


async def tell(exchange: Exchange, http_status: int, rpc_code: int, text: str) -> None:
    """Answer with an error: as the whole answer, or as the last event of one that has begun."""
    reply = exchange.reply
    if exchange.request.gone or reply.ended:
        return
    id_json = exchange.message.id_json if exchange.message is not None else ""
    error = error_answer(id_json or "null", rpc_code, text)
    if not reply.started:
        exchange.answer(http_status, error)
        return
    await reply.write(message_event(error))
    reply.end()


async def _record(screen: Screen, exchange: Exchange, refused: Refused) -> None:
    message, request = exchange.message, exchange.request
    if message is not None and message.is_call:
        return
    shielded, request.shielded = request.shielded, True
    try:
        await screen.gate.refused(
            BadRequest(
                server=screen.server,
                caller=exchange.caller,
                code=refused.code,
                reason=refused.reason,
                transport="http",
                http_status=refused.http_status,
                rpc_error_code=refused.rpc_code,
                method="" if message is None else message.method,
                wire_tool="",
                request_bytes=len(request.body),
            )
        )
    finally:
        request.shielded = shielded
