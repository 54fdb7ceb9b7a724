"""The published JSON Schema in the hands of a validator that is not ours.

check-jsonschema is what many CI set-ups run. It brings its own draft-07 validator, and reads
patterns as JavaScript does, like editors.
"""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[3]
PRESETS = sorted((REPOSITORY / "enforcer/toolreeve/policy/presets").glob("*.json"))
SEEDS = sorted((REPOSITORY / "tests/fixtures/policies").glob("*.json"))
FENCE = re.compile(r"^```json policy\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)


def check(*arguments: str | Path) -> "subprocess.CompletedProcess[str]":
    command = [str(Path(sys.executable).with_name("check-jsonschema")), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


@pytest.fixture(scope="module")
def schema(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `toolreeve policy schema` prints, in a file."""
    file = tmp_path_factory.mktemp("schema") / "policy.schema.json"
    command = [sys.executable, "-m", "toolreeve.cli", "policy", "schema"]
    file.write_bytes(subprocess.run(command, capture_output=True, timeout=60, check=True).stdout)
    return file


def test_it_is_a_schema_itself(schema: Path) -> None:
    done = check("--check-metaschema", schema)
    assert done.returncode == 0, done.stdout + done.stderr


def test_it_takes_the_presets_the_seeds_and_every_policy_in_the_docs(
    schema: Path, tmp_path: Path
) -> None:
    shown: list[Path] = []
    for page in sorted((REPOSITORY / "docs").rglob("*.md")):
        for found in FENCE.finditer(page.read_text(encoding="utf-8")):
            shown.append(tmp_path / f"{len(shown)}.json")
            shown[-1].write_text(found["text"], encoding="utf-8")
    assert PRESETS
    assert SEEDS
    assert shown
    done = check("--schemafile", schema, *PRESETS, *SEEDS, *shown)
    assert done.returncode == 0, done.stdout + done.stderr


def test_it_refuses_a_preset_with_one_letter_wrong(schema: Path, tmp_path: Path) -> None:
    for preset in PRESETS:
        document = json.loads(preset.read_text(encoding="utf-8"))
        document["defalt"] = document.pop("default")
        broken = tmp_path / preset.name
        broken.write_text(json.dumps(document), encoding="utf-8")
        assert check("--schemafile", schema, broken).returncode == 1


@pytest.mark.parametrize("preset", PRESETS, ids=lambda preset: preset.stem)
def test_a_preset_has_the_layout_that_fmt_writes(preset: Path) -> None:
    command = [sys.executable, "-m", "toolreeve.cli", "policy", "fmt", "--check", str(preset)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout) == (0, "")
