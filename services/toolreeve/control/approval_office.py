"""Approvals as enforcers meet them: calls that wait are written down, permits given out, once each.

Every replica answers whoever is connected to it and tells them what has changed, by whichever
replica it was written. What is not answered, because the log or the queue was in the way, is asked
again by whoever waits: nothing is kept here.
"""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, NoReturn

import structlog
from msgspec import Struct

from toolreeve.control.ledger import EntryTooLargeError
from toolreeve.control.store import Change, LogUnavailableError, Store
from toolreeve.control.streams import Stream, Streams
from toolreeve.control.translate_approvals import news_of
from toolreeve.decision.approval import (
    ApprovalAsk,
    ApprovalNews,
    ApprovalState,
    PermitAnswer,
    PermitClaim,
)
from toolreeve.fleet import CommandError
from toolreeve.fleet.approval_commands import (
    ask_approval,
    asked_for,
    claim_permit,
    expire_approval,
)
from toolreeve.fleet.approvals import (
    Approval,
    ApprovalExpired,
    ApprovalRequested,
    ApprovalVoted,
    PermitClaimed,
)
from toolreeve.runtime.clock import Clock

log = structlog.get_logger()

QUEUED_MAX = 4_096
LOG_SECONDS_MAX = 5.0
TICK_SECONDS = 0.5

OnApproval = Callable[[Approval], None]
"""Hears of an approval that was asked for or has changed. It must not wait and must not fail."""


class _Said(Struct, frozen=True):
    stream: Stream
    message: ApprovalAsk | PermitClaim


class ApprovalOffice:
    """Hears asks and claims, answers them, and writes down what has run out of time.

    `listeners` hear of every change, and what is `beside` runs as long as the office does.
    """

    def __init__(self, store: Store, streams: Streams, clock: Clock) -> None:
        self._store = store
        self._streams = streams
        self._clock = clock
        self._queue = asyncio.Queue[_Said](QUEUED_MAX)
        self.listeners: list[OnApproval] = []
        self.beside: list[Callable[[], Coroutine[Any, Any, NoReturn]]] = []
        store.listen(self._on_change)

    def hear(self, stream: Stream, message: ApprovalAsk | PermitClaim) -> None:
        """Have it answered, soon; of too much at a time nothing is answered."""
        if isinstance(message, ApprovalAsk) and message.approval_id:
            approval = self._store.state.approvals.by_id.get(message.approval_id)
            if approval is not None:
                stream.tell(news_of(approval, self._clock.now(), ask_id=message.ask_id))
            return
        try:
            self._queue.put_nowait(_Said(stream, message))
        except asyncio.QueueFull:
            log.warning("approval.queue_full", enforcer=stream.hello.enforcer_id)

    async def run(self) -> NoReturn:
        """Answer, and let time pass, for ever."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._answer_all(), name="approvals")
            tasks.create_task(self._expire_all(), name="approvals' time")
            for work in self.beside:
                tasks.create_task(work(), name="beside approvals")
        raise AssertionError("neither ends by itself")

    async def _answer_all(self) -> NoReturn:
        while True:
            said = await self._queue.get()
            try:
                if isinstance(said.message, ApprovalAsk):
                    said.stream.tell(await self._ask(said.stream, said.message))
                else:
                    said.stream.tell(await self._claim(said.stream, said.message))
            except LogUnavailableError:
                log.warning("approval.unanswered", enforcer=said.stream.hello.enforcer_id)

    async def _ask(self, stream: Stream, ask: ApprovalAsk) -> ApprovalNews:
        enforcer, question = stream.hello.enforcer_id, ask.question
        if question.server not in stream.hello.servers:
            return _not_asked(ask, f"{question.server!r} is not among the servers of its hello")
        try:
            await self._store.submit(
                lambda state, at: ask_approval(
                    state, enforcer=enforcer, ask_id=ask.ask_id, question=question, at=at
                ),
                seconds_max=LOG_SECONDS_MAX,
            )
        except (CommandError, EntryTooLargeError) as error:
            log.warning("approval.not_asked", enforcer=enforcer, reason=str(error))
            return _not_asked(ask, str(error))
        approval = asked_for(
            self._store.state,
            enforcer=enforcer,
            ask_id=ask.ask_id,
            binding=question.binding,
            at=self._clock.now(),
        )
        if approval is None:  # over in the same moment: whoever waits asks anew
            return ApprovalNews(approval_id="", state=ApprovalState.EXPIRED, ask_id=ask.ask_id)
        return news_of(approval, self._clock.now(), ask_id=ask.ask_id)

    async def _claim(self, stream: Stream, claim: PermitClaim) -> PermitAnswer:
        try:
            await self._store.submit(
                lambda state, at: claim_permit(
                    state,
                    enforcer=stream.hello.enforcer_id,
                    claim_id=claim.claim_id,
                    approval_id=claim.approval_id,
                    binding=claim.binding,
                    at=at,
                ),
                seconds_max=LOG_SECONDS_MAX,
            )
        except CommandError as error:
            return PermitAnswer(claim_id=claim.claim_id, granted=False, reason=str(error))
        return PermitAnswer(claim_id=claim.claim_id, granted=True)

    async def _expire_all(self) -> NoReturn:
        while True:
            await asyncio.sleep(TICK_SECONDS)
            state, at = self._store.state, self._clock.now()
            for approval_id in state.approvals.under_way:
                if at >= state.approvals.by_id[approval_id].until:
                    await self._expire(approval_id)

    async def _expire(self, approval_id: str) -> None:
        await self._store.submit(
            lambda state, at: expire_approval(state, approval_id=approval_id, at=at),
            seconds_max=None,
        )

    def _on_change(self, change: Change) -> None:
        for commit in change.commits:
            for event in commit.events:
                match event:
                    case ApprovalRequested() | ApprovalVoted() | ApprovalExpired():
                        self._tell(change.after.approvals.by_id.get(event.approval_id))
                    case PermitClaimed():
                        self._tell(change.after.approvals.by_id.get(event.approval_id))
                        log.info(
                            "permit.claimed", approval=event.approval_id, enforcer=event.enforcer
                        )
                    case _:
                        pass

    def _tell(self, approval: Approval | None) -> None:
        if approval is None:
            return
        if approval.state is not ApprovalState.PENDING:
            news = news_of(approval, self._clock.now())
            for enforcer in approval.enforcers:
                stream = self._streams.stream(enforcer)
                if stream is not None:
                    stream.tell(news)
        for listener in self.listeners:
            listener(approval)


def _not_asked(ask: ApprovalAsk, reason: str) -> ApprovalNews:
    return ApprovalNews(
        approval_id="", state=ApprovalState.DENIED, ask_id=ask.ask_id, refused=reason
    )
