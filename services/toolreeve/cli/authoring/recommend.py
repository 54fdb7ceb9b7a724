"""`toolreeve policy recommend`: a policy for the tools that a server offers."""

from __future__ import annotations

import json
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from toolreeve.cli.authoring.reading import read_policy
from toolreeve.cli.authoring.tools import Source, source_options
from toolreeve.cli.failure import BAD_INPUT, CommandError
from toolreeve.cli.output import json_option, print_json

if TYPE_CHECKING:
    from toolreeve.policy.catalogue import Recommendation

PRESETS = ("truenas", "virtualization", "virtualization-all-tools")

_out = click.Path(path_type=Path, dir_okay=False)


def _fitting(_: click.Context, __: click.Parameter, name: str) -> str:
    """Check the name that the policy is to have, before a server is asked for anything."""
    from toolreeve.policy.keys import NAME_CHARACTERS_MAX

    if len(name) > NAME_CHARACTERS_MAX or not name.isprintable():
        raise click.BadParameter(f"write at most {NAME_CHARACTERS_MAX} characters on one line")
    return name


@click.command()
@source_options
@click.option("--preset", type=click.Choice(PRESETS), help="A policy that ships with toolreeve.")
@click.option("--name", default="", callback=_fitting, help="The policy's name.")
@click.option("--output", type=_out, metavar="FILE", help="Write the policy to FILE.")
@click.option("--save", type=_out, metavar="FILE", help="Write the tools to FILE, for lint.")
@json_option
def recommend(
    *,
    tools_file: Path | None,
    url: str | None,
    server_command: str | None,
    token_env: str | None,
    preset: str | None,
    name: str,
    output: Path | None,
    save: Path | None,
    no_calls: bool,
    as_json: bool,
) -> None:
    """Propose a policy for the tools that a server offers.

    Reads pass, writes 30 a minute, executions 10 a minute, destruction and money by approval,
    escape hatches are denied, and so is everything else. It prints the policy, with a line for
    every tool on stderr.
    """
    source = Source(tools_file, url, server_command, token_env, may_call=not no_calls)
    if preset is not None:
        if source.given or as_json or save is not None:
            raise click.UsageError("--preset stands alone, with --output")
        _write(_preset(preset), output)
        return
    if not source.given:
        raise click.UsageError("give one of --tools, --url, --command and --preset")
    from toolreeve.policy.catalogue import recommend as propose
    from toolreeve.policy.catalogue.listing import write_listing
    from toolreeve.policy.layout import write_json

    tools = source.tools()
    found = propose(tools, name=name)
    text = write_json(found.policy)
    read_policy(Path("recommended"), text.encode())  # what is proposed can be used
    if save is not None:
        _write(_text(write_listing(tools)), save)
    _tell(found, with_tools=not as_json)
    if as_json:
        if output is not None:
            _write(text, output)
        print_json({"tools": _rows(found), "policy": found.policy})
    else:
        _write(text, output)


def _rows(found: Recommendation) -> list[dict[str, str]]:
    return [
        {
            "name": tool.name,
            "class": tool.class_.value,
            "level": tool.level.value,
            "why": tool.why,
        }
        for tool in found.tools
    ]


def _tell(found: Recommendation, *, with_tools: bool) -> None:
    """Say on stderr what a person who reads the policy should know besides."""
    if with_tools:
        for row in _rows(found):
            line = f"{row['name']}: {row['class']}, {row['level']}; {row['why']}"
            click.echo(line, err=True)
    if not found.tools:
        click.echo("the server lists no tools, so everything is denied", err=True)
    for name in found.unlisted:
        click.echo(
            f"{name}: its operations are not known, so all stay denied; name them in rules",
            err=True,
        )
    for name in found.unnamed:
        click.echo(f"{name!r}: no rule can name it, so it stays denied", err=True)


def _text(document: dict[str, Any]) -> str:
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


def _preset(name: str) -> str:
    return (files("toolreeve.policy") / "presets" / f"{name}.json").read_text(encoding="utf-8")


def _write(text: str, output: Path | None) -> None:
    if output is None:
        click.echo(text, nl=False)
        return
    try:
        output.write_text(text, encoding="utf-8")
    except OSError as error:
        raise CommandError(
            f"{output} cannot be written: {error.strerror}",
            "give a path in a folder that exists",
            exit_code=BAD_INPUT,
        ) from error
