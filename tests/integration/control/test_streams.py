"""Enforcers that break the rules of the stream, against a real control plane."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress

import grpc
import grpc.aio
import pytest

from toolreeve.control.process import running
from toolreeve.control.server import ListenError
from toolreeve.control.settings import ControlSettings
from toolreeve.policy.sign import SigningKey
from toolreeve.v1 import fleet_pb2 as pb
from toolreeve.wire.fleet import FETCH_REVISION, SUBSCRIBE, Hello, read_down, write_up

Call = grpc.aio.StreamStreamCall[bytes, bytes]


@asynccontextmanager
async def control(nats_url: str, prefix: str) -> AsyncGenerator[grpc.aio.Channel]:
    settings = ControlSettings(
        plaintext=True,
        listen="127.0.0.1:0",
        nats_url=nats_url,
        prefix=prefix,
        hello_seconds_max=0.3,
        stop_seconds_max=0.2,
        reflection=True,
    )
    async with (
        running(settings, SigningKey.generate()) as address,
        grpc.aio.insecure_channel(address) as channel,
    ):
        yield channel


def subscribe(channel: grpc.aio.Channel) -> Call:
    method: grpc.aio.StreamStreamMultiCallable[bytes, bytes] = channel.stream_stream(SUBSCRIBE)
    return method()


def hello(name: str = "e") -> bytes:
    return write_up(
        Hello(enforcer_id=name, software_version="1", host="h", servers=("vm",), running=())
    )


async def status_of(call: Call) -> tuple[grpc.StatusCode, str]:
    with suppress(grpc.aio.AioRpcError):
        while isinstance(await call.read(), bytes):  # the status comes behind the messages
            pass
    return await call.code(), await call.details()


def within(seconds: float, story: Callable[[], Awaitable[None]]) -> None:
    async def timed() -> None:
        async with asyncio.timeout(seconds):
            await story()

    asyncio.run(timed())


@pytest.mark.parametrize(
    ("said", "problem"),
    [
        ([b"\xff\xff"], "not a SubscribeRequest"),
        ([pb.SubscribeRequest(ack=pb.Ack()).SerializeToString()], "ack stage"),
        ([b""], "is its hello"),
        ([pb.SubscribeRequest(status=pb.Status()).SerializeToString()], "is its hello"),
        (
            [
                hello(""),
            ],
            "without an enforcer id",
        ),
        ([hello(), hello()], "a second hello"),
        ([hello(), b"\xff\xff"], "not a SubscribeRequest"),
        ([hello("x" * 70_000)], "bytes"),
        ([], "no hello came"),
    ],
)
def test_a_stream_that_breaks_the_rules_is_ended_with_the_reason(
    nats_url: str, prefix: str, said: list[bytes], problem: str
) -> None:
    async def story() -> None:
        async with control(nats_url, prefix) as channel:
            call = subscribe(channel)
            for raw in said:
                await call.write(raw)
            code, details = await status_of(call)
            assert code is grpc.StatusCode.INVALID_ARGUMENT
            assert problem in details
            well = subscribe(channel)  # and nobody else suffers from it
            await well.write(hello())
            assert read_down(await first_message(well)) is not None
            well.cancel()

    within(10, story)


async def first_message(call: Call) -> bytes:
    raw = await call.read()
    assert isinstance(raw, bytes)
    return raw


def test_a_second_stream_of_one_enforcer_ends_the_first(nats_url: str, prefix: str) -> None:
    async def story() -> None:
        async with control(nats_url, prefix) as channel:
            first, second = subscribe(channel), subscribe(channel)
            for call in (first, second):
                await call.write(hello())
                await first_message(call)
            code, details = await status_of(first)
            assert code is grpc.StatusCode.UNAVAILABLE
            assert "another stream" in details
            assert not second.done()
            second.cancel()

    within(10, story)


def test_a_revision_that_was_never_published_is_not_found(nats_url: str, prefix: str) -> None:
    async def story() -> None:
        async with control(nats_url, prefix) as channel:
            fetch: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(
                FETCH_REVISION
            )
            with pytest.raises(grpc.aio.AioRpcError) as refusal:
                await fetch(pb.FetchRevisionRequest(revision="sha256:0").SerializeToString())
            assert refusal.value.code() is grpc.StatusCode.NOT_FOUND

    within(10, story)


def test_health_says_serving_for_the_whole_and_for_each_service(nats_url: str, prefix: str) -> None:
    async def story() -> None:
        async with control(nats_url, prefix) as channel:
            check: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(
                "/grpc.health.v1.Health/Check"
            )
            for service in (b"", b"toolreeve.v1.FleetService", b"toolreeve.v1.OperatorService"):
                request = b"\x0a" + bytes([len(service)]) + service  # HealthCheckRequest.service
                assert await check(request) == b"\x08\x01"  # HealthCheckResponse: SERVING

    within(10, story)


@pytest.mark.parametrize(
    ("listen", "problem"),
    [("8461", "not an address"), ("127.0.0.1:x", "address")],
)
def test_an_address_that_must_not_be_listened_on_is_said_at_the_start(
    nats_url: str, prefix: str, listen: str, problem: str
) -> None:
    async def story() -> None:
        settings = ControlSettings(plaintext=True, listen=listen, nats_url=nats_url, prefix=prefix)
        with pytest.raises(ListenError, match=problem):
            async with running(settings, SigningKey.generate()):
                raise AssertionError("it listens")

    within(10, story)


def test_a_port_that_is_taken_is_said_at_the_start(nats_url: str, prefix: str) -> None:
    async def story() -> None:
        key = SigningKey.generate()
        settings = ControlSettings(
            plaintext=True,
            listen="127.0.0.1:0",
            nats_url=nats_url,
            prefix=prefix,
            stop_seconds_max=0.2,
        )
        async with running(settings, key) as address:
            again = ControlSettings(
                plaintext=True, listen=address, nats_url=nats_url, prefix=prefix
            )
            with pytest.raises(ListenError, match="another process"):
                async with running(again, key):
                    raise AssertionError("it listens")

    within(10, story)


def test_one_that_is_stopped_at_any_moment_of_its_start_ends(nats_url: str, prefix: str) -> None:
    async def story() -> None:
        key = SigningKey.generate()
        settings = ControlSettings(
            plaintext=True,
            listen="127.0.0.1:0",
            nats_url=nats_url,
            prefix=prefix,
            stop_seconds_max=0.2,
        )
        for later in range(40):
            async with running(settings, key):
                await asyncio.sleep(later % 12 * 0.0015)

    within(40, story)
