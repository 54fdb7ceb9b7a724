"""Streams as they are made, and streams that would lose messages."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
from nats.js.api import DiscardPolicy, StreamConfig

from toolreeve.bus import (
    BusError,
    Connection,
    StreamSettings,
    Subjects,
    connect,
    ensure_stream,
)


def run(story: Coroutine[None, None, None]) -> None:
    async def bounded() -> None:
        async with asyncio.timeout(10):
            await story

    asyncio.run(bounded())


async def make_by_hand(connection: Connection, config: StreamConfig) -> None:
    jetstream = await connection.jetstream()
    await jetstream.add_stream(config)  # pyright: ignore[reportUnknownMemberType]  (nats-py)


def test_a_stream_is_made_once_with_what_promises_rest_on(nats_url: str, prefix: str) -> None:
    async def story() -> None:
        names = Subjects(prefix)
        async with connect(nats_url, name="worker", prefix=prefix) as connection:
            settings = StreamSettings(bytes_max=1 << 20, duplicate_seconds=60.0, age_seconds_max=0)
            for _ in range(2):
                info = await ensure_stream(
                    connection, names.audit_stream, [names.audit_all], settings
                )
                config = info.config
                assert (config.storage, config.discard, config.retention) == (
                    "file",
                    "new",
                    "limits",
                )
                assert (config.max_bytes, config.duplicate_window) == (1 << 20, 60.0)
                assert not config.deny_delete
                assert not config.deny_purge

    run(story())


def test_deny_delete_and_deny_purge_are_set_where_asked_for(nats_url: str, prefix: str) -> None:
    async def story() -> None:
        names = Subjects(prefix)
        async with connect(nats_url, name="worker", prefix=prefix) as connection:
            settings = StreamSettings(bytes_max=1 << 20, deny_delete=True, deny_purge=True)
            info = await ensure_stream(connection, names.audit_stream, [names.audit_all], settings)
            assert info.config.deny_delete
            assert info.config.deny_purge

    run(story())


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"discard": DiscardPolicy.OLD}, "discards old messages"),
        ({"max_msgs": 1}, "bounded number of messages"),
        ({"max_msgs_per_subject": 1}, "bounded number of messages a subject"),
        ({"storage": "memory"}, "not kept in files"),
        ({"retention": "workqueue"}, "drops messages that were read"),
        ({"subjects": ["elsewhere.PREFIX.>"]}, "does not take"),
        ({"no_ack": True}, "does not acknowledge"),
    ],
)
def test_a_stream_that_would_lose_messages_is_refused(
    nats_url: str, prefix: str, change: dict[str, object], complaint: str
) -> None:
    async def story() -> None:
        names = Subjects(prefix)
        async with connect(nats_url, name="worker", prefix=prefix) as connection:
            sound = StreamConfig(
                name=names.audit_stream, subjects=[names.audit_all], discard=DiscardPolicy.NEW
            )
            if "subjects" in change:
                change["subjects"] = [f"elsewhere.{prefix}.>"]
            await make_by_hand(
                connection,
                sound.evolve(**change),  # pyright: ignore[reportUnknownMemberType]  (nats-py)
            )
            with pytest.raises(BusError, match=complaint):
                await ensure_stream(connection, names.audit_stream, [names.audit_all])

    run(story())


def test_where_there_is_no_room_at_all_it_is_said(private_nats: Callable[[], Any]) -> None:
    async def story() -> None:
        server = private_nats()
        everything = StreamSettings(bytes_max=1 << 60)
        async with connect(server.url, name="worker") as connection:

            async def fill() -> None:
                for number in range(40):  # each takes at least half of what is left
                    name = f"S{number}"
                    await ensure_stream(connection, name, [name], everything)

            with pytest.raises(BusError, match="set the stream's bytes_max lower"):
                await fill()

    run(story())


@pytest.mark.parametrize("url", ["", "http://127.0.0.1:1", "127.0.0.1:4222", "nats://h:port"])
def test_an_address_that_cannot_be_right_is_refused_at_once(url: str) -> None:
    async def story() -> None:
        with pytest.raises(BusError, match="write nats://HOST:PORT"):
            async with connect(url, name="edge-1"):
                pass

    run(story())


def test_a_server_that_is_not_there_keeps_nobody_from_starting_and_ending() -> None:
    async def story() -> None:
        async with connect("nats://127.0.0.1:9", name="edge-1") as connection:
            assert not connection.connected
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.05):
                    await connection.session()

    run(story())


def test_where_there_is_little_room_a_stream_is_made_smaller(
    private_nats: Callable[[], Any],
) -> None:
    async def story() -> None:
        server, names = private_nats(), Subjects()
        async with connect(server.url, name="worker") as connection:
            wanted = StreamSettings(bytes_max=1 << 55)
            info = await ensure_stream(connection, names.audit_stream, [names.audit_all], wanted)
            assert info.config.max_bytes is not None
            assert 1 << 48 <= info.config.max_bytes < 1 << 51

    run(story())
