"""`toolreeve rollout start`."""

from __future__ import annotations

from pathlib import Path

import click

from toolreeve.cli.authoring.reading import read_bytes, read_policy
from toolreeve.cli.authoring.signing import to_sign_option, write_to_sign
from toolreeve.cli.commanding import actor_option, command_of, reason_option
from toolreeve.cli.output import json_option, print_json
from toolreeve.cli.reach import ANSWER_SECONDS_MAX, Place, Service, channel, service_option
from toolreeve.cli.rollouts.view import ladder, plain, share
from toolreeve.cli.times import span

MILLISECOND_NS = 10**6


def shares(text: str) -> list[int]:
    """Read stages, such as 1,5,25,100. A click type."""
    return [share(part) for part in text.split(",")]


def bound(text: str) -> int | None:
    """Read a number of calls, or `any`. A click type."""
    if text == "any":
        return None
    if not text.isdecimal():
        raise click.BadParameter(f"{text!r} is no number of calls; write 0, 20 or any")
    return int(text)


@click.command()
@click.argument("policy", metavar="FILE|REVISION")
@click.option("--server", required=True, help="Name of the upstream it is for.")
@click.option(
    "--stages", type=shares, default="1,5,25,100", show_default=True, help="Percent of the fleet."
)
@click.option(
    "--soak", type=span, default="2m", show_default=True, help="How long each stage is watched."
)
@click.option(
    "--patience",
    type=span,
    default="1m",
    show_default=True,
    help="How much longer a stage may take to be proved, before the rollout pauses.",
)
@click.option(
    "--canary",
    multiple=True,
    metavar="LABEL=VALUE",
    help="Enforcers with this label belong to every stage; may be given again.",
)
@click.option(
    "--max-flips",
    type=bound,
    default="0",
    show_default=True,
    metavar="CALLS|any",
    help="Calls that only the new revision denies, before the rollout halts.",
)
@click.option(
    "--max-loosened",
    type=bound,
    default="any",
    show_default=True,
    metavar="CALLS|any",
    help="Calls that only the new revision allows, before the rollout halts.",
)
@click.option(
    "--max-drift",
    type=share,
    default="1",
    show_default=True,
    metavar="PERCENT",
    help="How many points the share of denied calls may grow.",
)
@click.option(
    "--alpha",
    type=click.FloatRange(0, 1, min_open=True, max_open=True),
    default=0.01,
    show_default=True,
    help="How probable a halt for drift may be where there is none.",
)
@click.option(
    "--min-decisions",
    type=click.IntRange(min=0),
    default=1,
    show_default=True,
    help="Calls that must be decided by it before the next stage.",
)
@click.option(
    "--max-missing",
    type=click.IntRange(0, 100),
    default=10,
    show_default=True,
    metavar="PERCENT",
    help="Enforcers of a stage that may be missing.",
)
@click.option(
    "--on-halt",
    type=click.Choice(["halt", "roll-back"]),
    default="halt",
    show_default=True,
    help="Stay where it is, or go back to the revision of before.",
)
@to_sign_option
@reason_option
@actor_option
@service_option(Service.CONTROL)
@json_option
def start(
    *,
    policy: str,
    server: str,
    stages: list[int],
    soak: int,
    patience: int,
    canary: tuple[str, ...],
    max_flips: int | None,
    max_loosened: int | None,
    max_drift: int,
    alpha: float,
    min_decisions: int,
    max_missing: int,
    on_halt: str,
    to_sign: Path | None,
    reason: str,
    actor: str,
    place: Place,
    as_json: bool,
) -> None:
    """Bring a policy to the enforcers of SERVER in stages.

    It is a file, or sha256:<hex> for a revision that was published before.
    """
    from toolreeve.v1 import operator_pb2, operator_pb2_grpc, rollout_pb2

    request = operator_pb2.StartRolloutRequest(
        command=command_of(actor, reason),
        server=server,
        plan=rollout_pb2.RolloutPlan(
            stages=stages,
            soak_ms=soak // MILLISECOND_NS,
            patience_ms=patience // MILLISECOND_NS,
            canary=canary,
            tightened_max=max_flips,
            loosened_max=max_loosened,
            drift_max=max_drift / 10_000,
            alpha=alpha,
            decisions_min=min_decisions,
            missing_percent_max=max_missing,
            roll_back_on_halt=on_halt == "roll-back",
        ),
    )
    if policy.startswith("sha256:"):
        request.revision = policy
    else:
        request.text = read_bytes(Path(policy))
        request.source = policy
        read_policy(Path(policy), request.text)
    asked = request.SerializeToString()
    request.unsigned = to_sign is not None
    with channel(place) as opened:
        stub = operator_pb2_grpc.OperatorServiceStub(opened)
        answer = stub.StartRollout(request, timeout=ANSWER_SECONDS_MAX)
    if to_sign is not None:
        write_to_sign(to_sign, "StartRollout", asked, answer.to_sign)
        return
    if as_json:
        print_json(plain(answer.rollout))
    else:
        for line in ladder(answer.rollout):
            click.echo(line)
        click.echo(f"follow it with 'toolreeve rollout watch {answer.rollout.rollout_id}'")
