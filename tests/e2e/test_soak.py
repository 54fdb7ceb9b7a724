"""The soak of the gateway, its short form: what an hour shows in full, a minute shows in part."""

import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
SOAK = REPOSITORY / "benchmarks" / "soak_gateway.py"


class Counts(msgspec.Struct):
    """What the soak writes down of itself, as far as it is looked at here."""

    calls: int
    visits: dict[str, int]
    wrong: list[str]
    leaks: list[dict[str, str]]


def soaked(folder: Path, seconds: int) -> tuple[int, str, Counts]:
    kept = folder / "soak.json"
    command = [sys.executable, str(SOAK), "--seconds", str(seconds), "--save", str(kept)]
    ended = subprocess.run(command, capture_output=True, text=True, check=False, timeout=280)
    said = ended.stdout + ended.stderr
    assert kept.exists(), said
    return ended.returncode, said, msgspec.json.decode(kept.read_bytes(), type=Counts)


@pytest.mark.timeout(300)
def test_a_gateway_under_agents_that_misbehave_keeps_nothing_it_should_let_go(
    tmp_path: Path,
) -> None:
    code, said, seen = soaked(tmp_path, 60)
    assert not seen.leaks, said
    assert not seen.wrong, said
    assert code == 0, said
    assert seen.calls > 500, said
    assert len(seen.visits) == 9, said
    assert min(seen.visits.values()) > 20, said
