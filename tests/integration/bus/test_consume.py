"""A durable consumer on a real JetStream."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Protocol

from structlog.testing import capture_logs

from toolreeve.bus import (
    Connection,
    ConsumeSettings,
    Message,
    Publisher,
    Subjects,
    ack_all,
    connect,
    consume,
    ensure_stream,
)


class Server(Protocol):
    """What these tests do to a nats-server of their own."""

    @property
    def url(self) -> str: ...
    def start(self) -> None: ...
    def kill(self) -> None: ...


PrivateNats = Callable[[], Server]
BRISK = ConsumeSettings(messages_max=64, ack_seconds=0.4, heartbeat_seconds=0.2)


def run(story: Coroutine[None, None, None], *, seconds: float = 15) -> None:
    async def bounded() -> None:
        async with asyncio.timeout(seconds):
            await story

    asyncio.run(bounded())


async def until(condition: Callable[[], bool]) -> None:
    while not condition():  # noqa: ASYNC110  (what is waited for has no event of its own)
        await asyncio.sleep(0.005)


async def publish(connection: Connection, names: Subjects, begin: int, end: int) -> None:
    publisher = Publisher(connection, names.audit("edge-1"), stream=names.audit_stream)
    async with publisher.outlet() as outlet:
        acked = [
            await outlet.send(b"%d" % number, f"edge-1:1:{number}") for number in range(begin, end)
        ]
        await asyncio.gather(*acked)


async def take(
    connection: Connection,
    names: Subjects,
    count: int,
    *,
    ack: bool,
    settings: ConsumeSettings = BRISK,
) -> list[Message]:
    """The first messages that a new reader of the durable consumer is given."""
    taken: list[Message] = []
    async for batch in consume(
        connection, stream=names.audit_stream, durable="worker", settings=settings
    ):
        assert 0 < len(batch) <= settings.messages_max
        taken.extend(batch)
        if ack:
            await ack_all(batch)
        if len(taken) >= count:
            break
    return taken


async def nothing_is_left(connection: Connection, names: Subjects) -> None:
    while True:
        jetstream = await connection.jetstream()
        info = await jetstream.consumer_info(names.audit_stream, "worker")
        if (info.num_pending, info.num_ack_pending) == (0, 0):
            return
        await asyncio.sleep(0.01)


def test_batches_come_in_order_and_what_is_acknowledged_does_not_come_again(
    nats_url: str, prefix: str
) -> None:
    async def story() -> None:
        names = Subjects(prefix)
        async with connect(nats_url, name="worker", prefix=prefix) as connection:
            await ensure_stream(connection, names.audit_stream, [names.audit_all])
            await publish(connection, names, 0, 300)
            taken = await take(connection, names, 300, ack=True)
            assert [message.payload for message in taken] == [b"%d" % n for n in range(300)]
            assert [message.stream_sequence for message in taken] == list(range(1, 301))
            assert {message.deliveries for message in taken} == {1}
            assert {message.subject for message in taken} == {names.audit("edge-1")}
            assert min(message.stored_ns for message in taken) > 1_700_000_000 * 10**9
            await nothing_is_left(connection, names)
            await publish(connection, names, 300, 301)
            assert [m.payload for m in await take(connection, names, 1, ack=True)] == [b"300"]

    run(story())


def test_what_is_not_acknowledged_comes_again_until_it_is(nats_url: str, prefix: str) -> None:
    async def story() -> None:
        names = Subjects(prefix)
        async with connect(nats_url, name="worker", prefix=prefix) as connection:
            await ensure_stream(connection, names.audit_stream, [names.audit_all])
            await publish(connection, names, 0, 10)
            for delivery in (1, 2, 3):
                taken = await take(connection, names, 10, ack=delivery == 3)
                assert [message.payload for message in taken] == [b"%d" % n for n in range(10)]
            await nothing_is_left(connection, names)

    run(story())


def test_what_a_dead_reader_had_comes_before_what_is_new(nats_url: str, prefix: str) -> None:
    async def story() -> None:
        names = Subjects(prefix)
        async with connect(nats_url, name="worker", prefix=prefix) as connection:
            await ensure_stream(connection, names.audit_stream, [names.audit_all])
            await publish(connection, names, 0, 10)
            await take(connection, names, 10, ack=False)
            await publish(connection, names, 10, 20)
            taken = await take(connection, names, 20, ack=True)
            assert [message.payload for message in taken] == [b"%d" % n for n in range(20)]
            await nothing_is_left(connection, names)

    run(story())


def test_a_message_is_there_as_soon_as_it_is_published(nats_url: str, prefix: str) -> None:
    async def story() -> None:
        names = Subjects(prefix)
        async with connect(nats_url, name="worker", prefix=prefix) as connection:
            await ensure_stream(connection, names.audit_stream, [names.audit_all])
            reading = consume(connection, stream=names.audit_stream, durable="worker")
            seconds: list[float] = []
            for number in range(20):
                coming = asyncio.ensure_future(anext(reading))
                await publish(connection, names, number, number + 1)
                begun = asyncio.get_running_loop().time()
                batch = await coming
                seconds.append(asyncio.get_running_loop().time() - begun)
                assert [message.payload for message in batch] == [b"%d" % number]
                await ack_all(batch)
            assert sorted(seconds)[10] < 0.1

    run(story())


def test_reading_goes_on_after_kill_9_of_the_server(private_nats: PrivateNats) -> None:
    async def story() -> None:
        server, names = private_nats(), Subjects()
        seen: list[int] = []
        async with connect(server.url, name="worker") as connection:
            await ensure_stream(connection, names.audit_stream, [names.audit_all])

            async def read() -> None:
                async for batch in consume(
                    connection, stream=names.audit_stream, durable="worker", settings=BRISK
                ):
                    seen.extend(int(message.payload) for message in batch)
                    await ack_all(batch)

            reading = asyncio.create_task(read())
            for lap in range(4):
                await publish(connection, names, lap * 200, lap * 200 + 200)
                server.kill()
                await until(lambda: not connection.connected)
                server.start()
            await until(lambda: len(set(seen)) == 800)
            await nothing_is_left(connection, names)
            reading.cancel()
        assert set(seen) == set(range(800))

    run(story(), seconds=40)


def test_a_reader_waits_for_its_stream_and_survives_the_loss_of_its_consumer(
    nats_url: str, prefix: str
) -> None:
    async def story() -> None:
        names = Subjects(prefix)
        async with connect(nats_url, name="worker", prefix=prefix) as connection:
            early = asyncio.create_task(take(connection, names, 5, ack=True))
            await asyncio.wait([early], timeout=0.05)
            await ensure_stream(connection, names.audit_stream, [names.audit_all])
            await publish(connection, names, 0, 5)
            assert [message.payload for message in await early] == [b"%d" % n for n in range(5)]
            late = asyncio.create_task(take(connection, names, 6, ack=True))
            await asyncio.wait([late], timeout=0.05)
            jetstream = await connection.jetstream()
            await jetstream.delete_consumer(names.audit_stream, "worker")
            await publish(connection, names, 5, 6)
            taken = [message.payload for message in await late]
            assert taken == [b"%d" % n for n in range(6)], "a new consumer begins at the beginning"

    run(story())


def test_an_idle_reader_asks_again_when_its_request_has_run_out(nats_url: str, prefix: str) -> None:
    async def story() -> None:
        names = Subjects(prefix)
        quick = ConsumeSettings(heartbeat_seconds=0.02)  # a request lasts thirty of them
        async with connect(nats_url, name="worker", prefix=prefix) as connection:
            await ensure_stream(connection, names.audit_stream, [names.audit_all])
            with capture_logs() as logs:
                coming = asyncio.create_task(take(connection, names, 1, ack=True, settings=quick))
                await asyncio.wait([coming], timeout=1.5)
                await publish(connection, names, 0, 1)
                assert [message.payload for message in await coming] == [b"0"]
            assert "consumer.stalled" not in {entry["event"] for entry in logs}

    run(story())
