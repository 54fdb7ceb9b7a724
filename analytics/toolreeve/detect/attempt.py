"""What a detector sees of a call: that it was tried, by whom, on what, and how it went."""

import json

from msgspec import Struct

from toolreeve.audit import Decided, Effect, Event
from toolreeve.decision import Instant

MICROSECOND = 1_000
KEPT_CHARACTERS_MAX = 256


class Attempt(Struct, frozen=True, kw_only=True):
    """A call, forwarded or refused: a burst that the policy held off is a burst all the same.

    `at` is cut to microseconds, as the warehouse keeps it, so that a detector fed live and one
    fed from the warehouse see the same. `values` are kept arguments by JSON Pointer, as text;
    `names` those of all top-level arguments, where the source gives them.
    """

    at: Instant
    server: str
    tool: str
    grant: str
    agent: str
    admitted: bool
    values: tuple[tuple[str, str], ...] = ()
    names: tuple[str, ...] = ()


def attempt_of(event: Event) -> Attempt | None:
    """The attempt that an event tells of; None where it tells of something else."""
    body = event.body
    if not isinstance(body, Decided):
        return None
    return Attempt(
        at=Instant(event.at // MICROSECOND * MICROSECOND),
        server=body.server,
        tool=body.tool,
        grant=body.grant,
        agent=body.agent,
        admitted=body.effect is Effect.ALLOW,
        values=tuple((kept.pointer, plain(kept.value_json)) for kept in body.arguments.kept),
        names=body.arguments.names,
    )


def plain(value_json: str) -> str:
    """A kept value as text. One that was cut in the middle, or should have been, stays as it is."""
    if len(value_json) > KEPT_CHARACTERS_MAX:
        return value_json
    try:
        return text_of(json.loads(value_json))
    except ValueError:
        return value_json


def text_of(value: object) -> str:
    """A value as text, so that 7 and "7" are the same VM: JSON for all but strings."""
    return value if isinstance(value, str) else json.dumps(value)
