"""A session with a server, held by the enforcer for clients that have none.

It is opened for one grant and for what one client says it can do, and shared by the requests that
agree in both. Each gets a number of its own in it; answers and progress find their way back by it.
What the server asks in the middle of a request becomes an answer that asks (`input_required`), and
the server's request waits until the client has come back.
"""

import asyncio
import itertools
import secrets
from collections.abc import Coroutine, Mapping
from typing import Final

import structlog

from toolreeve.proxy import era_words as words
from toolreeve.proxy.bridge_faults import status_of
from toolreeve.proxy.either_form import PING_SECONDS, finish, say_before, show_life
from toolreeve.proxy.era_words import Object, object_in
from toolreeve.proxy.exchange import Exchange, Upstream
from toolreeve.proxy.gate import Caller
from toolreeve.proxy.mcp_headers import SESSION_HEADER, SESSION_VERSIONS, Era
from toolreeve.proxy.message import INITIALIZE, Message
from toolreeve.proxy.own_requests import OwnRequest, Said, end_flight, own_message, plain_headers
from toolreeve.proxy.seen import cancelled_id, finding, look, progress_token
from toolreeve.proxy.strictjson import METHOD_NOT_FOUND
from toolreeve.proxy.subscriptions import Subscriptions
from toolreeve.proxy.talk import Question, Talk

log = structlog.get_logger()

OPEN_SECONDS_MAX: Final = 30.0
WAIT_SECONDS_MAX: Final = 300.0  # for a client to come back with what it was asked for
WAITING_MAX: Final = 64
_COMING_BACK_SECONDS: Final = 1.0


class SessionLostError(Exception):
    """The server knows the session no more, and did not look at the request."""


class SessionRefusedError(Exception):
    """The server does not open a session. `said` is its answer, where it gave one."""

    def __init__(self, said: Said | None) -> None:
        super().__init__("no session")
        self.said = said


class UpstreamSession:
    """One session. `open` it, `close` it in the end."""

    def __init__(self, inner: Upstream, like: Mapping[bytes, bytes], caller: Caller) -> None:
        self._inner = inner
        self._like = plain_headers(like)
        self._caller = caller
        self._session_id: str | None = None
        self._version = words.SESSION_VERSION
        self._numbers = itertools.count(1)
        self._talks: dict[int, Talk] = {}
        self._waiting: dict[str, Talk] = {}  # by the word that their clients were told
        self._level: str | None = None
        self._server_info: Object = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self.initialized: Object = {}
        self.lost = False
        self.used_at = asyncio.get_running_loop().time()
        self.subscriptions = Subscriptions(self.request)

    @property
    def idle(self) -> bool:
        return not self._talks and not self.subscriptions.any

    async def open(self, introduction: Object) -> None:
        """Raises SessionRefusedError."""
        value: Object = {"method": INITIALIZE, "params": introduction}
        asking = self._own(self._numbered(value))
        said = await asking.answer(OPEN_SECONDS_MAX)
        result = words.result_of(said.raw) if said is not None else None
        if result is None or result.get("protocolVersion") not in SESSION_VERSIONS:
            raise SessionRefusedError(said)
        self.initialized = result
        self._server_info = object_in(result.get("serverInfo"))
        self._version = str(result["protocolVersion"])
        given = asking.reply.headers.get(SESSION_HEADER)
        self._session_id = None if given is None else given.decode("latin-1")
        await self._own(_plain({"method": "notifications/initialized"})).run()
        self._spawn(self._overhear(), "overhearing")

    async def close(self) -> None:
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._session_id is not None and not self.lost:
            await self._own(None).end_session()

    # A request of a client's.

    async def ask(self, exchange: Exchange) -> None:
        """Let the server answer it. Raises SessionLostError before anything was answered."""
        message = exchange.message
        assert message is not None
        await self._set_level(message)
        number = next(self._numbers)
        token = number if "progressToken" in message.meta else None
        value: Object = {
            "jsonrpc": "2.0",
            "id": number,
            "method": message.method,
            "params": words.in_session(message.params, token),
        }
        asking = self._own(own_message(value), exchange.request.headers)
        talk = Talk(number, message, asking, exchange.caller.grant)
        self._talks[number] = talk
        talk.task = self._spawn(talk.request.run(), f"request {number}")
        await self._follow(exchange, talk)

    def awaits(self, state: str) -> bool:
        return state in self._waiting

    async def go_on(self, exchange: Exchange, state: str) -> bool:
        """Go on with a request that waits for what its client was asked; False if it is another."""
        talk, message = self._waiting[state], exchange.message
        assert message is not None
        if not talk.is_same(exchange):
            return False
        del self._waiting[state]
        talk.follow(message)
        for question, response in talk.answers(message):
            self._respond(question, {"result": response})
        if talk.questions:
            await self._ask_client(exchange, talk)
        else:
            await self._follow(exchange, talk)
        return True

    async def _follow(self, exchange: Exchange, talk: Talk) -> None:
        try:
            while not talk.questions:
                said = await self._next(exchange, talk)
                if said is None or said.seen.is_response:
                    talk.answered = True
                    await self._answer(exchange, talk, said)
                    return
                if said.seen.is_request:
                    self._question(talk, said)
                else:
                    await self._note(exchange, talk, said)
            await self._ask_client(exchange, talk)
        finally:
            if not talk.questions:
                self._end(talk)

    async def _next(self, exchange: Exchange, talk: Talk) -> Said | None:
        """The server's next word; meanwhile the client is shown that somebody is there."""
        while True:
            try:
                async with asyncio.timeout(PING_SECONDS):
                    return await talk.request.reply.next()
            except TimeoutError:
                await show_life(exchange)

    async def _answer(self, exchange: Exchange, talk: Talk, said: Said | None) -> None:
        message, status = exchange.message, talk.request.reply.status
        assert message is not None
        if status == 404 and self._session_id is not None and not exchange.reply.started:
            self.lost = True
            raise SessionLostError
        if said is None:
            text = f"the server answered with HTTP {status} and no message"
            said = _fault(text)
        raw = words.stateless_answer(said.raw, message.id_json, message.method, self._server_info)
        if exchange.flight is not None:
            end_flight(exchange.flight, said)
            raw = exchange.flight.told(raw)
        status = status if status >= 500 else status_of(exchange, finding(said.seen))
        await finish(exchange, raw, status)

    async def _note(self, exchange: Exchange, talk: Talk, said: Said) -> None:
        raw = talk.note(said)
        if raw is not None:
            await say_before(exchange, raw)
        else:
            self.subscriptions.hear(said)

    # Questions of the server's.

    def _question(self, talk: Talk | None, said: Said) -> None:
        number, method = said.seen.id, said.seen.method
        if not isinstance(number, int | str) or not isinstance(method, str):
            return
        question = Question(number, method, {})
        if method == "ping":
            self._respond(question, {"result": {}})
        elif talk is not None and talk.may_be_asked(method) and len(self._waiting) < WAITING_MAX:
            talk.ask(said)
        else:
            text = "the client cannot be asked this now: it has no session"
            self._respond(question, {"error": {"code": METHOD_NOT_FOUND, "message": text}})

    async def _ask_client(self, exchange: Exchange, talk: Talk) -> None:
        assert exchange.message is not None
        state = secrets.token_urlsafe(24)
        self._waiting[state] = talk
        asyncio.get_running_loop().call_later(WAIT_SECONDS_MAX, self._give_up, state)
        raw = talk.questions_asked(exchange.message.id_json, state)
        seen = look(raw)
        if exchange.flight is not None and seen is not None:
            exchange.flight.answered(finding(seen), len(raw))
        await finish(exchange, raw)

    def _give_up(self, state: str) -> None:
        talk = self._waiting.pop(state, None)
        if talk is not None:
            self._end(talk)

    def _respond(self, question: Question, outcome: Object) -> None:
        response = own_message({"jsonrpc": "2.0", "id": question.id, **outcome})
        self._spawn(self._own(response).run(), "answer to a question")

    # What the server says of itself.

    async def _overhear(self) -> None:
        """Follow the stream of what belongs to no request, for as long as the server has one."""
        while not self.lost:
            listening = self._own(None)
            self._spawn(listening.run(), "stream of the session")
            async for said in listening.reply.messages():
                self._overheard(said)
            if listening.reply.status != 200:
                return
            await asyncio.sleep(_COMING_BACK_SECONDS)

    def _overheard(self, said: Said) -> None:
        talks = [talk for talk in self._talks.values() if not talk.questions]
        only = talks[0] if len(talks) == 1 else None
        if said.seen.is_request:
            if only is None:
                self._question(None, said)
            else:
                only.request.reply.add(said)
        elif said.seen.method == words.CANCELLED:
            for talk in self._talks.values():
                talk.withdraw(cancelled_id(said.seen))
        elif (token := progress_token(said.seen)) is not None:
            named = [talk for talk in talks if str(talk.number) == str(token)]
            for talk in named:
                talk.request.reply.add(said)
        elif said.seen.method == words.LOG and only is not None:
            only.request.reply.add(said)
        else:
            self.subscriptions.hear(said)

    # Requests of our own.

    async def request(self, method: str, params: Object) -> Said | None:
        """Ask the server something for ourselves; what it answers, or None."""
        value: Object = {"method": method, "params": params}
        return await self._own(self._numbered(value)).answer(OPEN_SECONDS_MAX)

    async def _set_level(self, message: Message) -> None:
        """Have the server say as much as the most curious request has ever wanted to hear."""
        level = message.meta.get(words.LOG_LEVEL_META)
        declared = object_in(self.initialized.get("capabilities"))
        if not isinstance(level, str) or level not in words.LEVELS or "logging" not in declared:
            return
        if self._level is None or words.LEVELS.index(level) < words.LEVELS.index(self._level):
            self._level = level
            await self.request("logging/setLevel", {"level": level})

    def _end(self, talk: Talk) -> None:
        self._talks.pop(talk.number, None)
        self.used_at = asyncio.get_running_loop().time()
        if not talk.answered and not self.lost:
            params: Object = {"requestId": talk.number, "reason": "the client went away"}
            note = _plain({"method": words.CANCELLED, "params": params})
            self._spawn(self._own(note).run(), "cancellation")
        if talk.task is not None:
            talk.task.cancel()

    def _numbered(self, value: Object) -> Message:
        return _plain({"id": next(self._numbers), **value})

    def _own(
        self, message: Message | None, like: Mapping[bytes, bytes] | None = None
    ) -> OwnRequest:
        return OwnRequest(
            self._inner,
            self._like if like is None else like,
            self._caller,
            Era.SESSION,
            version=self._version,
            message=message,
            session_id=self._session_id,
        )

    def _spawn(self, work: Coroutine[object, object, None], name: str) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._done)
        return task

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (problem := task.exception()) is not None:
            log.error("translation.failed", task=task.get_name(), reason=repr(problem))


def _plain(value: Object) -> Message:
    return own_message({"jsonrpc": "2.0", **value})


def _fault(text: str) -> Said:
    raw = words.fault(text)
    seen = look(raw)
    assert seen is not None, "we write plain messages"
    return Said(raw, seen)
