"""Signed manifests as values and as messages."""

from toolreeve.policy.sign import Envelope, EnvelopeSignature
from toolreeve.v1 import fleet_pb2 as pb


def write_envelope(envelope: Envelope) -> pb.SignedManifest:
    """A signed manifest as the contract says it."""
    return pb.SignedManifest(
        payload=envelope.payload,
        payload_type=envelope.payload_type,
        signatures=[
            pb.Signature(key_id=signed.key_id, signature=signed.signature)
            for signed in envelope.signatures
        ],
    )


def read_envelope(message: pb.SignedManifest) -> Envelope:
    """A signed manifest from the contract; nothing in it is believed yet."""
    return Envelope(
        payload=message.payload,
        payload_type=message.payload_type,
        signatures=tuple(
            EnvelopeSignature(signed.key_id, signed.signature) for signed in message.signatures
        ),
    )
