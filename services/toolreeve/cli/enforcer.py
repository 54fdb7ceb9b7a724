"""`toolreeve enforcer`: let enforcers join, see who has, put one out."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from toolreeve.cli.commanding import actor_option, command_of, needed_reason_option, reason_option
from toolreeve.cli.failure import CommandError
from toolreeve.cli.output import json_option, print_json, print_rows
from toolreeve.cli.reach import ANSWER_SECONDS_MAX, Place, Service, channel, service_option
from toolreeve.cli.times import span, written

if TYPE_CHECKING:
    from toolreeve.v1 import identity_pb2

COLUMNS = ["name", "kind", "connected", "joins", "joined", "denied", "reason"]
kind_option = click.option(
    "--kind",
    type=click.Choice(["enforcer", "worker"]),
    default="enforcer",
    show_default=True,
    help="What joins.",
)


@click.group()
def enforcer() -> None:
    """Let enforcers join the fleet, see who has, put one out."""


@enforcer.command()
@click.argument("address", metavar="HOST:PORT")
@click.option(
    "--token-file",
    type=click.File(encoding="utf-8"),
    default="-",
    help="Holds the join token; without it, standard input does.",
)
@click.option(
    "--pin",
    required=True,
    metavar="sha256:HEX",
    help="Of the control plane's authority, as 'toolreeve enforcer token' says it.",
)
@click.option(
    "--data",
    type=click.Path(path_type=Path, file_okay=False),
    required=True,
    help="Data folder of the gateway (or of the worker) that joins.",
)
@json_option
def join(*, address: str, token_file: Any, pin: str, data: Path, as_json: bool) -> None:
    """Join the control plane that listens for operators at HOST:PORT.

    The token counts once. Keys are made here and stay here.
    """
    from toolreeve.runtime.address import AddressError
    from toolreeve.runtime.credentials import write_credentials
    from toolreeve.sync import joining

    try:
        joined = joining.join(address, token=token_file.read().strip(), pin=pin)
        write_credentials(data, joined)
    except joining.JoinError as error:
        raise CommandError(error.problem, error.remedy) from error
    except AddressError as error:
        raise CommandError(str(error), "give the control plane's address") from error
    except OSError as error:
        raise CommandError(
            f"{data}: the credentials cannot be written: {error.strerror}",
            "make the folder writable and join with a new token; this one is used",
        ) from error
    facts = {
        "kind": joined.kind,
        "name": joined.name,
        "expires": written(joined.expires_at),
        "address": joined.members_address,
        "keys": list(joined.signing_keys),
    }
    if as_json:
        print_json(facts)
        return
    click.echo(f"{joined.kind} {joined.name} has joined; its settings need:")
    if joined.kind == "enforcer":
        keys = ", ".join(f'"{key}"' for key in joined.signing_keys)
        click.echo(f'\nenforcer = "{joined.name}"\ndata = "{data}"\n')
        click.echo(f'[control]\naddress = "{joined.members_address}"\nkeys = [{keys}]')
    else:
        click.echo(
            f'\nname = "{joined.name}"\ndata = "{data}"\ncontrol = "{joined.members_address}"'
        )


@enforcer.command()
@click.argument("name")
@kind_option
@click.option("--for", "life_ns", type=span, help="It counts for so long.  [default: 1h]")
@reason_option
@actor_option
@service_option(Service.CONTROL)
@json_option
def token(
    *,
    name: str,
    kind: str,
    life_ns: int | None,
    reason: str,
    actor: str,
    place: Place,
    as_json: bool,
) -> None:
    """Make a token that lets the enforcer NAME join, once.

    An enforcer that has joined before ends its earlier certificate by joining again.
    """
    from toolreeve.v1 import identity_pb2, identity_pb2_grpc

    request = identity_pb2.CreateJoinTokenRequest(
        command=command_of(actor, reason),
        kind=_kind(kind),
        name=name,
        life_ms=(life_ns or 0) // 10**6,
    )
    with channel(place) as opened:
        stub = identity_pb2_grpc.IdentityServiceStub(opened)
        made = stub.CreateJoinToken(request, timeout=ANSWER_SECONDS_MAX)
    pin = f"sha256:{made.authority_sha256}"
    if as_json:
        expires = written(made.expires_unix_nano)
        print_json({"token": made.token, "expires": expires, "pin": pin, "address": place.address})
        return
    click.echo(made.token)
    click.echo(
        f"It is said this once and counts once, until {written(made.expires_unix_nano)}. There:\n"
        f"  toolreeve enforcer join {place.address} --pin {pin} --data DATA",
        err=True,
    )


@enforcer.command("list")
@service_option(Service.CONTROL)
@json_option
def list_members(*, place: Place, as_json: bool) -> None:
    """Show every enforcer and worker that has joined."""
    from toolreeve.v1 import identity_pb2, identity_pb2_grpc

    with channel(place) as opened:
        stub = identity_pb2_grpc.IdentityServiceStub(opened)
        answer = stub.ListMembers(identity_pb2.ListMembersRequest(), timeout=ANSWER_SECONDS_MAX)
    rows = [_plain(one) for one in answer.members]
    if as_json:
        print_json(rows)
    else:
        print_rows(rows, COLUMNS, empty="nobody has joined", numeric=["joins"])


@enforcer.command()
@click.argument("name")
@kind_option
@needed_reason_option
@actor_option
@service_option(Service.CONTROL)
def deny(*, name: str, kind: str, reason: str, actor: str, place: Place) -> None:
    """Refuse the certificates of the enforcer NAME; its stream ends at once.

    It comes back by joining with a token that was made later.
    """
    from toolreeve.v1 import identity_pb2, identity_pb2_grpc

    request = identity_pb2.DenyMemberRequest(
        command=command_of(actor, reason), kind=_kind(kind), name=name
    )
    with channel(place) as opened:
        stub = identity_pb2_grpc.IdentityServiceStub(opened)
        stub.DenyMember(request, timeout=ANSWER_SECONDS_MAX)
    click.echo(f"{kind} {name} is denied")


def _kind(name: str) -> identity_pb2.MemberKind.ValueType:
    from toolreeve.v1 import identity_pb2

    if name == "worker":
        return identity_pb2.MEMBER_KIND_WORKER
    return identity_pb2.MEMBER_KIND_ENFORCER


def _plain(one: identity_pb2.Member) -> dict[str, Any]:
    from toolreeve.v1 import identity_pb2

    worker = one.kind == identity_pb2.MEMBER_KIND_WORKER
    return {
        "name": one.name,
        "kind": "worker" if worker else "enforcer",
        "connected": None if worker else one.connected,  # a worker asks now and then
        "joins": one.generation,
        "joined": written(one.joined_unix_nano),
        "denied": one.denied,
        "denied_by": one.denied_by or None,
        "reason": one.reason or None,
    }
