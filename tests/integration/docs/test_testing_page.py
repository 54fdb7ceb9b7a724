"""The pages about testing and explaining show what the commands do with their policies."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

HOW_TO = Path(__file__).resolve().parents[3] / "docs" / "how-to"
TEXT = (HOW_TO / "test-a-policy.md").read_text(encoding="utf-8")
EXPLAINING = (HOW_TO / "explain-a-decision.md").read_text(encoding="utf-8")
FLAGS = re.MULTILINE | re.DOTALL
POLICIES = re.findall(r"^```json policy\n(.*?)^```", TEXT, re.MULTILINE | re.DOTALL)
CASES = re.findall(r"^```yaml cases\n(.*?)^```", TEXT, re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("example", range(len(CASES)))
def test_the_cases_of_the_page_come_out_as_it_shows(example: int, tmp_path: Path) -> None:
    stem = re.search(r"^policy: (\w+)\.json$", CASES[example], re.MULTILINE)
    assert stem is not None
    shown = re.search(
        rf"^\$ toolreeve policy test {stem[1]}\.test\.yaml\n(.*?)^```",
        TEXT,
        re.MULTILINE | re.DOTALL,
    )
    assert shown is not None
    (tmp_path / f"{stem[1]}.json").write_text(POLICIES[example], encoding="utf-8")
    (tmp_path / f"{stem[1]}.test.yaml").write_text(CASES[example], encoding="utf-8")
    done = toolreeve(["policy", "test", f"{stem[1]}.test.yaml"], tmp_path)
    assert (done.stdout, done.stderr, done.returncode) == (shown[1], "", 0)


def test_an_explanation_looks_as_its_page_shows_it(tmp_path: Path) -> None:
    (tmp_path / "vms.json").write_text(POLICIES[0], encoding="utf-8")
    shown = re.search(
        r"^\$ toolreeve (policy explain vms\.json.*?[^\\])\n(.*?)^```", EXPLAINING, FLAGS
    )
    assert shown is not None
    done = toolreeve(shlex.split(shown[1].replace("\\\n", " ")), tmp_path)
    assert (done.stdout, done.stderr, done.returncode) == (shown[2], "", 0)


def toolreeve(words: list[str], folder: Path) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "toolreeve.cli", *words]
    return subprocess.run(
        command, cwd=folder, capture_output=True, text=True, timeout=30, check=False
    )
