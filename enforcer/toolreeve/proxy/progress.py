"""Word of our own to a client whose call waits: progress notifications, where it asked for them."""

from collections.abc import Callable
from typing import Final

import msgspec

from toolreeve.proxy.gate import Held
from toolreeve.proxy.message import Message

TOKEN_CHARACTERS_MAX: Final = 256
STEP: Final = 1e-6
"""Progress must rise, and what the server says later has to lie above all of ours."""


def progress_token(message: Message) -> str | int | None:
    """What a client wants progress to be reported under; None where it does not."""
    meta = message.params.get("_meta")
    token = meta.get("progressToken") if isinstance(meta, dict) else None  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
    if isinstance(token, str):
        return token if len(token) <= TOKEN_CHARACTERS_MAX else None
    return token if isinstance(token, int) and not isinstance(token, bool) else None


def report(held: Held, message: Message, send: Callable[[bytes], None]) -> None:
    """Let a client that has asked for progress hear what its call waits for.

    Each notification is a little further than the one before.
    """
    token = progress_token(message)
    if token is None:
        return
    count = 0

    def tell(text: str) -> None:
        nonlocal count
        count += 1
        params = {"progressToken": token, "progress": count * STEP, "message": text}
        note = {"jsonrpc": "2.0", "method": "notifications/progress", "params": params}
        send(msgspec.json.encode(note))

    held.follow(tell)
