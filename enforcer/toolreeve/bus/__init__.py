"""NATS JetStream: subjects, streams, publishing an outbox, consuming a stream.

The transport, not the record: every enforcer keeps what it published until it is safe elsewhere.
Importing this room loads nats-py, which takes a fifth of a second.
"""

from toolreeve.bus.connection import Connection, Session, connect
from toolreeve.bus.consume import ConsumeSettings, Message, ack_all, consume
from toolreeve.bus.error import (
    BusError,
    PublishRefusedError,
    PublishUnknownError,
    StreamLosesError,
)
from toolreeve.bus.login import Ask, Login, login_file, nobody
from toolreeve.bus.publish import Ack, Outlet, Publisher
from toolreeve.bus.resend import GroupHistory, resend
from toolreeve.bus.ship import GroupSource, ShippableGroup, ShipSettings, ship
from toolreeve.bus.streams import StreamSettings, ensure_stream, would_lose
from toolreeve.bus.subjects import DEFAULT_PREFIX, Subjects, message_id, speaks_for, token

__all__ = [
    "DEFAULT_PREFIX",
    "Ack",
    "Ask",
    "BusError",
    "Connection",
    "ConsumeSettings",
    "GroupHistory",
    "GroupSource",
    "Login",
    "Message",
    "Outlet",
    "PublishRefusedError",
    "PublishUnknownError",
    "Publisher",
    "Session",
    "ShipSettings",
    "ShippableGroup",
    "StreamLosesError",
    "StreamSettings",
    "Subjects",
    "ack_all",
    "connect",
    "consume",
    "ensure_stream",
    "login_file",
    "message_id",
    "nobody",
    "resend",
    "ship",
    "speaks_for",
    "token",
    "would_lose",
]
