"""Calls that have been decided, while what follows from it waits for the disk or for a lease."""

from asyncio import Future, get_running_loop
from typing import Any, Protocol

from msgspec import Struct

from toolreeve.audit import Position, Reservation
from toolreeve.decision.approval import Permit
from toolreeve.enforcement import Answer, ArrivedCall, Forward
from toolreeve.proxy import gate as ask


class Decider(Protocol):
    """Where calls are decided: what follows from a decision."""

    def verdict_of(self, asked: "Decision") -> ask.Forward | ask.Refusal: ...

    def waits_for(self, action: Forward | Answer) -> bool: ...


class Token(Struct, frozen=True):
    """What a forwarded call is remembered by until it has ended."""

    decided: "Future[Position]"  # where its decision stands in the history
    call: ArrivedCall
    request_bytes: int
    reservations: tuple[Reservation, ...]
    rounds: int
    permit: Permit | None


class Decision(Struct, frozen=True):
    """A call that has been decided, and its record on the way to the disk."""

    station: "Decider"
    decided: "Future[Position] | None"  # None: denied, and only counted
    action: Forward | Answer
    call: ask.ToolCall
    arrived: ArrivedCall

    @property
    def written(self) -> "Future[Position] | None":
        return self.decided if self.station.waits_for(self.action) else None

    @property
    def held(self) -> None:
        return None

    def verdict(self) -> ask.Forward | ask.Refusal:
        return self.station.verdict_of(self)


class Waiting:
    """A call that waits for a lease: written when it has been decided, and that is written."""

    def __init__(self) -> None:
        self._asked: Decision | None = None
        self._settled: Future[None] = get_running_loop().create_future()

    def settle(self, asked: Decision) -> None:
        """It has been decided."""
        self._asked = asked
        if asked.written is None:
            self._settled.set_result(None)
        else:
            asked.written.add_done_callback(lambda _: self._settled.set_result(None))

    @property
    def written(self) -> "Future[Any]":
        return self._settled

    @property
    def held(self) -> None:
        return None

    def verdict(self) -> ask.Forward | ask.Refusal:
        assert self._asked is not None, "asked for when it is written"
        return self._asked.verdict()
