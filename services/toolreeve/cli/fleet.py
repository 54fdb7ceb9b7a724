"""`toolreeve fleet`: which enforcer is there and what it runs."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import click

from toolreeve.cli.failure import CommandError
from toolreeve.cli.output import json_option, print_json, print_rows
from toolreeve.cli.reach import ANSWER_SECONDS_MAX, Place, Service, channel, service_option
from toolreeve.cli.times import written

if TYPE_CHECKING:
    from toolreeve.v1 import operator_pb2

NOTHING: dict[str, Any] = {"server": None, "running": "", "wanted": "", "refusal": None}


@click.group()
def fleet() -> None:
    """See which enforcer runs what."""


@fleet.command()
@service_option(Service.CONTROL)
@json_option
def status(*, place: Place, as_json: bool) -> None:
    """Show each enforcer: connected or not, what it should run and what it does run."""
    enforcers = [_plain(one) for one in ask_fleet(place)]
    if as_json:
        print_json(enforcers)
        return
    rows = [
        {
            "enforcer": one["enforcer"],
            "connected": one["connected"],
            "server": served["server"],
            "runs": _short(served["running"]),
            "should run": _short(served["wanted"]),
            "refused because": served["refusal"],
            "recorded": one["sequence"],
            "published": one["published_sequence"],
        }
        for one in enforcers
        for served in one["served"] or [NOTHING]
    ]
    print_rows(
        rows,
        [
            "enforcer",
            "connected",
            "server",
            "runs",
            "should run",
            "refused because",
            "recorded",
            "published",
        ],
        numeric=("recorded", "published"),
        empty="no enforcer has ever connected; see 'toolreeve gateway --help'",
    )


def ask_fleet(place: Place) -> list[operator_pb2.EnforcerSummary]:
    """Return every enforcer the control plane knows."""
    from toolreeve.v1 import operator_pb2, operator_pb2_grpc

    with channel(place) as opened:
        stub = operator_pb2_grpc.OperatorServiceStub(opened)
        answer = stub.GetFleet(operator_pb2.GetFleetRequest(), timeout=ANSWER_SECONDS_MAX)
    return list(answer.enforcers)


def wait_for_revision(
    place: Place, server: str, revision: str, *, seconds_max: float = 20.0
) -> None:
    """Return once every connected enforcer of `server` runs `revision`, and there is one.

    CommandError where one refuses it, or the time is over.
    """
    deadline = time.monotonic() + seconds_max
    while True:
        served = [
            (enforcer.enforcer_id, one)
            for enforcer in ask_fleet(place)
            if enforcer.connected
            for one in enforcer.served
            if one.server == server
        ]
        if served and all(one.revision_running == revision for _, one in served):
            return
        for enforcer_id, one in served:
            if one.refusal and one.revision_wanted == revision:
                raise CommandError(
                    f"enforcer {enforcer_id} refuses {revision}: {one.refusal}",
                    "mend the policy and publish it again",
                )
        if time.monotonic() > deadline:
            raise CommandError(
                f"no enforcer of {server} runs {revision} after {seconds_max:.0f} s",
                "see 'toolreeve fleet status'",
            )
        time.sleep(0.02)


def _plain(one: operator_pb2.EnforcerSummary) -> dict[str, Any]:
    return {
        "enforcer": one.enforcer_id,
        "host": one.host,
        "software_version": one.software_version,
        "connected": one.connected,
        "last_seen": written(one.last_seen_unix_nano),
        "labels": dict(one.labels),
        "epoch": one.epoch,
        "sequence": one.sequence,
        "published_sequence": one.published_sequence,
        "outbox_bytes": one.outbox_bytes,
        "served": [
            {
                "server": served.server,
                "wanted": served.revision_wanted,
                "running": served.revision_running,
                "refusal": served.refusal or None,
            }
            for served in one.served
        ],
    }


def _short(revision: str) -> str | None:
    """Enough of a revision to tell it from others, as git does."""
    return revision.removeprefix("sha256:")[:12] or None
