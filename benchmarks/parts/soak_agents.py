"""Agents of the soak: some work, the others do to a gateway what agents do when things go wrong.

Each behaviour is one visit: it connects, does its thing and is gone. What it is answered is looked
at where there is a right answer; a refusal because the house is full is right too.
"""

import asyncio
import itertools
import random
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Final

from parts.calls import FIRST_ID, CallForm, looks_wrong
from parts.http_wire import BrokenConnectionError, HttpWire
from parts.load import Agent, LoadError, Target

FULL: Final = ("HTTP 503", "HTTP 429")
LISTEN: Final = (
    b'{"jsonrpc":"2.0","id":%d,"method":"subscriptions/listen","params":{"_meta":'
    b'{"io.modelcontextprotocol/protocolVersion":"2026-07-28",'
    b'"io.modelcontextprotocol/clientInfo":{"name":"soak","version":"1"},'
    b'"io.modelcontextprotocol/clientCapabilities":{}},"notifications":{"toolsListChanged":true}}}'
)
RUBBISH: Final = (
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    b"GET / HTTP/9.9\r\n\r\n",
    b"POST %p HTTP/1.1\r\nHost: a\r\nHost: b\r\nContent-Length: 2\r\n\r\n{}",
    b"POST %p HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 5\r\n\r\n\xff\xfe{}\x00",
    b"POST %p HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
    b"Content-Length: 27\r\n\r\n" + b'{"jsonrpc":"2.0","a":1,"a":' + b"1}",
    b"POST %p HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
    b"Content-Length: 400\r\n\r\n" + b"[" * 400,
    b"POST %p HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Long: " + b"y" * 40_000 + b"\r\n\r\n",
    b"POST %p HTTP/1.1\r\nHost: elsewhere.example\r\nContent-Length: 2\r\n\r\n{}",
    b"POST %p HTTP/1.1\r\nHost: 127.0.0.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n{}\r\n",
)


class Place:
    """One server behind the gateway, and what visits to it have come to."""

    def __init__(self, name: str, port: int, *, processes: bool) -> None:
        self.name = name
        self.port = port
        self.path = f"/{name}/mcp"
        self.processes = processes
        self.left: list[Agent] = []
        """Sessions that somebody opened and walked away from."""
        self.left_max = 16 if processes else 1_000_000
        self.ids = itertools.count(FIRST_ID)

    def agent(self, *, stateless: bool) -> Agent:
        target = Target(port=self.port, path=self.path, stateless=stateless)
        return Agent(target, CallForm(200, stateless=stateless), self.ids)


class Book:
    """How visits went."""

    def __init__(self) -> None:
        self.visits: Counter[str] = Counter()
        self.turned_away: Counter[str] = Counter()
        self.wrong: list[str] = []

    async def visit(self, what: str, place: Place, go: Awaitable[None]) -> None:
        self.visits[what] += 1
        try:
            async with asyncio.timeout(60):
                await go
        except LoadError as error:
            if any(full in str(error) for full in FULL):
                self.turned_away[f"{what} at {place.name}"] += 1
            else:
                self.wrong.append(f"{what} at {place.name}: {error}")
        except BrokenConnectionError as error:
            self.wrong.append(f"{what} at {place.name}: {error}")
        except TimeoutError:
            self.wrong.append(f"{what} at {place.name}: nothing came for a minute")
        except OSError as error:
            self.wrong.append(f"{what} at {place.name}: {error}")


def slow_call(agent: Agent, call_id: int, wait_ms: int) -> bytes:
    """A call that the upstream answers only after a while, with its head."""
    body = agent.form.body(call_id).replace(b'"note":', b'"wait_ms":%d,"note":' % wait_ms)
    return agent.head("POST", len(body), ("tools/call", "truenas")) + body


async def works(place: Place, chance: random.Random) -> None:
    """Opens, calls a few times, ends its session."""
    agent = place.agent(stateless=chance.random() < 0.5)
    try:
        await agent.open()
        for _ in range(chance.randrange(1, 8)):
            await call_once(agent, next(place.ids))
    finally:
        await agent.leave()


async def call_once(agent: Agent, call_id: int) -> None:
    body = agent.form.body(call_id)
    head = agent.head("POST", len(body), ("tools/call", "truenas"))
    status, _, answer = await agent.wire.ask(head + body)
    if status != 200:
        raise LoadError(f"HTTP {status} {answer[:200]!r}")
    wrong = looks_wrong(answer, call_id)
    if wrong is not None:
        raise LoadError(wrong)


async def vanishes(place: Place, chance: random.Random) -> None:
    """Is gone while its call is under way."""
    agent = place.agent(stateless=chance.random() < (0.9 if place.processes else 0.5))
    try:
        await agent.open()
        agent.wire.write(slow_call(agent, next(place.ids), 2_000))
        await asyncio.sleep(chance.uniform(0.0, 0.5))
    finally:
        await _gone(place, agent)


async def cancels(place: Place, chance: random.Random) -> None:
    """Cancels its call: in words where there are sessions, by leaving where there are none."""
    agent = place.agent(stateless=chance.random() < (0.8 if place.processes else 0.3))
    other = HttpWire()
    try:
        await agent.open()
        call_id = next(place.ids)
        agent.wire.write(slow_call(agent, call_id, 800))
        await asyncio.sleep(chance.uniform(0.0, 0.3))
        if agent.session is not None:
            loop = asyncio.get_running_loop()
            await loop.create_connection(lambda: other, "127.0.0.1", place.port)
            body = (
                b'{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":%d}}'
            ) % call_id
            status, _, answer = await other.ask(agent.head("POST", len(body)) + body)
            if status != 202:
                raise LoadError(f"cancelling: HTTP {status} {answer[:200]!r}")
            await asyncio.sleep(chance.uniform(0.0, 1.2))
    finally:
        if other.open:
            other.close()
        await _gone(place, agent)


async def half_sent(place: Place, chance: random.Random) -> None:
    """Sends half of a request and no more."""
    agent = place.agent(stateless=True)
    try:
        await agent.open()
        whole = slow_call(agent, next(place.ids), 10)
        agent.wire.write(whole[: chance.randrange(1, len(whole) - 1)])
        await asyncio.sleep(chance.uniform(0.0, 2.0))
    finally:
        agent.wire.close()


async def slow_body(place: Place, chance: random.Random) -> None:
    """Sends a body a byte at a time; some go on until the gateway has had enough."""
    agent = place.agent(stateless=True)
    try:
        await agent.open()
        agent.wire.write(agent.head("POST", 3_000, ("tools/call", "truenas")))
        for _ in range(chance.choice((10, 20, 200))):
            if not agent.wire.open:
                return
            agent.wire.write(b"{")
            await asyncio.sleep(0.1)
    finally:
        if agent.wire.open:
            agent.wire.close()


async def rubbish(place: Place, chance: random.Random) -> None:
    """Sends what is no request; it must be refused, or the connection closed."""
    wire = HttpWire()
    loop = asyncio.get_running_loop()
    await loop.create_connection(lambda: wire, "127.0.0.1", place.port)
    try:
        async with asyncio.timeout(20):
            sent = chance.choice(RUBBISH).replace(b"%p", place.path.encode())
            status, _, answer = await wire.ask(sent)
        if status < 400:
            raise LoadError(f"rubbish was answered with HTTP {status} {answer[:200]!r}")
    except BrokenConnectionError:
        pass
    finally:
        if wire.open:
            wire.close()


async def holds_stream(place: Place, chance: random.Random) -> None:
    """Opens the stream of its session and keeps it for a while."""
    agent = place.agent(stateless=False)
    listener = HttpWire()
    try:
        await agent.open()
        loop = asyncio.get_running_loop()
        await loop.create_connection(lambda: listener, "127.0.0.1", place.port)
        listener.write(agent.head("GET", 0))
        await asyncio.sleep(chance.uniform(0.2, 4.0))
        if chance.random() < 0.5:
            await call_once(agent, next(place.ids))
    finally:
        if listener.open:
            listener.close()
        await _gone(place, agent)


async def listens(place: Place, chance: random.Random) -> None:
    """Subscribes as the newest revision has it, and leaves without a word."""
    agent = place.agent(stateless=True)
    try:
        await agent.open()
        body = LISTEN % next(place.ids)
        agent.wire.write(agent.head("POST", len(body), ("subscriptions/listen", "")) + body)
        await asyncio.sleep(chance.uniform(0.2, 4.0))
    finally:
        agent.wire.close()


async def abandons(place: Place, chance: random.Random) -> None:
    """Opens a session, calls once, and never closes it."""
    del chance
    if len(place.left) >= place.left_max:
        return
    agent = place.agent(stateless=False)
    try:
        await agent.open()
        await call_once(agent, next(place.ids))
        if place.processes:
            place.left.append(agent)
    finally:
        agent.wire.close()


async def comes_back(agent: Agent) -> None:
    """End a session that was left open, on a new connection."""
    again = HttpWire()
    loop = asyncio.get_running_loop()
    await loop.create_connection(lambda: again, "127.0.0.1", agent.target.port)
    agent.wire = again
    await agent.leave()


async def _gone(place: Place, agent: Agent) -> None:
    """Leave without a word; but a server process is ended by its session's owner, on a new line."""
    if agent.wire.open:
        agent.wire.close()
    if place.processes and agent.session is not None:
        await comes_back(agent)


Behaviour = Callable[[Place, random.Random], Awaitable[None]]
BEHAVIOURS: Final[dict[str, Behaviour]] = {
    "works": works,
    "vanishes": vanishes,
    "cancels": cancels,
    "half sent": half_sent,
    "slow body": slow_body,
    "rubbish": rubbish,
    "holds a stream": holds_stream,
    "listens": listens,
    "abandons": abandons,
}
