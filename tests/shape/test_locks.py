"""The locks: pinned, hashed, of one mind, and free of where they were made."""

import re
import tomllib
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
LOCKS = sorted(
    path.relative_to(REPOSITORY)
    for path in (
        *REPOSITORY.glob("*.lock"),
        *REPOSITORY.glob("proto/*.lock"),
        *REPOSITORY.glob("deploy/*.lock"),
        *REPOSITORY.glob("tests/fuzz/*.lock"),
    )
)
PIN = re.compile(r"^(?P<name>[a-z0-9][a-z0-9-]*)==(?P<version>\S+)", re.MULTILINE)


def pins(lock: Path) -> dict[str, frozenset[str]]:
    """`name==version` with its hashes."""
    text = (REPOSITORY / lock).read_text()
    starts = [*PIN.finditer(text)]
    ends = [start.start() for start in starts[1:]] + [len(text)]
    return {
        start.group().rstrip(): frozenset(
            re.findall(r"--hash=(sha256:[0-9a-f]{64})", text[start.end() : end])
        )
        for start, end in zip(starts, ends, strict=True)
    }


@pytest.mark.parametrize("lock", LOCKS, ids=str)
def test_a_lock_pins_by_hash_and_names_no_place(lock: Path) -> None:
    found = pins(lock)
    assert found
    assert all(found.values()), [pin for pin, hashes in found.items() if not hashes]
    text = (REPOSITORY / lock).read_text()
    assert "://" not in text
    assert "--index" not in text
    assert "--find-links" not in text


@pytest.mark.parametrize("lock", [lock for lock in LOCKS if lock.parts[0] == "deploy"], ids=str)
def test_an_image_holds_what_the_tests_ran_with(lock: Path) -> None:
    tested = pins(Path("requirements.lock"))
    other = {pin for pin, hashes in pins(lock).items() if tested.get(pin) != hashes}
    assert not other, f"run make lock: {sorted(other)}"


def test_the_lock_holds_every_dependency_the_project_names() -> None:
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())
    wanted = [
        *project["project"]["dependencies"],
        *(name for extra in project["project"]["optional-dependencies"].values() for name in extra),
        *project["dependency-groups"]["dev"],
    ]
    names = {re.split(r"[\[<>=!~; ]", name)[0].replace(".", "-").lower() for name in wanted}
    locked = {pin.partition("==")[0] for pin in pins(Path("requirements.lock"))}
    assert not names - locked - {"toolreeve"}, "run make lock"


def test_the_generator_is_pinned_alike_in_its_script_and_its_lock() -> None:
    script = (REPOSITORY / "proto" / "generate.py").read_text()
    metadata = "\n".join(
        line.removeprefix("# ") for line in script.split("# ///")[1].splitlines()[1:]
    )
    wanted = (REPOSITORY / "proto" / "requirements.in").read_text().split()
    assert sorted(tomllib.loads(metadata)["dependencies"]) == sorted(wanted)
    locked = pins(Path("proto/requirements.lock"))
    assert {name for name in wanted if "==" in name} <= locked.keys()
