"""Signed manifests."""

import msgspec
import pytest

from toolreeve.policy.sign import (
    Envelope,
    EnvelopeSignature,
    KeyTextError,
    Manifest,
    ManifestRefused,
    PublicKey,
    SigningKey,
    sign_manifest,
    verify_manifest,
)

MANIFEST = Manifest(
    policy="p", server="truenas", sequence=3, revision="sha256:00", size=10, issued_ns=1
)


def test_a_manifest_comes_out_as_it_went_in() -> None:
    key = SigningKey.generate()
    assert verify_manifest(sign_manifest(MANIFEST, key), [key.public]) == MANIFEST


def test_a_key_survives_its_texts() -> None:
    key = SigningKey.generate()
    again = SigningKey.from_pem(key.to_pem())
    assert again.public == key.public == PublicKey.parse(key.public.text)


def test_a_foreign_key_is_not_believed() -> None:
    envelope = sign_manifest(MANIFEST, SigningKey.generate())
    with pytest.raises(ManifestRefused) as refused:
        verify_manifest(envelope, [SigningKey.generate().public])
    assert refused.value.code == "signature"


def test_no_single_changed_bit_is_believed() -> None:
    key = SigningKey.generate()
    envelope = sign_manifest(MANIFEST, key)
    for place in range(len(envelope.payload) * 8):
        payload = bytearray(envelope.payload)
        payload[place // 8] ^= 1 << place % 8
        with pytest.raises(ManifestRefused):
            verify_manifest(msgspec.structs.replace(envelope, payload=bytes(payload)), [key.public])


def test_another_payload_type_is_not_believed() -> None:
    key = SigningKey.generate()
    envelope = sign_manifest(MANIFEST, key)
    with pytest.raises(ManifestRefused):
        verify_manifest(msgspec.structs.replace(envelope, payload_type="text/plain"), [key.public])


def test_a_signature_under_another_keys_name_is_not_believed() -> None:
    key, other = SigningKey.generate(), SigningKey.generate()
    signed = sign_manifest(MANIFEST, other)
    renamed = EnvelopeSignature(key.public.key_id, signed.signatures[0].signature)
    forged = Envelope(payload=signed.payload, signatures=(renamed,))
    with pytest.raises(ManifestRefused):
        verify_manifest(forged, [key.public])


@pytest.mark.parametrize("text", ["", "rsa:AAAA", "ed25519:", "ed25519:AAAA", "ed25519:%%%"])
def test_what_is_no_key_is_refused(text: str) -> None:
    with pytest.raises(KeyTextError):
        PublicKey.parse(text)
