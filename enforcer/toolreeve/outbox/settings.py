"""What may be set about an outbox."""

from typing import Annotated, Literal

from msgspec import Meta, Struct


class OutboxSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Bounds of one outbox."""

    segment_bytes: Annotated[int, Meta(ge=8_192, le=1 << 30)] = 16 << 20
    """Size of a segment's file; another size takes effect with the next segment."""

    records_max: Annotated[int, Meta(ge=1)] = 512
    """Most records that one group takes."""

    bytes_max: Annotated[int, Meta(ge=1)] = 512 << 10
    """Longest payload of a group. A message of NATS carries 1 MiB unless its server allows more."""

    waiting_max: Annotated[int, Meta(ge=1)] = 10_000
    """Most records that wait to become durable; one more is refused."""

    linger_seconds: Annotated[float, Meta(ge=0, le=1)] = 0.005
    """How long a record may wait for a flush that others need anyway."""

    bytes_on_disk_max: Annotated[int, Meta(ge=16_384)] = 4 << 30
    """Most that all segments take together. At the bound the outbox behaves as on a full disk."""

    recent_bytes_max: Annotated[int, Meta(ge=0)] = 2 << 20
    """How much of the newest groups is kept in memory for those who follow."""

    keep_seconds: Annotated[float, Meta(ge=0)] = 86_400.0
    """How long a segment stays on disk after its last write, though all of it is published."""

    keep_until: Literal["published", "materialised"] = "published"
    """What must have become of a segment's events before it goes: JetStream has them, or also the
    warehouse. Whoever keeps an outbox until then tells it by `materialised`."""

    publishes: bool = True
    """False where nobody follows: segments then go by their age alone."""

    retry_seconds: Annotated[float, Meta(ge=0)] = 1.0
    """After a failed write appends are refused at once for this long, before the next attempt."""
