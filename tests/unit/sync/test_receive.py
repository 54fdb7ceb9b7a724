"""What an enforcer believes of an offer."""

import asyncio
from pathlib import Path

import pytest
from msgspec.structs import replace

from toolreeve.decision import Instant
from toolreeve.policy import Policy, parse
from toolreeve.policy.cohort import BUCKETS, Cohort, bucket_of
from toolreeve.policy.sign import (
    Envelope,
    EnvelopeSignature,
    Manifest,
    SigningKey,
    sign_manifest,
)
from toolreeve.sync import Accepted, Rejected, Shelf, receive, recover
from toolreeve.sync.receive import FetchError
from toolreeve.sync.shelf import Shelved

KEY = SigningKey.generate()
POLICY = parse('{"version": "1", "name": "lab", "default": "deny", "tools": {}}', source="")
NEWER = parse('{"version": "1", "name": "lab", "default": "allow", "tools": {}}', source="")
NOW = Instant(1_000)


def manifest(sequence: int = 1, *, policy: Policy = POLICY) -> Manifest:
    return Manifest(
        policy="lab",
        server="vm",
        sequence=sequence,
        revision=policy.revision,
        size=len(policy.canonical),
        issued_ns=1,
    )


def weigh(
    shelf: Shelf, envelope: Envelope, *, body: bytes | None = POLICY.canonical
) -> Accepted | Rejected:
    async def fetch(revision: str) -> bytes:
        if body is None:
            raise FetchError(f"nobody has {revision}")
        return body

    return asyncio.run(
        receive(
            envelope,
            keys=[KEY.public],
            servers={"vm"},
            enforcer="gw",
            labels={"site": "lab"},
            shelf=shelf,
            fetch=fetch,
            at=NOW,
        )
    )


def code(weighed: Accepted | Rejected) -> str:
    return weighed.code if isinstance(weighed, Rejected) else "accepted"


def test_a_signed_offer_is_taken_and_lies_on_the_shelf(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path)
    weighed = weigh(shelf, sign_manifest(manifest(), KEY))
    assert isinstance(weighed, Accepted)
    assert weighed.policy == POLICY
    recovered = recover(shelf.load()["vm"], keys=[KEY.public], servers={"vm"}, shelf=shelf)
    assert recovered == weighed


def test_a_body_on_the_shelf_is_not_fetched(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path)
    weigh(shelf, sign_manifest(manifest(1), KEY))
    assert code(weigh(shelf, sign_manifest(manifest(2), KEY), body=None)) == "accepted"


def test_a_foreign_signature_is_refused_and_says_what_was_claimed(tmp_path: Path) -> None:
    weighed = weigh(Shelf(tmp_path), sign_manifest(manifest(9), SigningKey.generate()))
    assert isinstance(weighed, Rejected)
    assert (weighed.code, weighed.server, weighed.manifest_sequence) == ("signature", "vm", 9)


@pytest.mark.parametrize("position", [0, 10, 40, -1])
def test_a_changed_byte_is_refused(tmp_path: Path, position: int) -> None:
    envelope = sign_manifest(manifest(), KEY)
    payload = bytearray(envelope.payload)
    payload[position] ^= 1
    assert code(weigh(Shelf(tmp_path), replace(envelope, payload=bytes(payload)))) == "signature"


def test_a_signature_by_the_name_of_a_pinned_key_is_still_checked(tmp_path: Path) -> None:
    envelope = sign_manifest(manifest(), SigningKey.generate())
    forged = EnvelopeSignature(KEY.public.key_id, envelope.signatures[0].signature)
    assert code(weigh(Shelf(tmp_path), replace(envelope, signatures=(forged,)))) == "signature"


def test_an_older_manifest_is_refused_also_after_a_restart(tmp_path: Path) -> None:
    assert code(weigh(Shelf(tmp_path), sign_manifest(manifest(5), KEY))) == "accepted"
    assert code(weigh(Shelf(tmp_path), sign_manifest(manifest(4), KEY))) == "rollback"
    assert Shelf(tmp_path).highest("vm") == 5


def test_the_same_manifest_again_is_taken_again(tmp_path: Path) -> None:
    for _ in range(2):
        assert code(weigh(Shelf(tmp_path), sign_manifest(manifest(5), KEY))) == "accepted"


def test_a_manifest_for_another_server_is_refused(tmp_path: Path) -> None:
    foreign = replace(manifest(), server="disk")
    assert code(weigh(Shelf(tmp_path), sign_manifest(foreign, KEY))) == "server"


def test_an_expired_offer_is_refused_and_an_expired_shelf_is_not(tmp_path: Path) -> None:
    expired = sign_manifest(replace(manifest(), expires_ns=NOW), KEY)
    assert code(weigh(Shelf(tmp_path), expired)) == "expired"
    shelved = Shelved(envelope=expired, body=POLICY.canonical)
    recovered = recover(shelved, keys=[KEY.public], servers={"vm"}, shelf=Shelf(tmp_path))
    assert isinstance(recovered, Accepted)


def test_a_body_that_is_not_the_promised_one_is_refused(tmp_path: Path) -> None:
    other = b'{"default":"allow","tools":{},"version":"1"}'
    assert code(weigh(Shelf(tmp_path), sign_manifest(manifest(), KEY), body=other)) == "hash"
    sized = sign_manifest(replace(manifest(), size=1), KEY)
    assert code(weigh(Shelf(tmp_path), sized)) == "hash"


def test_a_signed_body_that_is_no_policy_is_refused(tmp_path: Path) -> None:
    broken = replace(POLICY, canonical=b'{"version":"1"}')
    envelope = sign_manifest(manifest(policy=broken), KEY)
    weighed = weigh(Shelf(tmp_path), envelope, body=broken.canonical)
    assert isinstance(weighed, Rejected)
    assert weighed.code == "invalid"
    assert "default" in weighed.reason
    assert Shelf(tmp_path).highest("vm") == 0


def test_a_body_that_cannot_be_had_is_refused_for_now(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path)
    assert code(weigh(shelf, sign_manifest(manifest(), KEY), body=None)) == "fetch"
    assert code(weigh(shelf, sign_manifest(manifest(), KEY))) == "accepted"


def test_a_shelf_that_somebody_signed_anew_is_refused(tmp_path: Path) -> None:
    shelved = Shelved(
        envelope=sign_manifest(manifest(), SigningKey.generate()), body=POLICY.canonical
    )
    recovered = recover(shelved, keys=[KEY.public], servers={"vm"}, shelf=Shelf(tmp_path))
    assert code(recovered) == "signature"


@pytest.mark.parametrize(
    ("cohort", "expected"),
    [
        ("", "accepted"),
        (Cohort(salt="s", below=BUCKETS).text, "accepted"),
        (Cohort(salt="s", below=bucket_of("s", "gw") + 1).text, "accepted"),
        (Cohort(salt="s", below=bucket_of("s", "gw")).text, "cohort"),
        (Cohort(salt="s", below=0, canary=(("site", "lab"),)).text, "accepted"),
        (Cohort(salt="s", below=0, canary=(("site", "live"),)).text, "cohort"),
        ("everybody", "cohort"),
        ("below:04294967296 salt:s", "cohort"),
    ],
)
def test_a_stage_that_is_not_for_this_enforcer_is_refused(
    tmp_path: Path, cohort: str, expected: str
) -> None:
    envelope = sign_manifest(replace(manifest(), rollout="r", cohort=cohort), KEY)
    assert code(weigh(Shelf(tmp_path), envelope)) == expected


def test_what_a_rollout_compares_with_is_taken_from_the_shelf(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path)
    staged = replace(manifest(2, policy=NEWER), rollout="r", previous=POLICY.revision)
    envelope = sign_manifest(staged, KEY)
    weighed = weigh(shelf, envelope, body=NEWER.canonical)
    assert isinstance(weighed, Accepted)
    assert weighed.before is None, "it was never here"
    shelf = Shelf(tmp_path / "other")
    weigh(shelf, sign_manifest(manifest(1), KEY))
    weighed = weigh(shelf, envelope, body=NEWER.canonical)
    assert isinstance(weighed, Accepted)
    assert weighed.before == POLICY
    assert recover(shelf.load()["vm"], keys=[KEY.public], servers={"vm"}, shelf=shelf) == weighed
