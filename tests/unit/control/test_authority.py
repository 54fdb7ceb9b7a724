"""The authority's files: made once, and never quietly used when something is wrong with them."""

import time
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from toolreeve.control.authority import Authority, AuthorityError, load_or_create
from toolreeve.control.gate import read_member
from toolreeve.decision import Instant
from toolreeve.decision.instant import SECOND
from toolreeve.fleet.identity import MemberKind

DAY = 24 * 3_600 * SECOND


def made(folder: Path, trust_domain: str = "lab.example") -> Authority:
    return load_or_create(folder / "key.pem", folder / "ca.pem", trust_domain, make=True)


def test_it_is_made_once_with_a_key_that_nobody_else_reads(tmp_path: Path) -> None:
    first = made(tmp_path)
    assert (tmp_path / "key.pem").stat().st_mode & 0o777 == 0o600
    assert made(tmp_path).pin == first.pin


def test_a_start_that_was_cut_between_key_and_certificate_is_taken_up(tmp_path: Path) -> None:
    first = made(tmp_path)
    (tmp_path / "ca.pem").unlink()
    assert made(tmp_path).pin == first.pin, "the pin is that of the key"


def test_what_a_member_is_stands_in_its_certificate(tmp_path: Path) -> None:
    at = Instant(time.time_ns())
    key = ec.generate_private_key(ec.SECP256R1()).public_key()
    signed = made(tmp_path).sign_member(
        key, kind=MemberKind.ENFORCER, name="gw-1", generation=3, at=at, life_ns=DAY
    )
    member = read_member(signed.chain_pem, "lab.example")
    assert (member.kind, member.name, member.generation) == (MemberKind.ENFORCER, "gw-1", 3)
    assert at < member.expires_at <= at + DAY
    assert signed.not_before < at
    with pytest.raises(ValueError, match="not one of the trust domain elsewhere"):
        read_member(signed.chain_pem, "elsewhere")


def test_a_control_planes_certificate_is_no_members(tmp_path: Path) -> None:
    key = ec.generate_private_key(ec.SECP256R1()).public_key()
    signed = made(tmp_path).sign_control(
        key, names=["localhost", "10.0.0.5", "[::1]"], at=Instant(time.time_ns()), life_ns=DAY
    )
    with pytest.raises(ValueError, match="not for a client"):
        read_member(signed.chain_pem, "lab.example")


def open_to_others(folder: Path) -> None:
    (folder / "key.pem").chmod(0o640)


def no_key(folder: Path) -> None:
    (folder / "key.pem").write_text("none")


def no_certificate(folder: Path) -> None:
    (folder / "ca.pem").write_text("none")


def key_gone(folder: Path) -> None:
    (folder / "key.pem").unlink()


def certificate_of_another(folder: Path) -> None:
    (folder / "ca.pem").write_bytes((folder / "other" / "ca.pem").read_bytes())


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (open_to_others, "others can read it"),
        (no_key, "not an unencrypted PEM"),
        (no_certificate, "no certificate in PEM"),
        (key_gone, "cannot be opened"),
        (certificate_of_another, "not that of the authority's key"),
    ],
)
def test_files_that_are_wrong_are_an_error_and_are_left_alone(
    tmp_path: Path, wrong: Callable[[Path], None], words: str
) -> None:
    made(tmp_path)
    made(tmp_path / "other")
    wrong(tmp_path)
    before = {file: file.read_bytes() for file in tmp_path.glob("*.pem")}
    with pytest.raises(AuthorityError, match=words):
        made(tmp_path)
    assert {file: file.read_bytes() for file in tmp_path.glob("*.pem")} == before


def test_another_trust_domain_than_the_certificates_is_an_error(tmp_path: Path) -> None:
    made(tmp_path, "lab.example")
    with pytest.raises(AuthorityError, match="not that of the trust domain"):
        made(tmp_path, "other.example")


@pytest.mark.parametrize("name", ["", "Lab", "a b", "-a", "a..b", "a/b", "x" * 300])
def test_what_cannot_stand_in_a_certificate_is_no_trust_domain(tmp_path: Path, name: str) -> None:
    with pytest.raises(AuthorityError, match="cannot be a trust domain"):
        made(tmp_path, name)
