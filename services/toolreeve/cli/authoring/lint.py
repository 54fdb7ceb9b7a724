"""`toolreeve policy lint`: what a policy forgets about a server's tools."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from toolreeve.cli.authoring.reading import policy_argument, read_bytes, read_policy
from toolreeve.cli.authoring.tools import Source, source_options
from toolreeve.cli.failure import FAILED
from toolreeve.cli.output import json_option, print_json

if TYPE_CHECKING:
    from pathlib import Path


def _known(_: click.Context, __: click.Parameter, codes: tuple[str, ...]) -> frozenset[str]:
    """Check the codes of --ignore: a misspelt one would hide nothing, in silence."""
    from difflib import get_close_matches

    from toolreeve.policy.lint import Code

    known = [code.value for code in Code]
    for code in codes:
        if code not in known:
            near = get_close_matches(code, known, 1)
            remedy = f"did you mean {near[0]!r}?" if near else f"known are {', '.join(known)}"
            raise click.BadParameter(f"there is no finding {code!r}; {remedy}")
    return frozenset(codes)


@click.command()
@policy_argument
@source_options
@click.option(
    "--ignore",
    "ignored",
    multiple=True,
    metavar="CODE",
    callback=_known,
    help="Leave findings with this code out; may be given several times.",
)
@json_option
def lint(
    *,
    file: Path,
    tools_file: Path | None,
    url: str | None,
    server_command: str | None,
    token_env: str | None,
    no_calls: bool,
    ignored: frozenset[str],
    as_json: bool,
) -> None:
    """Say what the policy FILE forgets about a server's tools.

    Silent with exit 0 where there is nothing to say; findings are
    FILE:LINE:COLUMN: problem; remedy [code], and the exit code is 1. Without --tools, --url and
    --command only what the policy says by itself is looked at.
    """
    from toolreeve.policy.lint import lint as look

    source = Source(tools_file, url, server_command, token_env, may_call=not no_calls)
    text = read_bytes(file)
    policy = read_policy(file, text)
    tools = source.tools() if source.given else None
    every = look(policy, tools, text=text, source=str(file))
    findings = [found for found in every if found.code.value not in ignored]
    if as_json:
        rows = [
            {
                "code": found.code.value,
                "severity": found.severity.value,
                "tool": found.tool,
                "pointer": found.complaint.pointer,
                "line": found.complaint.line,
                "column": found.complaint.column,
                "problem": found.complaint.problem,
                "remedy": found.complaint.remedy,
            }
            for found in findings
        ]
        print_json(rows)
    else:
        for found in findings:
            click.echo(str(found))
    if findings:
        click.get_current_context().exit(FAILED)
