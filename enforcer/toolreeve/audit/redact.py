"""What may be kept of a call's arguments.

Names always; the values of listed pointers, so that "which VM was restarted 40 times?" has an
answer; the rest only as a keyed hash, so that equal calls can be recognised on one enforcer and
nobody can guess a value from its hash without the key.
"""

from collections.abc import Mapping
from functools import lru_cache
from hashlib import blake2b

from msgspec import Struct

from toolreeve.audit.event import Arguments, KeptArgument
from toolreeve.policy import canonical_json, parse_pointer, resolve

VALUE_CHARACTERS_MAX = 256
NAMES_MAX = 64


class Redaction(Struct, frozen=True, kw_only=True):
    """Which values stand, and the key of the hash over all arguments.

    `keep` are JSON Pointers into the effective arguments. Only strings, numbers, booleans and
    null are kept; an object or a list at a listed pointer is not.
    """

    keep: tuple[str, ...]
    key: bytes


@lru_cache(maxsize=16)
def _places(keep: tuple[str, ...]) -> tuple[tuple[str, tuple[str, ...]], ...]:
    return tuple((pointer, parse_pointer(pointer)) for pointer in keep)


def redact(arguments: Mapping[str, object], redaction: Redaction) -> Arguments:
    """Keep what `redaction` allows of `arguments`."""
    canonical = canonical_json(arguments)
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
        names=tuple(sorted(arguments)[:NAMES_MAX]),
        kept=tuple(kept),
        keyed_hash=blake2b(canonical, key=redaction.key, digest_size=32).digest(),
        size_bytes=len(canonical),
    )
