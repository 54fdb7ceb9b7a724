"""Telling clients that the tools they may see are others now: the words for it.

What a client may see depends on the policy as well as on the server, so a change is announced here
even where the server itself never announces any. That takes three things: the server's answer to
`initialize` or `server/discover` says that changes of the tools are announced, its acknowledgement
of a subscription says that they were subscribed to, and the announcement itself, in the form that
the client's protocol era knows. In what is changed, one member is; the rest stays the bytes it was.
"""

from typing import Final

import msgspec

from toolreeve.proxy.message import INITIALIZE, SUBSCRIBE, SUBSCRIPTION_META, Message
from toolreeve.proxy.shapes import is_object

DISCOVER: Final = "server/discover"
INITIALIZED: Final = "notifications/initialized"
ACKNOWLEDGED: Final = "notifications/subscriptions/acknowledged"
TOOLS_CHANGED: Final = "notifications/tools/list_changed"
INTRODUCTIONS: Final = frozenset({INITIALIZE, DISCOVER})  # their answers name what a server can do

_Members = dict[str, msgspec.Raw]
_decode = msgspec.json.Decoder(_Members).decode
_encode = msgspec.json.Encoder().encode
_TRUE: Final = msgspec.Raw(b"true")


def tools_changed(subscription: str = "") -> bytes:
    """The announcement; `subscription` is the JSON id of the request that asked for it, if any."""
    if not subscription:
        return b'{"jsonrpc":"2.0","method":"%b"}' % TOOLS_CHANGED.encode()
    return _notification(TOOLS_CHANGED, subscription, b"")


def acknowledgement(subscription: str) -> bytes:
    """Our own answer to a subscription that the server does not know of."""
    granted = b',"notifications":{"toolsListChanged":true}'
    return _notification(ACKNOWLEDGED, subscription, granted)


def asks_for_tools(message: Message) -> bool:
    """Whether a request subscribes to changes of the tools."""
    wanted = message.params.get("notifications")
    return (
        message.method == SUBSCRIBE and is_object(wanted) and wanted.get("toolsListChanged") is True
    )


def with_announcements(raw: bytes) -> bytes:
    """An answer to `initialize` or `server/discover` that promises announcements of the tools.

    A server without tools, an error, and what cannot be read stay as they are.
    """
    return _with_true(raw, ("result", "capabilities", "tools"), "listChanged")


def with_tools_granted(raw: bytes) -> bytes:
    """An acknowledgement that grants announcements of the tools, beside what the server grants."""
    return _with_true(raw, ("params", "notifications"), "toolsListChanged")


def _with_true(raw: bytes, path: tuple[str, ...], member: str) -> bytes:
    """The same message with `member` true in the object at `path`; as it is where there is none."""
    try:
        levels = [_decode(raw)]
        for key in path:
            levels.append(_decode(levels[-1][key]))
    except (msgspec.MsgspecError, UnicodeError, KeyError):
        return raw
    if levels[-1].get(member) == _TRUE:
        return raw
    levels[-1][member] = _TRUE
    for key, outer, inner in zip(
        reversed(path), reversed(levels[:-1]), reversed(levels[1:]), strict=True
    ):
        outer[key] = msgspec.Raw(_encode(inner))
    return _encode(levels[0])


def _notification(method: str, subscription: str, more: bytes) -> bytes:
    meta = b'"_meta":{"%b":%b}' % (SUBSCRIPTION_META.encode(), subscription.encode())
    return b'{"jsonrpc":"2.0","method":"%b","params":{%b%b}}' % (method.encode(), meta, more)
