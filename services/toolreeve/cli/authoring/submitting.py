"""`toolreeve policy submit`: write a policy down for somebody else to release."""

from __future__ import annotations

from pathlib import Path

import click

from toolreeve.cli.commanding import actor_option, command_of, reason_option
from toolreeve.cli.output import json_option, print_json
from toolreeve.cli.reach import ANSWER_SECONDS_MAX, Place, Service, channel, service_option


@click.command()
@click.argument("file", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@reason_option
@actor_option
@service_option(Service.CONTROL)
@json_option
def submit(*, file: Path, reason: str, actor: str, place: Place, as_json: bool) -> None:
    """Write the policy in FILE down in the control plane's log. Nobody runs it yet.

    Where `four_eyes` is set, its author has it released by another: by its revision, which this
    prints.
    """
    from toolreeve.v1 import operator_pb2, operator_pb2_grpc

    request = operator_pb2.SubmitPolicyRequest(
        command=command_of(actor, reason), text=file.read_bytes(), source=str(file)
    )
    with channel(place) as opened:
        stub = operator_pb2_grpc.OperatorServiceStub(opened)
        answer = stub.SubmitPolicy(request, timeout=ANSWER_SECONDS_MAX)
    if as_json:
        print_json(
            {
                "policy": answer.policy,
                "revision": answer.revision,
                "unchanged": answer.unchanged,
            }
        )
    elif answer.unchanged:
        click.echo(f"{answer.revision} is known already")
    else:
        click.echo(
            f"{answer.revision} is written down; another brings it to the fleet with\n"
            f"  toolreeve rollout start {answer.revision} --server NAME"
        )
