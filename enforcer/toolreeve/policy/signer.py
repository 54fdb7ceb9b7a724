"""Where signatures come from: a key at hand, or one that lies elsewhere and has signed before."""

from collections.abc import Iterable
from typing import Protocol

from msgspec.structs import replace

from toolreeve.policy.sign import Envelope, Manifest, envelope_of, read_manifest


class Signer(Protocol):
    """Puts manifests into signed envelopes: a `SigningKey` does."""

    def envelope(self, manifest: Manifest) -> Envelope:
        """The manifest, signed. Raises NotSignedError."""
        ...


class NotSignedError(Exception):
    """What is wanted now is not among what was signed."""

    def __init__(self, manifest: Manifest) -> None:
        super().__init__(
            f"manifest {manifest.sequence} of {manifest.server!r} is not as it was signed: things"
            " have changed since"
        )
        self.manifest = manifest


class Presigned:
    """Gives out what a key elsewhere has signed. Who that was, enforcers ask."""

    def __init__(self, envelopes: Iterable[Envelope]) -> None:
        self._signed = [(read_manifest(envelope), envelope) for envelope in envelopes]

    def envelope(self, manifest: Manifest) -> Envelope:
        """The envelope of this very manifest, whenever it was made."""
        for signed, envelope in self._signed:
            if signed == replace(manifest, issued_ns=signed.issued_ns):
                return envelope
        raise NotSignedError(manifest)


class Unsigned:
    """Signs nothing, and keeps what would have to be signed."""

    def __init__(self) -> None:
        self.payloads: list[bytes] = []

    def envelope(self, manifest: Manifest) -> Envelope:
        """The manifest without a signature, which nobody believes."""
        envelope = envelope_of(manifest)
        self.payloads.append(envelope.payload)
        return envelope
