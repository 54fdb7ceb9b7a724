# /// script
# requires-python = ">=3.11"
# dependencies = ["grpcio-tools==1.76.0", "mypy-protobuf==5.1.0", "setuptools<81"]
# ///
"""Write the Python code of the contract beside its .proto files.

The generator's version is every user's floor: code written by grpcio-tools 1.76 runs on
protobuf 6.31.1 and newer, code written by the newest only on the newest. So the generator is
pinned here and in `proto/requirements.lock` and lives in an environment of its own.

    make proto                       writes
    make check                       writes elsewhere and fails on any difference
"""

import argparse
import re
import sys
import tempfile
from importlib import resources
from pathlib import Path

ROOT = Path(__file__).resolve().parent
SERVICE = re.compile(r"^service ", re.MULTILINE)
STUBS = ("mypy", "mypy_grpc")


def generate(target: Path) -> None:
    """Write code for every .proto below `toolreeve/v1` under `target`, in the same folders."""
    from grpc_tools import protoc  # noqa: PLC0415  (only in the generator's environment)

    sources = sorted(str(path.relative_to(ROOT)) for path in ROOT.glob("toolreeve/v1/*.proto"))
    target.mkdir(parents=True, exist_ok=True)
    beside = Path(sys.executable).parent  # the plugins of this very environment, whatever PATH says
    arguments = [
        "protoc",
        *(f"--plugin=protoc-gen-{name}={beside / f'protoc-gen-{name}'}" for name in STUBS),
        f"-I{ROOT}",
        f"-I{resources.files('grpc_tools') / '_proto'}",
        f"--python_out={target}",
        f"--mypy_out=quiet:{target}",
    ]
    services = [name for name in sources if SERVICE.search((ROOT / name).read_text())]
    for more, names in (
        ([], sources),
        ([f"--grpc_python_out={target}", f"--mypy_grpc_out=quiet:{target}"], services),
    ):
        if protoc.main([*arguments, *more, *names]) != 0:
            sys.exit(1)


def compare(fresh: Path) -> list[str]:
    """Names of generated files that are missing, stale or left over beside the contract."""
    made = {path.name: path.read_bytes() for path in fresh.glob("toolreeve/v1/*_pb2*.py*")}
    here = {path.name: path.read_bytes() for path in ROOT.glob("toolreeve/v1/*_pb2*.py*")}
    return sorted(name for name in made.keys() | here.keys() if made.get(name) != here.get(name))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--check", action="store_true", help="write elsewhere and compare")
    options = parser.parse_args()
    # Everything is made elsewhere first: a .proto that does not compile leaves the code alone.
    with tempfile.TemporaryDirectory(prefix="toolreeve-proto-") as scratch:
        generate(Path(scratch))
        stale = compare(Path(scratch))
        if options.check:
            if stale:
                sys.exit(f"generated code is not fresh: {', '.join(stale)}; run: make proto")
            return
        for name in stale:
            here, fresh = (folder / "toolreeve" / "v1" / name for folder in (ROOT, Path(scratch)))
            if fresh.exists():
                here.write_bytes(fresh.read_bytes())
                print(f"wrote {here.relative_to(ROOT)}")
            else:
                here.unlink()
                print(f"removed {here.relative_to(ROOT)}")


if __name__ == "__main__":
    main()
