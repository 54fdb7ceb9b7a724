"""What may be kept of a call's arguments.

Names always; the values of listed pointers, so that "which VM was restarted 40 times?" has an
answer; the rest only as keyed hashes: over all arguments, so that equal calls can be recognised on
one enforcer, and over each, so that whoever knows a value and has the key can find the calls that
it stood in. Nobody can guess a value from its hash without the key.
"""

from collections.abc import Mapping
from functools import lru_cache
from hashlib import sha256

from msgspec import Struct

from toolreeve.audit.event import Arguments, KeptArgument
from toolreeve.policy import canonical_json, parse_pointer, resolve

VALUE_CHARACTERS_MAX = 256
NAMES_MAX = 64
HASH_BYTES = 16
KEY_ID_BYTES = 8
VALUE_HASH_BYTES = 8


class Redaction(Struct, frozen=True, kw_only=True):
    """Which values stand, and the key of the hashes.

    `keep` are JSON Pointers into the effective arguments. Only strings, numbers, booleans and
    null are kept; an object or a list at a listed pointer is not.
    """

    keep: tuple[str, ...]
    key: bytes


@lru_cache(maxsize=16)
def _places(keep: tuple[str, ...]) -> tuple[tuple[str, tuple[str, ...]], ...]:
    return tuple((pointer, parse_pointer(pointer)) for pointer in keep)


@lru_cache(maxsize=64)
def key_id(key: bytes) -> bytes:
    """The name of a key, which tells nothing about it."""
    return sha256(key).digest()[:KEY_ID_BYTES]


def value_hash(canonical: bytes, key: bytes) -> bytes:
    """The keyed hash of one value, given as canonical JSON: of all arguments it is twice as long.

    The beginning of sha256(key || value), so little of it that nobody can go on from there to the
    hash of a longer value. A third of the work of a keyed BLAKE2b, which counts: there is one for
    each argument of each call.
    """
    return sha256(key + canonical).digest()[:VALUE_HASH_BYTES]


def redact(arguments: Mapping[str, object], redaction: Redaction) -> Arguments:
    """Keep what `redaction` allows of `arguments`."""
    key = redaction.key
    if not arguments:
        return Arguments(size_bytes=len(_NOTHING))
    canonical = canonical_json(arguments)
    names = sorted(arguments)[:NAMES_MAX]
    kept: list[KeptArgument] = []
    for pointer, keys in _places(redaction.keep):
        if keys and keys[0] not in arguments:
            continue  # as most are, in every call
        found, value = resolve(arguments, keys)
        if found and not isinstance(value, dict | list):
            text = canonical_json(value).decode()
            if len(text) <= VALUE_CHARACTERS_MAX:
                kept.append(KeptArgument(pointer, text))
    return Arguments(
        names=tuple(names),
        kept=tuple(kept),
        keyed_hash=sha256(key + canonical).digest()[:HASH_BYTES],
        size_bytes=len(canonical),
        key_id=key_id(key),
        value_hashes=b"".join(
            [
                sha256(key + canonical_json(arguments[name])).digest()[:VALUE_HASH_BYTES]
                for name in names
            ]
        ),
    )


_NOTHING = b"{}"
