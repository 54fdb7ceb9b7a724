"""What the worker tells the control plane reaches enforcers, and what they said reaches it."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager

import grpc.aio

from toolreeve.audit import Position
from toolreeve.audit.span import EpochSpan, Missing
from toolreeve.control.process import running
from toolreeve.control.settings import ControlSettings
from toolreeve.decision import Instant
from toolreeve.policy.sign import SigningKey
from toolreeve.sync.link import Link, LinkSettings
from toolreeve.v1 import reconcile_pb2 as pb
from toolreeve.v1.reconcile_pb2_grpc import ReconcileServiceStub
from toolreeve.wire.durable import Durable, Resend, write_resend, write_spans
from toolreeve.wire.fleet import Hello, Status, read_status

SPANS = (EpochSpan(1, 1, 9), EpochSpan(4, 1, 2))
MISSING = Missing(Position(4, 2), Position(4, 7))


class Enforcer:
    """The link of an enforcer, and what it heard of its events."""

    def __init__(self, name: str, address: str) -> None:
        self.name = name
        self.heard: list[Durable | Resend] = []
        self.news = asyncio.Event()
        self.link = Link(
            address,
            hello=lambda: Hello(enforcer_id=name, software_version="1", host="h", servers=()),
            on_manifest=self._ignore,
            on_hold=self._ignore,
            status=self.status,
            on_refill=self._hear,
            settings=LinkSettings(status_seconds=0.02),
        )

    def status(self) -> Status:
        return Status(
            epoch=4,
            sequence=9,
            head=b"h" * 32,
            published_sequence=7,
            outbox_bytes=1,
            allowed=2,
            denied=3,
            at=Instant(5),
            kept_after=Position(1, 3),
            kept_after_head=b"k" * 32,
        )

    async def until(self, message: Durable | Resend) -> None:
        while message not in self.heard:
            self.news.clear()
            await self.news.wait()

    async def _ignore(self, _: object) -> None:
        pass

    def _hear(self, message: Durable | Resend) -> None:
        self.heard.append(message)
        self.news.set()

    @asynccontextmanager
    async def connected(self) -> AsyncGenerator["Enforcer"]:
        keeping = asyncio.create_task(self.link.run())
        try:
            await self.link.wait_connected()
            yield self
        finally:
            keeping.cancel()
            await asyncio.wait([keeping])


class Worker:
    """Calls as the worker does."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._stub = ReconcileServiceStub(channel)

    async def say(
        self, enforcer: str, spans: tuple[EpochSpan, ...], *missing: Missing
    ) -> dict[str, pb.EnforcerStanding]:
        request = pb.ReconcileRequest(
            durable=[pb.DurableHistory(enforcer_id=enforcer, spans=write_spans(spans))],
            resends=[
                pb.ResendAsked(enforcer_id=enforcer, resend=write_resend(one)) for one in missing
            ],
        )
        answer: pb.ReconcileResponse = await self._stub.Reconcile(request)
        return {one.enforcer_id: one for one in answer.enforcers}


def play(
    nats_url: str,
    prefix: str,
    story: Callable[[str, Worker], Awaitable[None]],
    *,
    durable_seconds: float = 0.0,
) -> None:
    async def whole() -> None:
        settings = ControlSettings(
            plaintext=True,
            listen="127.0.0.1:0",
            nats_url=nats_url,
            prefix=prefix,
            durable_seconds=durable_seconds,
            stop_seconds_max=0.2,
        )
        async with (
            asyncio.timeout(20),
            running(settings, SigningKey.generate()) as address,
            grpc.aio.insecure_channel(address) as channel,
        ):
            await story(address, Worker(channel))

    asyncio.run(whole())


def test_an_enforcer_hears_what_is_durable_and_what_is_missing(nats_url: str, prefix: str) -> None:
    async def story(address: str, worker: Worker) -> None:
        async with (
            Enforcer("edge-1", address).connected() as one,
            Enforcer("edge-2", address).connected() as other,
        ):
            await worker.say("edge-1", SPANS, MISSING)
            await one.until(Durable(SPANS))
            await one.until(Resend(MISSING))
            await worker.say("edge-2", ())
            await other.until(Durable(()))
            assert len(one.heard) == 2
            assert len(other.heard) == 1

    play(nats_url, prefix, story)


def test_what_is_durable_is_said_when_it_has_changed_and_not_too_often(
    nats_url: str, prefix: str
) -> None:
    async def story(address: str, worker: Worker) -> None:
        async with Enforcer("edge-1", address).connected() as enforcer:
            for last in range(1, 50):
                await worker.say("edge-1", (EpochSpan(1, 1, last),))
            await worker.say("edge-1", (EpochSpan(1, 1, 50),), MISSING)
            await enforcer.until(Resend(MISSING))
            assert enforcer.heard == [Durable((EpochSpan(1, 1, 1),)), Resend(MISSING)]
        async with Enforcer("edge-1", address).connected() as again:
            await worker.say("edge-1", (EpochSpan(1, 1, 50),))
            await again.until(Durable((EpochSpan(1, 1, 50),)))

    play(nats_url, prefix, story, durable_seconds=600)


def test_the_worker_hears_what_enforcers_said_last_also_of_those_who_left(
    nats_url: str, prefix: str
) -> None:
    async def story(address: str, worker: Worker) -> None:
        standing = None
        async with Enforcer("edge-1", address).connected() as enforcer:
            while standing is None:
                standing = (await worker.say("edge-1", ())).get("edge-1")
            assert standing.connected
            assert read_status(standing.status) == enforcer.status()
            assert standing.age_ms < 10_000
        while (left := (await worker.say("edge-1", ()))["edge-1"]).connected:
            pass
        assert read_status(left.status) == enforcer.status()
        await worker.say("edge-1", SPANS, MISSING)  # nobody is there: it is dropped

    play(nats_url, prefix, story)
