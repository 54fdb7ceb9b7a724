"""`toolreeve grant`: the credentials of agents."""

from __future__ import annotations

import hashlib
import secrets
from typing import TYPE_CHECKING, Any

import click

from toolreeve.cli.commanding import actor_option, command_of, needed_reason_option, reason_option
from toolreeve.cli.output import json_option, print_json, print_rows
from toolreeve.cli.reach import ANSWER_SECONDS_MAX, Place, Service, channel, service_option
from toolreeve.cli.times import from_now, span, written

if TYPE_CHECKING:
    from toolreeve.v1 import operator_pb2

TOKEN_PREFIX = "trg_"  # noqa: S105  (by which scanners for leaked secrets know one)
TOKEN_BYTES = 32
MILLISECOND_NS = 1_000_000


@click.group()
def grant() -> None:
    """Let agents in, and keep them out again."""


@grant.command()
@click.argument("name")
@click.option("--agent", required=True, help="Label of the agent that will hold it.")
@click.option("--server", "servers", multiple=True, help="Upstream it is for; may be repeated.")
@click.option("--all-servers", is_flag=True, help="It is for every upstream of the fleet.")
@click.option("--for", "span_ns", type=span, help="Let it expire by itself after 12h, 30d.")
@reason_option
@actor_option
@service_option(Service.CONTROL)
@json_option
def create(
    *,
    name: str,
    agent: str,
    servers: tuple[str, ...],
    all_servers: bool,
    span_ns: int | None,
    reason: str,
    actor: str,
    place: Place,
    as_json: bool,
) -> None:
    """Create the grant NAME and show its token, this once.

    The agent presents the token as `Authorization: Bearer TOKEN`.
    """
    if bool(servers) == all_servers:
        raise click.UsageError("say which servers with --server, or --all-servers")
    from toolreeve.v1 import operator_pb2, operator_pb2_grpc

    token = _new_token()
    request = operator_pb2.CreateGrantRequest(
        command=command_of(actor, reason),
        grant=name,
        agent=agent,
        servers=servers,
        expires_unix_nano=from_now(span_ns) if span_ns else 0,
        token_sha256=hashlib.sha256(token.encode()).digest(),
    )
    with channel(place) as opened:
        stub = operator_pb2_grpc.OperatorServiceStub(opened)
        answer = stub.CreateGrant(request, timeout=ANSWER_SECONDS_MAX)
    _tell_token(answer.grant, token, as_json=as_json)


@grant.command()
@click.argument("name")
@click.option(
    "--overlap",
    "overlap_ns",
    type=span,
    default="24h",
    show_default=True,
    help="How long the token of before goes on beside the new one; 0s ends it now.",
)
@reason_option
@actor_option
@service_option(Service.CONTROL)
@json_option
def rotate(
    *, name: str, overlap_ns: int, reason: str, actor: str, place: Place, as_json: bool
) -> None:
    """Give the grant NAME a new token and show it, this once."""
    from toolreeve.v1 import operator_pb2, operator_pb2_grpc

    token = _new_token()
    request = operator_pb2.RotateGrantRequest(
        command=command_of(actor, reason),
        grant=name,
        token_sha256=hashlib.sha256(token.encode()).digest(),
        overlap_ms=overlap_ns // MILLISECOND_NS,
    )
    with channel(place) as opened:
        stub = operator_pb2_grpc.OperatorServiceStub(opened)
        answer = stub.RotateGrant(request, timeout=ANSWER_SECONDS_MAX)
    until = written(answer.overlap_until_unix_nano)
    _tell_token(answer.grant, token, as_json=as_json, more={"token_of_before_until": until})


@grant.command()
@click.argument("name")
@needed_reason_option
@actor_option
@service_option(Service.CONTROL)
@json_option
def revoke(*, name: str, reason: str, actor: str, place: Place, as_json: bool) -> None:
    """Keep the holder of the grant NAME out, everywhere, for ever."""
    from toolreeve.v1 import operator_pb2, operator_pb2_grpc

    request = operator_pb2.RevokeGrantRequest(command=command_of(actor, reason), grant=name)
    with channel(place) as opened:
        stub = operator_pb2_grpc.OperatorServiceStub(opened)
        answer = stub.RevokeGrant(request, timeout=ANSWER_SECONDS_MAX)
    if as_json:
        print_json(_plain(answer.grant))
    else:
        click.echo(f"grant {name} is revoked")


@grant.command("list")
@click.option("--all", "everything", is_flag=True, help="Also those revoked or expired.")
@service_option(Service.CONTROL)
@json_option
def list_grants(*, everything: bool, place: Place, as_json: bool) -> None:
    """Show the grants that open something."""
    from toolreeve.v1 import operator_pb2, operator_pb2_grpc

    with channel(place) as opened:
        stub = operator_pb2_grpc.OperatorServiceStub(opened)
        request = operator_pb2.ListGrantsRequest(all=everything)
        answer = stub.ListGrants(request, timeout=ANSWER_SECONDS_MAX)
    rows = [_plain(one) for one in answer.grants]
    if as_json:
        print_json(rows)
        return
    for row in rows:
        row["servers"] = ", ".join(row["servers"]) or "all"
    columns = ["grant", "agent", "servers", "state", "tokens", "created", "expires", "actor"]
    print_rows(rows, columns, empty="there is no grant")


def _new_token() -> str:
    return TOKEN_PREFIX + secrets.token_urlsafe(TOKEN_BYTES)


def _tell_token(
    one: operator_pb2.Grant, token: str, *, as_json: bool, more: dict[str, Any] | None = None
) -> None:
    """The token alone on standard output, so that it can be piped; the rest beside it."""
    if as_json:
        print_json({**_plain(one), **(more or {}), "token": token})
        return
    click.echo(f"grant {one.grant} of agent {one.agent}; its token is shown this once:", err=True)
    click.echo(token)
    for what, value in (more or {}).items():
        click.echo(f"{what.replace('_', ' ')}: {value}", err=True)


def _plain(one: operator_pb2.Grant) -> dict[str, Any]:
    return {
        "grant": one.grant,
        "agent": one.agent,
        "servers": list(one.servers),
        "state": "revoked" if one.revoked else "in force" if one.tokens else "expired",
        "tokens": one.tokens,
        "created": written(one.created_unix_nano),
        "expires": written(one.expires_unix_nano),
        "actor": one.actor,
        "reason": one.reason,
    }
