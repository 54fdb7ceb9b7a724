"""`toolreeve audit match`: the events that a value stood in, found by whoever knows it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from toolreeve.cli.audit import run_query
from toolreeve.cli.erasing.values import check_pointer, key_file_option, known, pointer_option
from toolreeve.cli.output import json_option, print_json, print_table
from toolreeve.cli.reach import Place, Service, channel, service_option
from toolreeve.cli.times import instant

if TYPE_CHECKING:
    from pathlib import Path

    from toolreeve.cli.erasing.values import Known

COLUMNS = ("decision_id", "time", "server", "tool", "agent", "effect", "found_by")


@click.command()
@click.option(
    "--value", required=True, metavar="VALUE", help="JSON, or a string as it is: ada or 7."
)
@pointer_option
@key_file_option
@click.option("--since", type=instant, help="Only what happened from then on: 2026-11-20T17:04Z.")
@click.option(
    "--last", type=click.IntRange(1), default=100, show_default=True, help="The newest so many."
)
@service_option(Service.QUERY)
@json_option
def match(
    *,
    value: str,
    pointer: str,
    key_files: tuple[Path, ...],
    since: int | None,
    last: int,
    place: Place,
    as_json: bool,
) -> None:
    """Find the calls that a value you know stood in.

    A kept value is compared as text. Where only a hash was kept it is found with the enforcer's
    keys, all of --key-file; what never leaves this command is the keys.
    """
    check_pointer(pointer)
    sql = query_of(known(value, key_files), pointer, since, last)
    with channel(place) as opened:
        result = run_query(opened, sql, rows_max=last)
    if as_json:
        print_json([dict(zip(result.columns, row, strict=True)) for row in result.rows])
    else:
        print_table(result.columns, result.rows)
        click.echo("1 event" if len(result.rows) == 1 else f"{len(result.rows)} events")


def query_of(value: Known, pointer: str, since: int | None, last: int) -> str:
    """The query for events with a value, the newest first."""
    kept, hashed = _kept(value.text, pointer), _hashed(value, pointer)
    when = "" if since is None else f" AND time >= make_timestamp({since // 1000})"
    return (
        "SELECT decision_id, time, server, tool, agent, effect,"  # noqa: S608  all of it is quoted
        f" CASE WHEN {kept} THEN 'value' ELSE 'hash' END AS found_by"
        f" FROM decisions WHERE ({kept} OR {hashed}){when} ORDER BY time DESC LIMIT {last}"
    )


def _kept(text: str, pointer: str) -> str:
    if not pointer:
        everywhere = "json_extract_string(arguments::JSON, '$.*')"
        return f"coalesce(list_contains({everywhere}, {_quoted(text)}), false)"
    escaped = pointer.replace("\\", "\\\\").replace('"', '\\"')
    path = _quoted(f'$."{escaped}"')
    return f"coalesce(json_extract_string(arguments::JSON, {path}) = {_quoted(text)}, false)"


def _hashed(value: Known, pointer: str) -> str:
    """Members of the top level have a hash each, at the place of their name."""
    from toolreeve.policy import parse_pointer

    keys = parse_pointer(pointer)
    if len(keys) > 1 or not value.hashes:
        return "false"
    found: list[str] = []
    for key_id, hashed in value.hashes:
        number = int.from_bytes(hashed, "big", signed=True)
        here = f"list_contains(argument_hashes, {number})"
        if keys:
            name = f"list_position(argument_names, {_quoted(keys[0])})"
            here = f"argument_hashes[{name}] = {number}"
        found.append(f"(hash_key = '{key_id.hex()}' AND {here})")
    return f"coalesce({' OR '.join(found)}, false)"


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
