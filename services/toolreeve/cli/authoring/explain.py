"""`toolreeve policy explain`: how one call is decided, or how one was."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from toolreeve.cli.authoring.reading import load_policy
from toolreeve.cli.authoring.telling import (
    plain_looks,
    plain_verdict,
    print_looks,
    print_verdict,
)
from toolreeve.cli.failure import BAD_INPUT, CommandError
from toolreeve.cli.output import json_option, print_json
from toolreeve.cli.reach import Service, data_option, find
from toolreeve.cli.times import written

if TYPE_CHECKING:
    from toolreeve.decision import Instant
    from toolreeve.decision.explain import Asked

CALLS_MAX = 10_000


@click.command()
@click.argument(
    "file", metavar="[POLICY]", required=False, type=click.Path(path_type=Path, dir_okay=False)
)
@click.option("--tool", help="The effective tool that is called.")
@click.option("--wire-tool", help="The tool as the request names it; dispatch is looked at too.")
@click.option("--method", help="A request that is no tool call, such as resources/read.")
@click.option("--arguments", default="{}", metavar="JSON", help="The arguments, one JSON object.")
@click.option("--server", default="server", show_default=True, help="The upstream it is called on.")
@click.option("--grant", default="local", show_default=True, help="The grant that calls.")
@click.option("--session", default="", help="The session it is called in.")
@click.option("--at", "moment", help="When: 12:00:59.9 or 2026-01-05T12:00:00Z.  [default: now]")
@click.option(
    "--after",
    "before",
    type=click.IntRange(0, CALLS_MAX),
    default=0,
    help="As if so many such calls had come at the same moment before.",
)
@click.option("--redacted", is_flag=True, help="Without the values of arguments.")
@click.option("--decision", metavar="ID", help="A decision on record, instead of a POLICY.")
@click.option("--query", metavar="HOST:PORT", envvar="TOOLREEVE_QUERY", help="For --decision.")
@click.option("--control", metavar="HOST:PORT", envvar="TOOLREEVE_CONTROL", help="For --decision.")
@data_option
@json_option
def explain(
    *,
    file: Path | None,
    tool: str | None,
    wire_tool: str | None,
    method: str | None,
    arguments: str,
    server: str,
    grant: str,
    session: str,
    moment: str | None,
    before: int,
    redacted: bool,
    decision: str | None,
    query: str | None,
    control: str | None,
    data: Path | None,
    as_json: bool,
) -> None:
    """Show how POLICY decides one call: everything that is looked at, in order.

    Marks: ✓ let it pass, ✗ settled that it is refused, · speaks against it without settling
    anything, ? cannot be looked at again. Exit code 0 whatever the verdict is.
    """
    if decision is not None:
        if any(one is not None for one in (file, tool, wire_tool, method)):
            raise _bad("--decision stands alone", "leave out POLICY, --tool and --method")
        from toolreeve.cli.authoring.recorded import explain_recorded

        explain_recorded(
            decision,
            query=find(Service.QUERY, query, data),
            control=find(Service.CONTROL, control, data),
            redacted=redacted,
            as_json=as_json,
        )
        return
    if file is None:
        raise _bad("no policy is given", "give the path of a policy, or --decision ID")
    if sum(one is not None for one in (tool, wire_tool, method)) != 1:
        remedy = "give one of --tool NAME, --wire-tool NAME and --method NAME"
        raise _bad("what is asked for is not clear", remedy)
    if not (tool or wire_tool or method):
        raise _bad("the name is empty", 'give one, as in "--tool vm_restart"')
    if method is not None:
        _explain_method(file, method, as_json=as_json)
        return
    from toolreeve.decision.explain import Asked

    asked = Asked(
        server=server,
        grant=grant,
        session=session,
        tool=tool or wire_tool or "",
        on_the_wire=wire_tool is not None,
        arguments=_arguments(arguments),
    )
    _explain(file, asked, _instant(moment), before, redacted=redacted, as_json=as_json)


def _explain(
    file: Path, asked: Asked, at: Instant, before: int, *, redacted: bool, as_json: bool
) -> None:
    from toolreeve.decision import Holds, compile_policy
    from toolreeve.decision.explain import explain as explain_call
    from toolreeve.decision.open_counters import OpenCounters

    policy = compile_policy(load_policy(file))
    counters = OpenCounters()
    for _ in range(before):
        explain_call(policy, Holds(), counters, asked, at)
    explained = explain_call(policy, Holds(), counters, asked, at)
    if as_json:
        print_json(
            {
                "call": {
                    "server": asked.server,
                    "grant": asked.grant,
                    "session": asked.session,
                    "tool": explained.tool,
                    "wire_tool": asked.tool if asked.on_the_wire else None,
                    "arguments": None if redacted else explained.arguments,
                    "at": written(at),
                },
                "policy_revision": policy.revision,
                "looks": plain_looks(explained.looks, redacted=redacted),
                "verdict": plain_verdict(explained.verdict),
            }
        )
        return
    click.echo(f"{explained.tool} on {asked.server}, called by {asked.grant} at {written(at)}")
    click.echo()
    print_looks(explained.looks, redacted=redacted)
    click.echo()
    print_verdict(explained.verdict)


def _explain_method(file: Path, method: str, *, as_json: bool) -> None:
    from toolreeve.decision import compile_policy
    from toolreeve.decision.surface import method_looks, passes, refuses_method

    policy = compile_policy(load_policy(file))
    looks = tuple(method_looks(policy, method))
    effect = "allow" if passes(policy, method) else "deny"
    code = "method_denied" if refuses_method(policy, method) else "allowed"
    if as_json:
        print_json(
            {
                "method": method,
                "policy_revision": policy.revision,
                "looks": plain_looks(looks),
                "verdict": {"effect": effect, "code": code, "rule": looks[0].pointer},
            }
        )
        return
    click.echo(f"{method}, a request that is no tool call")
    click.echo()
    print_looks(looks)
    click.echo()
    click.echo("  ".join(part for part in (effect, code, looks[0].pointer) if part))


def _arguments(text: str) -> dict[str, Any]:
    """Read arguments as strictly as an enforcer does: no duplicate keys, no NaN."""
    from toolreeve.policy import PolicyTextError
    from toolreeve.policy.text import read

    if not text.lstrip().startswith("{"):
        raise _bad("--arguments is no JSON object", "write --arguments '{\"id\": 3}'")
    try:
        value = read(text, "--arguments").value
    except PolicyTextError as error:
        found = error.complaints[0]
        place = f"--arguments, column {found.column}: {found.problem}"
        raise _bad(place, found.remedy) from error
    assert isinstance(value, dict)
    return value  # pyright: ignore[reportUnknownVariableType]


def _instant(text: str | None) -> Instant:
    from toolreeve.decision import Instant
    from toolreeve.decision.case_times import TimeError, read_time

    if text is None:
        return Instant(time.time_ns())
    try:
        return read_time(int(text) if text.isascii() and text.isdigit() else text)
    except TimeError as error:
        raise _bad(f"--at {text!r}: {error}", error.remedy) from error


def _bad(problem: str, remedy: str) -> CommandError:
    return CommandError(problem, remedy, exit_code=BAD_INPUT)
