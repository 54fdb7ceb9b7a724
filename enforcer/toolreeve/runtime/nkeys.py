"""NATS's own form of Ed25519 keys, and the JWTs that are signed with them.

An nkey is base32 of a prefix, the 32 bytes and a CRC-16; its first letter says what it is of
(O operator, A account, U user; a seed begins with S). Loading the cryptography library is left to
the first use.
"""

import base64
import binascii
import json
from enum import Enum
from typing import Any


class NkeyError(ValueError):
    """A text is not an nkey, or not one of the wanted kind."""


class NkeyKind(Enum):
    """What a key is of. The value is its prefix byte."""

    OPERATOR = 14 << 3
    ACCOUNT = 0
    USER = 20 << 3


_SEED = 18 << 3
_RAW_BYTES = 32
_CRC_BYTES = 2


class Nkey:
    """A private key of one kind."""

    def __init__(self, kind: NkeyKind, seed: bytes) -> None:
        from cryptography.hazmat.primitives.asymmetric.ed25519 import (  # noqa: PLC0415  heavy
            Ed25519PrivateKey,
        )
        from cryptography.hazmat.primitives.serialization import (  # noqa: PLC0415
            Encoding,
            PublicFormat,
        )

        self._key = Ed25519PrivateKey.from_private_bytes(seed)
        self.kind = kind
        first = _SEED | kind.value >> 5
        second = (kind.value & 31) << 3
        self.seed = _encoded(bytes((first, second)) + seed)
        raw = self._key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
        self.public = _encoded(bytes((kind.value,)) + raw)

    @classmethod
    def generate(cls, kind: NkeyKind) -> "Nkey":
        """A new key from the system's randomness."""
        import secrets  # noqa: PLC0415

        return cls(kind, secrets.token_bytes(_RAW_BYTES))

    @classmethod
    def from_seed(cls, text: str) -> "Nkey":
        """The key of `S...`. Raises NkeyError."""
        raw = _decoded(text)
        if len(raw) != 2 + _RAW_BYTES or raw[0] & 0xF8 != _SEED:
            raise NkeyError("not the seed of an nkey")
        prefix = (raw[0] & 7) << 5 | raw[1] >> 3
        try:
            return cls(NkeyKind(prefix), raw[2:])
        except ValueError as error:
            raise NkeyError("the seed of another kind of nkey") from error

    def sign(self, message: bytes) -> bytes:
        """Sign: 64 bytes."""
        return self._key.sign(message)

    def jwt(self, claims: dict[str, Any]) -> str:
        """A NATS JWT with these claims, issued by this key."""
        header = _part({"typ": "JWT", "alg": "ed25519-nkey"})
        signed = f"{header}.{_part({**claims, 'iss': self.public})}"
        return f"{signed}.{_url(self.sign(signed.encode()))}"


def check_public(text: str, kind: NkeyKind) -> None:
    """Raise NkeyError where `text` is not a public nkey of this kind."""
    raw = _decoded(text)
    if len(raw) != 1 + _RAW_BYTES or raw[0] != kind.value:
        raise NkeyError(f"not the public nkey of a NATS {kind.name.lower()}")


def _part(value: dict[str, Any]) -> str:
    return _url(json.dumps(value, separators=(",", ":")).encode())


def _url(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def _encoded(raw: bytes) -> str:
    return base64.b32encode(raw + _crc(raw)).rstrip(b"=").decode()


def _decoded(text: str) -> bytes:
    try:
        raw = base64.b32decode(text + "=" * (-len(text) % 8))
    except (binascii.Error, ValueError) as error:
        raise NkeyError("not an nkey: it is not base32") from error
    body, crc = raw[:-_CRC_BYTES], raw[-_CRC_BYTES:]
    if _crc(body) != crc:
        raise NkeyError("not an nkey: its check sum is wrong")
    return body


def _crc(raw: bytes) -> bytes:
    """CRC-16/XMODEM, which the standard library has, low byte first."""
    return binascii.crc_hqx(raw, 0).to_bytes(_CRC_BYTES, "little")
