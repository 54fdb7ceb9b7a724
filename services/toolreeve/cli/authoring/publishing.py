"""`toolreeve policy publish`, `list` and `show`: policies and the control plane."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING

import click

from toolreeve.cli.authoring.reading import count, policy_argument, read_bytes, read_policy
from toolreeve.cli.authoring.signing import to_sign_option, write_to_sign
from toolreeve.cli.commanding import actor_option, command_of, reason_option
from toolreeve.cli.failure import CommandError
from toolreeve.cli.output import json_option, print_json, print_rows
from toolreeve.cli.reach import ANSWER_SECONDS_MAX, Place, Service, channel, service_option
from toolreeve.cli.times import written

if TYPE_CHECKING:
    from pathlib import Path

    from toolreeve.v1 import operator_pb2


@click.command()
@policy_argument
@click.option("--server", required=True, help="Name of the upstream it is for.")
@click.option(
    "--break-glass",
    is_flag=True,
    help="At once, ending a rollout that is under way. Needs --reason, and is recorded as such.",
)
@to_sign_option
@reason_option
@actor_option
@service_option(Service.CONTROL)
@json_option
def publish(
    file: Path,
    *,
    server: str,
    break_glass: bool,
    to_sign: Path | None,
    reason: str,
    actor: str,
    place: Place,
    as_json: bool,
) -> None:
    """Sign FILE and bring it to every enforcer that serves SERVER.

    A broken file is refused before anything is sent, and changes nothing.
    """
    text = read_bytes(file)
    read_policy(file, text)
    answer = publish_text(
        place,
        text=text,
        source=str(file),
        server=server,
        actor=actor,
        reason=reason,
        break_glass=break_glass,
        to_sign=to_sign,
    )
    if to_sign is not None:
        return
    if as_json:
        print_json(
            {
                "server": server,
                "policy": answer.policy,
                "revision": answer.revision,
                "manifest_sequence": answer.manifest_sequence,
                "enforcers": answer.enforcers,
                "unchanged": answer.unchanged,
            }
        )
    elif answer.unchanged:
        click.echo(f"{server} has this policy already: {answer.revision}")
    else:
        click.echo(
            f"{server} is to run {answer.revision} (manifest {answer.manifest_sequence}), "
            f"sent to {count(answer.enforcers, 'connected enforcer')}"
        )


@click.command("list")
@service_option(Service.CONTROL)
@json_option
def list_policies(*, place: Place, as_json: bool) -> None:
    """Show which revision each server is to run."""
    from toolreeve.v1 import operator_pb2, operator_pb2_grpc

    with channel(place) as opened:
        stub = operator_pb2_grpc.OperatorServiceStub(opened)
        answer = stub.ListPolicies(operator_pb2.ListPoliciesRequest(), timeout=ANSWER_SECONDS_MAX)
    rows = [
        {
            "server": one.server,
            "policy": one.policy,
            "revision": one.revision,
            "manifest": one.manifest_sequence,
            "published": written(one.published_unix_nano),
            "actor": one.actor,
        }
        for one in answer.policies
    ]
    if as_json:
        print_json(rows)
    else:
        print_rows(
            rows,
            ["server", "policy", "revision", "manifest", "published", "actor"],
            numeric=("manifest",),
            empty="no policy is published; see 'toolreeve policy publish --help'",
        )


@click.command()
@click.argument("revision")
@service_option(Service.CONTROL)
def show(*, revision: str, place: Place) -> None:
    """Print a published policy as JSON, in the layout that `fmt` writes.

    REVISION is sha256:<hex>, or the name of a server for what it is to run now.
    """
    from toolreeve.v1 import operator_pb2, operator_pb2_grpc

    with channel(place) as opened:
        stub = operator_pb2_grpc.OperatorServiceStub(opened)
        if not revision.startswith("sha256:"):
            listed = stub.ListPolicies(
                operator_pb2.ListPoliciesRequest(), timeout=ANSWER_SECONDS_MAX
            )
            of_server = {one.server: one.revision for one in listed.policies}
            if revision not in of_server:
                raise CommandError(
                    f"no policy is published for a server named {revision!r}",
                    "see 'toolreeve policy list'",
                )
            revision = of_server[revision]
        answer = stub.GetRevision(
            operator_pb2.GetRevisionRequest(revision=revision), timeout=ANSWER_SECONDS_MAX
        )
    from toolreeve.policy.layout import write_json

    sys.stdout.write(write_json(json.loads(answer.body)))


def publish_text(
    place: Place,
    *,
    text: bytes,
    source: str,
    server: str,
    actor: str,
    reason: str,
    break_glass: bool = False,
    to_sign: Path | None = None,
) -> operator_pb2.PublishPolicyResponse:
    """Send a policy's text to the control plane, which checks, signs and pushes it."""
    from toolreeve.v1 import operator_pb2, operator_pb2_grpc

    request = operator_pb2.PublishPolicyRequest(
        command=command_of(actor, reason),
        server=server,
        text=text,
        source=source,
        break_glass=break_glass,
    )
    asked = request.SerializeToString()
    request.unsigned = to_sign is not None
    with channel(place) as opened:
        stub = operator_pb2_grpc.OperatorServiceStub(opened)
        answer = stub.PublishPolicy(request, timeout=ANSWER_SECONDS_MAX)
    if to_sign is not None:
        write_to_sign(to_sign, "PublishPolicy", asked, answer.to_sign)
    return answer
