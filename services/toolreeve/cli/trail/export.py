"""`toolreeve audit export`: the history as files that prove themselves."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import click

from toolreeve.cli.failure import CommandError
from toolreeve.cli.output import json_option, print_json
from toolreeve.cli.progress import Progress
from toolreeve.cli.times import instant, written
from toolreeve.cli.trail.bundle import Span, Writer
from toolreeve.outbox import OutboxError, peek
from toolreeve.wire import WireError, unpack


@click.command()
@click.option(
    "--data",
    type=click.Path(file_okay=False, path_type=Path),
    required=True,
    help="An enforcer's data folder; it may be at work.",
)
@click.option(
    "--output",
    type=click.Path(file_okay=False, path_type=Path),
    required=True,
    help="A new folder for the export.",
)
@click.option("--from", "since", type=instant, help="Leave out what is older: 2026-11-20T17:04Z.")
@click.option("--to", "until", type=instant, help="Leave out what is from then on.")
@json_option
def export(
    *, data: Path, output: Path, since: int | None, until: int | None, as_json: bool
) -> None:
    """Write an enforcer's own history into a folder that `audit verify --export` can check.

    Whole groups are written: those with an event between --from and --to.
    """
    outbox = data / "outbox" if (data / "outbox").is_dir() else data
    span = Span(since, until)
    try:
        with Writer(output) as writer, Progress("exporting", unit="events") as progress:
            for group in peek(outbox):
                if span.touches(unpack(group.payload).raws):
                    writer.take(group.payload)
                progress.advance(group.count)
            made_at = written(time.time_ns()) or ""
            manifest = writer.finish(
                made_at, written(since) if since else None, written(until) if until else None
            )
    except OutboxError as error:
        raise CommandError(f"{error}", "nothing was exported") from error
    except WireError as error:
        raise CommandError(
            f"a group of the outbox cannot be read: {error}",
            "export with the toolreeve that wrote it",
        ) from error
    if as_json:
        print_json(_plain(output, writer.events, len(manifest.runs)))
    else:
        runs = "1 run" if len(manifest.runs) == 1 else f"{len(manifest.runs)} runs"
        click.echo(f"{writer.events} events of {runs} are in {output}")
        click.echo(f"check them with: toolreeve audit verify --export {output}")


def _plain(output: Path, events: int, runs: int) -> dict[str, Any]:
    return {"folder": str(output), "events": events, "runs": runs}
