"""Policies from files, for every command that takes one."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from toolreeve.cli.failure import BAD_INPUT, CommandError, Complaints

if TYPE_CHECKING:
    from toolreeve.policy import Policy

policy_argument = click.argument("file", type=click.Path(path_type=Path, dir_okay=False))


def read_bytes(file: Path, *, what: str = "policy file") -> bytes:
    """Return a file's bytes, or end the command."""
    try:
        return file.read_bytes()
    except OSError as error:
        raise CommandError(
            f"{file} cannot be read: {error.strerror}",
            f"give the path of a {what}",
            exit_code=BAD_INPUT,
        ) from error


def read_policy(file: Path, text: bytes) -> Policy:
    """Parse a policy, or end the command with its complaints."""
    from toolreeve.policy import PolicyTextError, parse

    try:
        return parse(text, source=str(file))
    except PolicyTextError as error:
        raise Complaints(str(error)) from error


def load_policy(file: Path) -> Policy:
    """Read and parse a policy, or end the command."""
    return read_policy(file, read_bytes(file))


def count(number: int, thing: str) -> str:
    """Return `1 rule`, `2 rules`."""
    return f"{number} {thing}" if number == 1 else f"{number} {thing}s"
