"""`toolreeve policy explain`, `test` and `diff` on files: what they say, and their exit codes."""

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

REPOSITORY = Path(__file__).resolve().parents[3]
HOW_TO = (REPOSITORY / "docs" / "how-to" / "test-a-policy.md").read_text(encoding="utf-8")
NOWHERE = "127.0.0.1:1"


def toolreeve(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [str(Path(sys.executable).with_name("toolreeve")), "policy", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def fence(marks: str) -> str:
    found = re.search(rf"^```{marks}\n(.*?)^```$", HOW_TO, re.MULTILINE | re.DOTALL)
    assert found is not None
    return found[1]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The policy and the cases of the how-to page."""
    (tmp_path / "vms.json").write_text(fence("json policy"))
    (tmp_path / "vms.test.yaml").write_text(fence("yaml cases"))
    return tmp_path


def changed(folder: Path, **changes: Any) -> Path:
    policy = json.loads((folder / "vms.json").read_text())
    other = folder / "other.json"
    other.write_text(json.dumps({**policy, **changes}))
    return other


def test_the_cases_of_the_documentation_pass_and_reach_everything(folder: Path) -> None:
    done = toolreeve("test", folder, "--coverage-min", "100", "--json")
    assert (done.returncode, done.stderr) == (0, "")
    report = json.loads(done.stdout)
    assert report["passed"]
    assert report["coverage"][0]["missed"] == []


def test_a_case_that_fails_shows_the_call_what_came_and_why(folder: Path) -> None:
    policy = (folder / "vms.json").read_text()
    (folder / "vms.json").write_text(policy.replace('"value": 100', '"value": 101'))
    report = folder / "report.xml"
    done = toolreeve("test", folder / "vms.test.yaml", "--junit", report)
    assert done.returncode == 1
    assert "VMs of another team are left alone" in done.stdout
    assert "code: expected require_failed, came allowed" in done.stdout
    assert "args.id lt 101: a value there, holds (100)" in done.stdout
    assert done.stdout.endswith("6 cases in 1 file, 19 calls: 1 failed\n")
    suite = ElementTree.parse(report).getroot()[0]
    assert (suite.get("tests"), suite.get("failures")) == ("6", "1")
    failures = [case.get("name") for case in suite if case.find("failure") is not None]
    assert failures == ["VMs of another team are left alone"]


def test_what_no_case_reaches_fails_where_that_is_asked_for(folder: Path) -> None:
    cases = "policy: vms.json\ncases: [{name: a, tool: vm_status, expect: allow}]\n"
    (folder / "vms.test.yaml").write_text(cases)
    done = toolreeve("test", folder, "--coverage-min", "50")
    assert done.returncode == 1
    assert "limit never reached: /tools/vm_restart/limits/0" in done.stdout
    assert "is less than 50%" in done.stderr
    assert toolreeve("test", folder).returncode == 0


def test_everything_that_is_wrong_in_any_file_is_said(folder: Path) -> None:
    (folder / "a.test.yaml").write_text("policy: vms.json\ncases: [{name: a, tol: x}]\n")
    (folder / "b.test.yaml").write_text("policy: c.json\ncases: []\n")
    (folder / "c.json").write_text('{"version": "2", "default": "deny"}')
    done = toolreeve("test", folder)
    assert done.returncode == 2
    assert f'{folder}/a.test.yaml:2:19: "tol" is not known here' in done.stderr
    assert f'{folder}/c.json:1:13: "2" is not a choice here' in done.stderr


def test_a_folder_without_cases_is_bad_input(tmp_path: Path) -> None:
    done = toolreeve("test", tmp_path)
    assert done.returncode == 2
    assert "no file of cases is in" in done.stderr


def test_an_explanation_ends_with_the_verdict(folder: Path) -> None:
    arguments = '{"action": "vm_restart", "params": {"id": 7}}'
    done = toolreeve(
        "explain", folder / "vms.json", "--wire-tool", "truenas", "--arguments", arguments,
        "--after", "10", "--at", "12:00:00",
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    assert "10 of 10 a minute for this grant, room for 0" in done.stdout
    assert done.stdout.endswith(
        "deny  limited  /tools/vm_restart/limits/0\n"
        "  At most 10 calls a minute per grant.\n"
        "  One more call is admitted in 60000 ms.\n"
    )


def test_a_request_that_is_no_tool_call_is_explained_too(folder: Path) -> None:
    done = toolreeve("explain", folder / "vms.json", "--method", "resources/read")
    assert (done.returncode, done.stderr) == (0, "")
    assert "no method names resources/read: deny" in done.stdout
    assert done.stdout.endswith("deny  method_denied  /default\n")
    asked = ("explain", changed(folder, mode="shadow"), "--method", "resources/read", "--json")
    verdict = json.loads(toolreeve(*asked).stdout)["verdict"]
    assert verdict == {"effect": "allow", "code": "method_denied", "rule": "/default"}


def test_a_redacted_explanation_holds_no_value(folder: Path) -> None:
    asked = ("explain", folder / "vms.json", "--tool", "vm_restart", "--arguments", '{"id": 98}')
    assert "98" in toolreeve(*asked).stdout
    for form in ("--redacted",), ("--redacted", "--json"):
        said = toolreeve(*asked, *form, "--at", "12:00").stdout
        assert "holds" in said
        assert "98" not in said


def test_arguments_are_read_as_strictly_as_by_an_enforcer(folder: Path) -> None:
    for wrong in ('{"id": 1, "id": 2}', "[1]", '{"id": NaN}', "{"):
        done = toolreeve("explain", folder / "vms.json", "--tool", "t", "--arguments", wrong)
        assert done.returncode == 2, wrong
        assert done.stderr.startswith("toolreeve: --arguments")


def test_what_is_to_be_explained_must_be_clear(folder: Path) -> None:
    for wrong in (
        ["explain"],
        ["explain", folder / "vms.json"],
        ["explain", folder / "vms.json", "--tool", "a", "--wire-tool", "a"],
        ["explain", folder / "vms.json", "--tool", "a", "--method", "a"],
        ["explain", folder / "vms.json", "--tool", "a", "--at", "noon"],
        ["explain", folder / "vms.json", "--decision", "e:1:1"],
        ["explain", "--decision", "4711"],
    ):
        assert toolreeve(*wrong).returncode == 2, wrong


def test_a_decision_on_record_needs_its_services() -> None:
    done = toolreeve("explain", "--decision", "gw:1:1", "--query", NOWHERE, "--control", NOWHERE)
    assert done.returncode == 1
    assert "no query service answers" in done.stderr


def test_equal_policies_mean_the_same_whatever_their_form(folder: Path) -> None:
    other = folder / "vms.yaml"
    other.write_text((folder / "vms.json").read_text().replace("{", " { ", 3))
    done = toolreeve("diff", folder / "vms.json", other)
    assert (done.returncode, done.stdout) == (0, "Both mean the same.\n")


def test_a_difference_is_shown_by_a_call_that_was_decided_under_both(folder: Path) -> None:
    done = toolreeve("diff", folder / "vms.json", changed(folder, hide=[]), "--json")
    assert done.returncode == 1
    report = json.loads(done.stdout)
    (difference,) = report["differences"]
    assert (difference["tool"], difference["old"]["code"]) == ("vm_delete", "hidden")
    assert difference["new"]["code"] == "default_denied"
    assert report["unsettled"] == []


def test_tools_of_a_server_are_compared_too(folder: Path) -> None:
    listing = folder / "tools.json"
    listing.write_text(json.dumps({"tools": [{"name": "vm_clone", "inputSchema": {}}]}))
    other = changed(folder, default="allow")
    done = toolreeve("diff", folder / "vms.json", other, "--tools", listing)
    assert done.returncode == 1
    assert "vm_clone: refused before, allowed now" in done.stdout
