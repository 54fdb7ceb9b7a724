"""NATS JetStream: subjects, streams, publishing an outbox, consuming a stream.

The transport, not the record: every enforcer keeps what it published until it is safe elsewhere.
Importing this room loads nats-py, which takes a fifth of a second.
"""

from toolreeve.bus.connection import Connection, Session, connect
from toolreeve.bus.consume import ConsumeSettings, Message, ack_all, consume
from toolreeve.bus.error import BusError, PublishRefusedError, PublishUnknownError
from toolreeve.bus.publish import Ack, Outlet, Publisher
from toolreeve.bus.ship import GroupSource, ShippableGroup, ShipSettings, ship
from toolreeve.bus.streams import StreamSettings, ensure_stream
from toolreeve.bus.subjects import DEFAULT_PREFIX, Subjects, message_id, token

__all__ = [
    "DEFAULT_PREFIX",
    "Ack",
    "BusError",
    "Connection",
    "ConsumeSettings",
    "GroupSource",
    "Message",
    "Outlet",
    "PublishRefusedError",
    "PublishUnknownError",
    "Publisher",
    "Session",
    "ShipSettings",
    "ShippableGroup",
    "StreamSettings",
    "Subjects",
    "ack_all",
    "connect",
    "consume",
    "ensure_stream",
    "message_id",
    "ship",
    "token",
]
