"""The benchmark of the detectors, one short run: what the docs say still comes out of it."""

import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
BENCHMARK = REPOSITORY / "benchmarks" / "detect.py"


class Row(msgspec.Struct):
    """What is looked at of one line of the table."""

    rule: str
    precision: str
    recall: str


class Said(msgspec.Struct):
    """What the benchmark prints with --json, as far as it is looked at here."""

    rules: list[Row]
    false_a_day: float


@pytest.mark.timeout(120)
def test_incidents_of_a_fresh_fleet_are_found_and_its_habits_left_in_peace() -> None:
    command = [sys.executable, str(BENCHMARK), "--fleets", "lab", "--seeds", "1", "--json"]
    ended = subprocess.run(command, capture_output=True, text=True, check=False, timeout=110)
    assert ended.returncode == 0, ended.stderr
    said = msgspec.json.decode(ended.stdout, type=Said)
    assert said.false_a_day < 1
    for row in said.rules:
        if row.rule in {"vm-restart-rate", "vm-flapping", "fan-out", "clone-storm", "probing"}:
            assert float(row.precision) >= 0.95, row
            assert float(row.recall) >= 0.95, row
