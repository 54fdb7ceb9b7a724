"""Approvals over real gRPC and NATS: two control planes on one log, and members that wait."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from hashlib import sha256
from uuid import uuid4

import grpc
import grpc.aio
import pytest
from tests.conftest import NatsServer

from toolreeve.control.process import running
from toolreeve.control.settings import ControlSettings
from toolreeve.decision.approval import (
    ApprovalAsk,
    ApprovalNews,
    ApprovalQuestion,
    ApprovalState,
    PermitAnswer,
    PermitClaim,
)
from toolreeve.policy.sign import Envelope, SigningKey
from toolreeve.sync.link import Link, LinkSettings
from toolreeve.v1 import audit_pb2
from toolreeve.v1 import operator_pb2 as pb
from toolreeve.v1.operator_pb2_grpc import OperatorServiceStub
from toolreeve.wire.fleet import Hello
from toolreeve.wire.hold_order import HoldOrder

SECOND = 10**9
QUICK = LinkSettings(retry_first_seconds=0.02, retry_seconds_max=0.2, status_seconds=5)
Story = Callable[[], Awaitable[None]]


def question(number: int = 1, seconds: int = 60, server: str = "vm") -> ApprovalQuestion:
    return ApprovalQuestion(
        binding=sha256(str(number).encode()).digest(),
        server=server,
        grant="night",
        agent="robot",
        tool="vm_delete",
        wire_tool="vm_delete",
        policy_revision="sha256:1",
        kept=(("/id", str(number)),),
        timeout_ns=seconds * SECOND,
    )


class Member:
    """The asking half of an enforcer, over a link of its own."""

    def __init__(self, name: str, address: str) -> None:
        self.said: list[ApprovalNews | PermitAnswer] = []
        self._more = asyncio.Event()
        self.link = Link(
            address,
            hello=lambda: Hello(
                enforcer_id=name, software_version="1", host="host", servers=("vm",)
            ),
            on_manifest=_ignore,
            on_hold=_ignore,
            on_approval=self._hear,
            settings=QUICK,
        )

    def _hear(self, said: ApprovalNews | PermitAnswer) -> None:
        self.said.append(said)
        self._more.set()

    async def news(self, *, ask_id: str = "", state: ApprovalState | None = None) -> ApprovalNews:
        """The answer to an ask, or else news of a state."""
        while True:
            for said in self.said:
                if (
                    isinstance(said, ApprovalNews)
                    and said.ask_id == ask_id
                    and state in {None, said.state}
                ):
                    return said
            self._more.clear()
            await self._more.wait()

    async def ask(self, asked: ApprovalQuestion) -> ApprovalNews:
        ask_id = uuid4().hex
        self.link.send(ApprovalAsk(ask_id=ask_id, question=asked))
        return await self.news(ask_id=ask_id)

    async def claim(self, approval_id: str, asked: ApprovalQuestion, claim_id: str) -> PermitAnswer:
        self.said = []
        self.link.send(
            PermitClaim(claim_id=claim_id, approval_id=approval_id, binding=asked.binding)
        )
        while True:
            for said in self.said:
                if isinstance(said, PermitAnswer) and said.claim_id == claim_id:
                    return said
            self._more.clear()
            await self._more.wait()


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
            await member.link.wait_connected()
            yield member
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task


async def _ignore(_: Envelope | HoldOrder) -> None:
    return


def _command() -> pb.Command:
    return pb.Command(command_id=uuid4().hex, actor="ann", reason="a test")


async def vote(address: str, approval_id: str, *, approved: bool = True) -> pb.Approval:
    async with grpc.aio.insecure_channel(address) as channel:
        request = pb.DecideApprovalRequest(
            command=_command(), approval_id=approval_id, approved=approved
        )
        answer: pb.DecideApprovalResponse = await OperatorServiceStub(channel).DecideApproval(
            request
        )
        return answer.approval


async def shown(address: str, approval_id: str) -> pb.Approval:
    async with grpc.aio.insecure_channel(address) as channel:
        answer: pb.GetApprovalResponse = await OperatorServiceStub(channel).GetApproval(
            pb.GetApprovalRequest(approval_id=approval_id)
        )
        return answer.approval


async def hold(address: str) -> None:
    async with grpc.aio.insecure_channel(address) as channel:
        await OperatorServiceStub(channel).PlaceHold(
            pb.PlaceHoldRequest(command=_command(), hold=audit_pb2.Hold(tool="vm_delete"))
        )


@pytest.fixture
def place(nats_url: str, prefix: str) -> Place:
    return Place(nats_url, prefix)


def within(seconds: float, story: Story) -> None:
    async def timed() -> None:
        async with asyncio.timeout(seconds):
            await story()

    asyncio.run(timed())


def test_two_enforcers_of_two_replicas_wait_for_one_approval_and_one_of_them_has_the_permit(
    place: Place,
) -> None:
    async def story() -> None:
        async with (
            place.control() as one,
            place.control() as two,
            place.member("e1", one) as first,
            place.member("e2", two) as second,
        ):
            asked = question()
            approval_id = (await first.ask(asked)).approval_id
            assert (await second.ask(asked)).approval_id == approval_id
            assert list((await shown(two, approval_id)).enforcers) == ["e1", "e2"]
            await vote(two, approval_id)
            for member in (first, second):
                heard = await member.news(state=ApprovalState.APPROVED)
                assert (heard.approval_id, heard.actor) == (approval_id, "ann")
            answers = await asyncio.gather(
                first.claim(approval_id, asked, "c1"), second.claim(approval_id, asked, "c2")
            )
            assert sorted(answer.granted for answer in answers) == [False, True]
            winner, claim_id = (first, "c1") if answers[0].granted else (second, "c2")
            assert (await winner.claim(approval_id, asked, claim_id)).granted  # its answer was lost
            assert not (await winner.claim(approval_id, asked, "another")).granted
            assert (await first.ask(asked)).approval_id != approval_id

    within(30, story)


def test_many_claims_at_once_at_both_replicas_are_granted_once(place: Place) -> None:
    async def story() -> None:
        async with (
            place.control() as one,
            place.control() as two,
            place.member("e1", one) as first,
            place.member("e2", two) as second,
        ):
            asked = question()
            approval_id = (await first.ask(asked)).approval_id
            await vote(one, approval_id)
            await second.ask(asked)
            for number in range(20):
                for member in (first, second):
                    member.link.send(
                        PermitClaim(
                            claim_id=str(number), approval_id=approval_id, binding=asked.binding
                        )
                    )
            granted: set[tuple[str, str]] = set()
            answered = 0
            while answered < 40:
                await asyncio.sleep(0.05)
                answers = [
                    (name, said)
                    for name, member in (("e1", first), ("e2", second))
                    for said in member.said
                    if isinstance(said, PermitAnswer)
                ]
                answered = len(answers)
                granted = {(name, said.claim_id) for name, said in answers if said.granted}
            assert len(granted) == 1

    within(30, story)


def test_what_nobody_decides_expires_once_and_whoever_waits_is_told(place: Place) -> None:
    async def story() -> None:
        async with (
            place.control() as one,
            place.control() as two,
            place.member("e1", one) as first,
        ):
            asked = question(seconds=1)
            approval_id = (await first.ask(asked)).approval_id
            heard = await first.news(state=ApprovalState.EXPIRED)
            assert heard.approval_id == approval_id
            with pytest.raises(grpc.aio.AioRpcError) as refused:
                await vote(two, approval_id)
            assert refused.value.code() is grpc.StatusCode.FAILED_PRECONDITION

    within(30, story)


def test_what_is_pending_outlives_every_control_plane(place: Place) -> None:
    async def story() -> None:
        async with place.control() as one, place.member("e1", one) as first:
            approval_id = (await first.ask(question())).approval_id
        async with place.control() as two, place.member("e1", two) as again:
            assert (await again.ask(question())).approval_id == approval_id
            assert (await vote(two, approval_id)).permit_until_unix_nano
        async with place.control() as three, place.member("e2", three) as other:
            heard = await other.ask(question())
            assert (heard.approval_id, heard.state) == (approval_id, ApprovalState.APPROVED)
            assert (await other.claim(approval_id, question(), "c")).granted
            assert (await shown(three, approval_id)).used_by == "e2"

    within(30, story)


def test_a_hold_at_one_replica_stops_a_claim_at_the_other(place: Place) -> None:
    async def story() -> None:
        async with (
            place.control() as one,
            place.control() as two,
            place.member("e1", one) as first,
        ):
            approval_id = (await first.ask(question())).approval_id
            await vote(one, approval_id)
            await hold(two)
            answer = await first.claim(approval_id, question(), "c")
            # Whichever replica has read the hold or not: the claim stands behind it in the log.
            assert not answer.granted
            assert "stops the call" in answer.reason

    within(30, story)


def test_with_the_log_away_nothing_is_given_and_what_was_asked_is_answered_later(
    private_nats: Callable[[], NatsServer], prefix: str
) -> None:
    server = private_nats()
    place = Place(server.url, prefix)

    async def story() -> None:
        async with place.control() as one, place.member("e1", one) as first:
            approval_id = (await first.ask(question())).approval_id
            await vote(one, approval_id)
            server.pause()
            try:
                with pytest.raises(TimeoutError):
                    async with asyncio.timeout(1):
                        await first.claim(approval_id, question(), "c")
            finally:
                server.resume()
            assert (await first.claim(approval_id, question(), "c")).granted

    within(40, story)


def test_a_question_about_a_server_of_somebody_else_is_not_asked(place: Place) -> None:
    async def story() -> None:
        async with place.control() as one, place.member("e1", one) as first:
            heard = await first.ask(question(server="other"))
            assert "not among the servers" in heard.refused
            assert not heard.approval_id

    within(30, story)
