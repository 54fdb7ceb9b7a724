"""Between processes and JetStream: sessions that are slow, break in the middle, or go silent.

A session carries messages in their order, each way, until it breaks; then what was under way is
gone in both directions, so an acknowledgement may be lost whose message was stored. What a process
sent before it was killed still arrives. A break is noticed at once or seconds later.
"""

import asyncio
from collections.abc import Awaitable, Callable
from contextvars import copy_context
from types import SimpleNamespace
from typing import Any, TypeVar, cast

import nats.errors
from nats.aio.msg import Msg
from nats.js.api import (
    ConsumerConfig,
    DiscardPolicy,
    RetentionPolicy,
    StorageType,
    StreamConfig,
    StreamInfo,
    StreamState,
)
from nats.js.errors import APIError, NotFoundError
from tests.simulation.chance import Chance
from tests.simulation.jetstream import JetStreamServer, Stream
from tests.simulation.loop import Process

from toolreeve.bus.connection import Connection, Session

T = TypeVar("T")

Hear = Callable[[Msg], Awaitable[None]]


class Network:
    """Who can reach the server, and how fast."""

    def __init__(self, server: JetStreamServer, loop: asyncio.AbstractEventLoop, chance: Chance):
        self.server = server
        self.loop = loop
        self.chance = chance
        self.up = True
        self.cut_off: set[str] = set()
        self.slow = 1.0
        self._sessions: list[SimulatedClient] = []

    def reachable(self, name: str) -> bool:
        return self.up and name not in self.cut_off

    def opened(self, client: "SimulatedClient") -> None:
        self._sessions.append(client)

    def stop(self) -> None:
        """The server is killed: every session ends."""
        self.up = False
        self.break_sessions(lambda _: True, silent=False)

    def cut(self, name: str) -> None:
        """Nobody hears anything of this client any more, nor it of anybody."""
        self.cut_off.add(name)
        self.break_sessions(lambda client: client.name == name, silent=True)

    def break_sessions(self, which: "Callable[[SimulatedClient], bool]", *, silent: bool) -> None:
        for client in [one for one in self._sessions if which(one)]:
            client.break_off(self.chance.seconds(0, 3) if silent else 0.0)
        self._sessions = [one for one in self._sessions if not one.gone]


class SimulatedClient:
    """A client of NATS for the length of one session, with the few calls that are made of it."""

    def __init__(self, network: Network, name: str, process: Process) -> None:
        self.name = name
        self.lost = asyncio.Event()
        self.is_closed = False
        self.gone = False  # the wire is broken, whether or not that has been noticed
        self.connected_server_version = "simulated"
        self._network = network
        self._process = process
        self._context = copy_context()
        self._heard: dict[str, Hear] = {}
        self._inboxes = 0
        self._free_up = 0.0
        self._free_down = 0.0
        network.opened(self)
        process.when_dead(lambda: self.break_off(0.0))

    def new_inbox(self) -> str:
        self._inboxes += 1
        return f"inbox.{self.name}.{self._inboxes}"

    async def publish(
        self,
        subject: str,
        payload: bytes = b"",
        reply: str = "",
        headers: dict[str, str] | None = None,
    ) -> None:
        if self.is_closed or not self._process.alive:
            raise nats.errors.ConnectionClosedError
        arrive = self._network.server.publish
        self._up(arrive, self, subject, payload, reply, headers or {})

    async def subscribe(self, subject: str, *, cb: Hear) -> Any:
        if self.is_closed:
            raise nats.errors.ConnectionClosedError
        self._heard[subject] = cb

        async def unsubscribe() -> None:
            self._heard.pop(subject, None)

        return SimpleNamespace(unsubscribe=unsubscribe)

    async def ask(self, question: Callable[[], T]) -> T:
        """A request to the server's API, and its answer. Raises nats.errors.TimeoutError."""
        if self.is_closed:
            raise nats.errors.ConnectionClosedError
        answered: asyncio.Future[T] = asyncio.get_running_loop().create_future()

        def answer() -> None:
            try:
                result = question()
            except APIError as error:
                self._down(_resolve, answered, None, error)
            else:
                self._down(_resolve, answered, result, None)

        self._up(answer)
        try:
            async with asyncio.timeout(2.0):
                return await answered
        except TimeoutError as error:
            raise nats.errors.TimeoutError from error

    def say(
        self, inbox: str, subject: str, reply: str, data: bytes, headers: dict[str, str]
    ) -> None:
        """The server's side: something for one of our inboxes."""
        self._down(self._deliver, inbox, subject, reply, data, headers)

    def break_off(self, noticed_after: float) -> None:
        if not self.gone:
            self.gone = True
            self._network.server.later(noticed_after, self._notice)

    def _notice(self) -> None:
        self.is_closed = True
        self.lost.set()

    def _deliver(
        self, inbox: str, subject: str, reply: str, data: bytes, headers: dict[str, str]
    ) -> None:
        hear = self._heard.get(inbox) or self._heard.get(inbox.rpartition(".")[0] + ".*")
        if hear is not None:
            message = Msg(cast(Any, self), subject, reply, data, headers or None)
            self._network.loop.create_task(cast(Any, hear(message)), context=self._context)

    def _up(self, arrive: Callable[..., object], *args: object) -> None:
        self._free_up = max(self._free_up, self._network.loop.time() + self._latency())
        self._at(self._free_up, arrive, *args)

    def _down(self, arrive: Callable[..., object], *args: object) -> None:
        self._free_down = max(self._free_down, self._network.loop.time() + self._latency())
        self._at(self._free_down, arrive, *args)

    def _at(self, when: float, arrive: Callable[..., object], *args: object) -> None:
        def arrived() -> None:
            if not self.gone:
                arrive(*args)

        self._network.server.later(when - self._network.loop.time(), arrived)

    def _latency(self) -> float:
        return self._network.chance.seconds(0.0002, 0.004) * self._network.slow


class SimulatedJetStream:
    """nats-py's JetStream context, as far as it is used."""

    def __init__(self, client: SimulatedClient, server: JetStreamServer) -> None:
        self._client = client
        self._server = server

    async def stream_info(self, name: str) -> StreamInfo:
        return await self._client.ask(lambda: _info(self._stream(name)))

    async def add_stream(self, config: StreamConfig) -> StreamInfo:
        def add() -> StreamInfo:
            assert config.name is not None
            stream = Stream(config.name, config.subjects or [])
            return _info(self._server.streams.setdefault(config.name, stream))

        return await self._client.ask(add)

    async def add_consumer(self, name: str, config: ConsumerConfig) -> Any:
        def add() -> Any:
            stream = self._stream(name)
            durable = config.durable_name or f"reader{self._server.chance.getrandbits(32)}"
            seconds = config.ack_wait or 0.0
            policy, start = config.deliver_policy, config.opt_start_seq or 1
            assert policy is not None
            self._server.add_consumer(stream, durable, policy, start, seconds)
            return SimpleNamespace(name=durable)

        return await self._client.ask(add)

    async def reset_consumer(self, name: str, durable: str) -> None:
        await self._client.ask(lambda: self._reset(name, durable))

    async def delete_consumer(self, name: str, durable: str) -> None:
        await self._client.ask(lambda: self._stream(name).consumers.pop(durable, None))

    async def consumer_info(self, name: str, durable: str) -> Any:
        def look() -> Any:
            stream = self._stream(name)
            consumer = stream.consumers.get(durable)
            if consumer is None:
                raise NotFoundError
            behind = len(stream.messages) - consumer.next + 1 + len(consumer.again)
            return SimpleNamespace(
                num_pending=behind,
                num_ack_pending=len(consumer.waiting),
                ack_floor=SimpleNamespace(stream_seq=consumer.floor),
            )

        return await self._client.ask(look)

    async def get_last_msg(self, name: str, subject: str) -> Any:
        def look() -> Any:
            for said, data, *_ in reversed(self._stream(name).messages):
                if said == subject:
                    return SimpleNamespace(data=data)
            raise NotFoundError

        return await self._client.ask(look)

    async def get_msg(self, name: str, seq: int, **_: Any) -> Any:
        def look() -> Any:
            subject, data, *_ = self._stream(name).messages[seq - 1]
            return SimpleNamespace(subject=subject, data=data, seq=seq)

        return await self._client.ask(look)

    async def publish(
        self, subject: str, payload: bytes, timeout: float, headers: dict[str, str]
    ) -> Any:
        def store() -> Any:
            stored = self._server.store(subject, payload, headers)
            if stored is None:
                raise NotFoundError
            if isinstance(stored, int):
                raise APIError(code=400, err_code=stored, description="wrong last sequence")
            return SimpleNamespace(seq=stored[1], duplicate=stored[2])

        return await self._client.ask(store)

    def _reset(self, name: str, durable: str) -> None:
        self._stream(name).consumers[durable].begin_again()

    def _stream(self, name: str) -> Stream:
        stream = self._server.streams.get(name)
        if stream is None:
            raise NotFoundError
        return stream


class SimulatedConnection:
    """Gives sessions as `toolreeve.bus.Connection` does, and a new one when one is lost."""

    def __init__(self, network: Network, name: str, process: Process) -> None:
        self._network = network
        self._name = name
        self._process = process
        self._current: asyncio.Future[Session] = network.loop.create_future()

    @property
    def real(self) -> Connection:
        """As its users know it."""
        return cast(Connection, self)

    @property
    def connected(self) -> bool:
        return self._current.done()

    async def session(self) -> Session:
        return await asyncio.shield(self._current)

    async def jetstream(self) -> Any:
        return (await self.session()).jetstream

    async def keep(self) -> None:
        while True:
            await asyncio.sleep(self._network.chance.seconds(0.001, 0.5))
            if not self._network.reachable(self._name):
                continue
            client = SimulatedClient(self._network, self._name, self._process)
            jetstream = SimulatedJetStream(client, self._network.server)
            session = Session(cast(Any, client), cast(Any, jetstream), client.lost)
            self._current.set_result(session)
            await client.lost.wait()
            self._current = self._network.loop.create_future()


def _info(stream: Stream) -> StreamInfo:
    config = StreamConfig(
        name=stream.name,
        subjects=stream.subjects,
        retention=RetentionPolicy.LIMITS,
        storage=StorageType.FILE,
        discard=DiscardPolicy.NEW,
    )
    last = len(stream.messages)
    state = StreamState(messages=last, bytes=0, first_seq=1, last_seq=last, consumer_count=0)
    return StreamInfo(config=config, state=state)


def _resolve(answered: "asyncio.Future[Any]", result: Any, error: Exception | None) -> None:
    if answered.done():
        return
    if error is None:
        answered.set_result(result)
    else:
        answered.set_exception(error)
