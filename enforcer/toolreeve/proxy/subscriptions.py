"""Streams of announcements for clients without a session, fed from a session with the server.

`subscriptions/listen` asks for kinds of announcements and for resources to be watched. The session
hears them all on its stream; a resource is subscribed to there for as long as any stream wants it.
"""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Final

import msgspec

from toolreeve.proxy import era_words as words
from toolreeve.proxy.announcing import ACKNOWLEDGED
from toolreeve.proxy.either_form import PING_SECONDS, say_before, show_life
from toolreeve.proxy.era_words import Object, object_in
from toolreeve.proxy.exchange import Exchange
from toolreeve.proxy.own_requests import Said
from toolreeve.proxy.shapes import is_array
from toolreeve.proxy.talk import params_of

_URIS_MAX: Final = 1_000
_WAITING_MAX: Final = 1_000

Ask = Callable[[str, Object], Awaitable[Said | None]]


class _Stream:
    def __init__(self, granted: Object) -> None:
        self.granted = granted
        self.said: asyncio.Queue[Said] = asyncio.Queue(_WAITING_MAX)

    def wants(self, said: Said) -> bool:
        if said.seen.method == words.RESOURCE_UPDATED:
            uri = params_of(said).get("uri")
            uris = self.granted.get("resourceSubscriptions")
            return is_array(uris) and any(str(uri).startswith(str(one)) for one in uris)
        member = words.ANNOUNCEMENTS.get(str(said.seen.method))
        return member is not None and self.granted.get(member) is True


class Subscriptions:
    """The streams of one session. `ask` sends the session's server a request of ours."""

    def __init__(self, ask: Ask) -> None:
        self._ask = ask
        self._streams: set[_Stream] = set()
        self._watched: Counter[str] = Counter()

    @property
    def any(self) -> bool:
        return bool(self._streams)

    def hear(self, said: Said) -> None:
        """Give an announcement to those who asked for it."""
        for stream in self._streams:
            if stream.wants(said) and not stream.said.full():
                stream.said.put_nowait(said)

    async def listen(self, exchange: Exchange, capabilities: Object) -> None:
        """Answer `subscriptions/listen` until its client leaves."""
        message = exchange.message
        assert message is not None
        stream = _Stream(_granted(object_in(message.params.get("notifications")), capabilities))
        self._streams.add(stream)
        try:
            await self._watch(stream)
            value: Object = {"method": ACKNOWLEDGED, "params": {"notifications": stream.granted}}
            event = msgspec.json.encode({"jsonrpc": "2.0", **value})
            while True:
                await say_before(exchange, words.of_subscription(event, message.id))
                event = (await self._next(exchange, stream)).raw
        finally:
            self._streams.discard(stream)
            await self._leave(stream)

    async def _next(self, exchange: Exchange, stream: _Stream) -> Said:
        while True:
            try:
                async with asyncio.timeout(PING_SECONDS):
                    return await stream.said.get()
            except TimeoutError:
                await show_life(exchange)

    async def _watch(self, stream: _Stream) -> None:
        """Subscribe to what nobody has subscribed to; what the server refuses is not granted."""
        uris = _uris(stream.granted)
        for uri in uris:
            self._watched[uri] += 1
            if self._watched[uri] == 1:
                said = await self._ask("resources/subscribe", {"uri": uri})
                if said is None or said.error_code is not None:
                    del self._watched[uri]
        watched = [uri for uri in uris if uri in self._watched]
        if watched:
            stream.granted["resourceSubscriptions"] = watched
        else:
            stream.granted.pop("resourceSubscriptions", None)

    async def _leave(self, stream: _Stream) -> None:
        for uri in _uris(stream.granted):
            self._watched[uri] -= 1
            if self._watched[uri] <= 0:
                del self._watched[uri]
                await self._ask("resources/unsubscribe", {"uri": uri})


def _granted(wanted: Object, capabilities: Object) -> Object:
    """As much of what is wanted as the server announces at all."""
    granted: Object = {}
    for method, member in words.ANNOUNCEMENTS.items():
        kind = method.split("/")[1]
        if wanted.get(member) is True and object_in(capabilities.get(kind)).get("listChanged"):
            granted[member] = True
    uris = _strings(wanted.get("resourceSubscriptions"))
    if uris and object_in(capabilities.get("resources")).get("subscribe"):
        granted["resourceSubscriptions"] = list(dict.fromkeys(uris))[:_URIS_MAX]
    return granted


def _uris(granted: Object) -> list[str]:
    return _strings(granted.get("resourceSubscriptions"))


def _strings(value: object) -> list[str]:
    return [one for one in value if isinstance(one, str)] if is_array(value) else []
