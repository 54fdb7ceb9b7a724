"""Calls whose server wants to know more before it goes on: one logical call in several requests.

In the stateless era a server answers "input required" and is asked again with what was missing and
with the state it handed out. Each of those requests is decided, but limits count them once, with
the first. What goes on must be just what was begun: the same grant, tool, arguments and state, each
state once, not too late and not without end; anything else is a call of its own and counts.
"""

import collections
from hashlib import blake2b

from msgspec import Struct

from toolreeve.decision import SECOND, Instant
from toolreeve.decision.approval import Permit
from toolreeve.enforcement.incoming import ArrivedCall, Question
from toolreeve.policy import canonical_json

WAITING_MAX = 10_000
WAITING_NS_MAX = 900 * SECOND
ROUNDS_MAX = 10


class _Waiting(Struct, frozen=True):
    until: Instant
    rounds: int
    permit: Permit | None


class Continuations:
    """What may go on. Beyond `waiting_max` the oldest is forgotten, and would count again."""

    def __init__(self, waiting_max: int = WAITING_MAX) -> None:
        self._waiting_max = waiting_max
        self._waiting: collections.OrderedDict[bytes, _Waiting] = collections.OrderedDict()

    def wait(self, question: Question, at: Instant) -> None:
        """A call has been answered with a question, after so many others of the same call."""
        rounds = question.rounds + 1
        if rounds >= ROUNDS_MAX:
            return
        until = Instant(at + WAITING_NS_MAX)
        key = _key(question.call, question.state)
        self._waiting[key] = _Waiting(until, rounds, question.permit)
        if len(self._waiting) > self._waiting_max:
            self._waiting.popitem(last=False)

    def go_on(self, call: ArrivedCall, at: Instant) -> tuple[int, Permit | None]:
        """Which round of a logical call this is, from 1, and by whose word it was begun.

        0 where it is a call of its own.
        """
        if call.goes_on_with is None:
            return 0, None
        waiting = self._waiting.pop(_key(call, call.goes_on_with), None)
        if waiting is None or at > waiting.until:
            return 0, None
        return waiting.rounds, waiting.permit


def _key(call: ArrivedCall, state: str) -> bytes:
    what = [call.server, call.grant, call.session, call.wire_tool, dict(call.arguments), state]
    return blake2b(canonical_json(what), digest_size=32).digest()
