"""Holds: calls that are stopped at once, whatever the policy says."""

import json
from collections.abc import Iterable, Mapping
from functools import lru_cache

import msgspec
from msgspec import Struct

from toolreeve.decision.call import Call
from toolreeve.decision.conditions import same
from toolreeve.decision.instant import Instant
from toolreeve.policy import parse_pointer, resolve


class Hold(Struct, frozen=True, kw_only=True):
    """What is stopped. An empty member matches everything; `fleet` is set where all are empty.

    `argument_pointer` and `argument_value_json` (canonical JSON) go together: one VM.
    """

    hold_id: str
    fleet: bool = False
    server: str = ""
    grant: str = ""
    tool: str = ""
    argument_pointer: str = ""
    argument_value_json: str = ""
    actor: str
    reason: str
    expires_at: Instant | None = None

    def stops(self, call: Call, at: Instant) -> bool:
        """Whether this hold stops `call`. One that names nothing stops nothing."""
        if self.expires_at is not None and at >= self.expires_at:
            return False
        if not (self.fleet or self.server or self.grant or self.tool or self.argument_pointer):
            return False
        if self.argument_pointer:
            found, value = resolve(call.arguments, parse_pointer(self.argument_pointer))
            if not found or not same(value, _value(self.argument_value_json)):
                return False
        return (
            self.server in {"", call.server}
            and self.grant in {"", call.grant}
            and self.tool in {"", call.tool}
        )


@lru_cache(maxsize=1024)
def _value(text: str) -> object:
    """The JSON value of a text; where it is none, something that equals nothing."""
    try:
        return json.loads(text)
    except ValueError:
        return object()


class Holds(Struct, frozen=True):
    """All holds in force, by id."""

    by_id: Mapping[str, Hold] = msgspec.field(default_factory=dict[str, Hold])

    def place(self, hold: Hold) -> "Holds":
        """With one more; the same id replaces."""
        return Holds({**self.by_id, hold.hold_id: hold})

    def release(self, hold_id: str) -> "Holds":
        """Without one; an unknown id changes nothing."""
        return Holds({key: hold for key, hold in self.by_id.items() if key != hold_id})

    def expired(self, at: Instant) -> Iterable[Hold]:
        """Those whose time is over."""
        return [
            hold
            for hold in self.by_id.values()
            if hold.expires_at is not None and at >= hold.expires_at
        ]

    def stopping(self, call: Call, at: Instant) -> Hold | None:
        """The first hold that stops `call`, by id; None where none does."""
        if not self.by_id:
            return None
        stopping = (hold for _, hold in sorted(self.by_id.items()) if hold.stops(call, at))
        return next(stopping, None)
