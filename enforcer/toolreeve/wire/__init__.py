"""Domain values to the contract's messages and back; the only room that touches the messages.

`events` packs and unpacks the outbox's groups, which are also the messages on NATS.
"""

from toolreeve.wire.errors import WireError
from toolreeve.wire.events import (
    Group,
    Pack,
    attach,
    pack,
    read_event,
    read_events,
    unpack,
    without,
    write_event,
)
from toolreeve.wire.read_body import read_alert, read_hold, read_release
from toolreeve.wire.write_body import (
    write_alert,
    write_completed,
    write_decided,
    write_hold,
    write_release,
)

__all__ = [
    "Group",
    "Pack",
    "WireError",
    "attach",
    "pack",
    "read_alert",
    "read_event",
    "read_events",
    "read_hold",
    "read_release",
    "unpack",
    "without",
    "write_alert",
    "write_completed",
    "write_decided",
    "write_event",
    "write_hold",
    "write_release",
]
