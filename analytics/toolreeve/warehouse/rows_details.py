"""What a decision's row says of its arguments: kept values, hashes, and whether they are here."""

import struct

import msgspec

from toolreeve.audit import Arguments
from toolreeve.audit.redact import VALUE_HASH_BYTES

INTEGER_MAX = 2**63 - 1
"""DuckDB reads larger whole numbers in JSON as floating point; they are kept as text instead."""

KEPT_CHARACTERS_MAX = 256
"""The contract's bound on a kept value; what is longer follows no contract and stays text."""

_decode = msgspec.json.Decoder().decode


def kept_values(arguments: Arguments) -> dict[str, object]:
    """Kept arguments by pointer. A value that was cut in the middle stays as text."""
    values: dict[str, object] = {}
    for kept in arguments.kept:
        values[kept.pointer] = _kept_value(kept.value_json)
    return values


def _kept_value(text: str) -> object:
    if len(text) > KEPT_CHARACTERS_MAX:
        return text
    try:
        value: object = _decode(text)
    except (ValueError, msgspec.DecodeError):
        return text
    return text if isinstance(value, int) and abs(value) > INTEGER_MAX else value


def numbers(hashes: bytes) -> tuple[int, ...]:
    """Hashes of 8 bytes as numbers, as they stand in the table; none where they are cut short."""
    count, rest = divmod(len(hashes), VALUE_HASH_BYTES)
    return () if rest else struct.unpack(f">{count}q", hashes)


def details_of(arguments: Arguments, *, erased: bool) -> str:
    """Whether what the event commits to is here: here, none, erased, or missing."""
    if not arguments.commitment:
        return "none"
    if arguments.keyed_hash or arguments.kept:
        return "here"
    return "erased" if erased else "missing"
