"""Histories of calls that tell two sets of limits apart, and how they come out."""

from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal

from msgspec import Struct
from msgspec.structs import replace

from toolreeve.decision.call import Call
from toolreeve.decision.compile import CompiledPolicy
from toolreeve.decision.counters import Counters
from toolreeve.decision.decide import decide
from toolreeve.decision.hold import Holds
from toolreeve.decision.instant import MILLISECOND, Instant
from toolreeve.decision.synthesis import put
from toolreeve.decision.verdict import Verdict
from toolreeve.policy import Limit, Refund, parse_pointer, resolve

FILL_MAX = 2_000
NOON = Instant(1_767_614_400_000_000_000)  # Monday 2026-01-05 12:00 UTC
BEFORE_NOON = Instant(NOON - 100 * MILLISECOND)


class Turn(Struct, frozen=True, kw_only=True):
    """One call of a history; `ending` gives back what it counted where a limit says so."""

    call: Call
    at: Instant
    ending: Refund | None = None


class History(Struct, frozen=True, kw_only=True):
    """Calls in the order of time; `what` says in words what the last of them tries."""

    turns: tuple[Turn, ...]
    what: str


def histories(limits: Sequence[Limit], call: Call) -> Iterator[History]:
    """Histories around the bounds of these limits, of calls like `call`; the shortest first."""
    fills = sorted({fill for limit in limits for fill in _fills(limit, call.arguments)})
    spans = sorted({limit.window_ns for limit in limits})
    endings = sorted(
        {one for limit in limits for one in limit.refund_on}, key=lambda one: one.value
    )
    for begin in (NOON, BEFORE_NOON):
        for fill in fills:
            filled = [Turn(call=call, at=begin)] * fill
            yield History(turns=(*filled, Turn(call=call, at=begin)), what="one more")
            for other, what in _others(call, limits):
                yield History(turns=(*filled, Turn(call=other, at=begin)), what=what)
            for span in (100 * MILLISECOND, *spans):
                for early in (1, 0):
                    at = Instant(begin + span - early)
                    what = f"one more after {span / 10**9:g} s"
                    yield History(turns=(*filled, Turn(call=call, at=at)), what=what)
            for ending in endings:
                ended = [Turn(call=call, at=begin, ending=ending)] * fill
                what = f"one more, after each has ended as {ending.value}"
                yield History(turns=(*ended, Turn(call=call, at=begin)), what=what)


def play(policy: CompiledPolicy, history: History) -> Iterator[Verdict]:
    """The verdict of each call in turn, from empty counters."""
    counters = Counters()
    for turn in history.turns:
        verdict = decide(policy, Holds(), counters, turn.call, turn.at)
        for reservation in verdict.reservations:
            if turn.ending in reservation.refund_on:
                counters.refund(reservation, turn.at)
        yield verdict


def _fills(limit: Limit, arguments: Mapping[str, object]) -> Iterator[int]:
    """How many calls fill a limit, where that many can be made."""
    each = Decimal(1)
    if limit.amount is not None:
        _, amount = resolve(arguments, parse_pointer(limit.amount))
        if not isinstance(amount, int | float) or isinstance(amount, bool) or amount <= 0:
            return
        each = Decimal(str(amount))
    fill = int(limit.maximum / each)
    if fill <= FILL_MAX:
        yield fill


def _others(call: Call, limits: Sequence[Limit]) -> Iterator[tuple[Call, str]]:
    """The same call by someone else, or about something else."""
    yield replace(call, session="other"), "one more in another session"
    yield replace(call, grant="other"), "one more by another grant"
    yield replace(call, server="other"), "one more on another server"
    for pointer in sorted({pointer for limit in limits for pointer in limit.by}):
        _, value = resolve(call.arguments, parse_pointer(pointer))
        other: object = value + 1 if isinstance(value, int) else "other"
        arguments = put(call.arguments, parse_pointer(pointer), other)
        yield replace(call, arguments=arguments), f"one more with another {pointer}"
