"""Files of cases and the policies beside them, read and run for `toolreeve policy test`."""

from __future__ import annotations

import os
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING

from msgspec import Struct

from toolreeve.cli.authoring.reading import read_bytes, read_policy
from toolreeve.cli.failure import BAD_INPUT, CommandError, Complaints

if TYPE_CHECKING:
    from collections.abc import Iterable

    from toolreeve.decision import CompiledPolicy
    from toolreeve.decision.case_parts import Part
    from toolreeve.decision.case_run import Failure, Result
    from toolreeve.decision.cases import CaseFile

SUFFIXES = (".test.yaml", ".test.yml", ".test.json")


class Loaded(Struct, frozen=True):
    """A file of cases with its policy."""

    cases: CaseFile
    policy_file: Path
    policy: CompiledPolicy


class Run(Struct, frozen=True):
    """A file of cases after its run."""

    loaded: Loaded
    results: tuple[Result, ...]
    reached: frozenset[Part]
    seconds: float

    @property
    def failures(self) -> list[tuple[Result, Failure]]:
        return [(one, one.failure) for one in self.results if one.failure is not None]


def find_cases(paths: Iterable[Path]) -> list[Path]:
    """Return the files of cases that are meant, each once, folders searched in order of name."""
    found: dict[Path, None] = {}
    for path in paths:
        if path.is_dir():
            inner = (one for one in sorted(path.rglob("*")) if one.name.endswith(SUFFIXES))
            found.update(dict.fromkeys(one for one in inner if one.is_file()))
        else:
            found[path] = None
    if not found:
        raise CommandError(
            f"no file of cases is in {', '.join(map(str, paths))}",
            f"name it NAME{SUFFIXES[0]}",
            exit_code=BAD_INPUT,
        )
    return list(found)


def load_cases(files: Iterable[Path]) -> list[Loaded]:
    """Read all files, or end the command with everything that is wrong in any of them."""
    from toolreeve.decision import compile_policy
    from toolreeve.decision.cases import read_cases
    from toolreeve.policy import PolicyTextError

    loaded: list[Loaded] = []
    complaints: list[str] = []
    policies: dict[Path, CompiledPolicy | None] = {}
    for file in files:
        text = read_bytes(file, what="file of cases")
        try:
            cases = read_cases(text, source=str(file))
        except PolicyTextError as error:
            complaints.append(str(error))
            continue
        policy_file = _beside(file, cases.policy)
        if policy_file not in policies:
            try:
                read = read_policy(policy_file, read_bytes(policy_file))
                policies[policy_file] = compile_policy(read)
            except Complaints as error:
                complaints.append(str(error))
                policies[policy_file] = None
        policy = policies[policy_file]
        if policy is not None:
            loaded.append(Loaded(cases, policy_file, policy))
    if complaints:
        raise Complaints("\n".join(complaints))
    return loaded


def _beside(file: Path, policy: str) -> Path:
    """Return the path of the policy that a file of cases names, as short as it can be written."""
    said = file.parent / policy
    short = Path(os.path.normpath(said))
    try:
        return short if short.samefile(said) else said
    except OSError:
        return said


def run_loaded(loaded: Loaded) -> Run:
    """Run one file of cases."""
    from toolreeve.decision.case_run import run_cases

    began = perf_counter()
    results, reached = run_cases(loaded.policy, loaded.cases.cases)
    return Run(loaded, results, reached, perf_counter() - began)
