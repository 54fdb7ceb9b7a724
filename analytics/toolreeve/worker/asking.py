"""Which missing events are to be asked for, and when.

What is missing may still be on its way. It is lost only when everything that the stream held after
it was seen to be missing has been loaded, and it is missing still. Then it is asked for, and asked
for again with growing pauses for as long as nothing comes: an outbox that does not have it any more
answers with nothing.
"""

from collections.abc import Sequence

from msgspec import Struct

from toolreeve.audit import Position
from toolreeve.audit.span import Missing

PAUSE_SECONDS = 10.0
PAUSE_SECONDS_MAX = 600.0


class StreamPlace(Struct, frozen=True):
    """How far the stream goes, and up to where everything in it is loaded."""

    last: int
    loaded: int


class _Seen(Struct):
    """A hole since it was first seen; it is known by where it begins."""

    last: int
    pause: float = PAUSE_SECONDS
    ask_at: float = 0.0


class Asker:
    """Remembers what was missing and asked for, of one enforcer."""

    def __init__(self) -> None:
        self._seen: dict[Position, _Seen] = {}

    def due(
        self, missing: Sequence[Missing], place: StreamPlace | None, now: float
    ) -> tuple[Missing, ...]:
        """What is to be asked for now; `now` is in seconds. None: the stream cannot be seen."""
        if place is None:
            return ()
        seen = self._seen
        self._seen = {one.after: seen.get(one.after) or _Seen(last=place.last) for one in missing}
        due: list[Missing] = []
        for one in missing:
            known = self._seen[one.after]
            fresh = one.after not in seen
            drained = place.loaded >= min(known.last, place.last)
            if not fresh and drained and now >= known.ask_at:
                known.ask_at = now + known.pause
                known.pause = min(2 * known.pause, PAUSE_SECONDS_MAX)
                due.append(one)
        return tuple(due)
