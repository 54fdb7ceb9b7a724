"""The log on a real nats-server: races, losses, restarts."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any, Protocol

import pytest

from toolreeve.bus import Connection, StreamSettings, Subjects, connect, ensure_stream
from toolreeve.control.ledger import Ledger, LedgerLostError, OvertakenError
from toolreeve.control.store import LogUnavailableError, Store
from toolreeve.control.translate import write_commit
from toolreeve.decision import Hold, Instant
from toolreeve.fleet import (
    Command,
    Commit,
    HistoryError,
    HoldAnswer,
    State,
    Unchanged,
    place_hold,
    replay,
)
from toolreeve.runtime.clock import Clock


class NatsServer(Protocol):
    """What this file needs of the fixture's server."""

    @property
    def url(self) -> str: ...
    def start(self) -> None: ...
    def kill(self) -> None: ...
    def pause(self) -> None: ...
    def resume(self) -> None: ...


def hold(name: str) -> Callable[[State, Instant], Commit | Unchanged]:
    command = Command(command_id=f"c-{name}", actor="ada", reason="a test")
    wanted = Hold(hold_id=name, tool=name, actor="", reason="")
    return lambda state, at: place_hold(state, command, hold=wanted, at=at)


@asynccontextmanager
async def connected(url: str, prefix: str) -> AsyncGenerator[Connection]:
    async with connect(url, name="test", prefix=prefix) as connection:
        subjects = Subjects(prefix)
        kept = StreamSettings(age_seconds_max=0, bytes_max=1 << 24)
        await ensure_stream(connection, subjects.control_stream, [subjects.control], kept)
        yield connection


def ledger(connection: Connection, prefix: str) -> Ledger:
    subjects = Subjects(prefix)
    return Ledger(connection, stream=subjects.control_stream, subject=subjects.control)


@asynccontextmanager
async def store(connection: Connection, prefix: str) -> AsyncGenerator[Store]:
    opened = Store(ledger(connection, prefix), Clock())
    task = asyncio.create_task(opened.run())
    try:
        await opened.caught_up()
        yield opened
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


def within(seconds: float, story: Callable[[], Any]) -> None:
    async def timed() -> None:
        async with asyncio.timeout(seconds):
            await story()

    asyncio.run(timed())


def test_a_commit_is_folded_by_every_replica_and_by_every_later_one(
    nats_url: str, prefix: str
) -> None:
    async def story() -> None:
        async with (
            connected(nats_url, prefix) as connection,
            store(connection, prefix) as one,
            store(connection, prefix) as two,
        ):
            for number in range(600):  # more than one request of the reader brings
                await one.submit(hold(f"h{number}"), seconds_max=5)
            await two.caught_up()
            assert two.state == one.state
            async with store(connection, prefix) as three:
                assert three.state == one.state
                assert len(three.state.holds) == 600

    within(30, story)


def test_two_replicas_that_write_at_once_lose_and_double_nothing(
    nats_url: str, prefix: str
) -> None:
    async def story() -> None:
        async with (
            connected(nats_url, prefix) as connection,
            store(connection, prefix) as one,
            store(connection, prefix) as two,
        ):
            await asyncio.gather(
                *(
                    replica.submit(hold(f"h{number}"), seconds_max=20)
                    for number in range(60)
                    for replica in (one, two)  # the same command at both
                )
            )
            await asyncio.gather(one.caught_up(), two.caught_up())
            assert one.state == two.state
            assert one.state.index == one.state.hold_sequence == len(one.state.holds) == 60

    within(30, story)


def test_an_entry_is_appended_behind_the_last_one_or_not_at_all(nats_url: str, prefix: str) -> None:
    async def story() -> None:
        async with connected(nats_url, prefix) as connection:
            log = ledger(connection, prefix)
            await log.append(b"first", after=0, message_id="a")
            for after, message_id in ((0, "b"), (0, "a"), (1, "a"), (2, "c")):
                with pytest.raises(OvertakenError):
                    await log.append(b"again", after=after, message_id=message_id)
            assert await log.last_sequence() == 1

    within(10, story)


def test_a_command_whose_answer_was_lost_is_carried_out_once(nats_url: str, prefix: str) -> None:
    async def story() -> None:
        async with (
            connected(nats_url, prefix) as connection,
            store(connection, prefix) as one,
        ):
            commit = hold("h")(one.state, Clock().now())
            assert isinstance(commit, Commit)
            payload = write_commit(commit)
            await ledger(connection, prefix).append(payload, after=0, message_id=commit.command_id)
            answered = await one.submit(hold("h"), seconds_max=5)
            match answered:
                case Unchanged(answer=HoldAnswer(hold=held), repeated=True):
                    assert held.hold_id == "h"
                case _:
                    raise AssertionError(answered)
            assert one.state.index == 1

    within(10, story)


def test_the_log_goes_on_after_the_server_was_killed(
    private_nats: Callable[[], NatsServer], prefix: str
) -> None:
    server = private_nats()

    async def story() -> None:
        async with (
            connected(server.url, prefix) as connection,
            store(connection, prefix) as one,
        ):
            await one.submit(hold("before"), seconds_max=5)
            server.kill()
            with pytest.raises(LogUnavailableError, match="same command id"):
                await one.submit(hold("during"), seconds_max=0.3)
            server.start()
            await one.submit(hold("during"), seconds_max=20)
            await one.submit(hold("after"), seconds_max=20)
            assert sorted(one.state.holds) == ["after", "before", "during"]
            assert one.state.index == 3

    within(40, story)


def test_a_server_that_stood_still_leaves_no_command_behind(
    private_nats: Callable[[], NatsServer], prefix: str
) -> None:
    server = private_nats()

    async def story() -> None:
        async with (
            connected(server.url, prefix) as connection,
            store(connection, prefix) as one,
        ):
            server.pause()
            try:
                with pytest.raises(LogUnavailableError):
                    await one.submit(hold("h"), seconds_max=0.5)
            finally:
                server.resume()
            await one.submit(hold("h"), seconds_max=20)
            assert (one.state.index, list(one.state.holds)) == (1, ["h"])

    within(40, story)


def test_a_log_that_was_deleted_ends_the_control_plane(nats_url: str, prefix: str) -> None:
    async def story() -> None:
        async with connected(nats_url, prefix) as connection:
            opened = Store(ledger(connection, prefix), Clock())
            following = asyncio.create_task(opened.run())
            await opened.submit(hold("h"), seconds_max=5)
            jetstream = await connection.jetstream()
            subjects = Subjects(prefix)
            await jetstream.delete_stream(subjects.control_stream)
            await ensure_stream(connection, subjects.control_stream, [subjects.control])
            with pytest.raises(LedgerLostError, match="restore it"):
                await following

    within(20, story)


def test_an_entry_that_does_not_follow_ends_the_control_plane(nats_url: str, prefix: str) -> None:
    async def story() -> None:
        async with connected(nats_url, prefix) as connection:
            first = hold("h")(State(), Instant(1))
            assert isinstance(first, Commit)
            state = replay(State(), [(first, b"another digest")])
            forged = hold("i")(state, Instant(2))
            assert isinstance(forged, Commit)
            log = ledger(connection, prefix)
            await log.append(write_commit(first), after=0, message_id="a")
            await log.append(write_commit(forged), after=1, message_id="b")
            with pytest.raises(HistoryError, match="hash chain"):
                await Store(log, Clock()).run()

    within(10, story)
