"""`toolreeve policy validate`: whether files are policies."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from toolreeve.cli.authoring.reading import count, load_policy
from toolreeve.cli.failure import CommandError, Complaints
from toolreeve.cli.output import json_option, print_json

if TYPE_CHECKING:
    from toolreeve.policy import Policy


@click.command()
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path, dir_okay=False))
@json_option
def validate(files: tuple[Path, ...], *, as_json: bool) -> None:
    """Say whether each of FILES is a policy, and its revision.

    Needs no service. Complaints are FILE:LINE:COLUMN: problem; remedy, and the exit code is 2.
    """
    good: list[dict[str, object]] = []
    complaints: list[str] = []
    for file in files:
        try:
            read = load_policy(file)
        except Complaints as error:
            complaints.append(str(error))
        except CommandError as error:
            if len(files) == 1:
                raise
            problem = error.problem.removeprefix(f"{file} ")
            complaints.append(f"{file}:1:1: {problem}; {error.remedy}")
        else:
            good.append(_facts(file, read))
            if not as_json:
                rules = count(len(read.tools), "tool rule")
                click.echo(f"{file}: a policy for {rules}, {read.revision}")
    if as_json and good:
        print_json(good[0] if len(files) == 1 else good)
    if complaints:
        raise Complaints("\n".join(complaints))


def _facts(file: Path, read: Policy) -> dict[str, object]:
    return {
        "file": str(file),
        "name": read.name,
        "revision": read.revision,
        "default": read.default.value,
        "tools": len(read.tools),
        "hidden": len(read.hide),
    }
