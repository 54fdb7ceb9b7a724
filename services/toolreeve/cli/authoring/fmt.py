"""`toolreeve policy fmt`: policies in their canonical layout."""

from __future__ import annotations

import os
from pathlib import Path

import click

from toolreeve.cli.authoring.reading import read_bytes
from toolreeve.cli.failure import BAD_INPUT, FAILED, CommandError, Complaints
from toolreeve.cli.output import json_option, print_json


@click.command()
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path, dir_okay=False))
@click.option("--check", is_flag=True, help="Write nothing; exit 1 if a file would change.")
@json_option
def fmt(files: tuple[Path, ...], *, check: bool, as_json: bool) -> int:
    """Write policies in their canonical layout: keys in one order, lines of at most 100 columns.

    JSON stays JSON. YAML stays YAML, and keeps its comments, quotes and styles. A policy means the
    same before and after: its revision does not change. Nothing is written unless every file is
    good.
    """
    texts = {file: read_bytes(file) for file in files}
    tidied = {file: _tidy(file, text) for file, text in texts.items()}
    changed = [file for file in files if tidied[file] != texts[file]]
    if not check:
        for file in changed:
            _write(file, tidied[file])
    if as_json:
        print_json({"changed": [str(file) for file in changed], "written": not check})
    else:
        for file in changed:
            click.echo(file)
    return FAILED if check and changed else 0


def _tidy(file: Path, text: bytes) -> bytes:
    from toolreeve.policy import PolicyTextError
    from toolreeve.policy.layout import LayoutError, tidy

    try:
        return tidy(text, source=str(file)).encode()
    except (PolicyTextError, LayoutError) as error:
        raise Complaints(str(error)) from error


def _write(file: Path, text: bytes) -> None:
    """Replace a file at once, so that whoever reads it meanwhile sees one text or the other."""
    target = file.resolve()
    draft = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    try:
        draft.write_bytes(text)
        draft.chmod(target.stat().st_mode & 0o777)
        draft.replace(target)
    except OSError as error:
        draft.unlink(missing_ok=True)
        raise CommandError(
            f"{file} cannot be written: {error.strerror}",
            "see who may write there, or use --check",
            exit_code=BAD_INPUT,
        ) from error
