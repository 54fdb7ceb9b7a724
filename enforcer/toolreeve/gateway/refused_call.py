"""A call that was refused for want of a person's word, as the waiting room handles it."""

from asyncio import Future, wait
from typing import Any, Protocol

from toolreeve.audit.event import event_id
from toolreeve.decision import Code
from toolreeve.decision.approval import ApprovalQuestion, Permit
from toolreeve.enforcement import ArrivedCall
from toolreeve.enforcement.answers import Asking
from toolreeve.gateway.decided import Decision, Token
from toolreeve.proxy import gate as ask


class Station(Protocol):
    """Where the call was decided, and is decided again."""

    def verdict_of(
        self, asked: Decision, asking: Asking | None = None
    ) -> ask.Forward | ask.Refusal: ...

    def look(self, arrived: ArrivedCall, binding: bytes) -> Code: ...

    def again(
        self, call: ask.ToolCall, arrived: ArrivedCall, permit: Permit | None
    ) -> ask.Asked: ...

    def ended(self, token: object, ending: ask.Ending) -> None: ...


class RefusedCall:
    """Implements the waiting room's `First`."""

    def __init__(
        self, station: Station, asked: Decision, question: ApprovalQuestion, name: str
    ) -> None:
        self._station = station
        self._asked = asked
        self._question = question
        self._name = name

    @property
    def written(self) -> "Future[Any] | None":
        return self._asked.written

    @property
    def decision_id(self) -> str:
        decided = self._asked.decided
        if decided is None or decided.exception() is not None:
            return ""
        return event_id(self._name, decided.result())

    def verdict(self) -> ask.Forward | ask.Refusal:
        return self._asked.verdict()

    def told(self, asking: Asking) -> ask.Refusal:
        told = self._station.verdict_of(self._asked, asking)
        assert isinstance(told, ask.Refusal), "it was refused"
        return told

    def look(self) -> Code:
        return self._station.look(self._asked.arrived, self._question.binding)

    def again(self, permit: Permit | None) -> ask.Asked:
        return self._station.again(self._asked.call, self._asked.arrived, permit)

    async def used(self, verdict: ask.Forward) -> str:
        token = verdict.token
        assert isinstance(token, Token), "a station's own"
        if not token.decided.done():
            await wait([token.decided])
        return event_id(self._name, token.decided.result())

    def dropped(self, verdict: ask.Forward) -> None:
        detail = "the use of its permit could not be recorded"
        ending = ask.Ending(outcome="not_sent", duration_ns=0, response_bytes=0, detail=detail)
        self._station.ended(verdict.token, ending)
