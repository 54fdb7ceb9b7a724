"""What each role may do on the bus, with the configuration that is deployed."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from hashlib import sha256
from pathlib import Path

import nats.errors
import pytest
from nats.aio.client import Client
from nats.aio.msg import Msg

from toolreeve.audit import Position
from toolreeve.bus import (
    Connection,
    Publisher,
    Subjects,
    connect,
    ensure_stream,
    message_id,
    ship,
)
from toolreeve.bus.consume import ack_all, consume
from toolreeve.control.lease_ledger import LeaseLedger, Stored
from toolreeve.control.ledger import Ledger, OvertakenError
from toolreeve.outbox import Outbox

ROLES = ("enforcer", "worker", "control", "admin")
SUBJECTS = Subjects()

Address = Callable[[str], str]


@asynccontextmanager
async def client_of(
    url: str, on_error: Callable[[Exception], Awaitable[None]] | None = None
) -> AsyncGenerator[Client]:
    """A bare client, for what our own connections never do."""
    client = Client()
    try:
        await client.connect(
            url, error_cb=on_error, allow_reconnect=False, max_reconnect_attempts=1
        )
        yield client
    finally:
        await client.close()


async def may_not(connection: Connection, subject: str) -> None:
    """Ask something on `subject` and see that the server lets nobody answer."""
    session = await connection.session()
    with pytest.raises((nats.errors.TimeoutError, nats.errors.NoRespondersError)):
        await session.client.request(subject, b"", timeout=0.2)


async def publish_one(address: Address, enforcer: str, payload: bytes) -> None:
    async with connect(address("worker"), name="worker") as worker:
        await ensure_stream(worker, SUBJECTS.audit_stream, [SUBJECTS.audit_all])
    async with connect(address("enforcer"), name=enforcer) as connection:
        publisher = Publisher(
            connection, SUBJECTS.audit(enforcer), stream=SUBJECTS.audit_stream, ack_seconds=1
        )
        ack = await publisher.publish(payload, f"{enforcer}:1:1")
        assert not ack.duplicate


def test_an_enforcer_publishes_and_the_worker_reads_and_acknowledges(address: Address) -> None:
    async def main() -> None:
        async with asyncio.timeout(10):
            await publish_one(address, "edge-1", b"group")
            async with connect(address("worker"), name="worker") as connection:
                stream = SUBJECTS.audit_stream
                async for batch in consume(connection, stream=stream, durable="warehouse"):
                    assert [message.payload for message in batch][:1] == [b"group"]
                    await ack_all(batch)
                    break

    asyncio.run(main())


def test_an_enforcer_reads_nothing_and_manages_nothing(address: Address) -> None:
    async def main() -> None:
        async with asyncio.timeout(10):
            await publish_one(address, "edge-2", b"group")
            async with connect(address("enforcer"), name="edge-2") as connection:
                stream = SUBJECTS.audit_stream
                await may_not(connection, f"$JS.API.STREAM.INFO.{stream}")
                await may_not(connection, f"$JS.API.STREAM.PURGE.{stream}")
                await may_not(connection, f"$JS.API.STREAM.MSG.GET.{stream}")
                await may_not(connection, f"$JS.API.CONSUMER.CREATE.{stream}")

    asyncio.run(main())


@pytest.mark.parametrize("subject", [SUBJECTS.audit_all, SUBJECTS.control, "$JS.>", ">"])
def test_an_enforcer_subscribes_to_its_answers_only(address: Address, subject: str) -> None:
    async def main() -> None:
        refused = asyncio.Event()

        async def on_error(error: Exception) -> None:
            if "permissions violation" in str(error).lower():
                refused.set()

        async with asyncio.timeout(5), client_of(address("enforcer"), on_error) as client:
            await client.subscribe(  # pyright: ignore[reportUnknownMemberType]  (nats-py)
                subject
            )
            await refused.wait()

    asyncio.run(main())


def test_an_enforcer_does_not_hear_what_services_are_answered(address: Address) -> None:
    async def main() -> None:
        heard: list[str] = []

        async def hear(message: Msg) -> None:
            heard.append(message.subject)

        async with asyncio.timeout(10), client_of(address("enforcer")) as spy:
            await spy.subscribe(  # pyright: ignore[reportUnknownMemberType]  (nats-py)
                "toolreeve.inbox.>", cb=hear
            )
            await spy.flush()
            await publish_one(address, "edge-3", b"group")
            async with connect(address("worker"), name="worker") as connection:
                stream = SUBJECTS.audit_stream
                async for batch in consume(connection, stream=stream, durable="spied"):
                    assert batch
                    break
            await spy.flush()
        assert heard, "answers to other enforcers are the one thing it may hear"
        assert all(subject.startswith(SUBJECTS.inbox("edge-3")) for subject in heard)

    asyncio.run(main())


@pytest.mark.parametrize("role", ["worker", "control"])
def test_no_service_deletes_history(address: Address, role: str) -> None:
    async def main() -> None:
        async with asyncio.timeout(10):
            await publish_one(address, f"edge-{role}", b"group")
            async with connect(address(role), name=role) as connection:
                jetstream = await connection.jetstream()
                assert (await jetstream.stream_info(SUBJECTS.audit_stream)).state.messages
                await may_not(connection, f"$JS.API.STREAM.DELETE.{SUBJECTS.audit_stream}")
                await may_not(connection, f"$JS.API.STREAM.PURGE.{SUBJECTS.audit_stream}")
                await may_not(connection, f"$JS.API.STREAM.MSG.DELETE.{SUBJECTS.audit_stream}")

    asyncio.run(main())


def test_the_control_plane_keeps_and_reads_its_own_log(address: Address) -> None:
    async def main() -> None:
        async with asyncio.timeout(10), connect(address("control"), name="control-1") as connection:
            await ensure_stream(connection, SUBJECTS.control_stream, [SUBJECTS.control])
            ledger = Ledger(connection, stream=SUBJECTS.control_stream, subject=SUBJECTS.control)
            last = await ledger.last_sequence()
            await ledger.append(b"commit", after=last, message_id=f"test-{last}")
            heard = asyncio.Event()
            following = asyncio.create_task(ledger.follow(last, lambda _: heard.set()))
            await heard.wait()
            following.cancel()
            await asyncio.wait([following])

    asyncio.run(main())


def test_the_control_plane_keeps_the_ledger_of_leases_and_cannot_forget(address: Address) -> None:
    async def main() -> None:
        async with asyncio.timeout(10), connect(address("control"), name="control-1") as connection:
            ledger = LeaseLedger(connection, SUBJECTS)
            await ledger.open()
            before = await ledger.read("account")
            sequence = await ledger.write("account", b"one", after=before.sequence)
            assert await ledger.read("account") == Stored(sequence, b"one")
            with pytest.raises(OvertakenError):
                await ledger.write("account", b"two", after=before.sequence)
            await ledger.write("account", b"two", after=sequence)
            assert (await ledger.read("account")).raw == b"two"
            await may_not(connection, f"$JS.API.STREAM.PURGE.{SUBJECTS.lease_stream}")
            await may_not(connection, f"$JS.API.STREAM.MSG.DELETE.{SUBJECTS.lease_stream}")

    asyncio.run(main())


@pytest.mark.parametrize("role", ["enforcer", "worker"])
def test_only_the_control_plane_writes_its_log(address: Address, role: str) -> None:
    async def main() -> None:
        async with asyncio.timeout(10):
            async with connect(address("control"), name="control-1") as control:
                await ensure_stream(control, SUBJECTS.control_stream, [SUBJECTS.control])
            async with connect(address(role), name=role) as connection:
                await may_not(connection, SUBJECTS.control)
                await may_not(connection, SUBJECTS.lease("account"))

    asyncio.run(main())


@pytest.mark.parametrize("role", ROLES)
def test_nobody_connects_without_the_password(address: Address, role: str) -> None:
    async def main() -> None:
        with pytest.raises(nats.errors.Error, match="Authorization"):
            async with client_of(address(role).replace("Secret", "Guess")):
                pass

    asyncio.run(main())


def test_an_enforcer_that_may_not_look_sends_a_duplicate_once_more(
    address: Address, tmp_path: Path
) -> None:
    def pack(_: Position, head: bytes, records: Sequence[bytes]) -> tuple[bytes, bytes]:
        return b"".join(records), sha256(head + b"".join(records)).digest()

    async def main() -> None:
        outbox = Outbox[bytes].open(tmp_path / "outbox", owner="edge-8", pack=pack)
        outbox.begin(1)
        async with (
            asyncio.timeout(10),
            connect(address("worker"), name="worker") as worker,
            connect(address("enforcer"), name="edge-8") as connection,
        ):
            stream = SUBJECTS.audit_stream
            await ensure_stream(worker, stream, [SUBJECTS.audit_all])
            thief = Publisher(worker, SUBJECTS.audit("edge-9"), stream=stream)
            await thief.publish(b"nothing", message_id("edge-8", 1, 1))
            publisher = Publisher(connection, SUBJECTS.audit("edge-8"), stream=stream)
            await outbox.append(b"group")
            await outbox.finish()
            await ship(outbox, publisher, enforcer="edge-8")
            jetstream = await worker.jetstream()
            message = await jetstream.get_last_msg(stream, SUBJECTS.audit("edge-8"))
            assert message.data == b"group"
        await outbox.close()

    asyncio.run(main())
