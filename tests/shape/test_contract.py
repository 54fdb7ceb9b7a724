"""The contract's Python code is what its .proto files say."""

import subprocess
from pathlib import Path

import pytest


def test_the_generated_code_is_fresh(repository: Path) -> None:
    generator = repository / ".venv-proto" / "bin" / "python"
    if not generator.exists():
        pytest.skip("the generator's environment is made by `make check` or `make proto`")
    done = subprocess.run(
        [generator, repository / "proto" / "generate.py", "--check"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def test_every_file_of_the_contract_has_its_code_beside_it(repository: Path) -> None:
    folder = repository / "proto" / "toolreeve" / "v1"
    stems = {path.stem for path in folder.glob("*.proto")}
    assert stems
    assert {path.name.removesuffix("_pb2.py") for path in folder.glob("*_pb2.py")} == stems
    assert {path.name.removesuffix("_pb2.pyi") for path in folder.glob("*_pb2.pyi")} == stems
