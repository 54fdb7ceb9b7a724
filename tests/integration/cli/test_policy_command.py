"""`toolreeve policy` on files: what it says, and with which exit code."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

GOOD = Path(__file__).parents[2] / "fixtures" / "policies" / "vm_restart.json"
NOWHERE = "127.0.0.1:1"


def toolreeve(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [str(Path(sys.executable).with_name("toolreeve")), *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)


@pytest.fixture
def broken(tmp_path: Path) -> Path:
    file = tmp_path / "broken.json"
    file.write_text('{\n  "version": "1",\n  "default": "deny",\n  "tols": {}\n}\n')
    return file


def test_a_good_policy_is_named_by_its_revision() -> None:
    done = toolreeve("policy", "validate", str(GOOD), "--json")
    assert (done.returncode, done.stderr) == (0, "")
    facts = json.loads(done.stdout)
    assert facts["revision"].startswith("sha256:")
    assert (facts["default"], facts["tools"]) == ("deny", 1)


def test_a_broken_policy_is_refused_with_file_line_column_problem_and_remedy(broken: Path) -> None:
    done = toolreeve("policy", "validate", str(broken))
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr == f'{broken}:4:3: "tols" is not known here; did you mean "tools"?\n'


def test_a_broken_policy_is_refused_before_anything_is_sent(broken: Path) -> None:
    # Nothing listens there: had it been tried, the exit code would be 1.
    done = toolreeve("policy", "publish", str(broken), "--server", "truenas", "--control", NOWHERE)
    assert done.returncode == 2
    assert done.stderr.startswith(f"{broken}:4:3: ")


def test_a_file_that_is_not_there_is_bad_input() -> None:
    done = toolreeve("policy", "validate", "/nowhere/policy.json")
    assert done.returncode == 2
    assert done.stderr.startswith("toolreeve: /nowhere/policy.json cannot be read: ")


def test_every_fixture_of_ours_is_a_policy() -> None:
    for file in GOOD.parent.glob("*.json"):
        assert toolreeve("policy", "validate", str(file)).returncode == 0, file.name
