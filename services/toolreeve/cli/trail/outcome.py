"""What a verification came to, told to people and to programs."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any

import click
import msgspec
from msgspec import Struct

from toolreeve.audit.details import Absences
from toolreeve.audit.event import event_id
from toolreeve.audit.verify import Finding, Run
from toolreeve.audit.vouching import Vouched
from toolreeve.cli.output import print_table
from toolreeve.cli.trail.logged import Logged
from toolreeve.policy.sign import KEY_SCHEME

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

SHOWN_MAX = 20
SEAL_COLUMNS = ("enforcer", "seals", "sealed until", "key")
RUN_COLUMNS = ("enforcer", "epoch", "first", "last", "head")
LOG_COLUMNS = ("log", "checkpoints", "checked", "groups")


class Checked(Struct, frozen=True):
    """A history that was looked at: its runs, what is wrong, and who vouches for what."""

    runs: list[Run]
    events: int
    findings: list[Finding]
    vouched: dict[str, Vouched]
    logs: list[Logged] = []
    absences: Absences = msgspec.field(default_factory=Absences)


def tell(checked: Checked) -> None:
    """Print the outcome for people."""
    findings, events = checked.findings, checked.events
    if not findings:
        rows = [
            (run.enforcer, run.epoch, run.first_sequence, run.last_sequence, run.head_after.hex())
            for run in checked.runs
        ]
        print_table(RUN_COLUMNS, rows, numeric=RUN_COLUMNS[1:4])
        _tell_seals(checked.vouched)
        _tell_logs(checked.logs)
        _tell_details(checked.absences)
        click.echo(f"{events} events: whole and unchanged since they were chained")
        return
    for finding in findings[:SHOWN_MAX]:
        click.echo(f"{finding.event}: {finding.fault.value}: {finding.detail}")
    if len(findings) > SHOWN_MAX:
        click.echo(f"and {len(findings) - SHOWN_MAX} more; --json prints all of them")
    click.echo(f"{events} events: {len(findings)} findings, the first at {findings[0].event}")


def _tell_seals(vouched: Mapping[str, Vouched]) -> None:
    rows = [
        (
            enforcer,
            known.seals,
            "-" if known.until is None else f"{known.until.epoch}:{known.until.sequence}",
            ", ".join(map(_written_key, known.keys)) or "-",
        )
        for enforcer, known in sorted(vouched.items())
    ]
    click.echo()
    print_table(SEAL_COLUMNS, rows, numeric=SEAL_COLUMNS[1:2])
    click.echo()


def _tell_logs(logs: Sequence[Logged]) -> None:
    if logs:
        rows = [(log.origin, log.checkpoints, log.checked, log.groups) for log in logs]
        print_table(LOG_COLUMNS, rows, numeric=LOG_COLUMNS[1:])
        click.echo()


def _tell_details(absences: Absences) -> None:
    if absences.erased:
        click.echo(f"{absences.kept} events have details, those of {absences.erased} are erased")
    if absences.unexplained:
        click.echo(
            f"the details of {absences.unexplained} events are gone; whether on record, the whole "
            "history tells"
        )


def _written_key(key: bytes) -> str:
    return KEY_SCHEME + base64.b64encode(key).decode()


def plain(checked: Checked) -> dict[str, Any]:
    """The outcome for programs."""
    return {
        "whole": not checked.findings,
        "events": checked.events,
        "runs": [
            {
                "enforcer": run.enforcer,
                "epoch": run.epoch,
                "first_sequence": run.first_sequence,
                "last_sequence": run.last_sequence,
                "head": run.head_after.hex(),
            }
            for run in checked.runs
        ],
        "seals": [
            {
                "enforcer": enforcer,
                "seals": known.seals,
                "unchecked": known.unchecked,
                "sealed_until": known.until and event_id(enforcer, known.until),
                "last": known.last and event_id(enforcer, known.last),
                "keys": [_written_key(key) for key in known.keys],
            }
            for enforcer, known in sorted(checked.vouched.items())
        ],
        "logs": [
            {
                "origin": log.origin,
                "checkpoints": log.checkpoints,
                "checked": log.checked,
                "groups": log.groups,
            }
            for log in checked.logs
        ],
        "details": {
            "kept": checked.absences.kept,
            "erased": checked.absences.erased,
            "unexplained": checked.absences.unexplained,
        },
        "findings": [
            {"event": one.event, "fault": one.fault.value, "detail": one.detail}
            for one in checked.findings
        ],
    }
