"""Making a stream, and refusing one that would not keep what is published."""

from typing import Annotated

import nats.errors
import structlog
from msgspec import Meta, Struct, structs
from nats.js import JetStreamContext
from nats.js.api import DiscardPolicy, RetentionPolicy, StorageType, StreamConfig, StreamInfo
from nats.js.errors import APIError, NotFoundError

from toolreeve.bus.connection import Connection
from toolreeve.bus.error import BusError, StreamLosesError

log = structlog.get_logger()

_NO_ROOM = 10047
_BYTES_LEAST = 64 << 20


class StreamSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What may be set about a stream when it is made. Later an operator may change it by hand."""

    bytes_max: Annotated[int, Meta(gt=0)] = 4 << 30
    """Above this publishing is refused and outboxes hold the rest: keep it below the disk."""

    age_seconds_max: Annotated[float, Meta(ge=0)] = 7 * 86_400.0
    """Messages older than this are dropped; 0 keeps them for ever."""

    duplicate_seconds: Annotated[float, Meta(gt=0)] = 600.0
    """How long the server knows a message id again. Readers know events again for ever."""

    replicas: Annotated[int, Meta(ge=1, le=5)] = 1

    deny_delete: bool = False
    """No message can be deleted, for the life of the stream. Cannot be taken back."""

    deny_purge: bool = False
    """The stream cannot be purged. Cannot be taken back."""


async def ensure_stream(
    connection: Connection,
    name: str,
    subjects: list[str],
    settings: StreamSettings | None = None,
) -> StreamInfo:
    """Make the stream, or check that the one that is there keeps what it is given.

    Sizes, ages and replicas of a stream that is there are the operator's and left alone. Raises
    StreamLosesError where it would lose messages silently, BusError where the server cannot make
    it. Waits while there is no connection.
    """
    settings = settings or StreamSettings()
    try:
        jetstream = await connection.jetstream()
        try:
            info = await jetstream.stream_info(name)
        except NotFoundError:
            info = await _make(jetstream, name, subjects, settings)
    except APIError as error:
        raise BusError(
            f"stream {name} cannot be had: {error.description} ({error.err_code})",
            remedy="give the server room and JetStream, or set the stream's bytes_max lower",
        ) from error
    except nats.errors.Error as error:
        raise BusError(
            f"stream {name} cannot be had: {str(error) or type(error).__name__}",
            remedy="see that JetStream is enabled and this user may use its API",
        ) from error
    _check(info.config, name, subjects)
    return info


async def _make(
    jetstream: JetStreamContext, name: str, subjects: list[str], settings: StreamSettings
) -> StreamInfo:
    """Make the stream, with half the size again and again where the server has less room.

    A stream sets its whole size aside. Raises APIError where there is not even room for the least.
    """
    bytes_max = settings.bytes_max
    while True:
        config = _config(name, subjects, structs.replace(settings, bytes_max=bytes_max))
        try:
            info = await jetstream.add_stream(  # pyright: ignore[reportUnknownMemberType]  (nats-py)
                config
            )
        except APIError as error:
            if error.err_code != _NO_ROOM or bytes_max // 2 < _BYTES_LEAST:
                raise
            bytes_max //= 2
        else:
            smaller = bytes_max < settings.bytes_max
            say = log.warning if smaller else log.info
            say("stream.made", stream=name, subjects=subjects, bytes_max=bytes_max)
            return info


def _config(name: str, subjects: list[str], settings: StreamSettings) -> StreamConfig:
    return StreamConfig(
        name=name,
        subjects=subjects,
        retention=RetentionPolicy.LIMITS,
        storage=StorageType.FILE,
        discard=DiscardPolicy.NEW,
        max_bytes=settings.bytes_max,
        max_age=settings.age_seconds_max,
        duplicate_window=settings.duplicate_seconds,
        num_replicas=settings.replicas,
        deny_delete=settings.deny_delete,
        deny_purge=settings.deny_purge,
    )


def would_lose(config: StreamConfig, subjects: list[str]) -> dict[str, str]:
    """By what a stream of this kind would lose messages: the name of each member, and how."""
    have = set(config.subjects or ())
    found = (
        ("subjects", not have.issuperset(subjects), f"it does not take {', '.join(subjects)}"),
        ("storage", config.storage != StorageType.FILE, "it is not kept in files"),
        (
            "discard",
            config.discard != DiscardPolicy.NEW,
            "it discards old messages when it is full",
        ),
        (
            "retention",
            config.retention != RetentionPolicy.LIMITS,
            "it drops messages that were read",
        ),
        ("max_msgs", (config.max_msgs or -1) > 0, "it keeps a bounded number of messages"),
        (
            "max_msgs_per_subject",
            config.max_msgs_per_subject > 0,
            "it keeps a bounded number of messages a subject",
        ),
        ("no_ack", bool(config.no_ack), "it does not acknowledge"),
        ("sealed", bool(config.sealed), "it is sealed"),
    )
    return {member: words for member, bad, words in found if bad}


def _check(config: StreamConfig, name: str, subjects: list[str]) -> None:
    wrong = would_lose(config, subjects).values()
    if wrong:
        raise StreamLosesError(
            f"stream {name} would lose what is published: {', and '.join(wrong)}",
            remedy=f"mend it with `nats stream edit {name}`, or move it away",
        )
