"""`toolreeve approvals`: say yes or no to calls that wait for a person."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from toolreeve.cli.commanding import actor_option, command_of, needed_reason_option, reason_option
from toolreeve.cli.output import json_option, print_json, print_rows, print_table
from toolreeve.cli.reach import ANSWER_SECONDS_MAX, Place, Service, channel, service_option
from toolreeve.cli.times import written

if TYPE_CHECKING:
    from toolreeve.v1 import operator_pb2

_STATES = ("unknown", "pending", "approved", "denied", "expired", "used")


@click.group()
def approvals() -> None:
    """Say yes or no to calls that wait for a person."""


@approvals.command("list")
@click.option("--all", "everything", is_flag=True, help="Also those that are decided or over.")
@service_option(Service.CONTROL)
@json_option
def list_approvals(*, everything: bool, place: Place, as_json: bool) -> None:
    """Show what waits for somebody, the oldest first."""
    from toolreeve.v1 import operator_pb2, operator_pb2_grpc

    with channel(place) as opened:
        stub = operator_pb2_grpc.OperatorServiceStub(opened)
        request = operator_pb2.ListApprovalsRequest(pending_only=not everything)
        answer = stub.ListApprovals(request, timeout=ANSWER_SECONDS_MAX)
    rows = [_plain(one) for one in answer.approvals]
    if as_json:
        print_json(rows)
        return
    for row in rows:
        row["arguments"] = _arguments(row)
        row["votes"] = f"{sum(one['approved'] for one in row['votes'])} of {row['votes_needed']}"
    columns = [
        "approval", "state", "agent", "grant", "server", "tool", "arguments", "votes", "asked",
        "expires",
    ]  # fmt: skip
    print_rows(rows, columns, empty="nothing waits for an approval")


@approvals.command()
@click.argument("approval_id")
@service_option(Service.CONTROL)
@json_option
def show(*, approval_id: str, place: Place, as_json: bool) -> None:
    """Show what the approval APPROVAL_ID is asked for, and what was said of it."""
    from toolreeve.v1 import operator_pb2, operator_pb2_grpc

    with channel(place) as opened:
        stub = operator_pb2_grpc.OperatorServiceStub(opened)
        request = operator_pb2.GetApprovalRequest(approval_id=approval_id)
        answer = stub.GetApproval(request, timeout=ANSWER_SECONDS_MAX)
    found = _plain(answer.approval)
    if as_json:
        print_json(found)
        return
    found["arguments"] = _arguments(found)
    found["votes"] = "; ".join(
        f"{one['actor']} said {'yes' if one['approved'] else 'no'} at {one['time']}"
        + (f" ({one['reason']})" if one["reason"] else "")
        for one in found["votes"]
    )
    for several in ("approvers", "enforcers"):
        found[several] = ", ".join(found[several])
    for alone in ("argument_names", "kept"):
        del found[alone]
    print_table(["what", ""], ((key.replace("_", " "), value) for key, value in found.items()))


@approvals.command()
@click.argument("approval_id")
@reason_option
@actor_option
@service_option(Service.CONTROL)
@json_option
def approve(*, approval_id: str, reason: str, actor: str, place: Place, as_json: bool) -> None:
    """Let the call that waits for APPROVAL_ID be made, once."""
    _decide(approval_id, approved=True, reason=reason, actor=actor, place=place, as_json=as_json)


@approvals.command()
@click.argument("approval_id")
@needed_reason_option
@actor_option
@service_option(Service.CONTROL)
@json_option
def deny(*, approval_id: str, reason: str, actor: str, place: Place, as_json: bool) -> None:
    """Keep the call that waits for APPROVAL_ID from being made.

    Takes back a yes too, as long as the call has not been made. The agent is told the reason.
    """
    _decide(approval_id, approved=False, reason=reason, actor=actor, place=place, as_json=as_json)


def _decide(
    approval_id: str, *, approved: bool, reason: str, actor: str, place: Place, as_json: bool
) -> None:
    from toolreeve.v1 import operator_pb2, operator_pb2_grpc

    request = operator_pb2.DecideApprovalRequest(
        command=command_of(actor, reason), approval_id=approval_id, approved=approved
    )
    with channel(place) as opened:
        stub = operator_pb2_grpc.OperatorServiceStub(opened)
        answer = stub.DecideApproval(request, timeout=ANSWER_SECONDS_MAX)
    found = _plain(answer.approval)
    if as_json:
        print_json(found)
        return
    told = f"approval {approval_id} is {found['state']}"
    if found["state"] == "approved":
        told += f"; the call may be made once, until {found['permit_until']}"
    elif found["state"] == "pending":
        given = sum(one["approved"] for one in found["votes"])
        told = f"approval {approval_id} has {given} of {found['votes_needed']} votes"
    click.echo(told)


def _arguments(row: dict[str, Any]) -> str:
    """What is known of the arguments: values where they are kept, else names."""
    kept: dict[str, Any] = row["kept"]
    names = [name for name in row["argument_names"] if f"/{name}" not in kept]
    return ", ".join([*(f"{pointer}={value}" for pointer, value in kept.items()), *names])


def _plain(one: operator_pb2.Approval) -> dict[str, Any]:
    question = one.question
    return {
        "approval": one.approval_id,
        "state": _STATES[one.state] if one.state < len(_STATES) else "unknown",
        "agent": question.agent,
        "grant": question.grant,
        "server": question.server,
        "tool": question.tool,
        "wire_tool": question.wire_tool,
        "argument_names": list(question.argument_names),
        "kept": {kept.pointer: kept.value_json for kept in question.kept},
        "reason": question.reason,
        "policy_revision": question.policy_revision,
        "rule": question.rule,
        "approvers": list(question.approvers),
        "votes_needed": question.votes_needed,
        "votes": [
            {
                "actor": vote.actor,
                "approved": vote.approved,
                "reason": vote.reason,
                "time": written(vote.time_unix_nano),
            }
            for vote in one.votes
        ],
        "enforcers": list(one.enforcers),
        "asked": written(one.asked_unix_nano),
        "expires": written(one.expires_unix_nano),
        "permit_until": written(one.permit_until_unix_nano),
        "used_by": one.used_by or None,
        "used": written(one.used_unix_nano),
    }
