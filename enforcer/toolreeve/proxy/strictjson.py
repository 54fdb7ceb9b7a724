"""The one strict JSON parser: what it accepts, every reader reads alike.

Parsers differ on what the standard leaves open: which of two equal keys wins, whether `NaN`
is a number, what a lone surrogate is, where a long integer loses digits. A message that two
parsers read differently can be decided as one thing and run as another, so everything on which
they may differ is refused here, and what is sent on is either the very bytes that were proved
to be plain or the value written out anew.

The proof is cheap: decode, encode compactly, compare. Equal bytes mean that the text was
already in the one form the encoder writes: no doubled key, no odd number, no escape where none
was needed. Everything else goes the long way through Python's own parser with a hook at each
place where the standard is loose.
"""

import json
import math
import unicodedata
from typing import Final, NoReturn, cast

import msgspec

from toolreeve.proxy.shapes import is_array, is_object

DEPTH_MAX: Final = 64
# What a signed or an unsigned 64-bit reader can hold. Beyond it some readers round.
INTEGER_MIN: Final = -(2**63)
INTEGER_MAX: Final = 2**64 - 1
_INTEGER_DIGITS_MAX: Final = 20

PARSE_ERROR: Final = -32700
INVALID_REQUEST: Final = -32600
METHOD_NOT_FOUND: Final = -32601
INVALID_PARAMS: Final = -32602


class Refused(msgspec.Struct, frozen=True, kw_only=True):
    """Something that is not let in, and what its sender is told.

    `code` is a stable word for the record; `reason` is a sentence for people and quotes nothing
    of the input beyond names.
    """

    code: str
    reason: str
    http_status: int = 400
    rpc_code: int = INVALID_REQUEST


class Parsed(msgspec.Struct, frozen=True):
    """A value, and bytes of which every reader makes that value."""

    value: object
    raw: bytes


class _NotStrictError(ValueError):
    def __init__(self, code: str, reason: str, rpc_code: int = PARSE_ERROR) -> None:
        super().__init__(reason)
        self.refused = Refused(code=code, reason=reason, rpc_code=rpc_code)


_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder().decode


def parse(raw: bytes) -> Parsed | Refused:
    """Read one JSON text, or say why not everybody would read it alike."""
    try:
        value = _decode(raw)
        plain = _encode(value) == raw
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return _parse_slowly(raw)  # finds the words for what is wrong
    if not plain:
        return _parse_slowly(raw)
    refused = _inspect(value, keys=not raw.isascii())
    return Parsed(value, raw) if refused is None else refused


def _parse_slowly(raw: bytes) -> Parsed | Refused:
    refused = _encoding_refused(raw)
    if refused is not None:
        return refused
    try:
        value: object = _LOOSE.decode(raw.decode("utf-8"))
        refused = _inspect(value, keys=False)
        if refused is not None:
            return refused
        return Parsed(value, _encode(value))
    except _NotStrictError as problem:
        return problem.refused
    except UnicodeEncodeError:
        return _parse_refused("surrogate", "a string holds half of a surrogate pair")
    except RecursionError:
        return _too_deep()
    except ValueError:
        return _parse_refused("parse", "this is not one JSON text")


def _encoding_refused(raw: bytes) -> Refused | None:
    if not raw:
        return _parse_refused("empty", "there is no JSON text here")
    if raw[:3] == b"\xef\xbb\xbf":
        return _parse_refused("bom", "a byte-order mark stands before the JSON text")
    if b"\x00" in raw[:4] or raw[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return _parse_refused("encoding", "JSON text must be UTF-8")
    try:
        raw.decode("utf-8")
    except UnicodeDecodeError:
        return _parse_refused("encoding", "JSON text must be valid UTF-8")
    return None


def _inspect(value: object, *, keys: bool) -> Refused | None:
    """Look at every node for what the parsers let pass: wide integers, look-alike keys, depth."""
    nodes = [value]
    level = 0
    while nodes:
        if level >= DEPTH_MAX and any(is_object(n) or is_array(n) for n in nodes):
            return _too_deep()
        inner: list[object] = []
        for node in nodes:
            kind = type(node)  # of which parsers make no subclasses; most nodes are text
            if kind is str:
                continue
            if kind is int:
                if not INTEGER_MIN <= cast(int, node) <= INTEGER_MAX:
                    return _integer_refused()
            elif is_object(node):
                if keys and _look_alike(node):
                    return _look_alike_refused()
                inner += node.values()
            elif is_array(node):
                inner += node
        nodes = inner
        level += 1
    return None


def _look_alike(keys: dict[str, object]) -> bool:
    normal = {key if key.isascii() else unicodedata.normalize("NFC", key) for key in keys}
    return len(normal) != len(keys)


def _pairs(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise _NotStrictError("duplicate_key", "an object holds the same key twice")
    if _look_alike(found):
        refused = _look_alike_refused()
        raise _NotStrictError(refused.code, refused.reason, refused.rpc_code)
    return found


def _integer(digits: str) -> int:
    if len(digits) > _INTEGER_DIGITS_MAX:
        raise _NotStrictError("number", "an integer is too long")
    return int(digits)


def _fraction(digits: str) -> float:
    number = float(digits)
    if not math.isfinite(number):
        raise _NotStrictError("number", "a number is beyond what a double holds")
    return number


def _constant(_word: str) -> NoReturn:
    raise _NotStrictError("number", "NaN and Infinity are not JSON")


_LOOSE = json.JSONDecoder(
    object_pairs_hook=_pairs,
    parse_int=_integer,
    parse_float=_fraction,
    parse_constant=_constant,
)


def _parse_refused(code: str, reason: str) -> Refused:
    return Refused(code=code, reason=reason, rpc_code=PARSE_ERROR)


def _too_deep() -> Refused:
    return _parse_refused("depth", f"nested deeper than {DEPTH_MAX} levels")


def _look_alike_refused() -> Refused:
    return Refused(
        code="duplicate_key",
        reason="an object holds two keys that differ only by Unicode normalisation",
        rpc_code=INVALID_REQUEST,
    )


def _integer_refused() -> Refused:
    return Refused(
        code="number",
        reason="an integer is beyond 64 bits, where readers round differently",
        rpc_code=INVALID_PARAMS,
    )
