"""What an enforcer signs to vouch for its history so far.

A chain shows that nothing was changed within it; whoever can rewrite a disk can chain everything
anew. What they cannot do is sign the heads that come out: the key is the enforcer's, and its
public half stands at the beginning of every epoch, in the roster of the control plane and with
whoever wrote it down. A seal stands in the chain behind what it vouches for, so that a later
seal vouches for it too.
"""

import base64

from toolreeve.audit.event import Position


def sealed_text(enforcer: str, position: Position, head: bytes) -> bytes:
    """The bytes that are signed: five lines, each ended by a newline."""
    encoded = base64.b64encode(head).decode()
    lines = ("toolreeve head v1", enforcer, str(position.epoch), str(position.sequence), encoded)
    return "".join(f"{line}\n" for line in lines).encode()


def logged_text(enforcer: str, first: Position, last_sequence: int, head: bytes) -> bytes:
    """A group as a leaf of the log of all histories: six lines, each ended by a newline.

    `head` is the chain's behind the group, so that the leaf vouches for everything before it too.
    """
    encoded = base64.b64encode(head).decode()
    numbers = (str(first.epoch), str(first.sequence), str(last_sequence))
    lines = ("toolreeve group v1", enforcer, *numbers, encoded)
    return "".join(f"{line}\n" for line in lines).encode()
