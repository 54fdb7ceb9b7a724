"""`toolreeve tools`: what servers say their tools are, and whether anybody has approved it."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import click

from toolreeve.cli.authoring.reading import count
from toolreeve.cli.commanding import actor_option, needed_reason_option
from toolreeve.cli.failure import BAD_INPUT, FAILED, CommandError
from toolreeve.cli.output import json_option, print_json, print_rows
from toolreeve.cli.pinned.offered import Offer, offer_options
from toolreeve.cli.pinned.places import (
    data_option,
    file_for,
    one_server,
    read_pins,
    server_option,
    some_pins,
)
from toolreeve.cli.pinned.telling import difference_of, plain_text, print_difference, row_of, short

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from toolreeve.enforcement.definition import Definition
    from toolreeve.enforcement.pins import Pin, Pins
    from toolreeve.gateway.pinfile import PinFile


@click.group()
def tools() -> None:
    """See what servers say their tools are, and approve it."""


@tools.command("list")
@data_option
@server_option
@offer_options
@json_option
def list_tools(*, data: Path | None, server: str | None, offer: Offer, as_json: bool) -> None:
    """Show tools with their digests, and whether they are approved.

    Those that the enforcer in --data has seen; with --url, --command or --tools those that a
    server offers now, compared with what is pinned where --server names it.
    """
    rows = [row_of(name, pin) for name, pin in _known(data, server, offer)]
    alone = offer.given and server is None  # nothing to compare with
    if alone:
        rows = [{key: row[key] for key in ("tool", "digest", "definition")} for row in rows]
    if as_json:
        print_json(rows)
        return
    columns = ["tool", "digest"]
    if not alone:
        columns = ["server", "tool", "state", "digest", "first_seen", "approved", "approved_by"]
        if any(row["looks_like"] for row in rows):
            columns.append("looks_like")
    for row in rows:
        row["digest"] = short(row["digest"] or row["approved_digest"])
        for key in columns:
            row[key] = None if row[key] is None else plain_text(row[key])
    print_rows(rows, columns, empty="no tool is offered")


@tools.command()
@click.argument("names", metavar="[TOOL]...", nargs=-1)
@data_option
@server_option
@offer_options
@json_option
def diff(
    *, names: tuple[str, ...], data: Path | None, server: str | None, offer: Offer, as_json: bool
) -> int:
    """Show what is offered otherwise than it was approved, in text and schema.

    Exit codes: 0 all is as approved, 1 something is not.
    """
    if offer.given and server is None:
        raise _which_server()
    known = _known(data, server, offer)
    _must_know(names, [pin.tool for _, pin in known])
    waiting = [
        (name, pin)
        for name, pin in known
        if (not names or pin.tool in names) and pin.state.value != "approved"
    ]
    if as_json:
        print_json([difference_of(name, pin) for name, pin in waiting])
    elif waiting:
        for name, pin in waiting:
            print_difference(name, pin)
        click.echo(
            f"{count(len(waiting), 'tool')} not as approved; where that is meant: "
            "toolreeve tools approve TOOL --reason WHY"
        )
    else:
        click.echo("All is as approved.")
    return FAILED if waiting else 0


@tools.command()
@click.argument("names", metavar="[TOOL]...", nargs=-1)
@click.option("--all", "all_of_them", is_flag=True, help="Every tool that is not approved.")
@click.option("--digest", help="Only if this is the definition, or its digest begins so.")
@needed_reason_option
@actor_option
@data_option
@server_option
@offer_options
@json_option
def approve(
    *,
    names: tuple[str, ...],
    all_of_them: bool,
    digest: str | None,
    reason: str,
    actor: str,
    data: Path | None,
    server: str | None,
    offer: Offer,
    as_json: bool,
) -> None:
    """Approve TOOLs as they are offered now.

    Under `pin: enforce` they may be called again. An enforcer that runs goes by it within a second,
    any other when it starts. With --url, --command or --tools what stands there is approved, also
    before the enforcer has seen it.
    """
    if bool(names) == all_of_them:
        raise CommandError(
            "no tool is named" if not names else "tools are named, and --all is given",
            "name the tools, or give --all",
            exit_code=BAD_INPUT,
        )
    if digest is not None and len(names) != 1:
        raise CommandError("--digest goes with one tool", "name it", exit_code=BAD_INPUT)
    if offer.given and server is None:
        raise _which_server()
    live_server = server if offer.given else None
    file = one_server(data, server) if live_server is None else file_for(data, live_server)
    live = offer.definitions() if offer.given else None
    done = _approve(file, live, names, digest=digest, actor=actor, reason=reason)
    if as_json:
        print_json(
            [{"server": file.server, "tool": one.tool, "digest": one.digest} for one in done]
        )
    elif not done:
        click.echo(f"all tools of {file.server} are approved already")
    for one in () if as_json else done:
        click.echo(f"approved {plain_text(one.tool)} {one.digest} on {file.server}")


def _approve(
    file: PinFile,
    live: dict[str, Definition] | None,
    names: Sequence[str],
    *,
    digest: str | None,
    actor: str,
    reason: str,
) -> list[Definition]:
    """Write the approvals, and return what was approved."""
    from toolreeve.decision import Instant
    from toolreeve.gateway.pinfile import Kept, PinFileError, untold

    at = Instant(time.time_ns())

    def approved(kept: Kept) -> tuple[Kept, list[Definition]]:
        pins, entries = kept.pins, list(kept.untold)
        wanted = _wanted(pins, live, names, digest)
        for one in wanted:
            pins, event = pins.approve(file.server, one, actor=actor, reason=reason, at=at)
            entries.append(untold(event, at))
        return Kept(pins=pins, untold=tuple(entries)), wanted

    try:
        return file.change(approved)
    except PinFileError as error:
        raise CommandError(f"{file.path}: {error.problem}", error.remedy) from error
    except OSError as error:
        raise CommandError(
            f"{file.path} cannot be written: {error.strerror}",
            "run this as the user that the enforcer runs as",
        ) from error


def _wanted(
    pins: Pins, live: dict[str, Definition] | None, names: Sequence[str], digest: str | None
) -> list[Definition]:
    """Return the definitions that are meant, or end the command; nothing is written then."""
    offered = (
        {pin.tool: pin.definition_offered for pin in pins.tools.values() if pin.offered}
        if live is None
        else live
    )
    _must_know(names, list(offered))
    wanted = [
        one
        for one in (offered.values() if not names else [offered[name] for name in names])
        if names or not pins.shows(one)
    ]
    if digest is not None and not wanted[0].digest.removeprefix("sha256:").startswith(
        digest.removeprefix("sha256:").lower()
    ):
        raise CommandError(
            f"{plain_text(names[0])} is offered as {wanted[0].digest}",
            "look at it with 'toolreeve tools diff', and approve that",
        )
    return wanted


def _known(data: Path | None, server: str | None, offer: Offer) -> list[tuple[str, Pin]]:
    """Return tools with their servers: as they are pinned, or as one server offers them now."""
    from msgspec.structs import replace

    from toolreeve.decision import Instant
    from toolreeve.enforcement.pins import Pins
    from toolreeve.policy import Pinning

    if not offer.given:
        found: list[tuple[str, Pin]] = []
        for file in some_pins(data, server):
            pins = read_pins(file).pins
            found += [(file.server, pins.tools[name]) for name in sorted(pins.tools)]
        return found
    page = list(offer.definitions().values())
    pins = Pins() if server is None else read_pins(file_for(data, server)).pins
    # Everything is compared, and nothing is taken for approved because it is seen here first.
    afresh = {name: replace(pin, changes=0) for name, pin in pins.tools.items()}
    seen = Pins(tools=afresh, listed=True).see(
        server or "", page, Pinning.ENFORCE, Instant(time.time_ns())
    )
    compared = seen.pins.tools
    return [(server or "", compared[one.tool]) for one in page if one.tool in compared]


def _must_know(names: Sequence[str], known: Sequence[str]) -> None:
    from difflib import get_close_matches

    for name in names:
        if name not in known:
            near = get_close_matches(name, known, 1)
            raise CommandError(
                f"no tool {plain_text(name)} is known",
                f"did you mean {plain_text(near[0])}?" if near else "see 'toolreeve tools list'",
                exit_code=BAD_INPUT,
            )


def _which_server() -> CommandError:
    return CommandError(
        "nothing says with which pinned server that is to be compared",
        "give --server NAME, as the enforcer calls it",
        exit_code=BAD_INPUT,
    )
