"""`toolreeve rollout status`, `list`, `watch` and `wait`."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import click

from toolreeve.cli.failure import CommandError
from toolreeve.cli.output import json_option, print_json, print_json_line, print_rows
from toolreeve.cli.reach import ANSWER_SECONDS_MAX, Place, Service, channel, service_option
from toolreeve.cli.rollouts.view import OVER, STUCK, ladder, plain, row, share, state_of
from toolreeve.cli.times import span

if TYPE_CHECKING:
    from toolreeve.v1 import operator_pb2

LOOK_SECONDS = 0.25

which_argument = click.argument("which", metavar="ROLLOUT|SERVER")


@click.command()
@which_argument
@service_option(Service.CONTROL)
@json_option
def status(*, which: str, place: Place, as_json: bool) -> None:
    """Show how a rollout stands; of a server, its newest."""
    found = ask(place, which)
    if as_json:
        print_json(plain(found))
    else:
        _print_ladder(found)


@click.command("list")
@click.option("--server", default="", help="Of this server only.")
@service_option(Service.CONTROL)
@json_option
def list_rollouts(*, server: str, place: Place, as_json: bool) -> None:
    """Show the rollouts that are remembered, the newest first."""
    found = _ask_all(place, server)
    if as_json:
        print_json([plain(one) for one in found])
        return
    print_rows(
        [row(one) for one in found],
        ["rollout", "server", "revision", "state", "stage", "runs it", "started", "reason"],
        empty="no rollout has begun; see 'toolreeve rollout start --help'",
    )


@click.command()
@which_argument
@service_option(Service.CONTROL)
@json_option
def watch(*, which: str, place: Place, as_json: bool) -> None:
    """Show a rollout until it is over, whenever something has changed."""
    found = ask(place, which)
    if not as_json and _on_terminal():
        _watch_live(place, found)
        return
    said = None
    while True:
        if (facts := plain(found)) != said:
            said = facts
            if as_json:
                print_json_line(facts)
            else:
                _print_ladder(found)
        if facts["state"] in OVER:
            return
        time.sleep(LOOK_SECONDS)
        found = ask(place, found.rollout_id)


@click.command()
@which_argument
@click.option(
    "--for",
    "wanted",
    type=share,
    default="100",
    show_default=True,
    metavar="PERCENT",
    help="Of the server's enforcers that must run it.",
)
@click.option("--timeout", type=span, default="1h", show_default=True, help="Give up after.")
@service_option(Service.CONTROL)
@json_option
def wait(*, which: str, wanted: int, timeout: int, place: Place, as_json: bool) -> None:
    """Return once enough enforcers run it.

    Fails where the rollout pauses, halts or is taken back before.
    """
    deadline = time.monotonic() + timeout / 10**9
    found = ask(place, which)
    while not _is_there(found, wanted):
        state = state_of(found.state)
        if state in STUCK or state == "done":
            raise CommandError(
                f"{found.rollout_id} is {state.replace('_', ' ')}: {found.reason}",
                f"see 'toolreeve rollout status {found.rollout_id}'",
            )
        if time.monotonic() > deadline:
            raise CommandError(
                f"{found.enforcers_activated} of {found.enforcers} enforcers run it in time",
                f"see 'toolreeve rollout status {found.rollout_id}'",
            )
        time.sleep(LOOK_SECONDS)
        found = ask(place, found.rollout_id)
    if as_json:
        print_json(plain(found))
    else:
        click.echo(f"{found.enforcers_activated} of {found.enforcers} enforcers run it")


def _is_there(one: operator_pb2.Rollout, wanted: int) -> bool:
    taken_back = state_of(one.state) in {"rolled_back", "aborted"}
    enough = 10_000 * one.enforcers_activated >= wanted * one.enforcers
    return enough and one.enforcers > 0 and not taken_back


def ask(place: Place, which: str) -> operator_pb2.Rollout:
    """Return a rollout by its id, or the newest of a server."""
    from toolreeve.v1 import operator_pb2, operator_pb2_grpc

    if not which.startswith("rollout-"):
        found = _ask_all(place, which)
        if not found:
            raise CommandError(
                f"no rollout of a server named {which!r} is known", "see 'toolreeve rollout list'"
            )
        return found[0]
    with channel(place) as opened:
        stub = operator_pb2_grpc.OperatorServiceStub(opened)
        request = operator_pb2.GetRolloutRequest(rollout_id=which)
        return stub.GetRollout(request, timeout=ANSWER_SECONDS_MAX).rollout


def _ask_all(place: Place, server: str) -> list[operator_pb2.Rollout]:
    from toolreeve.v1 import operator_pb2, operator_pb2_grpc

    with channel(place) as opened:
        stub = operator_pb2_grpc.OperatorServiceStub(opened)
        request = operator_pb2.ListRolloutsRequest(server=server)
        return list(stub.ListRollouts(request, timeout=ANSWER_SECONDS_MAX).rollouts)


def _print_ladder(one: operator_pb2.Rollout) -> None:
    for line in ladder(one):
        click.echo(line)


def _on_terminal() -> bool:
    from toolreeve.cli.output import stdout_console

    return stdout_console().is_terminal


def _watch_live(place: Place, found: operator_pb2.Rollout) -> None:
    from rich.live import Live
    from rich.text import Text

    with Live(Text("\n".join(ladder(found))), refresh_per_second=4) as live:
        while state_of(found.state) not in OVER:
            time.sleep(LOOK_SECONDS)
            found = ask(place, found.rollout_id)
            live.update(Text("\n".join(ladder(found))))
