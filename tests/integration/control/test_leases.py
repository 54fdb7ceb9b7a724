"""Shared limits over real gRPC and NATS: two control planes, and members that draw on one count."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from uuid import uuid4

import grpc
import grpc.aio
import pytest
from msgspec.structs import replace
from tests.conftest import NatsServer

from toolreeve.control.process import running
from toolreeve.control.settings import ControlSettings
from toolreeve.decision import Instant
from toolreeve.decision.lease import LeaseAsk, LeaseGiven
from toolreeve.decision.lease_book import LeaseBook
from toolreeve.decision.leased import WANTS, Leased
from toolreeve.enforcement import AskLeases, AsksDue, LeaseHeard, LedgerReached
from toolreeve.enforcement.leasing import deal
from toolreeve.policy import parse
from toolreeve.policy.sign import Envelope, SigningKey
from toolreeve.runtime.clock import Clock
from toolreeve.sync.link import Link, LinkSettings
from toolreeve.v1 import operator_pb2 as pb
from toolreeve.v1.operator_pb2_grpc import OperatorServiceStub
from toolreeve.wire.fleet import Hello
from toolreeve.wire.hold_order import HoldOrder

MOST = 20
WINDOW = 60
POLICY = (
    '{"version": "1", "name": "lab", "default": "deny", "tools": {"vm_restart": {"limits": ['
    f'{{"counter": "restarts", "window": {WINDOW}, "max": {MOST}, "scope": "fleet"}}]}}}}}}'
).encode()
REVISION = parse(POLICY, source="").revision
QUICK = LinkSettings(retry_first_seconds=0.02, retry_seconds_max=0.2, status_seconds=5)


class Member:
    """The leasing half of an enforcer, over a link of its own."""

    def __init__(self, name: str, address: str) -> None:
        self.name = name
        self.clock = Clock()
        self.book = LeaseBook("1")
        self.news = asyncio.Event()
        self.link = Link(
            address,
            hello=lambda: Hello(
                enforcer_id=name, software_version="1", host="host", servers=("vm",)
            ),
            on_manifest=_ignore,
            on_hold=_ignore,
            on_lease=self.on_lease,
            on_reach=self.on_reach,
            settings=QUICK,
        )

    def on_lease(self, given: LeaseGiven) -> None:
        self.deal(LeaseHeard(given))

    def on_reach(self, connected: bool) -> None:
        self.deal(LedgerReached(connected))

    def deal(self, news: LeaseHeard | LedgerReached | AsksDue) -> None:
        for action in deal(news, self.book, {}, self.clock.now()):
            if isinstance(action, AskLeases):
                for ask in action.asks:
                    self.link.send(_named(ask))
            else:
                self.news.set()
                self.news = asyncio.Event()

    def bucket(self) -> Leased:
        key = ("restarts", "fleet vm", WINDOW * 1_000_000_000, False)
        at = self.clock.now()
        found = self.book.bucket(key, server="vm", spends=False, keep=True, at=at)
        assert found is not None
        return found

    async def call(self) -> bool:
        """Whether a call is admitted, within a second."""
        with suppress(TimeoutError):
            async with asyncio.timeout(1):
                while True:
                    at = self.clock.now()
                    answer = self.bucket().admit(1, MOST, at)
                    if answer != WANTS:
                        return answer == at
                    if not self.bucket().waits:
                        return False
                    news = self.news
                    self.deal(AsksDue())
                    await news.wait()
        return False


class Place:
    def __init__(self, nats_url: str, prefix: str) -> None:
        self.key = SigningKey.generate()
        self.settings = ControlSettings(
            plaintext=True,
            listen="127.0.0.1:0",
            nats_url=nats_url,
            prefix=prefix,
            stop_seconds_max=0.2,
        )

    @asynccontextmanager
    async def control(self) -> AsyncGenerator[str]:
        async with running(self.settings, self.key) as address:
            yield address

    @asynccontextmanager
    async def member(self, name: str, address: str) -> AsyncGenerator[Member]:
        member = Member(name, address)
        task = asyncio.create_task(member.link.run())
        try:
            async with asyncio.timeout(10):
                await member.link.wait_connected()
            yield member
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task


async def _ignore(_: Envelope | HoldOrder) -> None:
    return


def _named(ask: LeaseAsk) -> LeaseAsk:
    return replace(ask, revision=REVISION)


async def _publish(address: str) -> None:
    async with grpc.aio.insecure_channel(address) as channel:
        await OperatorServiceStub(channel).PublishPolicy(
            pb.PublishPolicyRequest(
                server="vm",
                text=POLICY,
                command=pb.Command(command_id=uuid4().hex, actor="tester", reason="a test"),
            )
        )


@pytest.fixture
def place(nats_url: str, prefix: str) -> Place:
    return Place(nats_url, prefix)


def within(seconds: float, story: Callable[[], Awaitable[None]]) -> None:
    async def bounded() -> None:
        async with asyncio.timeout(seconds):
            await story()

    asyncio.run(bounded())


def test_five_members_of_two_control_planes_admit_exactly_the_limit(place: Place) -> None:
    async def story() -> None:
        async with place.control() as one, place.control() as two:
            await _publish(one)
            async with (
                place.member("e1", one) as first,
                place.member("e2", two) as second,
                place.member("e3", one) as third,
                place.member("e4", two) as fourth,
                place.member("e5", one) as fifth,
            ):
                members = [first, second, third, fourth, fifth]
                calls = [member.call() for member in members * 10]
                assert sum(await asyncio.gather(*calls)) == MOST
                for member in members:
                    assert not await member.call()

    within(30, story)


def test_what_is_left_of_a_dead_block_is_admitted_elsewhere(place: Place) -> None:
    async def story() -> None:
        async with place.control() as one, place.control() as two:
            await _publish(one)
            async with place.member("e1", one) as first, place.member("e2", two) as second:
                for _ in range(MOST - 1):  # it wants all, and uses one
                    first.bucket().admit(1, MOST, first.clock.now())
                assert await first.call()
                assert not await second.call()
                first.clock = _Later(first.clock, 10)
                first.deal(AsksDue(all=True))
                await asyncio.sleep(0.6)
                assert [await second.call() for _ in range(MOST)].count(True) == MOST - 1

    within(30, story)


def test_a_control_plane_that_starts_again_remembers_what_was_given(place: Place) -> None:
    async def story() -> None:
        async with place.control() as one:
            await _publish(one)
            async with place.member("e1", one) as first:
                assert sum([await first.call() for _ in range(MOST + 1)]) == MOST
        async with place.control() as one, place.member("e2", one) as second:
            await asyncio.sleep(0.1)
            assert not await second.call()

    within(30, story)


def test_nobody_is_given_anything_while_nats_answers_nobody(
    private_nats: Callable[[], NatsServer], prefix: str
) -> None:
    nats = private_nats()
    place = Place(nats.url, prefix)

    async def story() -> None:
        async with place.control() as one, place.control() as two:
            await _publish(one)
            async with place.member("e1", one) as first, place.member("e2", two) as second:
                assert await first.call()
                nats.pause()
                assert not any(await asyncio.gather(*(second.call() for _ in range(3))))
                nats.resume()
                await asyncio.sleep(0.5)
                admitted = 1
                for member in (first, second) * (MOST + 5):
                    admitted += await member.call()
                    if admitted == MOST:
                        break
                assert admitted <= MOST
                assert admitted >= MOST - 6, "writes that nobody heard of may count, and no more"
                assert not await first.call()

    within(60, story)


def test_a_policy_that_was_never_published_gets_nothing(place: Place) -> None:
    async def story() -> None:
        async with place.control() as one, place.member("e1", one) as first:
            assert not await first.call()

    within(30, story)


class _Later(Clock):
    """A clock that is some seconds ahead of another."""

    def __init__(self, clock: Clock, seconds: int) -> None:
        super().__init__()
        self._clock = clock
        self._ahead = seconds * 1_000_000_000

    def now(self) -> Instant:
        return Instant(self._clock.now() + self._ahead)
