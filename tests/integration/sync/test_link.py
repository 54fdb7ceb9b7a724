"""A link to control planes that come, go, stall and talk nonsense, over real gRPC."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager

import grpc
import grpc.aio
import pytest

from toolreeve.audit import Hold
from toolreeve.policy.sign import Envelope, Manifest, SigningKey, sign_manifest
from toolreeve.sync.link import Link, LinkSettings
from toolreeve.sync.receive import FetchError
from toolreeve.wire.fleet import (
    SERVICE,
    Ack,
    Hello,
    Stage,
    Up,
    read_up,
    write_down,
)
from toolreeve.wire.hold_order import HoldOrder

Context = grpc.aio.ServicerContext[object, bytes]
Behaviour = Callable[[Context], Awaitable[None]]
SNAPSHOT = write_down(HoldOrder(sequence=0, snapshot=()))
QUICK = LinkSettings(
    retry_first_seconds=0.01,
    retry_seconds_max=0.05,
    connect_seconds_max=0.5,
    fetch_seconds_max=0.5,
)
ACK = Ack(server="vm", policy="p", revision="r", manifest_sequence=1, stage=Stage.ACTIVATED)
KEY = SigningKey.generate()


def manifest(server: str, sequence: int) -> Envelope:
    return sign_manifest(
        Manifest(policy="p", server=server, sequence=sequence, revision="r", size=1, issued_ns=1),
        KEY,
    )


class ControlPlane:
    """A server that does to the first stream what the first behaviour says, and so on."""

    def __init__(self, *behaviours: Behaviour) -> None:
        self.heard: list[Up | None] = []
        self.streams = 0
        self.behaviours = behaviours
        self._moved = asyncio.Event()

    async def subscribe(self, _: object, context: Context) -> None:
        behaviour = self.behaviours[min(self.streams, len(self.behaviours) - 1)]
        self.streams += 1
        await self.hear(context)
        await behaviour(context)

    async def hear(self, context: Context) -> None:
        raw = await context.read()
        assert isinstance(raw, bytes)
        self.heard.append(read_up(raw))
        self._moved.set()

    async def until_heard(self, times: int) -> None:
        while len(self.heard) < times:
            self._moved.clear()
            await self._moved.wait()

    @asynccontextmanager
    async def listening(self, address: str = "127.0.0.1:0") -> AsyncGenerator[str]:
        server = grpc.aio.server(options=[("grpc.so_reuseport", 0)])
        handler: grpc.RpcMethodHandler[object, bytes] = grpc.stream_stream_rpc_method_handler(
            self.subscribe
        )
        server.add_generic_rpc_handlers(
            [grpc.method_handlers_generic_handler(SERVICE, {"Subscribe": handler})]
        )
        port = server.add_insecure_port(address)
        await server.start()
        try:
            yield f"127.0.0.1:{port}"
        finally:
            await server.stop(0)


class Heard:
    """What came through a link."""

    def __init__(self) -> None:
        self.holds: list[HoldOrder] = []
        self.manifests: list[Envelope] = []
        self.may_apply = asyncio.Event()
        self.may_apply.set()
        self.moved = asyncio.Event()

    async def on_hold(self, order: HoldOrder) -> None:
        self.holds.append(order)
        self.moved.set()

    async def on_manifest(self, envelope: Envelope) -> None:
        self.manifests.append(envelope)
        self.moved.set()
        await self.may_apply.wait()

    async def until(self, holds: Callable[[], bool]) -> None:
        while not holds():
            self.moved.clear()
            await self.moved.wait()


def hello() -> Hello:
    return Hello(enforcer_id="e", software_version="1", host="h", servers=("vm",))


@asynccontextmanager
async def linked(address: str, heard: Heard) -> AsyncGenerator[Link]:
    link = Link(
        address, hello=hello, on_manifest=heard.on_manifest, on_hold=heard.on_hold, settings=QUICK
    )
    task = asyncio.create_task(link.run())
    try:
        yield link
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


def within(seconds: float, story: Callable[[], Awaitable[None]]) -> None:
    async def timed() -> None:
        async with asyncio.timeout(seconds):
            await story()

    asyncio.run(timed())


async def welcome(context: Context) -> None:
    await context.write(SNAPSHOT)
    await asyncio.Event().wait()


async def end_at_once(context: Context) -> None:
    del context


async def talk_nonsense(context: Context) -> None:
    await context.write(b"\xff\xff\xff")
    await asyncio.Event().wait()


async def say_nothing(context: Context) -> None:
    del context
    await asyncio.Event().wait()


def abort(code: grpc.StatusCode) -> Behaviour:
    async def behaviour(context: Context) -> None:
        await context.abort(code, "go away")

    return behaviour


async def welcome_then_break_off(context: Context) -> None:
    await context.write(SNAPSHOT)
    await context.abort(grpc.StatusCode.UNAVAILABLE, "moving house")


async def raise_something(context: Context) -> None:
    await context.write(SNAPSHOT)
    raise RuntimeError("a bug in the control plane")


@pytest.mark.parametrize(
    "first",
    [
        end_at_once,
        talk_nonsense,
        say_nothing,
        abort(grpc.StatusCode.CANCELLED),
        abort(grpc.StatusCode.RESOURCE_EXHAUSTED),
        abort(grpc.StatusCode.UNAVAILABLE),
        abort(grpc.StatusCode.UNAUTHENTICATED),
        abort(grpc.StatusCode.INVALID_ARGUMENT),
        welcome_then_break_off,
        raise_something,
    ],
)
def test_however_a_stream_is_lost_another_one_follows(first: Behaviour) -> None:
    async def story() -> None:
        control, heard = ControlPlane(first, first, welcome), Heard()
        async with control.listening() as address, linked(address, heard) as link:
            await control.until_heard(3)
            await link.wait_connected()
            assert control.heard[:3] == [hello()] * 3

    within(10, story)


def test_a_control_plane_that_comes_later_is_found_at_its_address() -> None:
    async def story() -> None:
        heard = Heard()
        async with ControlPlane(welcome).listening() as address:
            pass
        async with linked(address, heard) as link:
            assert not link.send(ACK)
            with pytest.raises(FetchError):
                await link.fetch("sha256:00")
            for _ in range(2):
                control = ControlPlane(welcome)
                async with control.listening(address):
                    await control.until_heard(1)

    within(20, story)


def test_a_slow_manifest_does_not_hold_up_a_hold_and_only_the_newest_follows_it() -> None:
    offers = [manifest("vm", 1), manifest("vm", 2), manifest("disk", 1), manifest("vm", 3)]
    order = HoldOrder(sequence=1, place=Hold(hold_id="h", fleet=True, actor="a", reason="r"))

    async def story() -> None:
        first_is_taken = asyncio.Event()

        async def offer_much(context: Context) -> None:
            await context.write(SNAPSHOT)
            await context.write(write_down(offers[0]))
            await first_is_taken.wait()
            for offer in offers[1:]:
                await context.write(write_down(offer))
            await context.write(write_down(order))
            await asyncio.Event().wait()

        heard = Heard()
        heard.may_apply.clear()
        async with ControlPlane(offer_much).listening() as address, linked(address, heard):
            await heard.until(lambda: len(heard.manifests) == 1)
            first_is_taken.set()
            await heard.until(lambda: len(heard.holds) == 2)
            assert heard.manifests == offers[:1]
            heard.may_apply.set()
            await heard.until(lambda: len(heard.manifests) == 3)
            assert heard.manifests == [offers[0], offers[3], offers[2]]

    within(10, story)


def test_what_a_handler_raises_ends_the_link() -> None:
    async def story() -> None:
        heard = Heard()

        async def on_hold(order: HoldOrder) -> None:
            raise OSError(f"the disk is full at {order.sequence}")

        async with ControlPlane(welcome).listening() as address:
            link = Link(
                address,
                hello=hello,
                on_manifest=heard.on_manifest,
                on_hold=on_hold,
                settings=QUICK,
            )
            with pytest.raises(OSError, match="disk is full"):
                await link.run()

    within(10, story)


def test_an_ack_is_said_while_connected() -> None:
    async def story() -> None:
        said = asyncio.Event()
        control = ControlPlane()

        async def listen(context: Context) -> None:
            await context.write(SNAPSHOT)
            await control.hear(context)
            said.set()
            await asyncio.Event().wait()

        control.behaviours = (listen,)
        heard = Heard()
        async with control.listening() as address, linked(address, heard) as link:
            await link.wait_connected()
            assert link.send(ACK)
            await said.wait()
            assert control.heard == [hello(), ACK]

    within(10, story)
