"""`toolreeve policy import`: policies of other products."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from toolreeve.cli.authoring.reading import count, policy_argument, read_bytes
from toolreeve.cli.failure import BAD_INPUT, CommandError, Complaints
from toolreeve.cli.output import json_option, print_json

if TYPE_CHECKING:
    from toolreeve.policy.dialects import Difference, Imported

PLACES_SHOWN_MAX = 3


@click.command("import")
@policy_argument
@click.option(
    "--from",
    "dialect",
    type=click.Choice(["auto", "policylayer", "faq", "intercept"]),
    default="auto",
    show_default=True,
    help="How FILE is written; auto goes by its keys.",
)
@click.option(
    "--output",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Write the policy there instead of printing it.",
)
@json_option
def import_(file: Path, *, dialect: str, output: Path | None, as_json: bool) -> None:
    """Turn a policy of PolicyLayer or of Intercept into ours.

    Prints the policy on standard output, and on standard error every place where it means
    something else than before. What cannot be said here is an error; then nothing is printed.
    """
    imported = _imported(file, dialect)
    if output is not None:
        _write(output, imported.canonical_text)
    if as_json:
        print_json(_facts(imported))
        return
    if output is None:
        click.echo(imported.canonical_text, nl=False)
    for line in _lines(file, imported.differences):
        click.echo(line, err=True)
    said = (
        count(len(imported.differences), "difference") if imported.differences else "no difference"
    )
    click.echo(f"{file}: read as {imported.dialect}, {said} in meaning", err=True)


def _imported(file: Path, dialect: str) -> Imported:
    from toolreeve.policy import PolicyTextError
    from toolreeve.policy.dialects import import_policy

    try:
        return import_policy(read_bytes(file), str(file), dialect)
    except PolicyTextError as error:
        raise Complaints(str(error)) from error


def _facts(imported: Imported) -> dict[str, object]:
    differences = [
        {
            "pointer": one.pointer,
            "line": one.line,
            "column": one.column,
            "what": one.what,
            "why": one.why,
        }
        for one in imported.differences
    ]
    return {
        "dialect": imported.dialect,
        "policy": imported.policy_document,
        "differences": differences,
    }


def _lines(file: Path, differences: tuple[Difference, ...]) -> list[str]:
    """One line for each kind of difference, at the place where it is met first."""
    kinds: dict[tuple[str, str], list[Difference]] = {}
    for one in differences:
        kinds.setdefault((one.what, one.why), []).append(one)
    return [
        f"{file}:{found[0].line}:{found[0].column}: {what}; {why}{_more(found[1:])}"
        for (what, why), found in kinds.items()
    ]


def _more(others: list[Difference]) -> str:
    if not others:
        return ""
    shown = ", ".join(str(one.line) for one in others[:PLACES_SHOWN_MAX])
    rest = len(others) - PLACES_SHOWN_MAX
    return f" (also line {shown})" if rest <= 0 else f" (also line {shown} and {rest} more)"


def _write(output: Path, text: str) -> None:
    try:
        output.write_text(text, encoding="utf-8")
    except OSError as error:
        raise CommandError(
            f"{output} cannot be written: {error.strerror}",
            "name a file that can be written",
            exit_code=BAD_INPUT,
        ) from error
