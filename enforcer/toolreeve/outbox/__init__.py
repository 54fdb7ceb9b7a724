"""The write-ahead log on disk: what is appended here is durable before anybody hears of it.

Records of any type become groups (one flush of the disk each), groups lie in preallocated
segments, and whoever publishes them follows. Knows asyncio, threads and files; knows nothing of
protobuf or NATS, and of events only the seal, which vouches for an outbox.
"""

from toolreeve.outbox.error import DamageError, OutboxError
from toolreeve.outbox.flusher import Pack
from toolreeve.outbox.frame import Group
from toolreeve.outbox.host import HERE, Host
from toolreeve.outbox.outbox import Outbox
from toolreeve.outbox.peek import peek
from toolreeve.outbox.salvage import Salvage
from toolreeve.outbox.sealing import Sealer
from toolreeve.outbox.settings import OutboxSettings
from toolreeve.outbox.standing import OutboxStatus, Recovered

__all__ = [
    "HERE",
    "DamageError",
    "Group",
    "Host",
    "Outbox",
    "OutboxError",
    "OutboxSettings",
    "OutboxStatus",
    "Pack",
    "Recovered",
    "Salvage",
    "Sealer",
    "peek",
]
