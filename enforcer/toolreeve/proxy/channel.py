"""One stdio server as a peer to several requests: who gets what it says.

On stdio everything the server says comes down one pipe. Here each line finds its way: an answer to
the request it answers, a progress note to the request whose token it names, an event of a
subscription to the request that subscribed. What belongs to no request goes where the era allows.
"""

import asyncio
import collections
from collections.abc import Callable
from typing import Final

import msgspec
import structlog

from toolreeve.proxy.child import Child
from toolreeve.proxy.seen import Seen, look, progress_token, subscription
from toolreeve.proxy.shapes import is_object

log = structlog.get_logger()

_MAILBOX_LINES_MAX: Final = 10_000
_MAILBOX_BYTES_MAX: Final = 64 * 1024 * 1024
_BACKLOG_LINES_MAX: Final = 256


class Line(msgspec.Struct, frozen=True):
    """Something for a client: a message, and what it is."""

    raw: bytes
    seen: Seen


class Mailbox:
    """Lines for one client stream, in order. `closed` says why no more will come."""

    def __init__(self) -> None:
        self._lines: collections.deque[Line] = collections.deque()
        self._bytes = 0
        self._waiter: asyncio.Future[None] | None = None
        self.closed: str | None = None

    def put(self, line: Line) -> None:
        if self.closed is not None:
            return
        self._lines.append(line)
        self._bytes += len(line.raw)
        if len(self._lines) > _MAILBOX_LINES_MAX or self._bytes > _MAILBOX_BYTES_MAX:
            self.close("the client reads too slowly")
        self._wake()

    def close(self, why: str) -> None:
        if self.closed is None:
            self.closed = why
            self._wake()

    async def get(self, seconds: float | None) -> Line | None:
        """The next line; None when there will be none. Raises TimeoutError."""
        async with asyncio.timeout(seconds):
            while not self._lines and self.closed is None:
                self._waiter = asyncio.get_running_loop().create_future()
                await self._waiter
        if not self._lines:
            return None
        line = self._lines.popleft()
        self._bytes -= len(line.raw)
        return line

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)


class _Asked(msgspec.Struct):
    """A request under way, as its client knows it."""

    mailbox: Mailbox
    client_id: object
    client_token: object
    child_id: object
    child_token: str | None


class Channel:
    """A child and the mailboxes of those who wait for it.

    `shared` is for the stateless era: its requests come from different clients, so ids and
    progress tokens are numbered anew, and what names no request is shown to nobody, unless one
    grant alone has ever asked here. Otherwise it is one client's session: ids stay, and what
    names no request goes to the request under way, to the stream opened for such things, or waits
    for it.
    """

    def __init__(
        self,
        start: Callable[[Callable[[bytes], None], Callable[[], None]], Child],
        *,
        server: str,
        shared: bool,
    ) -> None:
        """`start(on_line, on_end)` starts the child. Raises what it raises."""
        self._server = server
        self._shared = shared
        self._requests: dict[str, _Asked] = {}
        self._tokens: dict[str, str] = {}  # progress token to request key
        self._grants: set[str] = set()
        self._next_id = 0
        self._listener: Mailbox | None = None  # the GET stream
        self._backlog: collections.deque[Line] = collections.deque(maxlen=_BACKLOG_LINES_MAX)
        self.used_at = asyncio.get_running_loop().time()
        self.child = start(self._heard, self._ended)

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
        asked = _Asked(Mailbox(), value["id"], token, value["id"], None)
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
        if asked is not None and asked.child_token is not None:
            self._tokens.pop(asked.child_token, None)
        self.used_at = asyncio.get_running_loop().time()

    def cancel(self, key: str, reason: str) -> None:
        """Tell the child that nobody waits for this request any more."""
        note = {
            "jsonrpc": "2.0",
            "method": "notifications/cancelled",
            "params": {"requestId": self._requests[key].child_id, "reason": reason},
        }
        self.send(msgspec.json.encode(note))

    def cancelled_by_client(self, key: str) -> None:
        """The client itself cancelled a request of its session: no answer may come."""
        asked = self._requests.get(key)
        if asked is not None:
            asked.mailbox.close("cancelled by the client")

    def listen(self) -> Mailbox | None:
        """Open the stream for what belongs to no request. None if it is open already."""
        if self._listener is not None:
            return None
        self._listener = Mailbox()
        while self._backlog:
            self._listener.put(self._backlog.popleft())
        return self._listener

    def stop_listening(self) -> None:
        self._listener = None
        self.used_at = asyncio.get_running_loop().time()

    async def stop(self) -> None:
        await self.child.stop()

    # From the child.

    def _heard(self, raw: bytes) -> None:
        seen = look(raw)
        if seen is None:
            log.warning("upstream.unreadable", server=self._server, size=len(raw))
            return
        if seen.is_response:
            self._answer(raw, seen)
            return
        key = self._owner(seen)
        if key is not None:
            asked = self._requests[key]
            if self._shared:
                raw = _restored(raw, asked.client_id, asked.client_token)
            asked.mailbox.put(Line(raw, seen))
        elif self._shared or seen.method is msgspec.UNSET:
            log.debug("upstream.unaddressed", server=self._server)
        else:
            self._to_session(Line(raw, seen))

    def _answer(self, raw: bytes, seen: Seen) -> None:
        key = seen.key
        asked = self._requests.get(key) if key is not None else None
        if asked is None:
            log.warning("upstream.stray_answer", server=self._server)
            return
        if self._shared:
            raw = _readdressed(raw, asked.client_id)
        asked.mailbox.put(Line(raw, seen))

    def _owner(self, seen: Seen) -> str | None:
        token = progress_token(seen)
        if token is not None:
            return self._tokens.get(str(token))
        subscribed = subscription(seen)
        if subscribed is not None and str(subscribed) in self._requests:
            return str(subscribed)
        if len(self._requests) == 1 and len(self._grants) == 1:
            return next(iter(self._requests))
        return None

    def _to_session(self, line: Line) -> None:
        if self._listener is not None:
            self._listener.put(line)
        elif self._requests:
            next(iter(self._requests.values())).mailbox.put(line)
        else:
            self._backlog.append(line)

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
    return msgspec.json.encode(changed)


def _readdressed(raw: bytes, client_id: object) -> bytes:
    members = msgspec.json.decode(raw, type=dict[str, msgspec.Raw])
    members["id"] = msgspec.Raw(msgspec.json.encode(client_id))
    return msgspec.json.encode(members)


def _restored(raw: bytes, client_id: object, client_token: object) -> bytes:
    """A notification with the id and the token that its client knows."""
    value: object = msgspec.json.decode(raw)
    params = value.get("params") if is_object(value) else None
    if not is_object(value) or not is_object(params):
        return raw
    changed = dict(params)
    if "progressToken" in changed:
        changed["progressToken"] = client_token
    meta = changed.get("_meta")
    if is_object(meta) and "io.modelcontextprotocol/subscriptionId" in meta:
        changed["_meta"] = {**meta, "io.modelcontextprotocol/subscriptionId": client_id}
    return msgspec.json.encode({**value, "params": changed})
