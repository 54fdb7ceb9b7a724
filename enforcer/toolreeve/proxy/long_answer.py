"""An answer that is too long to be held: passed on in pieces, and still known for what it is.

Before a piece is passed, what has been seen so far must be nothing but an answer to the request it
belongs to. Whatever turns out otherwise on the way is broken off before its last piece, and a
reader that never gets the end of a message has got no message.
"""

from typing import Final

from toolreeve.proxy.gate import Outcome
from toolreeve.proxy.seen import Flight
from toolreeve.proxy.skim import Skim
from toolreeve.proxy.sse import DataLines

NOT_INSPECTED: Final = "not inspected"


class LongAnswer:
    """One on its way. `key` is the id of its request, `flight` the call's where it is one.

    With `may_ask` it may be a question to the client. Events come with `framed`: their data is
    taken out of their lines.
    """

    def __init__(
        self, key: str, flight: Flight | None, *, may_ask: bool, framed: bool = False
    ) -> None:
        self.key = key
        self.flight = flight
        self._may_ask = may_ask
        self._lines = DataLines() if framed else None
        self._skim = Skim()
        self.size = 0

    def feed(self, piece: bytes) -> None:
        data = piece if self._lines is None else self._lines.feed(piece)
        self.size += len(data)
        self._skim.feed(data)

    @property
    def is_other(self) -> bool:
        """Whether it is certainly something else than it must be."""
        skim = self._skim
        return (
            skim.strange
            or "method" in skim.keys
            or ("id" in skim.values and skim.key not in (self.key, None))
            or (skim.asks_its_client and not self._may_ask)
        )

    @property
    def is_answer(self) -> bool:
        """Whether it is the answer it must be, as far as it has come."""
        return not self.is_other and self._skim.is_answer

    def end(self) -> bool:
        """All of it is here: whether it is the answer. If so, the call has ended by it."""
        skim = self._skim
        if not self.is_answer or "id" not in skim.values:
            return False
        outcome: Outcome = "success"
        if "error" in skim.keys:
            outcome = "rpc_error"
        elif skim.values.get("resulttype") == "input_required":
            outcome = "input_required"
        elif skim.values.get("iserror") is True:
            outcome = "tool_error"
        if self.flight is not None:
            self.flight.end(outcome, response_bytes=self.size, detail=NOT_INSPECTED)
        return True


def answered_id(beginning: bytes) -> str | None:
    """Whose answer the event is that begins so: an id, or "" where it has not been named yet.

    None where it may be something else than an answer.
    """
    skim = Skim()
    skim.feed(DataLines().feed(beginning))
    if not skim.is_answer:
        return None
    return skim.key if "id" in skim.values else ""
