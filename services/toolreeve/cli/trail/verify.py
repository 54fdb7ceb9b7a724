"""`toolreeve audit verify`: whether a history is whole and unchanged, with nothing to trust."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import click

from toolreeve.audit.details import Absences
from toolreeve.audit.verify import Fault, Finding, Trail, seams
from toolreeve.audit.vouching import Vouching
from toolreeve.cli.failure import BAD_INPUT, FAILED, CommandError
from toolreeve.cli.output import json_option, print_json
from toolreeve.cli.progress import Progress
from toolreeve.cli.reach import Place, Service, service_option
from toolreeve.cli.times import instant
from toolreeve.cli.trail.against import compare_with
from toolreeve.cli.trail.bundle import Manifest, read_manifest
from toolreeve.cli.trail.checking import Checker
from toolreeve.cli.trail.extents import Extents, NothingSignedError
from toolreeve.cli.trail.logged import Log
from toolreeve.cli.trail.online import Online
from toolreeve.cli.trail.outcome import Checked, plain, tell
from toolreeve.cli.trail.source import Wanted, of_worker
from toolreeve.policy.sign import KeyTextError, PublicKey

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from toolreeve.audit.verify import Run


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
    help="A folder that `audit export` wrote. Without it the worker is asked.",
)
@click.option(
    "--key",
    "keys",
    multiple=True,
    type=pinned_key,
    help="NAME=ed25519:...: the key that this enforcer must have sealed with; may be repeated.",
)
@click.option(
    "--against",
    multiple=True,
    metavar="FOLDER|FILE|worker",
    help="An earlier export, a witness's file, or 'worker': the history must not end before what "
    "they have; may be repeated.",
)
@click.option("--from", "since", type=instant, help="Ask for nothing older: 2026-11-20T17:04Z.")
@click.option("--to", "until", type=instant, help="Ask for nothing from then on.")
@click.option("--enforcer", default="", metavar="NAME", help="Ask for this enforcer's history.")
@service_option(Service.QUERY)
@json_option
@click.pass_context
def verify(
    ctx: click.Context,
    *,
    folder: Path | None,
    keys: tuple[tuple[str, bytes], ...],
    against: tuple[str, ...],
    since: int | None,
    until: int | None,
    enforcer: str,
    place: Place,
    as_json: bool,
) -> None:
    """Check a history: every event, its place, the chain over all of them, and the seals.

    With --export a folder is checked, which needs no service and no network. Without it the worker
    hands out what it has, and its checkpoints are checked too.

    An older copy of a history is whole too. It is named as rolled back where a checkpoint in it was
    made over more than it has, or where what is named by --against goes further.

    Says what is wrong and where, the first fault first, and exits with 1. Without --key, seals are
    checked against the keys that the history itself names.
    """
    wanted = Wanted(since=since, until=until, enforcer=enforcer)
    pinned = dict(keys)
    if folder is not None and wanted != Wanted():
        raise CommandError(
            "--from, --to and --enforcer choose what the worker is asked for",
            "leave them out with --export",
            exit_code=BAD_INPUT,
        )
    manifest = None if folder is None else read_manifest(folder)
    if against and (until is not None or (manifest is not None and manifest.until is not None)):
        raise CommandError(
            "a history whose end was left out cannot be told from an older copy",
            "leave out --against, or take a history without --to",
            exit_code=BAD_INPUT,
        )
    extents = Extents(holds)

    def is_whole(path: Path, earlier: Manifest) -> bool:
        return not check_export(path, earlier, pinned, Extents(holds)).findings

    compare_with(extents, against, place, is_whole)
    if folder is not None and manifest is not None:
        checked = check_export(folder, manifest, pinned, extents)
    else:
        checked = check_online(place, wanted, pinned, extents)
    if as_json:
        print_json(plain(checked))
    else:
        tell(checked)
    if checked.findings:
        ctx.exit(FAILED)


def check_export(
    folder: Path, manifest: Manifest, pinned: Mapping[str, bytes], extents: Extents
) -> Checked:
    """Check the files of an export."""
    runs = manifest.declared()
    trail, vouching = Trail(runs), Vouching(holds, pinned)
    absences = Absences()
    findings = findings_of(folder, manifest, trail, vouching, extents, absences=absences)
    return Checked(runs, trail.events, findings, vouching.enforcers, absences=absences)


def check_online(
    place: Place, wanted: Wanted, pinned: Mapping[str, bytes], extents: Extents
) -> Checked:
    """Check what the worker hands out, while it comes."""
    log, vouching, absences = Log(holds), Vouching(holds, pinned), Absences()
    whole = wanted.since is None
    online = Online(vouching, log, extents, absences, from_the_beginning=whole)
    found: list[Finding] = []
    with Progress("verifying", unit="events") as progress:
        for payload in of_worker(place, wanted, progress.expect):
            before = online.events
            found += online.take(payload)
            progress.advance(online.events - before)
    found += online.finish()
    runs = online.runs.all()
    if wanted.until is None:
        found += ended_early(extents, runs, vouching)
    if wanted == Wanted():  # else the records of erasures may be left out
        found += absences.finish()
    ordered = in_order(found, runs)
    return Checked(runs, online.events, ordered, vouching.enforcers, log.logs, absences)


def findings_of(
    folder: Path,
    manifest: Manifest,
    trail: Trail,
    vouching: Vouching,
    extents: Extents,
    *,
    absences: Absences,
) -> list[Finding]:
    """Everything that is wrong with an export, in the order of its history."""
    found = [*seams(manifest.declared())]
    changed: list[Finding] = []
    total = sum(run.last_sequence - run.first_sequence + 1 for run in manifest.runs)
    with Progress("verifying", unit="events", total=total) as progress:
        checker = Checker(trail, vouching, extents, absences, progress)
        for file in manifest.files:
            amiss, same = checker.check(folder, file)
            found += amiss
            if not same:
                what = "it is not the file that was exported"
                changed.append(Finding(Fault.EDITED, file.name, what))
    found += trail.finish()
    found += vouching.finish()
    if manifest.until is None:
        found += ended_early(extents, manifest.declared(), vouching)
    if (manifest.since, manifest.until, manifest.enforcer) == (None, None, ""):
        found += absences.finish()
    return in_order(found, manifest.declared()) or changed


def ended_early(extents: Extents, runs: Sequence[Run], vouching: Vouching) -> list[Finding]:
    """Where a history ends before what somebody has seen of it. Raises CommandError."""
    try:
        return extents.judge(runs, vouching.all_keys())
    except NothingSignedError as error:
        raise CommandError(
            f"{error}",
            "verify a history with that of the worker in it, and name its key with --key",
            exit_code=BAD_INPUT,
        ) from error


def in_order(found: list[Finding], runs: Sequence[Run]) -> list[Finding]:
    """By where in the history they belong."""
    places = {(run.enforcer, run.epoch): at for at, run in reversed([*enumerate(runs)])}
    return sorted(found, key=lambda one: _place_of(one.event, places))


def _place_of(event: str, runs: Mapping[tuple[str, int], int]) -> tuple[int, int]:
    """Where in the history a finding belongs; what names no event of a run comes last."""
    enforcer, _, place = event.partition(":")
    epoch, _, sequence = place.partition(":")
    if epoch.isdecimal() and sequence.isdecimal() and (enforcer, int(epoch)) in runs:
        return runs[enforcer, int(epoch)], int(sequence)
    return len(runs), 0
