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


def test_several_files_are_judged_at_once(tmp_path: Path) -> None:
    broken, missing = tmp_path / "broken.json", tmp_path / "missing.json"
    broken.write_text('{"version": "1", "default": "deny", "rules": []}')
    done = toolreeve("policy", "validate", str(GOOD), str(broken), str(missing))
    assert done.returncode == 2
    assert done.stdout.startswith(f"{GOOD}: a policy for ")
    assert done.stderr.splitlines() == [
        (
            f'{broken}:1:37: "rules" is not known here; '
            "translate the file with 'toolreeve policy import'"
        ),
        f"{missing}:1:1: cannot be read: No such file or directory; give the path of a policy file",
    ]
    both = toolreeve("policy", "validate", str(GOOD), str(GOOD), "--json")
    assert [one["file"] for one in json.loads(both.stdout)] == [str(GOOD)] * 2


def test_findings_that_are_ignored_are_left_out_and_a_misspelt_one_is_told(tmp_path: Path) -> None:
    file = tmp_path / "trial.json"
    file.write_text('{"version": "1", "default": "deny", "mode": "shadow", "tools": {"a": {}}}')
    done = toolreeve("policy", "lint", str(file))
    assert done.returncode == 1
    assert done.stdout.endswith("[not-enforced]\n")
    quiet = toolreeve("policy", "lint", str(file), "--ignore", "not-enforced")
    assert (quiet.returncode, quiet.stdout) == (0, "")
    wrong = toolreeve("policy", "lint", str(file), "--ignore", "not-enforcd")
    assert wrong.returncode == 2
    assert "did you mean 'not-enforced'?" in wrong.stderr


def test_a_name_that_no_policy_can_have_is_told_before_anything_is_scanned() -> None:
    done = toolreeve("policy", "recommend", "--command", "no-such-server", "--name", "a\nb")
    assert done.returncode == 2
    assert "--name" in done.stderr
