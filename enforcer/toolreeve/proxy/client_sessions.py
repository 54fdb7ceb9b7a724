"""The sessions that clients have with the enforcer, before a server that knows none."""

import asyncio
import collections
import secrets
from typing import Final

import msgspec
import structlog

from toolreeve.proxy import era_words as words
from toolreeve.proxy.answers import BROKEN_OFF, JSON_HEADERS
from toolreeve.proxy.client_session import ClientSession
from toolreeve.proxy.era_words import object_in
from toolreeve.proxy.exchange import Exchange, Upstream
from toolreeve.proxy.gate import Caller
from toolreeve.proxy.mcp_headers import METHOD_HEADER, SESSION_HEADER, Era
from toolreeve.proxy.own_requests import OwnRequest, Said, own_message
from toolreeve.proxy.sessions import Session

log = structlog.get_logger()

SESSIONS_MAX: Final = 1_000
SESSIONS_PER_GRANT_MAX: Final = 500
ASK_SECONDS_MAX: Final = 30.0
BELIEVED_SECONDS: Final = 600.0  # what a server speaks, before it is asked again
_OURS: Final = "held-"


class ClientSessions:
    """All of one upstream. `close` it in the end."""

    def __init__(self, inner: Upstream, server: str) -> None:
        self._inner = inner
        self._server = server
        self._sessions: collections.OrderedDict[str, tuple[Session, ClientSession]]
        self._sessions = collections.OrderedDict()
        self._closing: set[asyncio.Task[None]] = set()
        self._with_until = 0.0  # it is believed to speak with sessions, and then
        self._without_until = 0.0  # it is believed to speak only without

    def holds(self, session_id: str) -> bool:
        """Whether such a session would be one of these, and not the server's."""
        return session_id.startswith(_OURS)

    def find(self, session_id: str, caller: Caller) -> Session | None:
        """The session if it exists and is the caller's."""
        session, _ = self._sessions.get(session_id, (None, None))
        if session is None or session.grant != caller.grant:
            return None
        self._sessions.move_to_end(session_id)
        return session

    async def introduce(self, exchange: Exchange) -> None:
        """Answer `initialize`: the server does, or where it knows no sessions, we do."""
        loop, message = asyncio.get_running_loop(), exchange.message
        assert message is not None
        if self._with_until > loop.time():
            await self._inner.post(exchange)
            return
        if self._without_until > loop.time():
            server = await self._discover(exchange)
            if server is not None:
                self._open(exchange, server)
                return
        asking = OwnRequest(
            self._inner,
            exchange.request.headers,
            exchange.caller,
            Era.SESSION,
            version=message.protocol_version or words.SESSION_VERSION,
            message=message,
        )
        said = await asking.answer(ASK_SECONDS_MAX)
        status, headers = asking.reply.status, asking.reply.headers
        if said is not None and words.result_of(said.raw) is not None:
            self._with_until = loop.time() + BELIEVED_SECONDS
            given = headers.get(SESSION_HEADER)
            own = ((SESSION_HEADER, given),) if given is not None else ()
            exchange.reply.send(status, (*JSON_HEADERS, *own), said.raw)
            return
        server = await self._discover(exchange) if _may_know_no_sessions(said, status) else None
        if server is not None:
            self._without_until = loop.time() + BELIEVED_SECONDS
            self._open(exchange, server)
        elif said is not None:
            exchange.reply.send(status, JSON_HEADERS, said.raw)
        else:
            exchange.fail(502, BROKEN_OFF, f"the server answered with HTTP {status}")

    async def _discover(self, exchange: Exchange) -> words.Object | None:
        """What a server without sessions says of itself; None where it is none."""
        assert exchange.message is not None
        params = words.stateless({}, exchange.message.params, None)
        value = {"jsonrpc": "2.0", "id": 0, "method": words.DISCOVER, "params": params}
        asking = OwnRequest(
            self._inner,
            exchange.request.headers,
            exchange.caller,
            Era.STATELESS,
            version=words.STATELESS_VERSION,
            message=own_message(value),
            headers={METHOD_HEADER: words.DISCOVER.encode()},
        )
        said = await asking.answer(ASK_SECONDS_MAX)
        result = words.result_of(said.raw) if said is not None else None
        return result if words.speaks_stateless(result) else None

    def _open(self, exchange: Exchange, server: words.Object) -> None:
        message = exchange.message
        assert message is not None
        session_id = _OURS + secrets.token_urlsafe(24)
        result = words.initialized(server, message.params.get("protocolVersion"))
        opened = Session(session_id, exchange.caller.grant)
        opened.version = str(result["protocolVersion"])
        grant = exchange.caller.grant
        own = [name for name, (one, _) in self._sessions.items() if one.grant == grant]
        if len(own) >= SESSIONS_PER_GRANT_MAX:  # or one grant would have all others' forgotten
            self._drop(own[0], "session forgotten")
        while len(self._sessions) >= SESSIONS_MAX:
            self._drop(next(iter(self._sessions)), "session forgotten")
        like = exchange.request.headers
        held = ClientSession(self._inner, like, exchange.caller, message.params, object_in(result))
        self._sessions[session_id] = opened, held
        log.info("session.held", server=self._server)
        id_json = msgspec.Raw(message.id_json.encode())
        body = msgspec.json.encode({"jsonrpc": "2.0", "id": id_json, "result": result})
        headers = (*JSON_HEADERS, (SESSION_HEADER, session_id.encode()))
        exchange.reply.send(200, headers, body)

    async def post(self, exchange: Exchange) -> None:
        await self._of(exchange).post(exchange)

    async def get(self, exchange: Exchange) -> None:
        await self._of(exchange).get(exchange)

    async def delete(self, exchange: Exchange) -> None:
        assert exchange.session is not None
        self._drop(exchange.session.session_id, "session ended")
        exchange.reply.send(200, ())

    async def close(self) -> None:
        for session_id in tuple(self._sessions):
            self._drop(session_id, "enforcer stopped")
        await asyncio.gather(*self._closing, return_exceptions=True)

    def _drop(self, session_id: str, detail: str) -> None:
        session, held = self._sessions.pop(session_id)
        session.close(detail)
        task = asyncio.get_running_loop().create_task(held.close())
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)

    def _of(self, exchange: Exchange) -> ClientSession:
        assert exchange.session is not None, "only what belongs to one of these comes here"
        return self._sessions[exchange.session.session_id][1]


def _may_know_no_sessions(said: Said | None, status: int) -> bool:
    """Whether an answer to `initialize` is a refusal, and not a server in trouble."""
    if said is None:
        return 400 <= status < 500
    return said.error_code not in words.IN_TROUBLE and status < 500
