"""The waiting room: what is asked and claimed, and when a call that waits is decided again."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from toolreeve.audit import ApprovalAsked, ApprovalGiven, ApprovalUsed, Body
from toolreeve.decision import Code, Instant
from toolreeve.decision.approval import (
    ApprovalAsk,
    ApprovalNews,
    ApprovalQuestion,
    ApprovalState,
    Permit,
    PermitAnswer,
    PermitClaim,
)
from toolreeve.enforcement.answers import Asking
from toolreeve.gateway import approving
from toolreeve.gateway.approving import Approving, Held
from toolreeve.outbox import OutboxError
from toolreeve.proxy import gate as ask

QUESTION = ApprovalQuestion(
    binding=bytes(32),
    server="vm",
    grant="g",
    agent="a",
    tool="vm_delete",
    wire_tool="vm_delete",
    policy_revision="r",
    timeout_ns=1,
)
DECIDED = ask.Refusal({"decided": "again"})


class Call:
    """A call that was refused for want of approval."""

    def __init__(self) -> None:
        self.written = None
        self.decision_id = "e:1:1"
        self.code = Code.ALLOWED
        self.decided: list[Permit | None] = []
        self.sent_after_all = True

    def verdict(self) -> ask.Refusal:
        return ask.Refusal({"recorded": False})

    def told(self, asking: Asking) -> ask.Refusal:
        return ask.Refusal({"asking": asking})

    def look(self) -> Code:
        return self.code

    def again(self, permit: Permit | None) -> "Again":
        self.decided.append(permit)
        return Again(ask.Forward("token") if permit is not None and permit.claimed else DECIDED)

    async def used(self, verdict: ask.Forward) -> str:
        assert verdict.token == "token"
        return "e:1:2"

    def dropped(self, verdict: ask.Forward) -> None:
        assert verdict.token == "token"
        self.sent_after_all = False


class Again:
    written = None
    held = None

    def __init__(self, result: ask.Forward | ask.Refusal) -> None:
        self._result = result

    def verdict(self) -> ask.Forward | ask.Refusal:
        return self._result


class Room:
    """A waiting room with a control plane that says what it is told to."""

    def __init__(self) -> None:
        self.noted: list[Body] = []
        self.sent: list[ApprovalAsk | PermitClaim] = []
        self.fails: type[Body] | None = None
        self.moved = asyncio.Event()
        self.room = Approving(lambda: Instant(0), self._note)
        self.room.send = self._send
        self.room.hold_seconds_max = 1.0
        self.answers = True
        self.call = Call()
        self.held: Held = self.room.hold(QUESTION, self.call)

    async def _note(self, body: Body) -> None:
        if self.fails is not None and isinstance(body, self.fails):
            raise OutboxError("the disk is full", remedy="make room", folder=Path())
        self.noted.append(body)

    def _send(self, message: ApprovalAsk | PermitClaim) -> bool:
        self.sent.append(message)
        self.moved.set()
        return True

    @property
    def claims(self) -> list[PermitClaim]:
        return [one for one in self.sent if isinstance(one, PermitClaim)]

    async def until(self, seen: Callable[[], object]) -> None:
        async with asyncio.timeout(5):
            while not seen():
                self.moved.clear()
                await self.moved.wait()

    async def news(self, state: ApprovalState, **more: Any) -> None:
        await self.until(lambda: self.sent)
        ask_id = self.held.ask_id
        self.room.hear(ApprovalNews(approval_id="appr-1", state=state, ask_id=ask_id, **more))

    def permit(self, *, granted: bool) -> None:
        self.room.hear(PermitAnswer(claim_id=self.held.ask_id, granted=granted))

    async def result(self) -> ask.Forward | ask.Refusal:
        async with asyncio.timeout(5):
            await self.held.written
        return self.held.verdict()

    async def asking(self) -> Asking:
        result = await self.result()
        assert isinstance(result, ask.Refusal)
        asking = result.result["asking"]
        assert isinstance(asking, Asking)
        return asking


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(approving, "ASK_AGAIN_SECONDS", 0.02)
    monkeypatch.setattr(approving, "CLAIM_AGAIN_SECONDS", 0.02)
    monkeypatch.setattr(approving, "CLAIM_SECONDS_MAX", 0.2)


def played(story: Callable[[Room], Awaitable[None]]) -> None:
    async def play() -> None:
        async with asyncio.timeout(20):
            await story(Room())

    asyncio.run(play())


def test_an_approved_call_is_made_once_its_permit_is_claimed_and_all_of_it_is_recorded() -> None:
    async def story(room: Room) -> None:
        await room.news(ApprovalState.PENDING)
        await room.news(ApprovalState.APPROVED, actor="ann", reason="ok")
        await room.until(lambda: room.claims)
        assert not room.call.decided
        room.permit(granted=True)
        assert isinstance(await room.result(), ask.Forward)
        assert room.call.decided == [Permit(QUESTION.binding, claimed=True)]
        assert [type(body) for body in room.noted] == [ApprovalAsked, ApprovalGiven, ApprovalUsed]

    played(story)


def test_a_claim_is_repeated_as_it_was_until_it_is_answered() -> None:
    async def story(room: Room) -> None:
        await room.news(ApprovalState.APPROVED)
        await room.until(lambda: len(room.claims) >= 3)
        assert len({(one.claim_id, one.approval_id) for one in room.claims}) == 1
        room.permit(granted=True)
        assert isinstance(await room.result(), ask.Forward)

    played(story)


def test_a_claim_that_nobody_answers_makes_no_call() -> None:
    async def story(room: Room) -> None:
        await room.news(ApprovalState.APPROVED)
        assert (await room.asking()).state is ApprovalState.APPROVED
        room.permit(granted=True)  # too late
        assert not room.call.decided

    played(story)


def test_a_permit_that_somebody_else_has_makes_no_call() -> None:
    async def story(room: Room) -> None:
        await room.news(ApprovalState.APPROVED)
        await room.until(lambda: room.claims)
        room.permit(granted=False)
        await room.asking()
        assert not room.call.decided

    played(story)


@pytest.mark.parametrize("state", [ApprovalState.DENIED, ApprovalState.EXPIRED, ApprovalState.USED])
def test_what_is_over_is_told_and_nothing_is_claimed(state: ApprovalState) -> None:
    async def story(room: Room) -> None:
        await room.news(state, reason="no")
        asking = await room.asking()
        assert (asking.state, asking.reason) == (state, "no")
        assert not room.claims

    played(story)


def test_whoever_leaves_claims_nothing() -> None:
    async def story(room: Room) -> None:
        await room.news(ApprovalState.PENDING)
        room.held.leave()
        await room.news(ApprovalState.APPROVED)
        await room.result()
        assert not room.claims
        assert not room.call.decided

    played(story)


def test_whoever_leaves_before_the_claim_is_answered_makes_no_call() -> None:
    async def story(room: Room) -> None:
        await room.news(ApprovalState.APPROVED)
        await room.until(lambda: room.claims)
        room.permit(granted=True)
        room.held.leave()
        await room.result()
        assert not room.call.decided

    played(story)


def test_a_call_that_is_held_meanwhile_is_decided_at_once() -> None:
    async def story(room: Room) -> None:
        await room.news(ApprovalState.PENDING)
        room.call.code = Code.HELD
        room.room.look_again()
        assert await room.result() == DECIDED
        assert room.call.decided == [None]

    played(story)


def test_a_full_limit_refuses_and_leaves_the_permit() -> None:
    async def story(room: Room) -> None:
        room.call.code = Code.LIMITED
        await room.news(ApprovalState.PENDING)
        assert not room.call.decided  # it may be free by the time that somebody decides
        await room.news(ApprovalState.APPROVED)
        assert await room.result() == DECIDED
        assert room.call.decided == [Permit(QUESTION.binding, claimed=False)]
        assert not room.claims

    played(story)


def test_another_policy_ends_the_wait() -> None:
    async def story(room: Room) -> None:
        await room.news(ApprovalState.PENDING)
        room.call.code = Code.APPROVAL_REQUIRED
        room.room.look_again()
        assert "policy has changed" in (await room.asking()).reason

    played(story)


def test_who_gets_no_answer_asks_again_and_is_told_that_nobody_was_asked() -> None:
    async def story(room: Room) -> None:
        room.room.hold_seconds_max = 0.1
        await room.until(lambda: len(room.sent) >= 3)
        assert len({one.ask_id for one in room.sent if isinstance(one, ApprovalAsk)}) == 1
        asking = await room.asking()
        assert (asking.state, asking.approval_id) == (None, "")
        assert not room.noted

    played(story)


@pytest.mark.parametrize("fails", [ApprovalAsked, ApprovalUsed])
def test_what_cannot_be_recorded_is_not_made(fails: type[Body]) -> None:
    async def story(room: Room) -> None:
        room.fails = fails
        await room.news(ApprovalState.APPROVED)
        if fails is ApprovalUsed:
            await room.until(lambda: room.claims)
            room.permit(granted=True)
        assert "not be recorded" in (await room.asking()).reason
        assert room.call.sent_after_all is (fails is ApprovalAsked)

    played(story)


def test_at_the_end_nobody_waits_any_more() -> None:
    async def story(room: Room) -> None:
        await room.news(ApprovalState.PENDING)
        await room.room.close()
        assert room.held.written.done()
        assert (await room.asking()).state is ApprovalState.PENDING

    played(story)
