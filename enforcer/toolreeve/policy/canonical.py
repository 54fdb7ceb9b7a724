"""Canonical JSON: one document, one sequence of bytes.

Keys in code point order, no white space, UTF-8 without escapes that are not needed. Two texts
that mean the same document (JSON or YAML, whatever their layout) have the same canonical bytes,
and so the same revision.
"""

from hashlib import sha256

import msgspec

_encoder = msgspec.json.Encoder(order="sorted")


def canonical_json(value: object) -> bytes:
    """Canonical bytes of a JSON value; integers of any length are written exactly.

    Raises TypeError or ValueError on what JSON cannot say: lone surrogates, keys that are not
    strings, integers beyond Python's bound for decimal text.
    """
    return _encoder.encode(value)


def revision_of(canonical: bytes) -> str:
    """Name canonical bytes: `sha256:<hex>`."""
    return "sha256:" + sha256(canonical).hexdigest()
