"""The way back through a wrapper: what the server says, looked at and passed on to the client."""

from collections.abc import Callable

import msgspec

from toolreeve.proxy.announcing import (
    ACKNOWLEDGED,
    acknowledgement,
    tools_changed,
    with_tools_granted,
)
from toolreeve.proxy.answers import error_answer
from toolreeve.proxy.audience import Ear
from toolreeve.proxy.gate import Caller, Held
from toolreeve.proxy.message import INITIALIZE, SUBSCRIBE, TOOLS_LIST, Message
from toolreeve.proxy.screen import Asker, Screen, refusal_of_request
from toolreeve.proxy.seen import Flight, Seen, finding, look, negotiated_version, subscription
from toolreeve.proxy.sessions import Forgotten
from toolreeve.proxy.strictjson import METHOD_NOT_FOUND, Refused
from toolreeve.proxy.subscription import Subscription


class Pending:
    """A request of the client's that has not been answered."""

    __slots__ = ("being_decided", "cancelled", "flight", "held", "message", "own", "subscription")

    def __init__(self, message: Message) -> None:
        self.message = message
        self.flight: Flight | None = None
        self.held: Held | None = None  # it waits for a person
        self.being_decided = message.is_call
        self.cancelled = False
        self.subscription: Subscription | None = None
        self.own = False  # kept up by us: the server knows nothing of it

    @property
    def endless(self) -> bool:
        """Whether nobody expects it to be answered."""
        return self.message.method == SUBSCRIBE

    def leave(self) -> None:
        """Nobody waits for the answer any more."""
        if self.held is not None:
            self.held.leave()

    def close(self) -> None:
        if self.subscription is not None:
            self.subscription.close()


class WayBack:
    """Takes the server's lines. `pending` are the client's requests by their ids.

    `to_client` and `to_server` take a message; `answered` is called after each answer.
    """

    def __init__(
        self,
        screen: Screen,
        pending: dict[str, Pending],
        *,
        to_client: Callable[[bytes], None],
        to_server: Callable[[bytes], bool],
        answered: Callable[[], None],
    ) -> None:
        self._screen = screen
        self._pending = pending
        self._to_client = to_client
        self._to_server = to_server
        self._answered = answered
        self._forgotten = Forgotten()
        self._ear: Ear | None = None
        self.version = ""  # of the protocol, once it is negotiated

    def client_listens(self) -> None:
        """The client is ready for what belongs to no request, as it is in the era of sessions."""
        if self._ear is None:
            self._ear = Ear(lambda: self._to_client(tools_changed()))
            self._screen.audience.join(self._ear)

    def subscribe(self, key: str) -> None:
        """This request of the client's subscribes to changes of the tools."""
        entry = self._pending[key]
        entry.subscription = Subscription(
            self._screen.audience, entry.message.id_json, self._to_client
        )

    def forget(self, key: str) -> None:
        """The client waits for this answer no more."""
        self._pending.pop(key).close()
        self._forgotten.add(key)

    def line(self, line: bytes) -> None:
        seen = look(line)
        if seen is None:
            self._screen.withhold("unreadable", "a line is no message", len(line), self._caller)
        elif seen.is_response and seen.id is None and seen.result is msgspec.UNSET:
            self._to_client(line)  # about something that the server could not read the id of
        elif seen.is_response:
            self._answer(line, seen)
        else:
            self._unasked(line, seen)

    @property
    def _caller(self) -> Caller | None:
        who = self._screen.gate.authenticate(self._screen.server, None)
        return who if isinstance(who, Caller) else None

    def _unasked(self, line: bytes, seen: Seen) -> None:
        shown = self._screen.unasked(self._caller, line, seen, stateless=False)
        if isinstance(shown, Refused):
            error = refusal_of_request(seen, shown)
            if error is not None:
                self._to_server(error)
            return
        entry = None
        if seen.method == ACKNOWLEDGED:
            entry = self._pending.get(str(subscription(seen)))
        if entry is None or entry.subscription is None:
            self._to_client(shown)
            return
        self._to_client(with_tools_granted(shown))
        entry.subscription.acknowledged()

    def _answer(self, line: bytes, seen: Seen) -> None:
        key = seen.key
        entry = self._pending.get(key) if key is not None else None
        if key is None or entry is None or entry.own:
            if key is None or not self._forgotten.take(key):
                reason = "no such request is under way"
                self._screen.withhold("stray_answer", reason, len(line), self._caller)
            return
        found = finding(seen)
        if entry.subscription is not None and found.rpc_error_code == METHOD_NOT_FOUND:
            entry.own = True
            self._to_client(acknowledgement(entry.message.id_json))
            entry.subscription.acknowledged()
            return
        del self._pending[key]
        entry.close()
        if entry.message.method == INITIALIZE:
            self.version = negotiated_version(seen)
        if entry.flight is not None:
            entry.flight.answered(found, len(line))
        caller = self._caller
        if caller is not None:
            line = self._shown(entry, caller, line, seen)
        elif found.outcome != "rpc_error":
            line = error_answer(entry.message.id_json, METHOD_NOT_FOUND, "no valid grant")
        self._to_client(line if entry.flight is None else entry.flight.told(line))
        self._answered()

    def _shown(self, entry: Pending, caller: Caller, line: bytes, seen: Seen) -> bytes:
        message = entry.message
        if message.method == TOOLS_LIST:
            shown = self._screen.listing(caller, line, stateless=False)
            if isinstance(shown, Refused):
                return error_answer(message.id_json, shown.rpc_code, shown.reason)
            return shown
        asker = Asker(message.method, message.id_json, message.is_call, self._is_stateless(message))
        return self._screen.answer(caller, line, finding(seen), asker)

    def _is_stateless(self, message: Message) -> bool:
        return message.protocol_version is not None and message.method != INITIALIZE
