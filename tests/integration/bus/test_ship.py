"""From an outbox on disk into a real JetStream, through whatever happens to its server."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Protocol

import pytest
from nats.aio.msg import Msg
from structlog.testing import capture_logs

from toolreeve.audit import Position
from toolreeve.audit.span import Missing
from toolreeve.bus import (
    BusError,
    Connection,
    Publisher,
    PublishRefusedError,
    ShipSettings,
    StreamSettings,
    Subjects,
    connect,
    ensure_stream,
    message_id,
    resend,
    ship,
)
from toolreeve.outbox import Outbox

OpenOutbox = Callable[[str], Outbox[bytes]]
Stored = Callable[[Connection, str], Awaitable[list[tuple[str, bytes]]]]


class Server(Protocol):
    """What these tests do to a nats-server of their own."""

    @property
    def url(self) -> str: ...
    def start(self) -> None: ...
    def kill(self) -> None: ...
    def pause(self) -> None: ...
    def resume(self) -> None: ...


PrivateNats = Callable[[], Server]


def run(story: Coroutine[None, None, None], *, seconds: float = 15) -> None:
    async def bounded() -> None:
        async with asyncio.timeout(seconds):
            await story

    asyncio.run(bounded())


async def until(condition: Callable[[], bool]) -> None:
    while not condition():  # noqa: ASYNC110  (what is waited for has no event of its own)
        await asyncio.sleep(0.005)


def expected(outbox: Outbox[bytes], enforcer: str) -> list[tuple[str, bytes]]:
    return [
        (message_id(enforcer, group.first.epoch, group.first.sequence), group.payload)
        for group in outbox.groups()
    ]


async def finish_shipping(outbox: Outbox[bytes], shipping: asyncio.Task[None]) -> None:
    await outbox.finish()
    await shipping
    await outbox.close()


def test_everything_arrives_once_in_order_and_byte_for_byte(
    nats_url: str, prefix: str, open_outbox: OpenOutbox, stored: Stored
) -> None:
    async def story() -> None:
        names = Subjects(prefix)
        outbox = open_outbox("edge-1")
        outbox.begin(1)
        for number in range(150):
            await outbox.append(b"old %d" % number)
        async with connect(nats_url, name="edge-1", prefix=prefix) as connection:
            await ensure_stream(connection, names.audit_stream, [names.audit_all])
            publisher = Publisher(connection, names.audit("edge-1"), stream=names.audit_stream)
            shipping = asyncio.create_task(ship(outbox, publisher, enforcer="edge-1"))
            await asyncio.gather(*(outbox.append(bytes([65 + n % 20]) * n) for n in range(2000)))
            await finish_shipping(outbox, shipping)
            assert await stored(connection, names.audit_stream) == expected(outbox, "edge-1")
        assert outbox.status().published == outbox.status().last == Position(1, 2150)
        again = open_outbox("edge-1")
        assert again.recovered.published == Position(1, 2150)
        await again.close()

    run(story())


def test_what_was_appended_while_the_server_was_away_arrives_when_it_is_back(
    private_nats: PrivateNats, open_outbox: OpenOutbox, stored: Stored
) -> None:
    async def story() -> None:
        server, names = private_nats(), Subjects()
        async with connect(server.url, name="edge-1") as connection:
            await ensure_stream(connection, names.audit_stream, [names.audit_all])
            publisher = Publisher(connection, names.audit("edge-1"), stream=names.audit_stream)
            server.kill()
            await until(lambda: not connection.connected)
            outbox = open_outbox("edge-1")
            outbox.begin(1)
            shipping = asyncio.create_task(ship(outbox, publisher, enforcer="edge-1"))
            for number in range(200):
                await outbox.append(b"%d" % number)
            assert outbox.status().published is None
            server.start()
            await finish_shipping(outbox, shipping)
            assert await stored(connection, names.audit_stream) == expected(outbox, "edge-1")

    run(story())


def test_kill_9_of_the_server_in_between_neither_loses_nor_doubles_nor_reorders(
    private_nats: PrivateNats, open_outbox: OpenOutbox, stored: Stored
) -> None:
    async def story() -> None:
        server, names = private_nats(), Subjects()
        outbox = open_outbox("edge-1")
        outbox.begin(1)
        appended = 0

        async def append_for_ever() -> None:
            nonlocal appended
            while True:
                await outbox.append(b"%d" % appended)
                appended += 1

        async with connect(server.url, name="edge-1") as connection:
            await ensure_stream(connection, names.audit_stream, [names.audit_all])
            publisher = Publisher(connection, names.audit("edge-1"), stream=names.audit_stream)
            shipping = asyncio.create_task(ship(outbox, publisher, enforcer="edge-1"))
            appending = asyncio.create_task(append_for_ever())
            for _ in range(5):
                before = outbox.status().published or Position(1, 0)
                await until(
                    lambda before=before: (
                        (outbox.status().published or before)  # type: ignore[misc]
                        > Position(1, before.sequence + 50)
                    )
                )
                server.kill()
                await until(lambda: not connection.connected)
                server.start()
            appending.cancel()
            await finish_shipping(outbox, shipping)
            assert await stored(connection, names.audit_stream) == expected(outbox, "edge-1")
            assert appended > 250

    run(story(), seconds=40)


def test_a_silent_server_gets_the_same_again_and_stores_it_once(
    private_nats: PrivateNats, open_outbox: OpenOutbox, stored: Stored
) -> None:
    async def story() -> None:
        server, names = private_nats(), Subjects()
        outbox = open_outbox("edge-1")
        outbox.begin(1)
        async with connect(server.url, name="edge-1", ping_seconds=60) as connection:
            await ensure_stream(connection, names.audit_stream, [names.audit_all])
            publisher = Publisher(
                connection, names.audit("edge-1"), stream=names.audit_stream, ack_seconds=0.1
            )
            server.pause()
            shipping = asyncio.create_task(ship(outbox, publisher, enforcer="edge-1"))
            for number in range(20):
                await outbox.append(b"%d" % number)
            await asyncio.wait([shipping], timeout=0.5)  # several attempts go unanswered
            assert outbox.status().published is None
            server.resume()
            await finish_shipping(outbox, shipping)
            assert await stored(connection, names.audit_stream) == expected(outbox, "edge-1")

    run(story())


def test_a_group_without_an_answer_is_sent_again_though_the_connection_stands(
    nats_url: str, prefix: str, open_outbox: OpenOutbox, stored: Stored
) -> None:
    """Somebody listens where the stream should be, so no server says that none is there."""

    async def story() -> None:
        names = Subjects(prefix)
        outbox = open_outbox("edge-1")
        outbox.begin(1)
        heard: list[bytes] = []

        async def listen(message: Msg) -> None:
            heard.append(message.data)

        async with connect(nats_url, name="edge-1", prefix=prefix) as connection:
            session = await connection.session()
            await session.subscribe(names.audit("edge-1"), listen)
            publisher = Publisher(
                connection, names.audit("edge-1"), stream=names.audit_stream, ack_seconds=0.05
            )
            shipping = asyncio.create_task(ship(outbox, publisher, enforcer="edge-1"))
            await outbox.append(b"records")
            await until(lambda: heard[2:] != [])
            assert set(heard) == {b"records"}
            assert outbox.status().published is None
            await ensure_stream(connection, names.audit_stream, [names.audit_all])
            await finish_shipping(outbox, shipping)
            assert await stored(connection, names.audit_stream) == [("edge-1:1:1", b"records")]

    run(story())


def test_a_paused_server_counts_as_lost_after_three_pings(private_nats: PrivateNats) -> None:
    async def story() -> None:
        server = private_nats()
        async with connect(server.url, name="edge-1") as connection:
            await connection.session()
            server.pause()
            await until(lambda: not connection.connected)
            server.resume()
            await connection.session()

    run(story())


def test_a_full_stream_refuses_and_shipping_goes_on_when_it_has_room(
    nats_url: str, prefix: str, open_outbox: OpenOutbox, stored: Stored
) -> None:
    async def story() -> None:
        names = Subjects(prefix)
        outbox = open_outbox("edge-1")
        outbox.begin(1)
        async with connect(nats_url, name="edge-1", prefix=prefix) as connection:
            little = StreamSettings(bytes_max=20_000)
            info = await ensure_stream(connection, names.audit_stream, [names.audit_all], little)
            publisher = Publisher(connection, names.audit("edge-1"), stream=names.audit_stream)
            for _ in range(60):
                await outbox.append(bytes(1000))
            with capture_logs() as logged:
                shipping = asyncio.create_task(ship(outbox, publisher, enforcer="edge-1"))
                await until(lambda: any(line["event"] == "shipping.stalled" for line in logged))
            assert outbox.status().published is not None
            with pytest.raises(PublishRefusedError, match="maximum bytes"):
                await publisher.publish(bytes(15_000), "edge-1:9:9")
            info.config.max_bytes = 1 << 20
            jetstream = await connection.jetstream()
            await jetstream.update_stream(  # pyright: ignore[reportUnknownMemberType]  (nats-py)
                info.config
            )
            await finish_shipping(outbox, shipping)
            assert await stored(connection, names.audit_stream) == expected(outbox, "edge-1")

    run(story())


def test_shipping_waits_for_a_stream_that_is_not_there_yet(
    nats_url: str, prefix: str, open_outbox: OpenOutbox, stored: Stored
) -> None:
    async def story() -> None:
        names = Subjects(prefix)
        outbox = open_outbox("edge-1")
        outbox.begin(1)
        async with connect(nats_url, name="edge-1", prefix=prefix) as connection:
            publisher = Publisher(connection, names.audit("edge-1"), stream=names.audit_stream)
            with pytest.raises(PublishRefusedError, match="no stream takes this subject"):
                await publisher.publish(b"early", "edge-1:1:0")
            shipping = asyncio.create_task(ship(outbox, publisher, enforcer="edge-1"))
            await outbox.append(b"early")
            await ensure_stream(connection, names.audit_stream, [names.audit_all])
            await finish_shipping(outbox, shipping)
            assert await stored(connection, names.audit_stream) == [("edge-1:1:1", b"early")]

    run(story())


def test_two_enforcers_share_a_stream_and_no_ids(
    nats_url: str, prefix: str, open_outbox: OpenOutbox, stored: Stored
) -> None:
    async def story() -> None:
        names = Subjects(prefix)
        async with connect(nats_url, name="edges", prefix=prefix) as connection:
            await ensure_stream(connection, names.audit_stream, [names.audit_all])
            outboxes = {name: open_outbox(name) for name in ("edge-1", "edge-2")}
            async with asyncio.TaskGroup() as tasks:
                for name, outbox in outboxes.items():
                    outbox.begin(1)
                    publisher = Publisher(connection, names.audit(name), stream=names.audit_stream)
                    few = ShipSettings(groups_max=3)
                    tasks.create_task(ship(outbox, publisher, enforcer=name, settings=few))
                for number in range(100):
                    for outbox in outboxes.values():
                        await outbox.append(b"%d" % number)
                for outbox in outboxes.values():
                    await outbox.finish()
            everything = await stored(connection, names.audit_stream)
            for name, outbox in outboxes.items():
                own = [message for message in everything if message[0].startswith(f"{name}:")]
                assert own == expected(outbox, name)
                await outbox.close()

    run(story())


def test_publish_gives_the_server_s_answer_and_knows_a_duplicate(
    nats_url: str, prefix: str
) -> None:
    async def story() -> None:
        names = Subjects(prefix)
        async with connect(nats_url, name="edge-1", prefix=prefix) as connection:
            await ensure_stream(connection, names.audit_stream, [names.audit_all])
            publisher = Publisher(connection, names.audit("edge-1"), stream=names.audit_stream)
            first = await publisher.publish(b"records", "edge-1:1:1")
            assert (first.stream, first.sequence, first.duplicate) == (
                f"{prefix.upper()}_AUDIT",
                1,
                False,
            )
            again = await publisher.publish(b"records", "edge-1:1:1")
            assert (again.sequence, again.duplicate) == (1, True)
            with pytest.raises(BusError, match="more than the server takes"):
                await publisher.publish(bytes(2 << 20), "edge-1:1:2")

    run(story())


def test_a_message_under_an_id_that_was_taken_is_sent_under_another(
    nats_url: str, prefix: str, open_outbox: OpenOutbox, stored: Stored
) -> None:
    async def story() -> None:
        names = Subjects(prefix)
        outbox = open_outbox("edge-1")
        outbox.begin(1)
        async with connect(nats_url, name="edge-1", prefix=prefix) as connection:
            await ensure_stream(connection, names.audit_stream, [names.audit_all])
            thief = Publisher(connection, names.audit("edge-2"), stream=names.audit_stream)
            await thief.publish(b"nothing", message_id("edge-1", 1, 1))
            await thief.publish(b"second", message_id("edge-1", 1, 2))
            publisher = Publisher(connection, names.audit("edge-1"), stream=names.audit_stream)
            shipping = asyncio.create_task(ship(outbox, publisher, enforcer="edge-1"))
            with capture_logs() as logs:
                for word in (b"first", b"second", b"third"):
                    await outbox.append(word)
                await finish_shipping(outbox, shipping)
            found = await stored(connection, names.audit_stream)
            ours = [(ident, payload) for ident, payload in found[2:]]
            assert sorted(payload for _, payload in ours) == [b"first", b"second", b"third"]
            assert sum(":again:" in ident for ident, _ in ours) == 2
            assert sum(line["event"] == "publish.poisoned" for line in logs) == 2

    run(story())


def test_what_was_published_is_published_again_when_it_is_asked_for(
    nats_url: str, prefix: str, open_outbox: OpenOutbox, stored: Stored
) -> None:
    async def story() -> None:
        names = Subjects(prefix)
        outbox = open_outbox("edge-1")
        outbox.begin(1)
        wanted: asyncio.Queue[Missing] = asyncio.Queue()
        async with connect(nats_url, name="edge-1", prefix=prefix) as connection:
            await ensure_stream(connection, names.audit_stream, [names.audit_all])
            publisher = Publisher(connection, names.audit("edge-1"), stream=names.audit_stream)
            shipping = asyncio.create_task(ship(outbox, publisher, enforcer="edge-1"))
            for number in range(100):
                await outbox.append(b"%d" % number)
            await until(lambda: outbox.status().published == Position(1, 100))
            jetstream = await connection.jetstream()
            await jetstream.purge_stream(names.audit_stream)
            again = asyncio.create_task(resend(outbox, publisher, wanted, enforcer="edge-1"))
            wanted.put_nowait(Missing(Position(1, 20), Position(1, 90)))
            payloads: list[bytes] = []
            while len(payloads) < 70:
                payloads = [payload for _, payload in await stored(connection, names.audit_stream)]
            assert payloads == [b"%d" % number for number in range(20, 90)]
            again.cancel()
            await finish_shipping(outbox, shipping)

    run(story())
