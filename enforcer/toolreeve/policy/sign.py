"""Who says which revision is wanted: signed manifests.

A manifest names a revision by its hash; it travels in a DSSE envelope (Dead Simple Signing
Envelope, version 1) signed with Ed25519. An enforcer pins public keys and trusts nothing else:
not the stream, not the control plane that sent it.
"""

import base64
import binascii
from collections.abc import Collection
from hashlib import sha256

import msgspec
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from msgspec import Struct

PAYLOAD_TYPE = "application/vnd.toolreeve.manifest+json"
KEY_SCHEME = "ed25519:"


class KeyTextError(ValueError):
    """A text is not a key of ours."""


class ManifestRefused(Exception):  # noqa: N818  (a refusal is the product working)
    """An envelope cannot be believed. `code` is a stable word, `reason` is for people."""

    def __init__(self, code: str, reason: str) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason


class Manifest(Struct, frozen=True, kw_only=True, forbid_unknown_fields=False):
    """Which revision of which policy a server's enforcers are to run.

    `sequence` rises with every manifest of a server; an enforcer takes none below the highest it
    has seen. `size` is the length of the revision's canonical bytes. Times are nanoseconds since
    1970 UTC; `expires_ns` 0 means never. During a rollout, `rollout` is its id, `cohort` says whom
    the manifest is for (see `toolreeve.policy.cohort`), and `previous` is the revision to compare
    with. `break_glass` says who went past a rollout, and why.
    """

    policy: str
    server: str
    sequence: int
    revision: str
    size: int
    issued_ns: int
    expires_ns: int = 0
    rollout: str = ""
    cohort: str = ""
    previous: str = ""
    break_glass: str = ""


class EnvelopeSignature(Struct, frozen=True):
    """One signature, and which key made it."""

    key_id: str
    signature: bytes


class Envelope(Struct, frozen=True, kw_only=True):
    """A manifest's canonical bytes with their signatures."""

    payload: bytes
    payload_type: str = PAYLOAD_TYPE
    signatures: tuple[EnvelopeSignature, ...]


class PublicKey:
    """What a signature is checked with."""

    def __init__(self, key: Ed25519PublicKey) -> None:
        self._key = key
        self.raw = key.public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
        self.text = KEY_SCHEME + base64.b64encode(self.raw).decode()
        self.key_id = sha256(self.raw).hexdigest()[:16]

    @classmethod
    def parse(cls, text: str) -> "PublicKey":
        """Read `ed25519:<base64 of 32 bytes>`. Raises KeyTextError."""
        scheme, _, encoded = text.strip().partition(":")
        try:
            if scheme + ":" != KEY_SCHEME:
                raise KeyTextError(f"{text!r} does not start with {KEY_SCHEME!r}")
            return cls.from_raw(base64.b64decode(encoded, validate=True))
        except (binascii.Error, ValueError) as error:
            raise KeyTextError(f"{text!r} is not ed25519:<base64 of 32 bytes>") from error

    @classmethod
    def from_raw(cls, raw: bytes) -> "PublicKey":
        """The key of these 32 bytes. Raises ValueError."""
        return cls(Ed25519PublicKey.from_public_bytes(raw))

    def verifies(self, signature: bytes, message: bytes) -> bool:
        """Whether `signature` was made over `message` by the other half of this key."""
        try:
            self._key.verify(signature, message)
        except InvalidSignature:
            return False
        return True

    def __eq__(self, other: object) -> bool:
        return isinstance(other, PublicKey) and other.text == self.text

    def __hash__(self) -> int:
        return hash(self.text)

    def __repr__(self) -> str:
        return f"PublicKey({self.text})"


class SigningKey:
    """What manifests and heads are signed with: whoever holds it speaks for its owner."""

    def __init__(self, key: Ed25519PrivateKey) -> None:
        self._key = key
        self.public = PublicKey(key.public_key())

    @classmethod
    def generate(cls) -> "SigningKey":
        """A new key from the system's randomness."""
        return cls(Ed25519PrivateKey.generate())

    @classmethod
    def from_pem(cls, pem: bytes) -> "SigningKey":
        """Read an unencrypted PKCS#8 PEM. Raises KeyTextError."""
        try:
            key = serialization.load_pem_private_key(pem, password=None)
        except (ValueError, TypeError, UnsupportedAlgorithm) as error:
            raise KeyTextError("not an unencrypted PEM private key") from error
        if not isinstance(key, Ed25519PrivateKey):
            raise KeyTextError("not an Ed25519 key")
        return cls(key)

    def to_pem(self) -> bytes:
        """The key as unencrypted PKCS#8 PEM, for a file that only its owner can read."""
        return self._key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )

    def sign(self, message: bytes) -> bytes:
        """Sign: 64 bytes."""
        return self._key.sign(message)

    def envelope(self, manifest: "Manifest") -> "Envelope":
        """The manifest in a signed envelope."""
        return sign_manifest(manifest, self)


def sign_manifest(manifest: Manifest, key: SigningKey) -> Envelope:
    """Put a manifest into a signed envelope."""
    payload = envelope_of(manifest).payload
    return attach(payload, key.public, key.sign(signed_bytes(payload)))


def attach(payload: bytes, key: PublicKey, signature: bytes) -> Envelope:
    """A manifest's bytes with the signature that `key` checks."""
    return Envelope(payload=payload, signatures=(EnvelopeSignature(key.key_id, signature),))


def envelope_of(manifest: Manifest) -> Envelope:
    """A manifest's canonical bytes in an envelope that nobody has signed yet."""
    return Envelope(payload=msgspec.json.encode(manifest, order="sorted"), signatures=())


def signed_bytes(payload: bytes) -> bytes:
    """What a signature over a manifest's bytes is made over."""
    return _pre_authentication(PAYLOAD_TYPE, payload)


def verify_manifest(envelope: Envelope, keys: Collection[PublicKey]) -> Manifest:
    """The manifest inside, once one of `keys` has been found to have signed it.

    Raises ManifestRefused with code "signature" or "manifest". The payload is not looked at
    before its signature holds.
    """
    message = _pre_authentication(envelope.payload_type, envelope.payload)
    by_id = {key.key_id: key for key in keys}
    if envelope.payload_type != PAYLOAD_TYPE:
        raise ManifestRefused("signature", f"payload type is not {PAYLOAD_TYPE}")
    if not any(
        (key := by_id.get(signed.key_id)) is not None and key.verifies(signed.signature, message)
        for signed in envelope.signatures
    ):
        raise ManifestRefused("signature", "no pinned key has signed this manifest")
    return read_manifest(envelope)


def read_manifest(envelope: Envelope) -> Manifest:
    """The manifest inside, whoever has signed it. Raises ManifestRefused: "manifest"."""
    try:
        return msgspec.json.decode(envelope.payload, type=Manifest)
    except msgspec.MsgspecError as error:
        raise ManifestRefused("manifest", f"the signed manifest cannot be read: {error}") from error


def _pre_authentication(payload_type: str, payload: bytes) -> bytes:
    """DSSE's PAE: lengths before contents, so that no two envelopes share their bytes."""
    kind = payload_type.encode()
    return b"DSSEv1 %d %b %d %b" % (len(kind), kind, len(payload), payload)
