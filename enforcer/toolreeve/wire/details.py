"""What travels beside events: in a group, both ways.

Written by hand as the contract says it, because every call has some: a third of the work of doing
it with messages. Tests compare the two.
"""

from collections.abc import Iterable, Mapping

from google.protobuf.message import DecodeError

from toolreeve.audit import Arguments, KeptArgument
from toolreeve.audit.details import SALT_BYTES, Details
from toolreeve.v1 import audit_pb2 as pb
from toolreeve.wire.errors import WireError

_KEPT, _POINTER, _VALUE = b"\x0a", b"\x0a", b"\x12"
_KEYED_HASH, _KEY_ID, _VALUE_HASHES = b"\x12", b"\x1a", b"\x22"
_DETAILS, _INDEX, _SALT, _CONTENT = b"\x32", b"\x08", b"\x12", b"\x1a"


def write_content(arguments: Arguments) -> bytes:
    """What of `arguments` stands beside an event that has a commitment; empty where nothing is."""
    content = b""
    for kept in arguments.kept:
        pointer, value = kept.pointer.encode(), kept.value_json.encode()
        pair = _field(_POINTER, pointer) + _field(_VALUE, value)
        content += _KEPT + _length(pair) + pair
    return (
        content
        + _field(_KEYED_HASH, arguments.keyed_hash)
        + _field(_KEY_ID, arguments.key_id)
        + _field(_VALUE_HASHES, arguments.value_hashes)
    )


def with_details(arguments: Arguments, details: Details) -> Arguments:
    """`arguments` as they were recorded.

    Raises WireError where that is not what the event commits to, or cannot be read.
    """
    if details.commitment != arguments.commitment:
        raise WireError("its details are not those that were recorded with it")
    message = pb.ArgumentDetails()
    try:
        message.ParseFromString(details.content)
    except DecodeError as error:
        raise WireError(f"its details cannot be read: {error}") from error
    return Arguments(
        names=arguments.names,
        size_bytes=arguments.size_bytes,
        commitment=arguments.commitment,
        kept=tuple([KeptArgument(kept.pointer, kept.value_json) for kept in message.kept]),
        keyed_hash=message.keyed_hash,
        key_id=message.key_id,
        value_hashes=message.value_hashes,
    )


def read_beside(messages: Iterable[pb.EventDetails], count: int) -> dict[int, Details]:
    """The details in a group of `count` events, by index. Raises WireError."""
    found: dict[int, Details] = {}
    for message in messages:
        if message.index >= count or message.index in found:
            raise WireError(f"details of event {message.index}, of {count}")
        if len(message.salt) != SALT_BYTES:
            raise WireError(f"a salt has {len(message.salt)} bytes, not {SALT_BYTES}")
        found[message.index] = Details(message.salt, message.content)
    return found


def write_beside(beside: Mapping[int, Details]) -> bytes:
    """The details of a group, to stand behind all its other fields."""
    parts: list[bytes] = []
    for index, one in beside.items():
        place = _INDEX + _varint(index) if index else b""
        value = place + _field(_SALT, one.salt) + _field(_CONTENT, one.content)
        parts += (_DETAILS, _length(value), value)
    return b"".join(parts)


def _field(tag: bytes, value: bytes) -> bytes:
    """A field with its length; nothing where it is empty."""
    return tag + _length(value) + value if value else b""


def _length(value: bytes) -> bytes:
    size = len(value)
    return _SHORT[size] if size < len(_SHORT) else _varint(size)


def _varint(number: int) -> bytes:
    written = bytearray()
    while number > 127:
        written.append(number & 127 | 128)
        number >>= 7
    written.append(number)
    return bytes(written)


_SHORT = tuple(map(_varint, range(512)))
