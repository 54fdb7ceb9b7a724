"""`toolreeve policy validate`: whether a file is a policy."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from toolreeve.cli.authoring.reading import count, load_policy, policy_argument
from toolreeve.cli.output import json_option, print_json

if TYPE_CHECKING:
    from pathlib import Path


@click.command()
@policy_argument
@json_option
def validate(file: Path, *, as_json: bool) -> None:
    """Say whether FILE is a policy, and its revision.

    Needs no service. Complaints are FILE:LINE:COLUMN: problem; remedy, and the exit code is 2.
    """
    read = load_policy(file)
    facts = {
        "file": str(file),
        "name": read.name,
        "revision": read.revision,
        "default": read.default.value,
        "tools": len(read.tools),
        "hidden": len(read.hide),
    }
    if as_json:
        print_json(facts)
    else:
        click.echo(f"{file}: a policy for {count(len(read.tools), 'tool rule')}, {read.revision}")
