"""`toolreeve hold`: stop calls at once, whatever the policy says."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from toolreeve.cli.commanding import actor_option, command_of, needed_reason_option
from toolreeve.cli.failure import BAD_INPUT, CommandError
from toolreeve.cli.output import json_option, print_json, print_rows
from toolreeve.cli.reach import ANSWER_SECONDS_MAX, Place, Service, channel, service_option
from toolreeve.cli.times import from_now, span, written

if TYPE_CHECKING:
    from toolreeve.v1 import audit_pb2


@click.group()
def hold() -> None:
    """Stop calls at once, and let them go again."""


@hold.command()
@click.option("--fleet", is_flag=True, help="Every call of every enforcer.")
@click.option("--server", default="", help="Calls to this upstream.")
@click.option("--grant", default="", help="Calls under this grant.")
@click.option("--tool", default="", help="Calls of this effective tool.")
@click.option(
    "--argument",
    nargs=2,
    metavar="POINTER JSON",
    help="Calls where the argument at POINTER equals JSON: --argument /id 3",
)
@click.option("--for", "span_ns", type=span, help="Lift it by itself after 10m, 24h, 7d.")
@needed_reason_option
@actor_option
@service_option(Service.CONTROL)
@json_option
def place(
    *,
    fleet: bool,
    server: str,
    grant: str,
    tool: str,
    argument: tuple[str, str] | None,
    span_ns: int | None,
    reason: str,
    actor: str,
    place: Place,
    as_json: bool,
) -> None:
    """Hold calls that match every option given, on every enforcer."""
    if not (fleet or server or grant or tool or argument):
        raise CommandError(
            "nothing is named to be held",
            "give --server, --grant, --tool or --argument, or --fleet for everything",
            exit_code=BAD_INPUT,
        )
    from toolreeve.v1 import audit_pb2, operator_pb2, operator_pb2_grpc

    pointer, value_json = argument or ("", "")
    wanted = audit_pb2.Hold(
        fleet=fleet,
        server=server,
        grant=grant,
        tool=tool,
        argument_pointer=pointer,
        argument_value_json=_canonical(value_json) if argument else "",
        actor=actor,
        reason=reason,
        expires_unix_nano=from_now(span_ns) if span_ns else 0,
    )
    request = operator_pb2.PlaceHoldRequest(command=command_of(actor, reason), hold=wanted)
    with channel(place) as opened:
        stub = operator_pb2_grpc.OperatorServiceStub(opened)
        answer = stub.PlaceHold(request, timeout=ANSWER_SECONDS_MAX)
    if as_json:
        print_json(_plain(answer.hold))
    else:
        click.echo(
            f"hold {answer.hold.hold_id} is in force; "
            f"lift it with 'toolreeve hold release {answer.hold.hold_id} --reason WHY'"
        )


@hold.command()
@click.argument("hold_id")
@needed_reason_option
@actor_option
@service_option(Service.CONTROL)
def release(*, hold_id: str, reason: str, actor: str, place: Place) -> None:
    """Lift the hold HOLD_ID."""
    from toolreeve.v1 import operator_pb2, operator_pb2_grpc

    request = operator_pb2.ReleaseHoldRequest(command=command_of(actor, reason), hold_id=hold_id)
    with channel(place) as opened:
        operator_pb2_grpc.OperatorServiceStub(opened).ReleaseHold(
            request, timeout=ANSWER_SECONDS_MAX
        )
    click.echo(f"hold {hold_id} is lifted")


@hold.command("list")
@service_option(Service.CONTROL)
@json_option
def list_holds(*, place: Place, as_json: bool) -> None:
    """Show the holds that are in force."""
    from toolreeve.v1 import operator_pb2, operator_pb2_grpc

    with channel(place) as opened:
        stub = operator_pb2_grpc.OperatorServiceStub(opened)
        answer = stub.ListHolds(operator_pb2.ListHoldsRequest(), timeout=ANSWER_SECONDS_MAX)
    rows = [_plain(one) for one in answer.holds]
    if as_json:
        print_json(rows)
        return
    for row in rows:
        row["what"] = " and ".join(
            f"{key} {row[key]}" for key in ("server", "grant", "tool", "argument") if row[key]
        ) or ("everything" if row["fleet"] else "nothing")
    print_rows(rows, ["hold", "what", "actor", "reason", "expires"], empty="no hold is in force")


def _canonical(value_json: str) -> str:
    import msgspec

    from toolreeve.policy import canonical_json

    try:
        return canonical_json(msgspec.json.decode(value_json)).decode()
    except msgspec.DecodeError as error:
        raise CommandError(
            f"{value_json!r} is no JSON value",
            "quote text for JSON: --argument /name '\"web-1\"'",
            exit_code=BAD_INPUT,
        ) from error


def _plain(one: audit_pb2.Hold) -> dict[str, Any]:
    argument = f"{one.argument_pointer} = {one.argument_value_json}"
    return {
        "hold": one.hold_id,
        "fleet": one.fleet,
        "server": one.server or None,
        "grant": one.grant or None,
        "tool": one.tool or None,
        "argument": argument if one.argument_pointer else None,
        "actor": one.actor,
        "reason": one.reason,
        "expires": written(one.expires_unix_nano),
    }
