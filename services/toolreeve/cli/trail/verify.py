"""`toolreeve audit verify`: whether a history is whole and unchanged, with nothing to trust."""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from toolreeve.audit.verify import Evidence, Fault, Finding, Trail, seams
from toolreeve.cli.failure import FAILED
from toolreeve.cli.output import json_option, print_json, print_table
from toolreeve.cli.progress import Progress
from toolreeve.cli.trail.bundle import Manifest, lines_of, read_manifest
from toolreeve.wire import WireError
from toolreeve.wire.lines import Place, read_place, write_line

if TYPE_CHECKING:
    from collections.abc import Mapping

SHOWN_MAX = 20
RUN_COLUMNS = ("enforcer", "epoch", "first", "last", "head")


@click.command()
@click.option(
    "--export",
    "folder",
    type=click.Path(file_okay=False, path_type=Path),
    required=True,
    help="A folder that `audit export` wrote.",
)
@json_option
@click.pass_context
def verify(ctx: click.Context, *, folder: Path, as_json: bool) -> None:
    """Check an export: every event, its place, and the chain over all of them.

    Says what is wrong and where, the first fault first, and exits with 1. Needs no service, no
    network and no key.
    """
    manifest = read_manifest(folder)
    trail = Trail(manifest.declared())
    findings = findings_of(folder, manifest, trail)
    if as_json:
        print_json(_plain(manifest, trail.events, findings))
    else:
        _tell(manifest, trail.events, findings)
    if findings:
        ctx.exit(FAILED)


def findings_of(folder: Path, manifest: Manifest, trail: Trail) -> list[Finding]:
    """Everything that is wrong with an export, in the order of its history."""
    found = [*seams(manifest.declared())]
    changed: list[Finding] = []
    total = sum(run.last_sequence - run.first_sequence + 1 for run in manifest.runs)
    with Progress("verifying", unit="events", total=total) as progress:
        for file in manifest.files:
            digest, size = sha256(), 0
            for number, line in enumerate(lines_of(folder, file.name), 1):
                digest.update(line)
                size += len(line)
                found += _check(trail, line, f"{file.name}:{number}")
                progress.advance(1)
            if (digest.hexdigest(), size) != (file.sha256, file.bytes):
                what = "it is not the file that was exported"
                changed.append(Finding(Fault.EDITED, file.name, what))
    found += trail.finish()
    runs = {(run.enforcer, run.epoch): at for at, run in reversed([*enumerate(manifest.runs)])}
    return sorted(found, key=lambda one: _place_of(one.event, runs)) or changed


def _place_of(event: str, runs: Mapping[tuple[str, int], int]) -> tuple[int, int]:
    """Where in the history a finding belongs; what names no event of a run comes last."""
    enforcer, _, place = event.partition(":")
    epoch, _, sequence = place.partition(":")
    if epoch.isdecimal() and sequence.isdecimal() and (enforcer, int(epoch)) in runs:
        return runs[enforcer, int(epoch)], int(sequence)
    return len(runs), 0


def _check(trail: Trail, line: bytes, where: str) -> list[Finding]:
    try:
        place = read_place(line)
        evidence = Evidence(
            enforcer=place.enforcer,
            epoch=place.epoch,
            sequence=place.sequence,
            raw=place.bytes,
            head=bytes.fromhex(place.head),
            faithful=_written_again(place) == line,
        )
    except WireError as error:
        return [Finding(Fault.EDITED, where, str(error))]
    return trail.take(evidence)


def _written_again(place: Place) -> bytes:
    return write_line(place.bytes, bytes.fromhex(place.head))


def _tell(manifest: Manifest, events: int, findings: list[Finding]) -> None:
    if not findings:
        rows = [
            (run.enforcer, run.epoch, run.first_sequence, run.last_sequence, run.head_after)
            for run in manifest.runs
        ]
        print_table(RUN_COLUMNS, rows, numeric=RUN_COLUMNS[1:4])
        click.echo(f"{events} events: whole and unchanged since they were chained")
        return
    for finding in findings[:SHOWN_MAX]:
        click.echo(f"{finding.event}: {finding.fault.value}: {finding.detail}")
    if len(findings) > SHOWN_MAX:
        click.echo(f"and {len(findings) - SHOWN_MAX} more; --json prints all of them")
    click.echo(f"{events} events: {len(findings)} findings, the first at {findings[0].event}")


def _plain(manifest: Manifest, events: int, findings: list[Finding]) -> dict[str, Any]:
    return {
        "whole": not findings,
        "events": events,
        "runs": [
            {
                "enforcer": run.enforcer,
                "epoch": run.epoch,
                "first_sequence": run.first_sequence,
                "last_sequence": run.last_sequence,
                "head": run.head_after,
            }
            for run in manifest.runs
        ],
        "findings": [
            {"event": one.event, "fault": one.fault.value, "detail": one.detail} for one in findings
        ],
    }
