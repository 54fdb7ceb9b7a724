"""`toolreeve policy schema`, `fmt` and `import` on files: what they print, write and exit with."""

import json
import subprocess
import sys
from pathlib import Path

import jsonschema_rs
import pytest

REPOSITORY = Path(__file__).resolve().parents[3]
POLICIES = REPOSITORY / "tests" / "fixtures" / "policies"

INTERCEPT = """\
version: "1"
tools:
  create_issue:
    rules:
      - {name: hourly, rate_limit: 5/hour}
      - {name: daily, rate_limit: 20/day}
  delete_repository:
    rules:
      - {name: block, action: deny, on_deny: Not by agents.}
  delete_branch:
    rules:
      - {name: block, action: deny}
"""


def toolreeve(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "toolreeve.cli", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)


@pytest.fixture
def foreign(tmp_path: Path) -> Path:
    file = tmp_path / "intercept.yaml"
    file.write_text(INTERCEPT)
    return file


@pytest.fixture
def mixed(tmp_path: Path) -> Path:
    file = tmp_path / "policy.json"
    file.write_text('{"tools": {"a": {}}, "default": "deny", "version": "1"}')
    return file


def test_the_printed_schema_is_the_one_in_the_wheel_and_judges_our_policies() -> None:
    done = toolreeve("policy", "schema")
    assert (done.returncode, done.stderr) == (0, "")
    packaged = REPOSITORY / "enforcer" / "toolreeve" / "policy" / "policy.schema.json"
    assert done.stdout == packaged.read_text(encoding="utf-8")
    validator = jsonschema_rs.Draft7Validator(json.loads(done.stdout))
    for file in POLICIES.glob("*.json"):
        validator.validate(json.loads(file.read_bytes()))


def test_fmt_writes_what_changes_and_names_it(mixed: Path) -> None:
    mixed.chmod(0o640)
    done = toolreeve("policy", "fmt", mixed)
    assert (done.returncode, done.stdout, done.stderr) == (0, f"{mixed}\n", "")
    assert mixed.read_text() == (
        '{\n  "version": "1",\n  "default": "deny",\n  "tools": {\n    "a": {}\n  }\n}\n'
    )
    assert mixed.stat().st_mode & 0o777 == 0o640
    again = toolreeve("policy", "fmt", mixed)
    assert (again.returncode, again.stdout) == (0, "")
    assert [path.name for path in mixed.parent.iterdir()] == [mixed.name]


def test_fmt_check_writes_nothing_and_exits_with_1_where_something_would_change(
    mixed: Path,
) -> None:
    before = mixed.read_bytes()
    done = toolreeve("policy", "fmt", "--check", mixed)
    assert (done.returncode, done.stdout) == (1, f"{mixed}\n")
    assert mixed.read_bytes() == before
    toolreeve("policy", "fmt", mixed)
    done = toolreeve("policy", "fmt", "--check", mixed, "--json")
    assert done.returncode == 0
    assert json.loads(done.stdout) == {"changed": [], "written": False}


def test_fmt_writes_no_file_where_one_of_them_is_no_policy(mixed: Path, tmp_path: Path) -> None:
    before = mixed.read_bytes()
    broken = tmp_path / "broken.yaml"
    broken.write_text('version: "1"\ndefault: denny\n')
    done = toolreeve("policy", "fmt", mixed, broken)
    assert done.returncode == 2
    assert done.stderr.startswith(f"{broken}:2:10: ")
    assert mixed.read_bytes() == before


def test_fmt_keeps_yaml_yaml(tmp_path: Path) -> None:
    file = tmp_path / "policy.yaml"
    file.write_text('default: deny # closed\nversion: "1"\n')
    assert toolreeve("policy", "fmt", file).returncode == 0
    assert file.read_text() == 'version: "1"\ndefault: deny # closed\n'


def test_import_prints_the_policy_and_says_each_difference_once(foreign: Path) -> None:
    done = toolreeve("policy", "import", foreign)
    assert done.returncode == 0
    document = json.loads(done.stdout)
    assert document["tools"]["delete_repository"]["reason"] == "Not by agents."
    lines = done.stderr.splitlines()
    assert lines[0].startswith(f"{foreign}:5:36: each enforcer counts for itself; ")
    assert lines[1].startswith(f"{foreign}:9:9: the tool is left out of tools/list")
    assert lines[1].endswith("(also line 12)")
    assert lines[2] == f"{foreign}: read as intercept, 3 differences in meaning"


def test_what_import_writes_is_a_policy_in_its_canonical_layout(
    foreign: Path, tmp_path: Path
) -> None:
    output = tmp_path / "policy.json"
    done = toolreeve("policy", "import", foreign, "--from", "intercept", "--output", output)
    assert (done.returncode, done.stdout) == (0, "")
    assert toolreeve("policy", "validate", output).returncode == 0
    assert toolreeve("policy", "fmt", "--check", output).returncode == 0


def test_import_as_json_gives_the_policy_and_the_differences(foreign: Path) -> None:
    done = toolreeve("policy", "import", foreign, "--json")
    assert (done.returncode, done.stderr) == (0, "")
    facts = json.loads(done.stdout)
    assert facts["dialect"] == "intercept"
    assert facts["policy"]["default"] == "allow"
    assert {"pointer", "line", "column", "what", "why"} == set(facts["differences"][0])


def test_import_refuses_unknown_keys_where_they_stand(foreign: Path) -> None:
    foreign.write_text(INTERCEPT.replace("on_deny", "on_denial"))
    done = toolreeve("policy", "import", foreign)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(f'{foreign}:9:37: "on_denial" is not known here; did you mean')


def test_the_hosted_form_is_imported_without_a_difference() -> None:
    done = toolreeve("policy", "import", POLICIES / "vm_restart.json")
    assert done.returncode == 0
    assert json.loads(done.stdout) == json.loads((POLICIES / "vm_restart.json").read_bytes())
    assert done.stderr.endswith("read as policylayer, no difference in meaning\n")
