"""One event as a line of JSON: to be read by people and programs, and proved by its own bytes.

A line holds the event twice. `bytes` is the event as it lay in the outbox, which the hash chain
runs over, and `details` is what stood beside it, to which the bytes commit; everything before them
is what the two say. `write_line` is a pure function of bytes, head and details, so a reader checks
the readable part by writing the line again.
"""

from collections.abc import Iterable
from datetime import UTC, datetime
from functools import cache, lru_cache

import msgspec
from google.protobuf.message import DecodeError
from msgspec import Struct

from toolreeve.audit import Body
from toolreeve.audit.details import Details
from toolreeve.v1 import audit_pb2 as pb
from toolreeve.wire.errors import WireError
from toolreeve.wire.events import attach, read_event

UNKNOWN = "unknown"
"""The kind of an event that a newer version wrote; its bytes are kept like every other's."""


class Line(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What stands in a line, in this order. `head` is the chain's head behind the event, in hex."""

    event_id: str
    kind: str
    enforcer: str
    epoch: int
    sequence: int
    time: str
    body: Body | None
    head: str
    bytes: bytes
    details: Details | None = None


class Place(Struct, frozen=True, kw_only=True):
    """As much of a line as a verifier believes before it has checked it."""

    event_id: str
    kind: str
    enforcer: str
    epoch: int
    sequence: int
    head: str
    bytes: bytes
    details: Details | None = None


_encoder = msgspec.json.Encoder(order="deterministic")
_decoder = msgspec.json.Decoder(Place)


def write_line(raw: bytes, head: bytes, details: Details | None = None) -> bytes:
    """The line of one event, with its newline.

    Raises WireError where `raw` is no event, or does not commit to the details.
    """
    return _encoder.encode(line_of(raw, head, details)) + b"\n"


def line_of(raw: bytes, head: bytes, details: Details | None = None) -> Line:
    """What the line of one event says. Raises WireError as `write_line` does."""
    try:
        event = read_event(raw)
    except WireError:
        if details is not None:
            raise
        return _unknown(raw, head)
    if details is not None:
        event = attach(event, details)
    return Line(
        event_id=event.id,
        kind=kind_of(type(event.body)),
        enforcer=event.enforcer,
        epoch=event.epoch,
        sequence=event.sequence,
        time=written(event.at),
        body=event.body,
        head=head.hex(),
        bytes=raw,
        details=details,
    )


def read_place(line: bytes) -> Place:
    """Where a line says its event stands, and the bytes. Raises WireError where it is no line."""
    try:
        place = _decoder.decode(line)
        bytes.fromhex(place.head)
    except (msgspec.MsgspecError, ValueError) as error:
        raise WireError(f"not a line of an export: {error}") from error
    return place


def lacks_details(place: Place) -> bool:
    """Whether an event commits to details that the line does not have. Raises WireError."""
    if place.details is not None or place.kind != "decided":
        return False
    return bool(_parsed(place.bytes).decided.arguments.commitment)


def time_of(raw: bytes) -> int:
    """When an event happened, in nanoseconds since 1970. Raises WireError."""
    return _parsed(raw).time_unix_nano


def any_between(raws: Iterable[bytes], since: int | None, until: int | None) -> bool:
    """Whether one of these events happened at or after `since` and before `until`.

    In nanoseconds since 1970; None is no bound. Raises WireError.
    """
    if since is None and until is None:
        return True
    low, high = since or 0, until
    return any(low <= at and (high is None or at < high) for at in map(time_of, raws))


def glance(raw: bytes) -> tuple[str, str, int, int, bytes]:
    """An event's kind, enforcer, epoch, sequence and commitment; a tenth of the work of reading it.

    The kind is UNKNOWN where a newer version wrote it. Raises WireError where `raw` is no event.
    """
    message = _parsed(raw)
    kind = message.WhichOneof("body") or UNKNOWN
    said = message.decided.arguments.commitment if kind == "decided" else b""
    return kind, message.enforcer_id, message.epoch, message.sequence, said


@cache
def kind_of(body: type[Body]) -> str:
    """The word for a kind of event: `policy_applied` for PolicyApplied."""
    letters = (f"_{one.lower()}" if one.isupper() else one for one in body.__name__)
    return "".join(letters).removeprefix("_")


def written(instant: int) -> str:
    """Nanoseconds since 1970 as 2026-11-20T17:04:05.123456789Z."""
    seconds, rest = divmod(instant, 10**9)
    return f"{_written_second(seconds)}.{rest:09d}Z"


@lru_cache(64)  # events come by the hundred a second
def _written_second(seconds: int) -> str:
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}"


def _parsed(raw: bytes) -> pb.Event:
    message = pb.Event()
    try:
        message.ParseFromString(raw)
    except DecodeError as error:
        raise WireError(f"not an Event: {error}") from error
    return message


def _unknown(raw: bytes, head: bytes) -> Line:
    message = _parsed(raw)
    return Line(
        event_id=message.event_id,
        kind=UNKNOWN,
        enforcer=message.enforcer_id,
        epoch=message.epoch,
        sequence=message.sequence,
        time=written(message.time_unix_nano),
        body=None,
        head=head.hex(),
        bytes=raw,
    )
