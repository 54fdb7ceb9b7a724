"""The signing key's file."""

from pathlib import Path

import pytest

from toolreeve.runtime.keyfile import KeyFileError, load_or_create


def test_a_key_is_made_once_and_its_owner_alone_can_read_it(tmp_path: Path) -> None:
    path = tmp_path / "data" / "key.pem"
    made, created = load_or_create(path)
    loaded, created_again = load_or_create(path)
    assert (created, created_again) == (True, False)
    assert loaded.public == made.public
    assert path.stat().st_mode & 0o777 == 0o600
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o644])
def test_a_key_that_others_can_read_is_not_used(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "key.pem"
    load_or_create(path)
    path.chmod(mode)
    with pytest.raises(KeyFileError, match="others can read"):
        load_or_create(path)


def test_a_link_is_not_followed(tmp_path: Path) -> None:
    load_or_create(tmp_path / "real.pem")
    (tmp_path / "key.pem").symlink_to(tmp_path / "real.pem")
    with pytest.raises(KeyFileError, match="plain file"):
        load_or_create(tmp_path / "key.pem")


def test_a_file_without_a_key_is_never_replaced(tmp_path: Path) -> None:
    path = tmp_path / "key.pem"
    path.write_text("nothing\n")
    path.chmod(0o600)
    with pytest.raises(KeyFileError, match="backup"):
        load_or_create(path)
    assert path.read_text() == "nothing\n"
