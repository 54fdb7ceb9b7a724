"""One folder, one `toolreeve up`; and a demo never empties what is not a demo's."""

from pathlib import Path

import pytest

from toolreeve.cli.failure import CommandError
from toolreeve.cli.launch.folder import DEMO_MARK, Folder


def test_a_second_up_on_a_folder_is_told_who_has_it(tmp_path: Path) -> None:
    folder = Folder(tmp_path / "data")
    with (
        folder.locked(),
        pytest.raises(CommandError, match=r"another 'toolreeve up' \(process \d+\) uses"),
        Folder(tmp_path / "data").locked(),
    ):
        raise AssertionError("both hold it")


def test_a_folder_is_free_again_afterwards(tmp_path: Path) -> None:
    folder = Folder(tmp_path / "data")
    with folder.locked():
        pass
    with folder.locked():
        pass


def test_a_demo_refuses_a_folder_with_data_of_its_owner(tmp_path: Path) -> None:
    (tmp_path / "precious").write_text("kept")
    with pytest.raises(CommandError, match="holds data that is not a demo's"):
        Folder(tmp_path).begin_demo()
    assert (tmp_path / "precious").read_text() == "kept"


def test_a_demo_begins_anew_in_the_folder_of_the_demo_before(tmp_path: Path) -> None:
    folder = Folder(tmp_path)
    folder.begin_demo()
    (tmp_path / "left-over").write_text("old")
    (folder.demo / "calls").write_text("old")
    folder.begin_demo()
    assert {entry.name for entry in tmp_path.iterdir()} == {DEMO_MARK, "demo"}
    assert not list(folder.demo.iterdir())
