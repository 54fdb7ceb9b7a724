"""`toolreeve policy diff`: two policies compared by what they mean."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from toolreeve.cli.authoring.reading import count, load_policy
from toolreeve.cli.failure import FAILED
from toolreeve.cli.output import json_option, print_json

if TYPE_CHECKING:
    from collections.abc import Mapping

    from toolreeve.decision.diff import Answer, Comparison, Difference
    from toolreeve.policy import Policy

SHOWN_CHARACTERS_MAX = 400


@click.command()
@click.argument("old", type=click.Path(path_type=Path, dir_okay=False))
@click.argument("new", type=click.Path(path_type=Path, dir_okay=False))
@click.option(
    "--tools",
    "tools_file",
    metavar="FILE",
    type=click.Path(path_type=Path, dir_okay=False),
    help="A recorded tools/list: compare for these tools too.",
)
@json_option
def diff(old: Path, new: Path, *, tools_file: Path | None, as_json: bool) -> int:
    """Say for which tools and arguments NEW would answer otherwise than OLD.

    Each difference comes with a call that was decided under both. Exit codes: 0 both mean the
    same, 1 they do not, or that could not be settled, 2 a file is wrong.
    """
    from toolreeve.decision import compile_policy
    from toolreeve.decision.diff import compare

    before, after = load_policy(old), load_policy(new)
    tools = {} if tools_file is None else _tools(tools_file, before, after)
    found = compare(compile_policy(before), compile_policy(after), tools)
    if as_json:
        print_json(_plain(found))
    else:
        _print(found)
    return 0 if found.same else FAILED


def _tools(file: Path, old: Policy, new: Policy) -> dict[str, Mapping[str, object]]:
    """Return the effective tools of a recorded tools/list, under either policy's dispatch."""
    from toolreeve.cli.authoring.tools import read_tools_file
    from toolreeve.policy.catalogue import expand

    offered = read_tools_file(file)
    found: dict[str, Mapping[str, object]] = {}
    for policy in (old, new):
        for tool in expand(offered, policy.dispatch).tools:
            found.setdefault(tool.name, tool.input_schema)
    return found


def _print(found: Comparison) -> None:
    if found.same:
        tried = f" {count(found.calls, 'call')} decided under both." if found.calls else ""
        click.echo(f"Both mean the same.{tried}")
        return
    for difference in found.differences:
        click.echo(f"{_title(difference)}: {_what(difference)}")
        click.echo(f"  {_example(difference)}")
        click.echo(f"  old: {_said(difference.before)}")
        click.echo(f"  new: {_said(difference.after)}")
    for one in found.unsettled:
        click.echo(f"{one.tool}: written differently ({one.what})")
        click.echo("  no call was found whose answer differs; look at both by eye")
    click.echo(
        f"{count(len(found.differences), 'difference')}, {len(found.unsettled)} unsettled; "
        f"{count(found.calls, 'decision')} made"
    )


def _title(difference: Difference) -> str:
    if difference.method:
        return "other methods" if difference.stands_for_others else difference.method
    if difference.wire_tool:
        return f"{difference.wire_tool} (on the wire)"
    return "tools without a rule" if difference.stands_for_others else difference.tool


def _what(difference: Difference) -> str:
    words = {
        "allows": "refused before, allowed now",
        "refuses": "allowed before, refused now",
        "changes": "the same verdict, told otherwise",
    }
    if difference.wire_tool and difference.before.tool != difference.after.tool:
        return f"meant {difference.before.tool} before, means {difference.after.tool} now"
    return words[difference.kind]


def _example(difference: Difference) -> str:
    """Say which call shows it, with its arguments."""
    if difference.method:
        return f"any {difference.method}"
    shown = json.dumps(difference.arguments, ensure_ascii=False)
    if len(shown) > SHOWN_CHARACTERS_MAX:
        shown = shown[:SHOWN_CHARACTERS_MAX] + "..."
    call = f"{difference.wire_tool or difference.tool} {shown}"
    history = difference.history
    if history is None or difference.turn == 0:
        return call
    last = difference.turn == len(history.turns) - 1
    what = history.what if last else "one more"
    return f"{call}, {what}, after {count(difference.turn, 'such call')}"


def _said(answer: Answer) -> str:
    parts = [answer.effect, answer.code]
    if answer.mode != "enforce":
        parts.append(f"({answer.mode})")
    if answer.tool:
        parts.append(f"as {answer.tool}")
    if answer.reason:
        parts.append(f'"{answer.reason}"')
    if answer.retry_after_ms is not None:
        parts.append(f"retry after {answer.retry_after_ms} ms")
    return " ".join(part for part in parts if part)


def _plain(found: Comparison) -> dict[str, Any]:
    return {
        "same": found.same,
        "decisions": found.calls,
        "differences": [
            {
                "kind": one.kind,
                "tool": one.tool or None,
                "wire_tool": one.wire_tool or None,
                "method": one.method or None,
                "stands_for_others": one.stands_for_others,
                "arguments": dict(one.arguments),
                "history": None if one.history is None else _plain_history(one),
                "old": _plain_answer(one.before),
                "new": _plain_answer(one.after),
            }
            for one in found.differences
        ],
        "unsettled": [{"tool": one.tool, "what": one.what} for one in found.unsettled],
    }


def _plain_history(difference: Difference) -> dict[str, Any]:
    history = difference.history
    assert history is not None
    first, turn = history.turns[0], history.turns[difference.turn]
    return {
        "calls_before": difference.turn,
        "seconds_after_the_first": (turn.at - first.at) / 10**9,
        "what": history.what,
        "grant": turn.call.grant,
        "session": turn.call.session,
        "server": turn.call.server,
        "ending": None if first.ending is None else first.ending.value,
    }


def _plain_answer(answer: Answer) -> dict[str, Any]:
    return {
        "effect": answer.effect,
        "code": answer.code or None,
        "reason": answer.reason,
        "mode": answer.mode,
        "retry_after_ms": answer.retry_after_ms,
    }
