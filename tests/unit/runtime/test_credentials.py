"""What a member keeps of its join."""

from pathlib import Path

import pytest

from toolreeve.decision import Instant
from toolreeve.runtime.credentials import (
    FILE,
    Credentials,
    read_credentials,
    write_credentials,
)
from toolreeve.runtime.settings import SettingsError

KEPT = Credentials(
    kind="enforcer",
    name="gw-1",
    trust_domain="lab.example",
    key="key",
    chain="chain",
    authorities="authorities",
    issued_at=Instant(1_000),
    expires_at=Instant(4_000),
    members_address="127.0.0.1:8464",
)


def test_they_come_back_as_they_were_and_only_their_owner_reads_them(tmp_path: Path) -> None:
    folder = tmp_path / "new"
    write_credentials(folder, KEPT)
    assert read_credentials(folder) == KEPT
    assert (folder / FILE).stat().st_mode & 0o777 == 0o600
    assert [file.name for file in folder.iterdir()] == [FILE]


def test_they_are_renewed_when_two_thirds_are_over() -> None:
    assert KEPT.renew_at == 3_000


def test_who_never_joined_has_none(tmp_path: Path) -> None:
    assert read_credentials(tmp_path) is None


def test_a_file_that_others_read_or_that_is_damaged_says_what_to_do(tmp_path: Path) -> None:
    write_credentials(tmp_path, KEPT)
    (tmp_path / FILE).chmod(0o644)
    with pytest.raises(SettingsError, match="others can read it"):
        read_credentials(tmp_path)
    (tmp_path / FILE).chmod(0o600)
    (tmp_path / FILE).write_bytes(b'{"kind": "enforcer"')
    with pytest.raises(SettingsError, match="join again"):
        read_credentials(tmp_path)
    (tmp_path / FILE).unlink()
    (tmp_path / FILE).symlink_to("/etc/hostname")
    with pytest.raises(SettingsError, match="plain file"):
        read_credentials(tmp_path)
