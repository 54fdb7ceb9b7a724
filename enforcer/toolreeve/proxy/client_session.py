"""A client's session, held by the enforcer, before a server that knows no sessions.

What the client said of itself once, each of its requests says to the server again. An answer that
asks (`input_required`) becomes questions to the client in the middle of its request, and the
request goes on with what it answered: for the client, and for the record, it is one request.
"""

import asyncio
import contextlib
import itertools
from collections.abc import Awaitable, Callable, Mapping
from typing import Final

import msgspec

from toolreeve.proxy import era_words as words
from toolreeve.proxy.answers import BROKEN_OFF, BUSY, error_answer
from toolreeve.proxy.bridge_faults import REQUEST_CANCELLED
from toolreeve.proxy.either_form import PING_SECONDS, finish, say_before, show_life
from toolreeve.proxy.era_words import Object, object_in
from toolreeve.proxy.exchange import Exchange, Upstream
from toolreeve.proxy.gate import Caller
from toolreeve.proxy.mcp_headers import Era, routing_headers
from toolreeve.proxy.message import SUBSCRIBE, Kind, Message
from toolreeve.proxy.own_answers import CANCELLED_BY_CLIENT
from toolreeve.proxy.own_requests import OwnRequest, Said, end_flight, own_message, plain_headers
from toolreeve.proxy.shapes import is_object
from toolreeve.proxy.strictjson import INVALID_PARAMS, METHOD_NOT_FOUND

ANSWER_SECONDS_MAX: Final = 300.0  # for the client to answer what it is asked
LIST_SECONDS_MAX: Final = 30.0
ROUNDS_MAX: Final = 10
_PAGES_MAX: Final = 100


class _Stopped(Exception):  # noqa: N818  # not an error: the request is over
    """The request ends with this error; its client has refused to go on, or cancelled."""

    def __init__(self, error: Object) -> None:
        super().__init__(error)
        self.error = error


class ClientSession:
    """One session of a client's. Give it every message of the client's; `close` it in the end."""

    def __init__(
        self,
        inner: Upstream,
        like: Mapping[bytes, bytes],
        caller: Caller,
        client: Object,
        server: Object,
    ) -> None:
        """`client` holds the parameters of its `initialize`, `server` what it was answered."""
        self._inner = inner
        self._like = plain_headers(like)
        self._caller = caller
        self._client = client
        self._capabilities = object_in(server.get("capabilities"))
        self._level = "info" if "logging" in self._capabilities else None
        self._numbers = itertools.count(1)
        self._asked: dict[str, asyncio.Future[Message]] = {}
        self._under_way: dict[str, asyncio.Task[None]] = {}
        self._watched: dict[str, None] = {}
        self._announced: asyncio.Queue[Said] | None = None  # while the client's stream is open
        self._listening: asyncio.Task[None] | None = None
        self._answers: dict[str, Callable[[Exchange, Message], Awaitable[None]]] = {
            "logging/setLevel": self._set_level,
            "resources/subscribe": self._watch,
            "resources/unsubscribe": self._unwatch,
        }

    async def close(self) -> None:
        if self._listening is not None:
            self._listening.cancel()
            await asyncio.gather(self._listening, return_exceptions=True)

    async def post(self, exchange: Exchange) -> None:
        message = exchange.message
        assert message is not None
        if message.kind is Kind.RESPONSE:
            waiting = self._asked.pop(str(message.id), None)
            if waiting is not None and not waiting.done():
                waiting.set_result(message)
            exchange.reply.send(202, ())
        elif message.kind is Kind.NOTIFICATION:
            task = self._under_way.get(str(message.params.get("requestId")))
            if message.method == words.CANCELLED and task is not None:
                task.cancel()
            exchange.reply.send(202, ())
        elif message.method == "ping":
            _succeed(exchange)
        elif message.method in self._answers:
            await self._answers[message.method](exchange, message)
        elif message.method in words.COMMON:
            await self._converse(exchange, message)
        else:
            _fail(exchange, METHOD_NOT_FOUND, "Method not found")

    # What the enforcer answers by itself.

    async def _set_level(self, exchange: Exchange, message: Message) -> None:
        level = message.params.get("level")
        if level in words.LEVELS and "logging" in self._capabilities:
            self._level = str(level)
            _succeed(exchange)
        else:
            _fail(exchange, INVALID_PARAMS, "this is no level of a log that the server keeps")

    async def _watch(self, exchange: Exchange, message: Message) -> None:
        uri = message.params.get("uri")
        subscribes = object_in(self._capabilities.get("resources")).get("subscribe")
        if not isinstance(uri, str) or not subscribes:
            _fail(exchange, METHOD_NOT_FOUND, "the server does not announce changes of resources")
            return
        self._watched[uri] = None
        await self._listen_again()
        _succeed(exchange)

    async def _unwatch(self, exchange: Exchange, message: Message) -> None:
        self._watched.pop(str(message.params.get("uri")), None)
        await self._listen_again()
        _succeed(exchange)

    # What the server answers.

    async def _converse(self, exchange: Exchange, message: Message) -> None:
        key = str(message.id)
        asking = asyncio.get_running_loop().create_task(self._rounds(exchange, message))
        self._under_way[key] = asking
        try:
            await asyncio.wait([asking])
            if not asking.cancelled():
                asking.result()
                return
            # Cancelled by a message of its client's, which wants no answer.
            if exchange.flight is not None:
                exchange.flight.end("unknown", detail=CANCELLED_BY_CLIENT)
            if exchange.reply.started:
                exchange.reply.end()
            else:
                exchange.fail(200, REQUEST_CANCELLED, CANCELLED_BY_CLIENT)
        finally:
            asking.cancel()
            self._under_way.pop(key, None)

    async def _rounds(self, exchange: Exchange, message: Message) -> None:
        more: Object = {}
        for _ in range(ROUNDS_MAX):
            said = await self._round(exchange, message, more)
            result = words.result_of(said.raw) if said is not None else None
            if said is None or result is None or result.get("resultType") != "input_required":
                await _answer(exchange, message, said)
                return
            try:
                responses = await self._ask_client(exchange, object_in(result.get("inputRequests")))
            except _Stopped as stopped:
                await _stop(exchange, message, stopped.error)
                return
            more = {"inputResponses": responses} if responses else {}
            if isinstance(result.get("requestState"), str):
                more["requestState"] = result["requestState"]
        error: Object = {"code": BROKEN_OFF, "message": f"asked more than {ROUNDS_MAX} times"}
        await _stop(exchange, message, error)

    async def _round(self, exchange: Exchange, message: Message, more: Object) -> Said | None:
        """Ask the server once; what it says before its answer goes to the client."""
        if message.is_call and not self._inner.params.knows(message.name):
            await self._learn()
        params = words.stateless({**message.params, **more}, self._client, self._level)
        asking = self._own(message.method, params, exchange.request.headers)
        async with asyncio.TaskGroup() as tasks:
            running = tasks.create_task(asking.run(), name="request of a session")
            while True:
                try:
                    async with asyncio.timeout(PING_SECONDS):
                        said = await asking.reply.next()
                except TimeoutError:
                    await show_life(exchange)
                    continue
                if said is None or said.seen.is_response:
                    running.cancel()
                    return said
                if not said.seen.is_request:
                    await say_before(exchange, said.raw)

    async def _learn(self) -> None:
        """See the server's tools once: some want arguments in headers, which only the list says."""
        cursor: Object = {}
        for _ in range(_PAGES_MAX):
            asking = self._own("tools/list", words.stateless(cursor, self._client, None))
            said = await asking.answer(LIST_SECONDS_MAX)
            result = words.result_of(said.raw) if said is not None else None
            if result is None or not isinstance(result.get("nextCursor"), str):
                return
            cursor = {"cursor": result["nextCursor"]}

    async def _ask_client(self, exchange: Exchange, questions: Object) -> Object:
        """Put the server's questions to the client, on the stream of its own request."""
        waiting: dict[str, asyncio.Future[Message]] = {}
        numbers: list[str] = []
        try:
            for key, question in questions.items():
                if not is_object(question):
                    continue
                number = f"toolreeve-{next(self._numbers)}"
                numbers.append(number)
                waiting[key] = asyncio.get_running_loop().create_future()
                self._asked[number] = waiting[key]
                asked = {"jsonrpc": "2.0", "id": number, **question}
                await say_before(exchange, msgspec.json.encode(asked))
            return {key: await self._response(exchange, one) for key, one in waiting.items()}
        finally:
            for number in numbers:
                self._asked.pop(number, None)

    async def _response(self, exchange: Exchange, waiting: "asyncio.Future[Message]") -> object:
        loop = asyncio.get_running_loop()
        deadline = loop.time() + ANSWER_SECONDS_MAX
        while not waiting.done():
            if loop.time() >= deadline:
                raise _Stopped({"code": BROKEN_OFF, "message": "the client did not answer"})
            await asyncio.wait([waiting], timeout=PING_SECONDS)
            if not waiting.done():
                await show_life(exchange)
        response = waiting.result().value
        if "error" in response:
            raise _Stopped(object_in(response["error"]))
        return response.get("result")

    # What the server announces.

    async def get(self, exchange: Exchange) -> None:
        """The stream of what belongs to no request, until its client leaves."""
        if self._announced is not None:
            exchange.fail(409, BUSY, "this session's stream is open already")
            return
        announced = self._announced = asyncio.Queue[Said](1_000)
        try:
            await show_life(exchange)
            await self._listen_again()
            while True:
                try:
                    async with asyncio.timeout(PING_SECONDS):
                        said = await announced.get()
                except TimeoutError:
                    await show_life(exchange)
                    continue
                await say_before(exchange, words.no_subscription(said.raw))
        finally:
            self._announced = None
            await self.close()

    async def _listen_again(self) -> None:
        """Have the server announce what is wanted by now; the new stream stands before the old
        one ends, so nothing falls between them."""
        announced, before = self._announced, self._listening
        if announced is None:
            return
        wanted: Object = {
            member: True
            for method, member in words.ANNOUNCEMENTS.items()
            if object_in(self._capabilities.get(method.split("/")[1])).get("listChanged")
        }
        if self._watched:
            wanted["resourceSubscriptions"] = list(self._watched)
        if wanted:
            params = words.stateless({"notifications": wanted}, self._client, None)
            listening = self._own(SUBSCRIBE, params)
            begun = asyncio.Event()
            work = _announce(listening, announced, begun)
            self._listening = asyncio.get_running_loop().create_task(work, name="announcements")
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(LIST_SECONDS_MAX):
                    await begun.wait()
        if before is not None:
            before.cancel()

    def _own(
        self, method: str, params: Object, like: Mapping[bytes, bytes] | None = None
    ) -> OwnRequest:
        number = next(self._numbers)
        value: Object = {"jsonrpc": "2.0", "id": number, "method": method, "params": params}
        message = own_message(value)
        return OwnRequest(
            self._inner,
            self._like if like is None else like,
            self._caller,
            Era.STATELESS,
            version=words.STATELESS_VERSION,
            message=message,
            headers={**routing_headers(message), **self._inner.params.written(message)},
        )


async def _announce(
    listening: OwnRequest, announced: "asyncio.Queue[Said]", begun: asyncio.Event
) -> None:
    """Have what is announced put into a queue; `begun` when the server has answered at all."""
    try:
        async with asyncio.TaskGroup() as tasks:
            running = tasks.create_task(listening.run(), name="subscription")
            async for said in listening.reply.messages():
                known = said.seen.method in words.ANNOUNCEMENTS
                if (known or said.seen.method == words.RESOURCE_UPDATED) and not announced.full():
                    announced.put_nowait(said)
                begun.set()
            running.cancel()
    finally:
        begun.set()


async def _answer(exchange: Exchange, message: Message, said: Said | None) -> None:
    if exchange.flight is not None:
        end_flight(exchange.flight, said)
    if said is None:
        raw = error_answer(message.id_json, BROKEN_OFF, "the server gave no answer")
    else:
        raw = words.session_answer(said.raw, message.id_json)
    if exchange.flight is not None:
        raw = exchange.flight.told(raw)
    await finish(exchange, raw)


async def _stop(exchange: Exchange, message: Message, error: Object) -> None:
    """End a request that cannot go on; the server never hears of it again."""
    if exchange.flight is not None:
        exchange.flight.end("unknown", detail="the client did not answer what it was asked")
    id_json = msgspec.Raw(message.id_json.encode())
    raw = msgspec.json.encode({"jsonrpc": "2.0", "id": id_json, "error": error})
    await finish(exchange, raw)


def _succeed(exchange: Exchange) -> None:
    assert exchange.message is not None
    id_json = msgspec.Raw(exchange.message.id_json.encode())
    body: Object = {"jsonrpc": "2.0", "id": id_json, "result": {}}
    exchange.answer(200, msgspec.json.encode(body))


def _fail(exchange: Exchange, code: int, text: str) -> None:
    if not exchange.reply.started:
        exchange.fail(200, code, text)
