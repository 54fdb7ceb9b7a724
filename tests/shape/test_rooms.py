"""The form of the rooms: four source roots, one namespace, and names that say something."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
ROOTS = ("proto", "enforcer", "services", "analytics")
SAYS_NOTHING = {"utils", "util", "helpers", "helper", "common", "manager", "misc", "base", "shared"}
LINES_MAX = 400


def rooms() -> list[Path]:
    """Every folder that gives the namespace a package."""
    return sorted(
        folder
        for root in ROOTS
        for folder in (REPOSITORY / root / "toolreeve").glob("*")
        if folder.is_dir() and folder.name != "__pycache__"
    )


def written_by_us(*folders: str) -> Iterator[Path]:
    """The Python files below these folders, without generated code."""
    for folder in folders:
        for path in sorted((REPOSITORY / folder).rglob("*.py")):
            if "_pb2" not in path.name:
                yield path


def test_no_source_root_hides_the_other_three_from_the_namespace() -> None:
    found = [root for root in ROOTS if (REPOSITORY / root / "toolreeve" / "__init__.py").exists()]
    assert not found, f"an __init__.py directly in these hides the other roots: {found}"


def test_a_room_stands_in_one_root_only() -> None:
    names = [room.name for room in rooms()]
    assert len(names) == len(set(names)), sorted(names)


@pytest.mark.parametrize("room", rooms(), ids=lambda room: room.name)
def test_a_room_says_what_it_is_and_that_it_is_typed(room: Path) -> None:
    start = room / "__init__.py"
    assert start.exists(), f"{room.name} has no __init__.py"
    said = ast.get_docstring(ast.parse(start.read_text()))
    assert said, f"{room.name}/__init__.py does not say what the room is"
    assert (room / "py.typed").exists(), f"{room.name} has no py.typed"
    assert not (room / "py.typed").read_bytes()


def test_every_folder_of_modules_is_a_package() -> None:
    bare = {
        str(path.parent.relative_to(REPOSITORY))
        for path in written_by_us(*ROOTS)
        if path.parent.name != "proto" and not (path.parent / "__init__.py").exists()
    }
    assert not bare


def test_no_module_has_a_name_that_says_nothing() -> None:
    found = [
        str(path.relative_to(REPOSITORY))
        for path in written_by_us(*ROOTS, "benchmarks", "deploy")
        if SAYS_NOTHING & {path.stem.strip("_"), *path.relative_to(REPOSITORY).parts}
    ]
    assert not found


def test_no_file_is_too_long_to_read() -> None:
    lengths = {
        str(path.relative_to(REPOSITORY)): path.read_text().count("\n")
        for path in written_by_us(*ROOTS, "tests", "benchmarks", "deploy")
    }
    found = {name: lines for name, lines in lengths.items() if lines > LINES_MAX}
    assert not found, f"longer than {LINES_MAX} lines: {found}"


def test_tests_are_no_packages() -> None:
    found = [str(path) for path in (REPOSITORY / "tests").rglob("__init__.py")]
    assert not found, "tests are collected by file; an __init__.py there changes their names"
