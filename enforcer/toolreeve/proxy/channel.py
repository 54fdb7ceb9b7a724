"""One stdio server as a peer to several requests: who gets what it says.

On stdio everything the server says comes down one pipe. Here each line finds its way: an answer to
the request it answers, a progress note to the request whose token it names, an event of a
subscription to the request that subscribed. What belongs to no request goes where the era allows.
What the server asks of its clients is asked about first.
"""

import asyncio
from collections.abc import Callable
from typing import Final

import msgspec
import structlog

from toolreeve.proxy.child import Child
from toolreeve.proxy.gate import Caller
from toolreeve.proxy.mailbox import Backlog, Line, Mailbox
from toolreeve.proxy.message import CANCELLED, SUBSCRIBE, SUBSCRIPTION_META
from toolreeve.proxy.own_answers import CANCELLED_BY_CLIENT
from toolreeve.proxy.screen import Screen, refusal_of_request
from toolreeve.proxy.seen import Seen, cancelled_id, look, progress_token, subscription
from toolreeve.proxy.sessions import Forgotten
from toolreeve.proxy.shapes import is_object
from toolreeve.proxy.strictjson import Refused

log = structlog.get_logger()

_members = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_encode = msgspec.json.Encoder().encode

CANCELLED_BY_SERVER: Final = "cancelled by the server"


class _Asked(msgspec.Struct):
    """A request under way, as its client knows it."""

    mailbox: Mailbox
    client_id: object
    client_token: object
    child_id: object
    child_token: str | None
    subscribes: bool = False
    answered: bool = False


class Channel:
    """A child and the mailboxes of those who wait for it.

    Without `caller` it is shared, for the stateless era: its requests come from different clients,
    so ids and progress tokens are numbered anew, and what names no request is shown to nobody,
    unless one grant alone has ever asked here. Otherwise it is that client's session: ids stay,
    and what names no request goes to the request under way, to the stream opened for such things,
    or waits for it.
    """

    def __init__(
        self,
        start: Callable[[Callable[[bytes], None], Callable[[], None]], Child],
        screen: Screen,
        caller: Caller | None,
    ) -> None:
        """`start(on_line, on_end)` starts the child. Raises what it raises."""
        self._screen = screen
        self._caller = caller
        self._shared = caller is None
        self._requests: dict[str, _Asked] = {}
        self._tokens: dict[str, str] = {}  # progress token to request key
        self._grants: set[str] = set()
        self._next_id = 0
        self._forgotten = Forgotten()
        self._listener: Mailbox | None = None  # the GET stream
        self._backlog = Backlog()
        self._mailboxes = 0
        self.used_at = asyncio.get_running_loop().time()
        self.child = start(self._heard, self._ended)

    @property
    def grant(self) -> str:
        """Whose session it is; empty where it is shared."""
        return "" if self._caller is None else self._caller.grant

    @property
    def idle(self) -> bool:
        """Nobody waits for anything."""
        return not self._requests and self._listener is None

    def send(self, raw: bytes) -> bool:
        """Give the child a message as it is. False if it takes no more."""
        self.used_at = asyncio.get_running_loop().time()
        return self.child.send(raw)

    def ask(self, value: dict[str, object], raw: bytes, grant: str) -> tuple[str, Mailbox] | None:
        """Give the child a request; the answer is its key and where its lines come.

        None if the child takes no more.
        """
        self._grants.add(grant)
        params = value.get("params")
        meta = params.get("_meta") if is_object(params) else None
        token = meta.get("progressToken") if is_object(meta) else None
        subscribes = value.get("method") == SUBSCRIBE
        asked = _Asked(self._mailbox(), value["id"], token, value["id"], None, subscribes)
        if self._shared:
            self._next_id += 1
            asked.child_id = self._next_id
            raw = _renumbered(value, self._next_id, renew_token=token is not None)
        key = str(asked.child_id)
        if token is not None:
            asked.child_token = key if self._shared else str(token)
            self._tokens[asked.child_token] = key
        self._requests[key] = asked
        if not self.send(raw):
            self.forget(key)
            return None
        return key, asked.mailbox

    def forget(self, key: str) -> None:
        """Whoever waited for this request's lines waits no more."""
        asked = self._requests.pop(key, None)
        if asked is None:
            return
        asked.mailbox.close("nobody waits")
        if asked.child_token is not None:
            self._tokens.pop(asked.child_token, None)
        if not asked.answered:
            self._forgotten.add(key)
        self.used_at = asyncio.get_running_loop().time()

    def cancel(self, key: str, reason: str) -> None:
        """Tell the child that nobody waits for this request any more."""
        note = {
            "jsonrpc": "2.0",
            "method": "notifications/cancelled",
            "params": {"requestId": self._requests[key].child_id, "reason": reason},
        }
        self.send(_encode(note))

    def give_up(self, key: str, reason: str) -> None:
        """As `cancel`; and a server that talks all the while it does not answer is ended."""
        self.cancel(key, reason)
        if self.child.floods:
            self._screen.withhold("flood", "the server talks and does not answer", 0, self._caller)
            self.child.kill()

    def cancelled_by_client(self, key: str) -> None:
        """The client itself cancelled a request of its session: no answer may come."""
        asked = self._requests.get(key)
        if asked is not None:
            asked.mailbox.close(CANCELLED_BY_CLIENT)

    def listen(self) -> Mailbox | None:
        """Open the stream for what belongs to no request. None if it is open already."""
        if self._listener is not None:
            return None
        self._listener = self._mailbox()
        self._backlog.empty_into(self._listener)
        return self._listener

    def stop_listening(self) -> None:
        if self._listener is not None:
            self._listener.close("nobody listens")
        self._listener = None
        self.used_at = asyncio.get_running_loop().time()

    async def stop(self) -> None:
        await self.child.stop()

    def _mailbox(self) -> Mailbox:
        if self._shared:
            return Mailbox()
        self._mailboxes += 1
        why = f"mailbox {self._mailboxes}"
        return Mailbox(lambda: self.child.pause(why), lambda: self.child.resume(why))

    # From the child.

    def _heard(self, raw: bytes) -> None:
        seen = look(raw)
        if seen is None:
            self._screen.withhold("unreadable", "a line is no message", len(raw), self._caller)
        elif seen.is_response:
            self._answer(raw, seen)
        else:
            self._unasked(raw, seen)

    def _unasked(self, line: bytes, seen: Seen) -> None:
        raw = self._screen.unasked(self._caller, line, seen, stateless=self._shared)
        if isinstance(raw, Refused):
            error = refusal_of_request(seen, raw)
            if error is not None:
                self.child.send(error)
            return
        if self._shared and seen.method == CANCELLED:  # so a server ends a subscription
            ended = self._requests.get(str(cancelled_id(seen)))
            if ended is not None:
                ended.mailbox.close(CANCELLED_BY_SERVER)
            return
        key = self._owner(seen)
        if key is not None:
            asked = self._requests[key]
            if self._shared:
                raw = _restored(raw, asked.client_id, asked.client_token)
            asked.mailbox.put(Line(raw, seen))
        elif self._shared:
            log.debug("upstream.unaddressed", server=self._screen.server)
        else:
            self._to_session(Line(raw, seen))

    def _answer(self, raw: bytes, seen: Seen) -> None:
        key = seen.key
        asked = self._requests.get(key) if key is not None else None
        if asked is None or asked.answered:
            if key is None or not self._forgotten.take(key):
                reason = "no such request is under way"
                self._screen.withhold("stray_answer", reason, len(raw), self._caller)
            return
        asked.answered = True
        if self._shared:
            raw = _readdressed(raw, asked.client_id, subscribed=asked.subscribes)
        asked.mailbox.put(Line(raw, seen))

    def _owner(self, seen: Seen) -> str | None:
        token = progress_token(seen)
        if token is not None:
            return self._tokens.get(str(token))
        subscribed = subscription(seen)
        if subscribed is not None and str(subscribed) in self._requests:
            return str(subscribed)
        asking = [key for key, asked in self._requests.items() if not asked.subscribes]
        if len(asking) == 1 and len(self._grants) == 1:
            return asking[0]
        return None

    def _to_session(self, line: Line) -> None:
        if self._listener is not None:
            self._listener.put(line)
        elif self._requests:
            next(iter(self._requests.values())).mailbox.put(line)
        else:
            self._backlog.put(line)

    def _ended(self) -> None:
        for asked in self._requests.values():
            asked.mailbox.close("the server ended")
        if self._listener is not None:
            self._listener.close("the server ended")


def _renumbered(value: dict[str, object], number: int, *, renew_token: bool) -> bytes:
    changed = {**value, "id": number}
    params = value.get("params")
    if renew_token and is_object(params):
        meta = params["_meta"]
        assert is_object(meta)
        changed["params"] = {**params, "_meta": {**meta, "progressToken": number}}
    return _encode(changed)


def _readdressed(raw: bytes, client_id: object, *, subscribed: bool) -> bytes:
    """An answer with the id that its client knows."""
    members = _members(raw)
    own = members["id"] = msgspec.Raw(_encode(client_id))
    if subscribed:
        _rename(members, "result", own)
    return _encode(members)


def _restored(raw: bytes, client_id: object, client_token: object) -> bytes:
    """A notification with the id and the token that its client knows; the rest as it was."""
    members = _members(raw)
    token = None if client_token is None else msgspec.Raw(_encode(client_token))
    _rename(members, "params", msgspec.Raw(_encode(client_id)), token)
    return _encode(members)


def _rename(
    members: dict[str, msgspec.Raw],
    where: str,
    subscription: msgspec.Raw,
    token: msgspec.Raw | None = None,
) -> None:
    """Name subscription and progress token as their client does, where they are named at all."""
    try:
        inner = _members(members[where])
        meta = _members(inner["_meta"]) if "_meta" in inner else {}
    except (msgspec.MsgspecError, KeyError):
        return
    if token is not None and "progressToken" in inner:
        inner["progressToken"] = token
    if SUBSCRIPTION_META in meta:
        meta[SUBSCRIPTION_META] = subscription
        inner["_meta"] = msgspec.Raw(_encode(meta))
    members[where] = msgspec.Raw(_encode(inner))
