"""`toolreeve audit verify`: whether a history is whole and unchanged, with nothing to trust."""

from __future__ import annotations

import base64
from functools import lru_cache
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from toolreeve.audit.event import event_id
from toolreeve.audit.verify import Evidence, Fault, Finding, Trail, seams
from toolreeve.audit.vouching import Vouched, Vouching
from toolreeve.cli.failure import FAILED
from toolreeve.cli.output import json_option, print_json, print_table
from toolreeve.cli.progress import Progress
from toolreeve.cli.trail.bundle import Manifest, lines_of, read_manifest
from toolreeve.policy.sign import KEY_SCHEME, KeyTextError, PublicKey
from toolreeve.wire import WireError, read_event
from toolreeve.wire.lines import Place, read_place, write_line

if TYPE_CHECKING:
    from collections.abc import Mapping

SHOWN_MAX = 20
VOUCHING_KINDS = ("enforcer_started", "head_sealed")
SEAL_COLUMNS = ("enforcer", "seals", "sealed until", "key")
RUN_COLUMNS = ("enforcer", "epoch", "first", "last", "head")


class PinnedKey(click.ParamType[tuple[str, bytes]]):
    """An enforcer's public key, as its `enforcer.pub` says it."""

    name = "name=key"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, bytes]:
        """Read NAME=ed25519:<base64>, or fail with what is wrong."""
        enforcer, equals, text = str(value).partition("=")
        if not enforcer or not equals:
            self.fail("write NAME=ed25519:<base64 of 32 bytes>", param, ctx)
        try:
            return enforcer, PublicKey.parse(text).raw
        except KeyTextError as error:
            self.fail(str(error), param, ctx)


pinned_key = PinnedKey()


@lru_cache(1024)
def _key_of(raw: bytes) -> PublicKey | None:
    try:
        return PublicKey.from_raw(raw)
    except ValueError:
        return None


def holds(public_key: bytes, signature: bytes, message: bytes) -> bool:
    """Whether a signature was made with the other half of a key."""
    key = _key_of(public_key)
    return key is not None and key.verifies(signature, message)


@click.command()
@click.option(
    "--export",
    "folder",
    type=click.Path(file_okay=False, path_type=Path),
    required=True,
    help="A folder that `audit export` wrote.",
)
@click.option(
    "--key",
    "keys",
    multiple=True,
    type=pinned_key,
    help="NAME=ed25519:...: the key that this enforcer must have sealed with; may be repeated.",
)
@json_option
@click.pass_context
def verify(
    ctx: click.Context, *, folder: Path, keys: tuple[tuple[str, bytes], ...], as_json: bool
) -> None:
    """Check an export: every event, its place, the chain over all of them, and the seals.

    Says what is wrong and where, the first fault first, and exits with 1. Needs no service and no
    network. Without --key, seals are checked against the keys that the export itself names.
    """
    manifest = read_manifest(folder)
    trail = Trail(manifest.declared())
    vouching = Vouching(holds, dict(keys))
    findings = findings_of(folder, manifest, trail, vouching)
    if as_json:
        print_json(_plain(manifest, trail.events, findings, vouching.enforcers))
    else:
        _tell(manifest, trail.events, findings, vouching.enforcers)
    if findings:
        ctx.exit(FAILED)


def findings_of(
    folder: Path, manifest: Manifest, trail: Trail, vouching: Vouching
) -> list[Finding]:
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
                found += _check(trail, vouching, line, f"{file.name}:{number}")
                progress.advance(1)
            if (digest.hexdigest(), size) != (file.sha256, file.bytes):
                what = "it is not the file that was exported"
                changed.append(Finding(Fault.EDITED, file.name, what))
    found += trail.finish()
    found += vouching.finish()
    runs = {(run.enforcer, run.epoch): at for at, run in reversed([*enumerate(manifest.runs)])}
    return sorted(found, key=lambda one: _place_of(one.event, runs)) or changed


def _place_of(event: str, runs: Mapping[tuple[str, int], int]) -> tuple[int, int]:
    """Where in the history a finding belongs; what names no event of a run comes last."""
    enforcer, _, place = event.partition(":")
    epoch, _, sequence = place.partition(":")
    if epoch.isdecimal() and sequence.isdecimal() and (enforcer, int(epoch)) in runs:
        return runs[enforcer, int(epoch)], int(sequence)
    return len(runs), 0


def _check(trail: Trail, vouching: Vouching, line: bytes, where: str) -> list[Finding]:
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
        body = read_event(place.bytes).body if place.kind in VOUCHING_KINDS else None
    except WireError as error:
        return [Finding(Fault.EDITED, where, str(error))]
    return [*trail.take(evidence), *vouching.take(evidence, body)]


def _written_again(place: Place) -> bytes:
    return write_line(place.bytes, bytes.fromhex(place.head))


def _tell(
    manifest: Manifest, events: int, findings: list[Finding], vouched: Mapping[str, Vouched]
) -> None:
    if not findings:
        rows = [
            (run.enforcer, run.epoch, run.first_sequence, run.last_sequence, run.head_after)
            for run in manifest.runs
        ]
        print_table(RUN_COLUMNS, rows, numeric=RUN_COLUMNS[1:4])
        _tell_seals(vouched)
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


def _written_key(key: bytes) -> str:
    return KEY_SCHEME + base64.b64encode(key).decode()


def _plain(
    manifest: Manifest, events: int, findings: list[Finding], vouched: Mapping[str, Vouched]
) -> dict[str, Any]:
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
        "seals": [
            {
                "enforcer": enforcer,
                "seals": known.seals,
                "unchecked": known.unchecked,
                "sealed_until": known.until and event_id(enforcer, known.until),
                "last": known.last and event_id(enforcer, known.last),
                "keys": [_written_key(key) for key in known.keys],
            }
            for enforcer, known in sorted(vouched.items())
        ],
        "findings": [
            {"event": one.event, "fault": one.fault.value, "detail": one.detail} for one in findings
        ],
    }
