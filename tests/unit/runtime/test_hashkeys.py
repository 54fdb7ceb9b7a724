"""The keys of hashes over arguments: one file, the newest last."""

from pathlib import Path

import pytest

from toolreeve.runtime.hashkeys import newest_or_first, read_keys, rotate
from toolreeve.runtime.settings import SettingsError

NOW = 1_795_280_000.0


def test_a_key_is_made_once_and_its_owner_alone_can_read_it(tmp_path: Path) -> None:
    path = tmp_path / "hash.keys"
    made = newest_or_first(path, NOW)
    assert newest_or_first(path, NOW + 1) == made
    assert made.made_at == "2026-11-21T16:53:20Z"
    assert path.stat().st_mode & 0o777 == 0o600
    assert list(tmp_path.iterdir()) == [path]


def test_a_new_key_is_the_newest_and_the_old_ones_stay(tmp_path: Path) -> None:
    path = tmp_path / "hash.keys"
    first = newest_or_first(path, NOW)
    second = rotate(path, NOW + 60)
    assert read_keys(path) == [first, second]
    assert newest_or_first(path, NOW + 120) == second
    assert first.key != second.key
    assert path.stat().st_mode & 0o777 == 0o600
    assert list(tmp_path.iterdir()) == [path]


def test_where_no_keys_are_none_are_changed(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        rotate(tmp_path / "hash.keys", NOW)


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o644])
def test_keys_that_others_can_read_are_not_used(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "hash.keys"
    newest_or_first(path, NOW)
    path.chmod(mode)
    with pytest.raises(SettingsError, match="read by others"):
        newest_or_first(path, NOW)
    with pytest.raises(SettingsError, match="read by others"):
        rotate(path, NOW)


def test_a_link_is_not_followed(tmp_path: Path) -> None:
    newest_or_first(tmp_path / "real", NOW)
    (tmp_path / "hash.keys").symlink_to(tmp_path / "real")
    with pytest.raises(SettingsError, match="plain file"):
        read_keys(tmp_path / "hash.keys")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "nothing\n",
        "2026-11-21T16:53:20Z AAAA\n",
        "yesterday AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n",
        "2026-11-21T16:53:20Z !!!!\n",
        "\xff\xfe\n",
    ],
)
def test_a_file_that_holds_something_else_is_never_replaced(tmp_path: Path, text: str) -> None:
    path = tmp_path / "hash.keys"
    path.write_text(text, encoding="utf-8")
    path.chmod(0o600)
    with pytest.raises(SettingsError):
        newest_or_first(path, NOW)
    assert path.read_text(encoding="utf-8") == text
