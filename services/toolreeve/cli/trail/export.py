"""`toolreeve audit export`: the history as files that prove themselves."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from toolreeve.cli.failure import CommandError
from toolreeve.cli.output import json_option, print_json
from toolreeve.cli.progress import Progress
from toolreeve.cli.reach import Service, find, is_up
from toolreeve.cli.times import instant, written
from toolreeve.cli.trail import forms, source
from toolreeve.cli.trail.bundle import Writer
from toolreeve.cli.trail.source import Wanted
from toolreeve.wire import WireError

if TYPE_CHECKING:
    from collections.abc import Iterator


@click.command()
@click.option(
    "--data",
    type=click.Path(file_okay=False, path_type=Path),
    envvar="TOOLREEVE_UP_DATA",
    show_envvar=True,
    help="An enforcer's data folder, to export just its own history; it may be at work. "
    "Or that of the 'toolreeve up' meant.",
)
@click.option(
    "--query",
    metavar="HOST:PORT",
    envvar="TOOLREEVE_QUERY",
    show_envvar=True,
    help="Where the query service listens.",
)
@click.option(
    "--output",
    type=click.Path(file_okay=False, path_type=Path),
    required=True,
    help="A new folder for the export.",
)
@click.option("--from", "since", type=instant, help="Leave out what is older: 2026-11-20T17:04Z.")
@click.option("--to", "until", type=instant, help="Leave out what is from then on.")
@click.option("--enforcer", default="", metavar="NAME", help="Only this enforcer's history.")
@click.option(
    "--format",
    "form",
    type=click.Choice(forms.NAMES),
    default="jsonl",
    show_default=True,
    help="Lines of JSON, OCSF for a SIEM, or one Parquet file.",
)
@json_option
def export(
    *,
    data: Path | None,
    query: str | None,
    output: Path,
    since: int | None,
    until: int | None,
    enforcer: str,
    form: str,
    as_json: bool,
) -> None:
    """Write history into a folder that `audit verify --export` can check.

    Everybody's, as the worker has it; with --data an enforcer's own, straight from its outbox.
    Whole groups are written: those with an event between --from and --to.
    """
    wanted = Wanted(since=since, until=until, enforcer=enforcer)
    try:
        with Writer(output, form) as writer, Progress("exporting", unit="events") as progress:
            for payload in _groups(data, query, wanted, progress):
                progress.advance(writer.take(payload))
            made_at = written(time.time_ns()) or ""
            manifest = writer.finish(
                made_at,
                written(since) if since else None,
                written(until) if until else None,
                enforcer,
            )
    except WireError as error:
        raise CommandError(
            f"a group cannot be read: {error}", "export with the toolreeve that wrote it"
        ) from error
    if as_json:
        print_json(_plain(output, writer.events, len(manifest.runs)))
    else:
        runs = "1 run" if len(manifest.runs) == 1 else f"{len(manifest.runs)} runs"
        click.echo(f"{writer.events} events of {runs} are in {output}")
        click.echo(f"check them with: toolreeve audit verify --export {output}")


def _groups(
    data: Path | None, query: str | None, wanted: Wanted, progress: Progress
) -> Iterator[bytes]:
    if data is not None and query is None and not is_up(data):
        own = data / "outbox"
        return source.of_outbox(own if own.is_dir() else data, wanted)
    return source.of_worker(find(Service.QUERY, query, data), wanted, progress.expect)


def _plain(output: Path, events: int, runs: int) -> dict[str, Any]:
    return {"folder": str(output), "events": events, "runs": runs}
