"""Calls that wait for a person.

A call whose rule wants a person's word is refused on record first; then somebody is asked and the
call is held, for less than clients wait. What comes of it is decided anew, with everything that
speaks for or against the call at that moment: a permit is claimed just before, and a claim that
nobody answers is no permit. Nothing here outlives the process. Whoever calls again with the same
arguments asks the same question, and finds the same approval.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from typing import Any, Protocol
from uuid import uuid4

import structlog

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
from toolreeve.outbox import OutboxError
from toolreeve.proxy import gate as ask

log = structlog.get_logger()

HELD_MAX = 1_000
ASK_AGAIN_SECONDS = 2.0
CLAIM_AGAIN_SECONDS = 1.0
CLAIM_SECONDS_MAX = 8.0
NOTED_MAX = 4_096
MILLISECOND_NS = 1_000_000
PATIENT = frozenset({Code.ALLOWED, Code.LIMITED, Code.NO_LEASE})
"""What may yet change by itself, or is none the worse for waiting."""

Send = Callable[[ApprovalAsk | PermitClaim], bool]
"""Says something to the control plane; False: not now."""


class First(Protocol):
    """The decision that a call was refused by, for want of a person's word."""

    @property
    def written(self) -> "asyncio.Future[Any] | None": ...

    @property
    def decision_id(self) -> str:
        """Once it is written; empty where it could not be."""
        ...

    def verdict(self) -> ask.Forward | ask.Refusal: ...

    def told(self, asking: Asking) -> ask.Refusal:
        """The refusal that says how it stands with the approval."""
        ...

    def look(self) -> Code:
        """What would be made of the call now if somebody had approved it."""
        ...

    def again(self, permit: Permit | None) -> ask.Asked:
        """Decide the call once more."""
        ...

    async def used(self, verdict: ask.Forward) -> str:
        """The id of the decision that lets the call through, once it is durable. OutboxError."""
        ...

    def dropped(self, verdict: ask.Forward) -> None:
        """What was let through is not sent after all."""
        ...


class Held:
    """One call that waits. Implements `Asked` and `Held` of the proxy's gate."""

    def __init__(self, first: First, question: ApprovalQuestion) -> None:
        self.first = first
        self.question = question
        self.ask_id = uuid4().hex
        self.news: ApprovalNews | None = None
        self.permit: PermitAnswer | None = None
        self.gone = False
        self.wake = asyncio.Event()
        self.result: ask.Forward | ask.Refusal | None = None
        self.fault: BaseException | None = None
        self._written: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._tell: Callable[[str], None] = lambda _: None

    @property
    def written(self) -> "asyncio.Future[None]":
        return self._written

    @property
    def held(self) -> "Held":
        return self

    def verdict(self) -> ask.Forward | ask.Refusal:
        if self.fault is not None:
            raise self.fault
        assert self.result is not None, "asked for when it is written"
        return self.result

    def follow(self, tell: Callable[[str], None]) -> None:
        """Have `tell` called from time to time, with a sentence for whoever waits."""
        self._tell = tell

    def leave(self) -> None:
        """Nobody waits for the answer any more."""
        self.gone = True
        self.wake.set()

    def say(self, text: str) -> None:
        if not self.gone:
            self._tell(text)

    def settle(self) -> None:
        if not self._written.done():
            self._written.set_result(None)


class Approving:
    """The waiting room of one enforcer. Without `send` nobody can be asked, and nobody waits."""

    def __init__(
        self, now: Callable[[], Instant], note: Callable[[Body], Awaitable[object]]
    ) -> None:
        self.send: Send | None = None
        self.hold_seconds_max = 45.0
        self._now = now
        self._note = note
        self._held: dict[Held, asyncio.Task[None]] = {}
        self._noted: OrderedDict[tuple[str, str, bool], None] = OrderedDict()

    def hold(self, question: ApprovalQuestion, first: First) -> Held:
        """Let a call wait for its approval."""
        held = Held(first, question)
        task = asyncio.get_running_loop().create_task(self._run(held), name="approval")
        self._held[held] = task
        task.add_done_callback(lambda _: self._held.pop(held, None))
        return held

    @property
    def asks(self) -> bool:
        """Whether there is somebody to ask, and room to wait."""
        return self.send is not None and len(self._held) < HELD_MAX

    def hear(self, said: ApprovalNews | PermitAnswer) -> None:
        """Take what the control plane says to whom it concerns."""
        for held in self._held:
            if isinstance(said, PermitAnswer):
                if said.claim_id == held.ask_id:
                    held.permit = said
                    held.wake.set()
            elif said.ask_id == held.ask_id or (
                not said.ask_id and held.news is not None
                and held.news.approval_id == said.approval_id
            ):  # fmt: skip
                held.news = said
                held.wake.set()

    def look_again(self) -> None:
        """Something is held, or another policy in force: look whether that concerns who waits."""
        for held in self._held:
            held.wake.set()

    async def close(self) -> None:
        """Let nobody wait any longer; no permit is used for them."""
        for held in tuple(self._held):
            held.leave()
        if self._held:
            await asyncio.wait(tuple(self._held.values()), timeout=CLAIM_SECONDS_MAX)

    async def _run(self, held: Held) -> None:
        try:
            held.result = await self._see_through(held)
        except OutboxError as error:
            log.error("approval.not_recorded", error=str(error))
            held.result = held.first.told(Asking(reason="It could not be recorded."))
        except Exception as error:  # noqa: BLE001  (whoever asks for the verdict gets it)
            held.fault = error
        finally:
            held.settle()

    async def _see_through(self, held: Held) -> ask.Forward | ask.Refusal:
        first, loop = held.first, asyncio.get_running_loop()
        if first.written is not None:
            await asyncio.wait([first.written])
        if not first.decision_id:
            return first.verdict()  # which says that it could not be recorded
        deadline = loop.time() + self.hold_seconds_max
        while not held.gone:
            held.wake.clear()
            news = held.news
            if news is not None and news.approval_id:
                await self._record(held, news)
            if news is not None and (news.refused or not news.approval_id):
                break
            state = ApprovalState.PENDING if news is None else news.state
            if state not in {ApprovalState.PENDING, ApprovalState.APPROVED}:
                break
            found = first.look()
            if found is Code.APPROVAL_REQUIRED:
                return first.told(Asking(reason="The policy has changed."))
            if found not in PATIENT:
                return await self._again(held, None)
            if state is ApprovalState.APPROVED and news is not None:
                return await self._use(held, news, found)
            left = deadline - loop.time()
            if left <= 0:
                break
            self._ask(held, news)
            await _within(held.wake, min(left, ASK_AGAIN_SECONDS))
        return self._told(held)

    def _ask(self, held: Held, news: ApprovalNews | None) -> None:
        known = "" if news is None else news.approval_id
        if self.send is not None:
            self.send(ApprovalAsk(ask_id=held.ask_id, question=held.question, approval_id=known))
        if known:
            held.say(f"waiting for approval {known}: {held.question.reason}")

    async def _use(self, held: Held, news: ApprovalNews, found: Code) -> ask.Forward | ask.Refusal:
        """Claim the permit and make the call; where something else speaks against the call, say
        so, and leave the permit for later."""
        binding = held.question.binding
        if found is Code.LIMITED:
            return await self._again(held, Permit(binding, claimed=False))
        claim = PermitClaim(claim_id=held.ask_id, approval_id=news.approval_id, binding=binding)
        deadline = asyncio.get_running_loop().time() + CLAIM_SECONDS_MAX
        while held.permit is None and not held.gone:
            if asyncio.get_running_loop().time() >= deadline:
                return self._told(held)
            held.wake.clear()
            if self.send is not None:
                self.send(claim)
            await _within(held.wake, CLAIM_AGAIN_SECONDS)
        if held.permit is None or held.gone:
            return self._told(held)
        if not held.permit.granted:
            log.info("permit.refused", approval=news.approval_id, reason=held.permit.reason)
            return await self._not_granted(held, news)
        result = await self._again(held, Permit(binding, claimed=True))
        if isinstance(result, ask.Forward):
            try:
                decision_id = await held.first.used(result)
                await self._note(
                    ApprovalUsed(approval_id=news.approval_id, decision_id=decision_id)
                )
            except OutboxError:
                held.first.dropped(result)
                raise
        return result

    async def _not_granted(self, held: Held, news: ApprovalNews) -> ask.Forward | ask.Refusal:
        """Somebody was quicker, or a hold stands: say what stands against it now."""
        if held.first.look() not in PATIENT:
            return await self._again(held, None)
        if held.news is news:  # what it says is over; the next call hears how it stands
            return held.first.told(Asking(reason="The permit was not to be had."))
        return self._told(held)

    @staticmethod
    async def _again(held: Held, permit: Permit | None) -> ask.Forward | ask.Refusal:
        asked = held.first.again(permit)
        if asked.written is not None:
            await asyncio.wait([asked.written])
        return asked.verdict()

    def _told(self, held: Held) -> ask.Refusal:
        news = held.news
        if news is None:
            reason = "" if held.gone else "The control plane does not answer."
            return held.first.told(Asking(reason=reason))
        if news.refused or not news.approval_id:
            return held.first.told(Asking(reason=news.refused))
        return held.first.told(
            Asking(
                approval_id=news.approval_id,
                state=news.state,
                reason=news.reason,
                expires_in_ms=max(0, news.until - self._now()) // MILLISECOND_NS,
            )
        )

    async def _record(self, held: Held, news: ApprovalNews) -> None:
        """Have on disk what an agent may be told of, once."""
        question = held.question
        await self._once(
            ApprovalAsked(
                approval_id=news.approval_id,
                decision_id=held.first.decision_id,
                server=question.server,
                grant=question.grant,
                tool=question.tool,
                arguments_hash=b"",  # the decision has it, where it can be erased
                policy_revision=question.policy_revision,
                expires_at=news.until,
            )
        )
        if news.state in {ApprovalState.APPROVED, ApprovalState.DENIED}:
            await self._once(
                ApprovalGiven(
                    approval_id=news.approval_id,
                    approved=news.state is ApprovalState.APPROVED,
                    actor=news.actor,
                    reason=news.reason,
                )
            )

    async def _once(self, body: ApprovalAsked | ApprovalGiven) -> None:
        """Record something of an approval, unless that was done for another call. OutboxError."""
        approved = isinstance(body, ApprovalGiven) and body.approved
        key = (body.approval_id, type(body).__name__, approved)
        if key in self._noted:
            return
        self._noted[key] = None
        if len(self._noted) > NOTED_MAX:
            self._noted.popitem(last=False)
        try:
            await self._note(body)
        except OutboxError:
            self._noted.pop(key, None)
            raise


async def _within(wake: asyncio.Event, seconds: float) -> None:
    """Return when woken, or after so long."""
    try:
        async with asyncio.timeout(seconds):
            await wake.wait()
    except TimeoutError:
        pass
