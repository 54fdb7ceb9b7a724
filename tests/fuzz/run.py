"""Fuzz one target, guided by what the code does with each input (atheris, which is libFuzzer).

    make fuzz TARGET=policy SECONDS=300
    make fuzz TARGET=policy KEEP=1          then keep what a run has found, as small as can be

Starts from what is kept and from the target's seeds. New inputs go to build/fuzz/<target>/, an
input that fails or takes ten seconds to build/fuzz/<target>-found/; the run ends there.
"""

import argparse
import hashlib
import importlib
import json
import random
import shlex
import shutil
import sys
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.fuzz.damage import damaged_document

if TYPE_CHECKING:
    from tests.fuzz.targets import Target

REPOSITORY = Path(__file__).resolve().parents[2]
WORK = REPOSITORY / "build" / "fuzz"
BYTES_MAX = 4_096
KEPT_BYTES_MAX = 2_048
SECONDS_MAX_ONE = 10


def fuzz(target: "Target", seconds: int, atheris: Any) -> None:
    """Run until `seconds` are over or something is found. Does not return: libFuzzer exits."""
    work = WORK / target.name
    work.mkdir(parents=True, exist_ok=True)
    for seed in target.seeds():
        _write(work, seed)
    found = WORK / f"{target.name}-found"
    found.mkdir(parents=True, exist_ok=True)
    options = [f"-max_total_time={seconds}", f"-timeout={SECONDS_MAX_ONE}", "-print_final_stats=1"]
    options += [f"-artifact_prefix={found}/", f"-dict={_dictionary(target)}"]
    _start(target, atheris, [*options, f"-max_len={BYTES_MAX}"], [work, target.kept])


def keep(target: "Target", atheris: Any) -> None:
    """Replace what is kept by the fewest and smallest inputs that do all that was seen done.

    Inputs with a name of their own stay. Does not return: libFuzzer exits, `settle` ends the work.
    """
    merged = WORK / f"{target.name}-merged"
    shutil.rmtree(merged, ignore_errors=True)
    merged.mkdir(parents=True)
    options = ["-set_cover_merge=1", f"-max_len={KEPT_BYTES_MAX}", f"-timeout={SECONDS_MAX_ONE}"]
    _start(target, atheris, options, [merged, target.kept, WORK / target.name])


def settle(target: "Target") -> None:
    """Move what a merge has chosen to where it is kept, each under a short name of its content."""
    for old in target.kept.glob("[0-9a-f]" * 10):
        old.unlink()
    named = {path.read_bytes() for path in target.kept.iterdir()}
    for chosen in (WORK / f"{target.name}-merged").iterdir():
        data = chosen.read_bytes()
        if data not in named:
            _write(target.kept, data)
    print(f"{target.name}: {len(list(target.kept.iterdir()))} inputs are kept")


def _start(target: "Target", atheris: Any, options: list[str], folders: list[Path]) -> None:
    target.kept.mkdir(parents=True, exist_ok=True)
    # To merge, libFuzzer starts its own command again through a shell, with options of its own.
    command = f"{shlex.quote(sys.executable)} -m tests.fuzz.run {target.name}"
    arguments = [command, *options, *map(str, folders)]
    more = {"custom_mutator": _Mutator(target, atheris)} if target.structured else {}
    atheris.Setup(arguments, target.check, **more)
    atheris.Fuzz()


class _Mutator:
    """Damages JSON as a value half of the time, and any bytes as libFuzzer does otherwise."""

    def __init__(self, target: "Target", atheris: Any) -> None:
        self._target = target
        self._atheris = atheris

    def __call__(self, data: bytes, size_max: int, seed: int) -> bytes:
        chance = random.Random(seed)
        if chance.random() < 0.5:
            try:
                document = damaged_document(
                    chance, json.loads(data), self._target.words, self._target.odd
                )
                text = json.dumps(document, ensure_ascii=chance.random() < 0.5).encode()
            except (ValueError, RecursionError):
                pass
            else:
                if len(text) <= size_max:
                    return text
        mutated: bytes = self._atheris.Mutate(data, size_max)
        return mutated


def _dictionary(target: "Target") -> Path:
    """The target's words as libFuzzer reads them."""
    path = WORK / f"{target.name}.dict"
    words = {word for word in target.words if 0 < len(word) <= 60}
    lines = [
        "".join(f"\\x{byte:02x}" for byte in word.encode("utf-8", "replace")) for word in words
    ]
    path.write_text("".join(f'"{line}"\n' for line in sorted(lines)))
    return path


def _write(folder: Path, data: bytes) -> None:
    (folder / hashlib.sha256(data).hexdigest()[:10]).write_bytes(data)


def main() -> None:
    parser = argparse.ArgumentParser(description="Fuzz one target.")
    parser.add_argument("target")
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--keep", action="store_true", help="choose anew what is kept")
    parser.add_argument("--settle", action="store_true", help="the second half of --keep")
    given, of_libfuzzer = parser.parse_known_args()
    atheris: Any = importlib.import_module("atheris")
    # Whatever of ours the targets import is instrumented on the way.
    with atheris.instrument_imports(include=["toolreeve"]):
        targets = importlib.import_module("tests.fuzz.targets").TARGETS
    if given.target not in targets:
        parser.error(f"the targets are {', '.join(targets)}")
    target = targets[given.target]
    warnings.simplefilter("error")
    if of_libfuzzer:
        _start(target, atheris, of_libfuzzer, [])
    elif given.settle:
        settle(target)
    elif given.keep:
        keep(target, atheris)
    else:
        fuzz(target, given.seconds, atheris)


if __name__ == "__main__":
    main()
