"""Both protocol eras before a server that speaks one of them.

A client that speaks the server's era goes straight through, untouched. For the others the server
is asked once what it speaks (`server/discover`; a server that refuses `initialize` in the name of
a newer version speaks without sessions), and then

- a client without a session gets one with the server, held by us (`upstream_session`);
- a client with a session has it with us, before a server that knows none (`client_session`).

`server/discover` itself is not promised on behalf of a server with sessions, unless the settings
say so: whoever speaks both eras asks it to choose, and is served best in the server's own.
"""

import asyncio
import hashlib
from typing import Final

import msgspec
import structlog

from toolreeve.proxy import era_words as words
from toolreeve.proxy.answers import UNREACHABLE, error_answer
from toolreeve.proxy.client_sessions import ClientSessions
from toolreeve.proxy.exchange import Exchange, Route, Upstream
from toolreeve.proxy.gate import Caller
from toolreeve.proxy.mcp_headers import METHOD_HEADER, SESSION_VERSIONS, UNSUPPORTED_VERSION, Era
from toolreeve.proxy.message import INITIALIZE, PROTOCOL_VERSION_META, SUBSCRIBE, Kind
from toolreeve.proxy.own_requests import OwnRequest, Said, own_message
from toolreeve.proxy.sessions import Session
from toolreeve.proxy.shapes import is_object
from toolreeve.proxy.strictjson import INVALID_PARAMS, METHOD_NOT_FOUND
from toolreeve.proxy.upstream_session import (
    SessionLostError,
    SessionRefusedError,
    UpstreamSession,
)

log = structlog.get_logger()

PROBE_SECONDS_MAX: Final = 10.0
BELIEVED_SECONDS: Final = 600.0  # what a server speaks, before it is asked again
IDLE_SECONDS_MAX: Final = 600.0
SESSIONS_MAX: Final = 64
_SWEEP_SECONDS: Final = 30.0
_HOW_TO_GO_ON: Final = (
    "this server speaks protocol versions with sessions only: begin with initialize, or have"
    " toolreeve answer for it (offer_stateless in the settings of the upstream)"
)

_Key = tuple[str, bytes]


class Translating:
    """An upstream for clients of both eras. `close` it in the end, and it closes `inner`."""

    def __init__(self, inner: Upstream, server: str, *, offer_stateless: bool = False) -> None:
        self._inner = inner
        self._server = server
        self._offer_stateless = offer_stateless
        self.params = inner.params
        self._speaks_stateless: bool | None = None
        self._believed_until = 0.0
        self._probing = asyncio.Lock()
        self._sessions: dict[_Key, UpstreamSession] = {}
        self._opening: dict[_Key, asyncio.Task[UpstreamSession]] = {}
        self._clients = ClientSessions(inner, server)
        self._sweeper: asyncio.TimerHandle | None = None
        self._closing: set[asyncio.Task[None]] = set()

    @property
    def sessions(self) -> tuple[UpstreamSession, ...]:
        """Those that are held with the server at the moment."""
        return tuple(self._sessions.values())

    def session(self, session_id: str, caller: Caller) -> Session | None:
        if self._clients.holds(session_id):
            return self._clients.find(session_id, caller)
        return self._inner.session(session_id, caller)

    def route(self, exchange: Exchange) -> Route | None:
        if exchange.era is Era.STATELESS:
            now = asyncio.get_running_loop().time()
            plain = self._believed_until > now and self._speaks_stateless is not False
        else:
            session = exchange.session
            plain = session is None or not self._clients.holds(session.session_id)
        return self._inner.route(exchange) if plain else None

    async def post(self, exchange: Exchange) -> None:
        if exchange.era is Era.STATELESS:
            await self._post_stateless(exchange)
        elif exchange.session is not None and self._clients.holds(exchange.session.session_id):
            await self._clients.post(exchange)
        elif exchange.session is None and self._introduces(exchange):
            await self._clients.introduce(exchange)
        else:
            await self._inner.post(exchange)

    async def get(self, exchange: Exchange) -> None:
        if exchange.session is not None and self._clients.holds(exchange.session.session_id):
            await self._clients.get(exchange)
        else:
            await self._inner.get(exchange)

    async def delete(self, exchange: Exchange) -> None:
        if exchange.session is not None and self._clients.holds(exchange.session.session_id):
            await self._clients.delete(exchange)
        else:
            await self._inner.delete(exchange)

    async def close(self) -> None:
        if self._sweeper is not None:
            self._sweeper.cancel()
        for opening in tuple(self._opening.values()):
            opening.cancel()
        await asyncio.gather(*self._opening.values(), return_exceptions=True)
        for key in tuple(self._sessions):
            self._drop(key)
        await asyncio.gather(*self._closing, return_exceptions=True)
        await self._clients.close()
        await self._inner.close()

    @staticmethod
    def _introduces(exchange: Exchange) -> bool:
        message = exchange.message
        return message is not None and message.method == INITIALIZE

    # A client without a session.

    async def _post_stateless(self, exchange: Exchange) -> None:
        now = asyncio.get_running_loop().time()
        if self._believed_until <= now:
            await self._probe(exchange)
        message = exchange.message
        assert message is not None
        if self._speaks_stateless is not False:
            await self._inner.post(exchange)
        elif message.kind is not Kind.REQUEST:
            exchange.reply.send(202, ())  # this era has no such notifications: taken and dropped
        elif not is_object(message.meta.get(words.CLIENT_CAPABILITIES_META)):
            text = (
                f"a request says in _meta[{words.CLIENT_CAPABILITIES_META!r}] what its client does"
            )
            _decline(exchange, 400, INVALID_PARAMS, text)
        elif message.method == words.DISCOVER and not self._offer_stateless:
            requested = message.protocol_version
            data = {"supported": list(SESSION_VERSIONS), "requested": requested}
            body = error_answer(message.id_json, UNSUPPORTED_VERSION, _HOW_TO_GO_ON, data)
            exchange.answer(400, body)
        elif message.method in words.COMMON or message.method in (words.DISCOVER, SUBSCRIBE):
            await self._lend(exchange)
        else:
            exchange.fail(404, METHOD_NOT_FOUND, "Method not found")

    async def _probe(self, exchange: Exchange) -> None:
        """Ask the server what it speaks; where it is in trouble, nothing is known."""
        loop = asyncio.get_running_loop()
        async with self._probing:
            if self._believed_until > loop.time():
                return
            assert exchange.message is not None
            params = {"_meta": _of_this_era(exchange.message.meta)}
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
            said = await asking.answer(PROBE_SECONDS_MAX)
            self._speaks_stateless = _verdict(said, asking.reply.status)
            known = self._speaks_stateless is not None
            self._believed_until = loop.time() + (BELIEVED_SECONDS if known else 0.0)
            if self._speaks_stateless is False:
                log.info("upstream.with_sessions", server=self._server)

    async def _lend(self, exchange: Exchange) -> None:
        """Answer through a session with the server; through a new one if it has lost the old."""
        message = exchange.message
        assert message is not None
        state = message.params.get("requestState")
        if state is not None:
            await self._go_on(exchange, state)
            return
        for _ in range(2):
            try:
                session = await self._session_for(exchange)
                if message.method == words.DISCOVER:
                    result = words.discovered(session.initialized)
                    id_json = msgspec.Raw(message.id_json.encode())
                    exchange.answer(200, _encode(_result(id_json, result)))
                elif message.method == SUBSCRIBE:
                    declared = words.object_in(session.initialized.get("capabilities"))
                    await session.subscriptions.listen(exchange, declared)
                else:
                    await session.ask(exchange)
            except SessionLostError:
                self._forget_lost()
                continue
            except SessionRefusedError as refused:
                _refuse(exchange, refused.said)
            return
        _refuse(exchange, None)

    async def _go_on(self, exchange: Exchange, state: object) -> None:
        for session in tuple(self._sessions.values()):
            if isinstance(state, str) and session.awaits(state):
                if not await session.go_on(exchange, state):
                    break
                return
        _decline(exchange, 400, INVALID_PARAMS, "Invalid or expired requestState")

    async def _session_for(self, exchange: Exchange) -> UpstreamSession:
        """Raises SessionRefusedError."""
        assert exchange.message is not None
        introduction = words.introduction(exchange.message.meta)
        said = msgspec.json.encode(introduction, order="deterministic")
        key = (exchange.caller.grant, hashlib.sha256(said).digest())
        session = self._sessions.get(key)
        if session is not None and not session.lost:
            session.used_at = asyncio.get_running_loop().time()
            return session
        opening = self._opening.get(key)
        if opening is None:
            self._make_room()
            work = self._open(key, exchange, introduction)
            opening = asyncio.get_running_loop().create_task(work, name="session of ours")
            self._opening[key] = opening
            opening.add_done_callback(lambda done: self._opened(key, done))
        return await asyncio.shield(opening)  # who has asked for it first may leave

    async def _open(
        self, key: _Key, exchange: Exchange, introduction: words.Object
    ) -> UpstreamSession:
        session = UpstreamSession(self._inner, exchange.request.headers, exchange.caller)
        await session.open(introduction)
        self._sessions[key] = session
        if self._sweeper is None:
            self._sweep()
        return session

    def _opened(self, key: _Key, done: asyncio.Task[UpstreamSession]) -> None:
        self._opening.pop(key, None)
        if not done.cancelled() and isinstance(done.exception(), SessionRefusedError):
            log.info("session.refused", server=self._server)

    def _make_room(self) -> None:
        """Let the session go that has done nothing for longest. Raises SessionRefusedError."""
        if len(self._sessions) + len(self._opening) < SESSIONS_MAX:
            return
        idle = [(one.used_at, key) for key, one in self._sessions.items() if one.idle]
        if not idle:
            raise SessionRefusedError(None)
        self._drop(min(idle)[1])

    def _forget_lost(self) -> None:
        for key in [key for key, session in self._sessions.items() if session.lost]:
            self._drop(key)

    def _drop(self, key: _Key) -> None:
        session = self._sessions.pop(key)
        task = asyncio.get_running_loop().create_task(session.close())
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)

    def _sweep(self) -> None:
        loop = asyncio.get_running_loop()
        before = loop.time() - IDLE_SECONDS_MAX
        for key, session in tuple(self._sessions.items()):
            if session.lost or (session.idle and session.used_at <= before):
                self._drop(key)
        self._sweeper = loop.call_later(_SWEEP_SECONDS, self._sweep)


_encode = msgspec.json.Encoder().encode


def _result(id_json: msgspec.Raw, result: words.Object) -> words.Object:
    return {"jsonrpc": "2.0", "id": id_json, "result": result}


def _of_this_era(meta: object) -> words.Object:
    """What a client says of itself with each request, for a question of ours in its name."""
    said = words.object_in(meta)
    known = (words.CLIENT_INFO_META, words.CLIENT_CAPABILITIES_META)
    return {
        PROTOCOL_VERSION_META: words.STATELESS_VERSION,
        words.CLIENT_CAPABILITIES_META: {},
        **{name: said[name] for name in known if name in said},
    }


def _verdict(said: Said | None, status: int) -> bool | None:
    """Whether a server speaks without sessions, from its answer to `server/discover`."""
    if said is None:
        return False if status == 0 or 400 <= status < 500 else None
    if said.error_code in words.IN_TROUBLE or status >= 500:
        return None
    return words.speaks_stateless(words.result_of(said.raw))


def _decline(exchange: Exchange, status: int, code: int, text: str) -> None:
    """Answer with an error; the server never hears of the request."""
    if exchange.flight is not None:
        exchange.flight.end("not_sent", detail=text)
    exchange.fail(status, code, text)


def _refuse(exchange: Exchange, said: Said | None) -> None:
    """There is no session to be had; the server's own words where it gave any."""
    message = exchange.message
    assert message is not None
    if said is None or said.error_code is None:
        text = "the server opened no session for this request"
        _decline(exchange, 502, UNREACHABLE, text)
    else:
        if exchange.flight is not None:
            exchange.flight.end("not_sent", detail="the server opened no session")
        exchange.answer(502, words.stateless_answer(said.raw, message.id_json, message.method))
