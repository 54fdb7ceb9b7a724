"""`toolreeve rollout pause`, `resume`, `promote`, `abort` and `rollback`."""

from __future__ import annotations

import click

from toolreeve.cli.commanding import actor_option, command_of, needed_reason_option, reason_option
from toolreeve.cli.output import json_option, print_json
from toolreeve.cli.reach import ANSWER_SECONDS_MAX, Place, Service, channel, service_option
from toolreeve.cli.rollouts.showing import ask, which_argument
from toolreeve.cli.rollouts.view import ladder, plain


def _change(
    place: Place, which: str, change: str, *, actor: str, reason: str, as_json: bool
) -> None:
    from toolreeve.v1 import operator_pb2, operator_pb2_grpc

    found = ask(place, which)
    request = operator_pb2.ChangeRolloutRequest(
        command=command_of(actor, reason),
        rollout_id=found.rollout_id,
        change=operator_pb2.RolloutChange.Value(f"ROLLOUT_CHANGE_{change}"),
    )
    with channel(place) as opened:
        stub = operator_pb2_grpc.OperatorServiceStub(opened)
        answer = stub.ChangeRollout(request, timeout=ANSWER_SECONDS_MAX)
    if as_json:
        print_json(plain(answer.rollout))
    else:
        for line in ladder(answer.rollout):
            click.echo(line)


@click.command()
@which_argument
@reason_option
@actor_option
@service_option(Service.CONTROL)
@json_option
def pause(*, which: str, reason: str, actor: str, place: Place, as_json: bool) -> None:
    """Stay at the stage until somebody resumes it."""
    _change(place, which, "PAUSE", actor=actor, reason=reason, as_json=as_json)


@click.command()
@which_argument
@reason_option
@actor_option
@service_option(Service.CONTROL)
@json_option
def resume(*, which: str, reason: str, actor: str, place: Place, as_json: bool) -> None:
    """Go on with one that is paused; its stage is watched anew."""
    _change(place, which, "RESUME", actor=actor, reason=reason, as_json=as_json)


@click.command()
@which_argument
@reason_option
@actor_option
@service_option(Service.CONTROL)
@json_option
def promote(*, which: str, reason: str, actor: str, place: Place, as_json: bool) -> None:
    """Go on to the next stage now, proved or not."""
    _change(place, which, "PROMOTE", actor=actor, reason=reason, as_json=as_json)


@click.command()
@which_argument
@needed_reason_option
@actor_option
@service_option(Service.CONTROL)
@json_option
def abort(*, which: str, reason: str, actor: str, place: Place, as_json: bool) -> None:
    """Give it up: every enforcer goes back to the revision of before."""
    _change(place, which, "ABORT", actor=actor, reason=reason, as_json=as_json)


@click.command()
@which_argument
@needed_reason_option
@actor_option
@service_option(Service.CONTROL)
@json_option
def rollback(*, which: str, reason: str, actor: str, place: Place, as_json: bool) -> None:
    """Take it back, also when it is done, as long as nothing else was published since."""
    _change(place, which, "ROLL_BACK", actor=actor, reason=reason, as_json=as_json)
