"""The hash chain over an enforcer's events.

The chain runs over the serialised bytes of each event, exactly as they lie in the outbox, in
JetStream and in an export, so that a verifier needs no knowledge of their meaning:

    head(0) = 32 zero bytes
    head(n) = sha256(head(n-1) || sha256(event n))
"""

from collections.abc import Iterable
from hashlib import sha256

GENESIS = bytes(32)
"""The head before an enforcer's very first event."""


def link(head: bytes, raw: bytes) -> bytes:
    """The head behind one more event, given as its serialised bytes."""
    return sha256(head + sha256(raw).digest()).digest()


def fold(head: bytes, raws: Iterable[bytes]) -> bytes:
    """The head behind several events in their order; `head` itself where there are none."""
    for raw in raws:
        head = link(head, raw)
    return head
