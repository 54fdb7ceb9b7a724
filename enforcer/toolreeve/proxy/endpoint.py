"""The MCP endpoint: `/<server>/mcp`, and what is asked of each request before it goes on.

In this order: is it HTTP as we speak it, is there such a server, who is calling, and, once the body
is there, is it one plain message, do its headers tell the truth, is the session the caller's, is
the id free, and then the gate. Each "no" is recorded before it is said.
"""

import asyncio
import functools
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Final

import structlog

from toolreeve.proxy.answering import Work
from toolreeve.proxy.answers import (
    JSON_HEADERS,
    NO_SESSION,
    NOT_FOUND,
    UNAUTHENTICATED,
    refused_answer,
)
from toolreeve.proxy.exchange import Exchange, Upstream
from toolreeve.proxy.gate import BadRequest, Caller, Gate, Stranger, ToolCall
from toolreeve.proxy.http_reply import HttpReply
from toolreeve.proxy.http_request import HttpBounds, HttpRequest
from toolreeve.proxy.mcp_headers import (
    SESSION_HEADER,
    STATELESS_VERSIONS,
    UNSUPPORTED_VERSION,
    VERSION_HEADER,
    Era,
    ParamHeaders,
    contradiction,
    era_of,
)
from toolreeve.proxy.message import SUBSCRIBE, Element, Message, NotAMessage, read
from toolreeve.proxy.occupancy import Streams
from toolreeve.proxy.own_answers import method_denied
from toolreeve.proxy.sessions import ID_IN_USE, SESSION_ID_MAX, Session
from toolreeve.proxy.straight import Straight
from toolreeve.proxy.strictjson import INVALID_REQUEST, Refused
from toolreeve.proxy.subscription import methods_needed

log = structlog.get_logger()

_HEALTH: Final = b"/healthz"
_ALLOW: Final = ((b"allow", b"GET, POST, DELETE"), *JSON_HEADERS)
_ALLOW_POST: Final = ((b"allow", b"POST"), *JSON_HEADERS)
UNAUTHORIZED: Final = 401
_CHALLENGE: Final = ((b"www-authenticate", b'Bearer realm="toolreeve"'), *JSON_HEADERS)
_NOBODY: Final = (Element(),)


class Endpoint:
    """Handles every request of a listener. `upstreams` are by the server names in the URL."""

    def __init__(
        self,
        gate: Gate,
        upstreams: Mapping[str, Upstream],
        *,
        streams_per_grant_max: int = HttpBounds().streams_per_grant_max,
    ) -> None:
        self._gate = gate
        self._streams = Streams(streams_per_grant_max)
        self._listening: dict[asyncio.Task[Any], tuple[str, Caller]] = {}
        self._servers = {
            f"/{name}/mcp".encode(): _Server(name, upstream) for name, upstream in upstreams.items()
        }

    def enter(self, request: HttpRequest) -> Refused | None:
        server = self._servers.get(request.path)
        if server is None:
            if request.path == _HEALTH and request.method in (b"GET", b"HEAD"):
                return None if request.bodiless else _NO_BODY
            return _NO_SERVER
        who = self._gate.authenticate(server.name, request.text(b"authorization"))
        if isinstance(who, Stranger):
            return _turned_away(who)
        request.caller = who
        return None

    def __call__(self, request: HttpRequest, reply: HttpReply) -> Work:
        server = self._servers.get(request.path)
        caller = request.caller
        if request.refused is not None:
            turned_away = request.refused.http_status == UNAUTHORIZED
            headers = _CHALLENGE if turned_away else JSON_HEADERS
            return self._refuse(request, reply, server, caller, request.refused, headers=headers)
        if server is None or caller is None:
            return _healthy(reply)
        if request.method == b"POST":
            return self._post(request, reply, server, caller)
        if request.method in (b"GET", b"DELETE"):
            return self._stream_or_end(request, reply, server, caller)
        return self._refuse(request, reply, server, caller, _NO_METHOD, headers=_ALLOW)

    def _post(
        self, request: HttpRequest, reply: HttpReply, server: "_Server", caller: Caller
    ) -> Work:
        refused = _media_refused(
            request.headers.get(b"content-type", b""), request.headers.get(b"accept", b"")
        )
        if refused is not None:
            return self._refuse(request, reply, server, caller, refused)
        message = read(request.body)
        if isinstance(message, NotAMessage):
            return self._refuse(
                request, reply, server, caller, message.refused, elements=message.elements
            )
        if not message.is_call:
            return self._forward(request, reply, server, caller, message=message)
        checked = self._check(request, server, caller, message)
        if isinstance(checked, Refused):
            return self._refuse(request, reply, server, caller, checked, elements=_element(message))
        era, session = checked
        exchange = Exchange(request, reply, caller, era, message=message, session=session)
        return self._call(exchange, server, message)

    async def _forward(
        self,
        request: HttpRequest,
        reply: HttpReply,
        server: "_Server",
        caller: Caller,
        *,
        message: Message,
    ) -> None:
        checked = self._check(request, server, caller, message)
        if isinstance(checked, Refused):
            await self._refuse(request, reply, server, caller, checked, elements=_element(message))
            return
        era, session = checked
        exchange = Exchange(request, reply, caller, era, message=message, session=session)
        try:
            if message.method == SUBSCRIBE:
                await self._endless(exchange, server, server.upstream.post)
            else:
                await server.upstream.post(exchange)
        finally:
            exchange.settle()

    async def _endless(
        self,
        exchange: Exchange,
        server: "_Server",
        follow: Callable[[Exchange], Awaitable[None]],
    ) -> None:
        """Answer with a stream that only its ends close."""
        grant = exchange.caller.grant
        refused = self._streams.begin(grant)
        if refused is not None:
            await self._refuse(exchange.request, exchange.reply, server, exchange.caller, refused)
            return
        exchange.request.endless = True
        task = asyncio.current_task()
        assert task is not None
        self._listening[task] = (server.name, exchange.caller)
        try:
            await follow(exchange)
        finally:
            del self._listening[task]
            self._streams.end(grant)

    def put_out(self) -> None:
        """End the streams of those who may not stay: a grant was revoked, or has run out."""
        for task, (server, caller) in self._listening.items():
            if not self._gate.may_stay(server, caller):
                task.cancel()

    def _check(
        self, request: HttpRequest, server: "_Server", caller: Caller, message: Message
    ) -> tuple[Era, Session | None] | Refused:
        era = era_of(request)
        if isinstance(era, Refused):
            return era
        refused = contradiction(request, message, era)
        if refused is None and era is Era.STATELESS:
            refused = server.params.contradiction(request, message)
        if refused is not None:
            return refused
        if not message.is_call and message.method and message.id_json:
            for method in methods_needed(message):
                if not self._gate.method_allowed(server.name, caller, method):
                    return method_denied(method, 200 if era is Era.SESSION else 404)
        session = _session(request, server, caller) if era is Era.SESSION else None
        if session is None:
            return era, None
        if isinstance(session, Refused):
            return session
        if message.method and message.id_json and not session.begin(str(message.id)):
            return ID_IN_USE
        return era, session

    def _call(self, exchange: Exchange, server: "_Server", message: Message) -> Straight:
        request = exchange.request
        version = request.text(VERSION_HEADER) or message.protocol_version or ""
        if not version and exchange.session is not None:
            version = exchange.session.version  # older clients say it only once
        call = ToolCall(
            server=server.name,
            caller=exchange.caller,
            session="" if exchange.session is None else exchange.session.session_id,
            request_id=message.id_json,
            wire_name=message.name,
            arguments=message.arguments,
            protocol_version=version,
            request_bytes=len(request.body),
            goes_on_with=message.goes_on_with,
        )
        try:
            asked = self._gate.decide(call)
        except BaseException:
            exchange.settle()
            raise
        return Straight(exchange, server.upstream, self._gate, asked)

    async def _stream_or_end(
        self, request: HttpRequest, reply: HttpReply, server: "_Server", caller: Caller
    ) -> None:
        era = era_of(request)
        if isinstance(era, Refused):
            await self._refuse(request, reply, server, caller, era)
            return
        if era is Era.STATELESS:
            await self._refuse(request, reply, server, caller, _NO_METHOD, headers=_ALLOW_POST)
            return
        session = _session(request, server, caller)
        if isinstance(session, Refused):
            await self._refuse(request, reply, server, caller, session)
            return
        exchange = Exchange(request, reply, caller, era, session=session)
        if request.method == b"GET":
            await self._endless(exchange, server, server.upstream.get)
        else:
            await server.upstream.delete(exchange)

    async def _refuse(
        self,
        request: HttpRequest,
        reply: HttpReply,
        server: "_Server | None",
        caller: Caller | None,
        refused: Refused,
        *,
        headers: Sequence[tuple[bytes, bytes]] = JSON_HEADERS,
        elements: Sequence[Element] = _NOBODY,
    ) -> None:
        bad = [
            BadRequest(
                server="" if server is None else server.name,
                caller=caller,
                code=refused.code,
                reason=refused.reason,
                transport="http",
                http_status=refused.http_status,
                rpc_error_code=refused.rpc_code,
                method=element.method,
                wire_tool=element.tool,
                request_bytes=len(request.body) or request.received_bytes,
                peer=request.peer,
            )
            for element in elements
        ]
        request.shielded = True
        if len(bad) == 1:
            await self._gate.refused(bad[0])
        else:
            await asyncio.gather(*(self._gate.refused(one) for one in bad))
        request.shielded = False
        data: object = None
        if refused.rpc_code == UNSUPPORTED_VERSION:
            # Of the era that asks this way; the other one is negotiated by `initialize`.
            supported = list(STATELESS_VERSIONS)
            data = {"supported": supported, "requested": request.text(VERSION_HEADER)}
        id_json = elements[0].id_json if len(elements) == 1 else "null"
        reply.send(refused.http_status, headers, refused_answer(id_json, refused, data))


def _element(message: Message) -> tuple[Element]:
    return (Element(message.method, message.name, message.id_json or "null"),)


async def _healthy(reply: HttpReply) -> None:
    reply.send(200, JSON_HEADERS, b'{"status":"ok"}')


class _Server:
    __slots__ = ("name", "params", "upstream")

    def __init__(self, name: str, upstream: Upstream) -> None:
        self.name = name
        self.upstream = upstream
        self.params: ParamHeaders = upstream.params


_NO_SERVER: Final = Refused(
    code="no_server",
    reason="there is no such server here",
    http_status=404,
    rpc_code=NOT_FOUND,
)
_NO_METHOD: Final = Refused(
    code="http_method",
    reason="this HTTP method is not served here",
    http_status=405,
    rpc_code=INVALID_REQUEST,
)
_NO_SESSION: Final = Refused(
    code="no_session", reason="there is no such session", http_status=404, rpc_code=NO_SESSION
)
_NO_BODY: Final = Refused(
    code="body_size", reason="a question about health has no body", http_status=413
)


def _turned_away(stranger: Stranger) -> Refused:
    return Refused(
        code=stranger.code,
        reason=stranger.reason,
        http_status=UNAUTHORIZED,
        rpc_code=UNAUTHENTICATED,
    )


def _session(request: HttpRequest, server: _Server, caller: Caller) -> Session | Refused | None:
    """The session a request names; None where it names none."""
    session_id = request.text(SESSION_HEADER)
    if session_id is None:
        return None
    if not 0 < len(session_id) <= SESSION_ID_MAX or not session_id.isprintable():
        return _NO_SESSION
    return server.upstream.session(session_id, caller) or _NO_SESSION


@functools.lru_cache(maxsize=256)  # a client says the same with every request
def _media_refused(content_type: bytes, accept: bytes) -> Refused | None:
    media, _, parameters = content_type.lower().partition(b";")
    charset = parameters.replace(b" ", b"").replace(b'"', b"")
    if media.strip() != b"application/json" or charset not in (b"", b"charset=utf-8"):
        return Refused(code="content_type", reason="a message is application/json", http_status=415)
    accepted = {part.partition(b";")[0].strip() for part in accept.lower().split(b",")}
    if b"*/*" in accepted or (
        accepted & {b"application/json", b"application/*"}
        and accepted & {b"text/event-stream", b"text/*"}
    ):
        return None
    return Refused(
        code="accept",
        reason="a client accepts application/json and text/event-stream",
        http_status=406,
    )
