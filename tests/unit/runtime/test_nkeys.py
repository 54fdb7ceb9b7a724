"""NATS's form of keys, against keys that its own tool has made."""

import base64
import json

import pytest

from toolreeve.runtime.nkeys import Nkey, NkeyError, NkeyKind, check_public

# The example of NATS's documentation of nkeys, with which its libraries are tested.
SEED = "SUACSSL3UAHUDXKFSNVUZRF5UHPMWZ6BFDTJ7M6USDXIEDNPPQYYYCU3VY"
PUBLIC = "UDXU4RCSJNZOIQHZNWXHXORDPRTGNJAHAHFRGZNEEJCPQTT2M7NLCNF4"


def test_the_documented_seed_has_the_documented_public_half() -> None:
    key = Nkey.from_seed(SEED)
    assert (key.public, key.seed, key.kind) == (PUBLIC, SEED, NkeyKind.USER)


@pytest.mark.parametrize("kind", NkeyKind)
def test_a_key_comes_back_from_its_seed(kind: NkeyKind) -> None:
    key = Nkey.generate(kind)
    assert key.public[0] == kind.name[0]
    assert key.seed.startswith("S" + kind.name[0])
    again = Nkey.from_seed(key.seed)
    assert (again.public, again.kind) == (key.public, kind)
    check_public(key.public, kind)


@pytest.mark.parametrize(
    "text", ["", "S", "x", PUBLIC, SEED[:-1] + "A", SEED.lower(), "0" * 58, "é" * 8]
)
def test_what_is_no_seed_is_said_to_be_none(text: str) -> None:
    with pytest.raises(NkeyError):
        Nkey.from_seed(text)


@pytest.mark.parametrize("text", ["", SEED, PUBLIC[:-1] + "A", "U" * 56])
def test_what_is_no_public_user_key_is_said_to_be_none(text: str) -> None:
    with pytest.raises(NkeyError):
        check_public(text, NkeyKind.USER)


def test_a_jwt_says_who_has_issued_it() -> None:
    key = Nkey.generate(NkeyKind.ACCOUNT)
    header, body, signature = key.jwt({"sub": PUBLIC}).split(".")
    assert json.loads(decoded(header)) == {"typ": "JWT", "alg": "ed25519-nkey"}
    assert json.loads(decoded(body)) == {"sub": PUBLIC, "iss": key.public}
    assert decoded(signature) == key.sign(f"{header}.{body}".encode())


def decoded(part: str) -> bytes:
    return base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))
