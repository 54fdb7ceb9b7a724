"""`toolreeve policy test`: the cases beside a policy are run, and what they reach is counted."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from toolreeve.cli.authoring.case_files import Run, find_cases, load_cases, run_loaded
from toolreeve.cli.authoring.junit import write_junit
from toolreeve.cli.authoring.reading import count
from toolreeve.cli.authoring.telling import plain_looks, print_looks
from toolreeve.cli.failure import BAD_INPUT, FAILED, CommandError
from toolreeve.cli.output import json_option, print_json
from toolreeve.cli.times import written

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from toolreeve.decision import CompiledPolicy
    from toolreeve.decision.case_expected import Outcome
    from toolreeve.decision.case_parts import Coverage, Part
    from toolreeve.decision.case_run import Failure, Result


@click.command()
@click.argument("paths", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--junit", type=click.Path(path_type=Path), help="Write a JUnit report here, for CI.")
@click.option(
    "--coverage-min",
    type=click.FloatRange(0, 100),
    default=0.0,
    metavar="PERCENT",
    help="Fail where cases reach less of a policy.",
)
@json_option
def test(*, paths: tuple[Path, ...], junit: Path | None, coverage_min: float, as_json: bool) -> int:
    """Run the cases in PATHS: files, or folders that are searched for *.test.yaml.

    Exit codes: 0 all came as expected, 1 a case failed or too little was reached, 2 a file is
    wrong.
    """
    runs = [run_loaded(loaded) for loaded in load_cases(find_cases(paths))]
    coverages = _coverages(runs)
    failed = sum(len(run.failures) for run in runs)
    low = [file for file, (_, found) in coverages.items() if found.percent < coverage_min]
    if junit is not None:
        _write(junit, runs)
    if as_json:
        print_json(_plain(runs, coverages, passed=not failed and not low))
    else:
        for run in runs:
            _print_failures(run)
        for file, (text, coverage) in coverages.items():
            _print_coverage(file, text, coverage)
        _print_summary(runs, failed)
        for file in low:
            reached = coverages[file][1].percent
            click.echo(
                f"toolreeve: {file}: {reached:.0f}% is less than {coverage_min:g}%", err=True
            )
    return FAILED if failed or low else 0


def _coverages(runs: Sequence[Run]) -> dict[str, tuple[bytes, Coverage]]:
    """Return each policy's text and what all files together reached of it."""
    from toolreeve.decision.case_parts import coverage_of

    reached: dict[Path, frozenset[Part]] = {}
    policies: dict[Path, CompiledPolicy] = {}
    for run in runs:
        file = run.loaded.policy_file
        policies[file] = run.loaded.policy
        reached[file] = reached.get(file, frozenset()) | run.reached
    return {
        str(file): (file.read_bytes(), coverage_of(policy.policy, reached[file]))
        for file, policy in policies.items()
    }


def _print_failures(run: Run) -> None:
    for result, failure in run.failures:
        click.echo(f"{_where(run, failure)}: {result.case.name}")
        click.echo(f"  {failed_call(failure)}")
        for difference in failure.differences:
            click.echo(
                f"  {difference.key}: expected {difference.expected}, came {difference.came}"
            )
        print_looks(failure.looks)
        click.echo()


def failed_call(failure: Failure) -> str:
    """Say which call it was: `call 11 of 11, vm_restart at 2026-01-05T12:00:00.000Z`."""
    step = failure.step
    which = f"call {failure.call} of {step.repeat}, " if step.repeat > 1 else ""
    return f"{which}{failure.what} at {written(failure.at)}"


def _where(run: Run, failure: Failure) -> str:
    line, column = failure.step.place
    return f"{run.loaded.cases.source}:{line}:{column}"


def _print_coverage(file: str, text: bytes, coverage: Coverage) -> None:
    reached, parts = len(coverage.reached), len(coverage.parts)
    click.echo(f"{file}: {coverage.percent:.0f}% reached, {reached} of {count(parts, 'part')}")
    for line, column, part in _placed(file, text, coverage.missed):
        click.echo(f"  {file}:{line}:{column}: {part.kind} never reached: {part.pointer}")


def _placed(file: str, text: bytes, parts: Sequence[Part]) -> Iterator[tuple[int, int, Part]]:
    from toolreeve.policy import parse_pointer
    from toolreeve.policy.text import places, read

    if not parts:
        return
    place = places(read(text, file))
    for part in parts:
        path: tuple[str | int, ...] = _path(parse_pointer(part.pointer))
        yield (*place(path, True), part)


def _path(keys: tuple[str, ...]) -> tuple[str | int, ...]:
    """Return a pointer's keys with the places in the lists of a policy as numbers."""
    lists = {"hide", "require", "deny_if", "limits", "conditions"}
    return tuple(
        int(key) if place and key.isdigit() and keys[place - 1] in lists else key
        for place, key in enumerate(keys)
    )


def _print_summary(runs: Sequence[Run], failed: int) -> None:
    cases = sum(len(run.results) for run in runs)
    calls = sum(result.calls for run in runs for result in run.results)
    ended = f"{failed} failed" if failed else "all passed"
    click.echo(
        f"{count(cases, 'case')} in {count(len(runs), 'file')}, {count(calls, 'call')}: {ended}"
    )


def _write(file: Path, runs: Sequence[Run]) -> None:
    try:
        file.write_bytes(write_junit(runs))
    except OSError as error:
        raise CommandError(
            f"{file} cannot be written: {error.strerror}",
            "give another path to --junit",
            exit_code=BAD_INPUT,
        ) from error


def _plain(
    runs: Sequence[Run], coverages: dict[str, tuple[bytes, Coverage]], *, passed: bool
) -> dict[str, Any]:
    return {
        "passed": passed,
        "files": [
            {
                "file": run.loaded.cases.source,
                "policy": str(run.loaded.policy_file),
                "cases": [_plain_result(result) for result in run.results],
            }
            for run in runs
        ],
        "coverage": [
            {
                "policy": file,
                "percent": round(coverage.percent, 1),
                "parts": len(coverage.parts),
                "reached": len(coverage.reached),
                "missed": [
                    {"kind": part.kind, "pointer": part.pointer, "line": line, "column": column}
                    for line, column, part in _placed(file, text, coverage.missed)
                ],
            }
            for file, (text, coverage) in coverages.items()
        ],
    }


def _plain_result(result: Result) -> dict[str, Any]:
    failure = result.failure
    plain: dict[str, Any] = {
        "name": result.case.name,
        "line": result.case.place[0],
        "calls": result.calls,
        "passed": failure is None,
        "failure": None,
    }
    if failure is not None:
        plain["failure"] = {
            "step": failure.step.pointer,
            "line": failure.step.place[0],
            "call": failure.call,
            "at": written(failure.at),
            "differences": [
                {"key": one.key, "expected": one.expected, "came": one.came}
                for one in failure.differences
            ],
            "verdict": _plain_outcome(failure.came),
            "looks": plain_looks(failure.looks),
        }
    return plain


def _plain_outcome(came: Outcome) -> dict[str, Any]:
    """Return what came, for JSON: a verdict as elsewhere; null where there is nothing to say."""
    return {
        "effect": came.effect or None,
        "code": came.code or None,
        "rule": came.rule or "",
        "reason": came.message or "",
        "retry_after_ms": came.retry_after_ms if isinstance(came.retry_after_ms, int) else None,
        "counter": came.counter or "",
        "mode": came.mode or None,
    }
