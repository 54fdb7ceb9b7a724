"""A policy from an operator to enforcers and what they say back, over real gRPC and NATS."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from uuid import uuid4

import grpc
import grpc.aio
import pytest
from msgspec.structs import replace

from toolreeve.control.process import running
from toolreeve.control.settings import ControlSettings
from toolreeve.policy import parse
from toolreeve.policy.sign import (
    Envelope,
    PublicKey,
    SigningKey,
)
from toolreeve.runtime.clock import Clock
from toolreeve.sync import Accepted, Rejected, Shelf, receive, recover
from toolreeve.sync.link import Link, LinkSettings
from toolreeve.v1 import operator_pb2 as pb
from toolreeve.v1.audit_pb2 import Hold as Held
from toolreeve.v1.operator_pb2_grpc import OperatorServiceStub
from toolreeve.wire.fleet import (
    Ack,
    Hello,
    Nack,
    RunningPolicy,
    Stage,
    Status,
)
from toolreeve.wire.hold_order import HoldOrder

DENY_ALL = b'{"version": "1", "name": "lab", "default": "deny", "tools": {}}'
ALLOW_STATUS = b'{"version": "1", "name": "lab", "default": "deny", "tools": {"vm_status": {}}}'
LISTENING = ControlSettings(plaintext=True, listen="127.0.0.1:0", stop_seconds_max=0.2)
QUICK = LinkSettings(retry_first_seconds=0.02, retry_seconds_max=0.2, status_seconds=0.05)


class Enforcer:
    """The receiving half of an enforcer: link, shelf, and what came out of them."""

    def __init__(self, name: str, folder: Path, address: str, key: PublicKey) -> None:
        self.name = name
        self.keys = [key]
        self.shelf = Shelf(folder)
        self.running: dict[str, Accepted] = {}
        self.rejected: list[Rejected] = []
        self.holds: list[HoldOrder] = []
        self.moved = asyncio.Event()
        for server, shelved in self.shelf.load().items():
            taken = recover(shelved, keys=self.keys, servers=("vm",), shelf=self.shelf)
            assert isinstance(taken, Accepted)
            self.running[server] = taken
        self.link = Link(
            address,
            hello=self.hello,
            on_manifest=self.on_manifest,
            on_hold=self.on_hold,
            status=self.status,
            settings=QUICK,
        )

    def hello(self) -> Hello:
        return Hello(
            enforcer_id=self.name,
            software_version="1",
            host="host",
            servers=("vm",),
            running=tuple(
                RunningPolicy(
                    server=server,
                    policy=taken.manifest.policy,
                    revision=taken.policy.revision,
                    manifest_sequence=taken.manifest.sequence,
                )
                for server, taken in self.running.items()
            ),
            labels={"site": "lab"},
            epoch=7,
        )

    def status(self) -> Status:
        return Status(
            epoch=7,
            sequence=12,
            head=bytes(32),
            published_sequence=11,
            outbox_bytes=99,
            at=Clock().now(),
        )

    async def on_hold(self, order: HoldOrder) -> None:
        self.holds.append(order)
        self.moved.set()

    async def on_manifest(self, envelope: Envelope) -> None:
        weighed = await receive(
            envelope,
            keys=self.keys,
            servers=("vm",),
            enforcer=self.name,
            labels={"site": "lab"},
            shelf=self.shelf,
            fetch=self.link.fetch,
            at=Clock().now(),
        )
        match weighed:
            case Accepted(manifest=manifest):
                self.running[manifest.server] = weighed
                ack = Ack(
                    server=manifest.server,
                    policy=manifest.policy,
                    revision=manifest.revision,
                    manifest_sequence=manifest.sequence,
                    stage=Stage.ACTIVATED,
                )
                self.link.send(ack)
            case Rejected():
                self.rejected.append(weighed)
                nack = Nack(
                    server=weighed.server,
                    revision=weighed.revision,
                    manifest_sequence=weighed.manifest_sequence,
                    code=weighed.code,
                    reason=weighed.reason,
                )
                self.link.send(nack)
        self.moved.set()

    async def until(self, holds: Callable[["Enforcer"], bool]) -> None:
        while not holds(self):
            self.moved.clear()
            await self.moved.wait()

    def runs(self) -> str:
        taken = self.running.get("vm")
        return "" if taken is None else taken.policy.revision


class Place:
    """One test's control plane: its settings, its key, and a folder for enforcers."""

    def __init__(self, folder: Path, nats_url: str, prefix: str) -> None:
        self.folder = folder
        self.key = SigningKey.generate()
        self.settings = replace(LISTENING, nats_url=nats_url, prefix=prefix)

    @asynccontextmanager
    async def control(self) -> AsyncGenerator["Operator"]:
        async with running(self.settings, self.key) as address, _channel(address) as channel:
            yield Operator(address, channel)

    @asynccontextmanager
    async def enforcer(self, name: str, address: str) -> AsyncGenerator[Enforcer]:
        enforcer = Enforcer(name, self.folder / name, address, self.key.public)
        task = asyncio.create_task(enforcer.link.run())
        try:
            yield enforcer
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task


@asynccontextmanager
async def _channel(address: str) -> AsyncGenerator[grpc.aio.Channel]:
    async with grpc.aio.insecure_channel(address) as channel:
        yield channel


class Operator:
    """Somebody at a command line."""

    def __init__(self, address: str, channel: grpc.aio.Channel) -> None:
        self.address = address
        self.stub = OperatorServiceStub(channel)

    def command(self, command_id: str = "") -> pb.Command:
        return pb.Command(command_id=command_id or str(uuid4()), actor="ada", reason="a test")

    async def publish(self, text: bytes, command_id: str = "") -> pb.PublishPolicyResponse:
        return await self.stub.PublishPolicy(
            pb.PublishPolicyRequest(
                command=self.command(command_id), server="vm", text=text, source="lab.json"
            )
        )

    async def until_fleet(
        self, holds: Callable[[dict[str, pb.EnforcerSummary]], bool]
    ) -> dict[str, pb.EnforcerSummary]:
        """The roster, once `holds` is true of it; told of each change by the watch."""
        seen: dict[str, pb.EnforcerSummary] = {}
        watch = self.stub.WatchFleet(pb.WatchFleetRequest())
        try:
            async for changed in watch:
                seen[changed.enforcer.enforcer_id] = changed.enforcer
                if holds(seen):
                    return seen
        finally:
            watch.cancel()
        raise AssertionError("the watch ended")


@pytest.fixture
def place(tmp_path: Path, nats_url: str, prefix: str) -> Place:
    return Place(tmp_path, nats_url, prefix)


def within(seconds: float, story: Callable[[], Awaitable[None]]) -> None:
    async def timed() -> None:
        async with asyncio.timeout(seconds):
            await story()

    asyncio.run(timed())


def runs_wanted(fleet: dict[str, pb.EnforcerSummary], name: str) -> bool:
    return name in fleet and any(
        one.revision_wanted and one.revision_wanted == one.revision_running
        for one in fleet[name].served
    )


def refused(fleet: dict[str, pb.EnforcerSummary], name: str) -> str:
    return "" if name not in fleet else "".join(one.refusal for one in fleet[name].served)


def test_a_published_policy_is_pushed_and_its_ack_stands_in_the_fleet(place: Place) -> None:
    async def story() -> None:
        async with (
            place.control() as operator,
            place.enforcer("e1", operator.address) as enforcer,
        ):
            await enforcer.link.wait_connected()
            published = await operator.publish(ALLOW_STATUS)
            assert published.revision == parse(ALLOW_STATUS, source="").revision
            assert (published.policy, published.manifest_sequence) == ("lab", 1)
            assert (published.enforcers, published.unchanged) == (1, False)
            await enforcer.until(lambda one: one.runs() == published.revision)
            fleet = await operator.until_fleet(
                lambda fleet: runs_wanted(fleet, "e1") and fleet["e1"].sequence == 12
            )
            summary = fleet["e1"]
            assert summary.connected
            assert (summary.host, dict(summary.labels)) == ("host", {"site": "lab"})
            assert (summary.epoch, summary.published_sequence, summary.outbox_bytes) == (7, 11, 99)

    within(20, story)


def test_an_enforcer_that_comes_later_gets_what_is_in_force(place: Place) -> None:
    async def story() -> None:
        async with place.control() as operator:
            published = await operator.publish(ALLOW_STATUS)
            assert published.enforcers == 0
            async with place.enforcer("late", operator.address) as enforcer:
                await enforcer.until(lambda one: one.runs() == published.revision)

    within(20, story)


def test_a_restarted_control_plane_knows_all_it_knew(place: Place) -> None:
    async def story() -> None:
        async with (
            place.control() as operator,
            place.enforcer("e1", operator.address) as enforcer,
        ):
            published = await operator.publish(ALLOW_STATUS)
            await operator.stub.PlaceHold(
                pb.PlaceHoldRequest(command=operator.command(), hold=Held(tool="vm_restart"))
            )
            await operator.until_fleet(lambda fleet: runs_wanted(fleet, "e1"))
            assert enforcer.runs() == published.revision
        async with place.control() as operator:
            fleet = await operator.stub.GetFleet(pb.GetFleetRequest())
            (summary,) = fleet.enforcers
            assert not summary.connected
            assert [one.revision_running for one in summary.served] == [published.revision]
            holds = await operator.stub.ListHolds(pb.ListHoldsRequest())
            assert [hold.tool for hold in holds.holds] == ["vm_restart"]
            again = await operator.publish(DENY_ALL)
            assert again.manifest_sequence == 2

    within(30, story)


def test_an_enforcer_keeps_its_policy_without_a_control_plane_and_finds_the_next(
    place: Place,
) -> None:
    async def story() -> None:
        async with place.control() as operator:
            address = operator.address
            async with place.enforcer("e1", address) as enforcer:
                first = await operator.publish(ALLOW_STATUS)
                await enforcer.until(lambda one: one.runs() == first.revision)
        port = address.rpartition(":")[2]
        async with place.enforcer("e1", address) as enforcer:
            assert enforcer.runs() == first.revision  # from its shelf: nobody listens
            moved = replace(place.settings, listen=f"127.0.0.1:{port}")
            async with running(moved, place.key) as back, _channel(back) as channel:
                second = await Operator(back, channel).publish(DENY_ALL)
                await enforcer.until(lambda one: one.runs() == second.revision)

    within(30, story)


def test_two_control_planes_on_one_log_serve_one_fleet(place: Place) -> None:
    async def story() -> None:
        async with (
            place.control() as one,
            place.control() as two,
            place.enforcer("e1", one.address) as first,
            place.enforcer("e2", two.address) as second,
        ):
            await asyncio.gather(first.link.wait_connected(), second.link.wait_connected())
            published = await one.publish(ALLOW_STATUS)
            for enforcer in (first, second):
                await enforcer.until(lambda it: it.runs() == published.revision)
            for operator in (one, two):
                await operator.until_fleet(
                    lambda fleet: runs_wanted(fleet, "e1") and runs_wanted(fleet, "e2")
                )
            texts = [
                b'{"version": "1", "default": "deny", "tools": {"t%d": {}}}' % number
                for number in range(10)
            ]
            answers = await asyncio.gather(
                *(
                    operator.publish(text)
                    for operator in (one, two)
                    for text in (texts[:5] if operator is one else texts[5:])
                )
            )
            assert sorted(answer.manifest_sequence for answer in answers) == list(range(2, 12))
            last = max(answers, key=lambda answer: answer.manifest_sequence)
            for enforcer in (first, second):
                await enforcer.until(lambda it: it.runs() == last.revision)

    within(30, story)


def test_an_enforcer_that_pins_another_key_refuses_and_the_fleet_shows_it(place: Place) -> None:
    async def story() -> None:
        async with place.control() as operator:
            place.key = SigningKey.generate()
            async with place.enforcer("e1", operator.address) as enforcer:
                await operator.publish(ALLOW_STATUS)
                await enforcer.until(lambda one: bool(one.rejected))
                assert enforcer.rejected[0].code == "signature"
                assert enforcer.runs() == ""
                fleet = await operator.until_fleet(lambda fleet: bool(refused(fleet, "e1")))
                assert refused(fleet, "e1").startswith("signature: ")

    within(20, story)


def test_a_hold_reaches_every_enforcer_and_so_does_its_release(place: Place) -> None:
    async def story() -> None:
        async with (
            place.control() as operator,
            place.enforcer("e1", operator.address) as first,
        ):
            await first.until(lambda one: len(one.holds) == 1)
            assert first.holds[0] == HoldOrder(sequence=0, snapshot=())
            placed = await operator.stub.PlaceHold(
                pb.PlaceHoldRequest(
                    command=operator.command(),
                    hold=Held(argument_pointer="/id", argument_value_json=" 7 "),
                )
            )
            assert placed.hold.argument_value_json == "7"
            await first.until(lambda one: len(one.holds) == 2)
            assert first.holds[1].sequence == 1
            assert first.holds[1].place is not None
            assert first.holds[1].place.actor == "ada"
            async with place.enforcer("e2", operator.address) as second:
                await second.until(lambda one: len(one.holds) == 1)
                snapshot = second.holds[0].snapshot
                assert snapshot is not None
                assert [hold.hold_id for hold in snapshot] == [placed.hold.hold_id]
            await operator.stub.ReleaseHold(
                pb.ReleaseHoldRequest(command=operator.command(), hold_id=placed.hold.hold_id)
            )
            await first.until(lambda one: len(one.holds) == 3)
            assert first.holds[2].release is not None
            with pytest.raises(grpc.aio.AioRpcError) as refusal:
                await operator.stub.ReleaseHold(
                    pb.ReleaseHoldRequest(command=operator.command(), hold_id="nobody")
                )
            assert refusal.value.code() is grpc.StatusCode.NOT_FOUND

    within(20, story)
