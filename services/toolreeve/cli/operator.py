"""`toolreeve operator`: who may command the control plane, and as whom you do."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from toolreeve.cli.access import Access, Login, login_file, token_said
from toolreeve.cli.commanding import actor_option, command_of, needed_reason_option, reason_option
from toolreeve.cli.failure import BAD_INPUT, CommandError
from toolreeve.cli.output import json_option, print_json, print_rows
from toolreeve.cli.reach import ANSWER_SECONDS_MAX, Place, Service, channel, service_option
from toolreeve.cli.times import span, written

if TYPE_CHECKING:
    from toolreeve.v1 import identity_pb2

ROLES = ("viewer", "author", "approver", "releaser", "admin")
COLUMNS = ["name", "roles", "created", "created_by", "expires"]


@click.group()
def operator() -> None:
    """Say who may command the control plane, and log in as one."""


@operator.command()
@click.argument("name")
@click.option(
    "--role",
    "roles",
    type=click.Choice(ROLES),
    multiple=True,
    required=True,
    help="May be given several times.",
)
@click.option("--for", "life_ns", type=span, help="The token ends after 12h, 90d.")
@reason_option
@actor_option
@service_option(Service.CONTROL)
@json_option
def create(
    *,
    name: str,
    roles: tuple[str, ...],
    life_ns: int | None,
    reason: str,
    actor: str,
    place: Place,
    as_json: bool,
) -> None:
    """Let NAME command, and print the token, which is said this once."""
    from toolreeve.v1 import identity_pb2, identity_pb2_grpc

    request = identity_pb2.CreateOperatorRequest(
        command=command_of(actor, reason),
        name=name,
        roles=[identity_pb2.Role.Value(f"ROLE_{role.upper()}") for role in roles],
        life_ms=(life_ns or 0) // 10**6,
    )
    with channel(place) as opened:
        stub = identity_pb2_grpc.IdentityServiceStub(opened)
        made = stub.CreateOperator(request, timeout=ANSWER_SECONDS_MAX)
    if as_json:
        print_json({"token": made.token, **_plain(made.operator)})
        return
    click.echo(made.token)
    click.echo(f"{name} shows it in TOOLREEVE_TOKEN or to 'toolreeve operator login'.", err=True)


@operator.command("list")
@service_option(Service.CONTROL)
@json_option
def list_operators(*, place: Place, as_json: bool) -> None:
    """Show who may command."""
    from toolreeve.v1 import identity_pb2, identity_pb2_grpc

    with channel(place) as opened:
        stub = identity_pb2_grpc.IdentityServiceStub(opened)
        answer = stub.ListOperators(identity_pb2.ListOperatorsRequest(), timeout=ANSWER_SECONDS_MAX)
    rows = [_plain(one) for one in answer.operators]
    if as_json:
        print_json(rows)
        return
    shown = [{**row, "roles": ", ".join(row["roles"])} for row in rows]
    print_rows(shown, COLUMNS, empty="nobody may command")


@operator.command()
@click.argument("name")
@needed_reason_option
@actor_option
@service_option(Service.CONTROL)
def revoke(*, name: str, reason: str, actor: str, place: Place) -> None:
    """Make the token of NAME worth nothing."""
    from toolreeve.v1 import identity_pb2, identity_pb2_grpc

    request = identity_pb2.RevokeOperatorRequest(command=command_of(actor, reason), name=name)
    with channel(place) as opened:
        stub = identity_pb2_grpc.IdentityServiceStub(opened)
        stub.RevokeOperator(request, timeout=ANSWER_SECONDS_MAX)
    click.echo(f"the token of {name} is worth nothing now")


@operator.command()
@service_option(Service.CONTROL)
@json_option
def whoami(*, place: Place, as_json: bool) -> None:
    """Show whom the control plane takes you for."""
    known = _who(place)
    if as_json:
        print_json(known)
    else:
        click.echo(f"{known['name']}: {', '.join(known['roles'])}")


@operator.command()
@click.argument("address", metavar="HOST:PORT")
@click.option(
    "--pin", required=True, metavar="sha256:HEX", help="Of the control plane's authority."
)
def login(*, address: str, pin: str) -> None:
    """Keep the control plane at HOST:PORT and a token for all later commands.

    The token is read from TOOLREEVE_TOKEN or TOOLREEVE_TOKEN_FILE, else asked for.
    """
    from toolreeve.runtime.address import AddressError
    from toolreeve.runtime.private import replace_private
    from toolreeve.sync.joining import JoinError, pinned_authority

    try:
        authority = pinned_authority(address, pin).decode()
    except JoinError as error:
        raise CommandError(error.problem, error.remedy) from error
    except AddressError as error:
        raise CommandError(str(error), "give the address", exit_code=BAD_INPUT) from error
    token = token_said() or click.prompt("Token", hide_input=True).strip()
    place = Place(Service.CONTROL, address, "as given", Access(authority, token))
    known = _who(place)
    import msgspec

    path = login_file()
    replace_private(path, msgspec.json.encode(Login(address, authority, token)))
    click.echo(f"logged in as {known['name']} ({', '.join(known['roles'])}); kept in {path}")


@operator.command()
def logout() -> None:
    """Forget the login. The token stays good until it is revoked."""
    login_file().unlink(missing_ok=True)
    click.echo("logged out")


def _who(place: Place) -> dict[str, Any]:
    from toolreeve.v1 import identity_pb2, identity_pb2_grpc

    with channel(place) as opened:
        stub = identity_pb2_grpc.IdentityServiceStub(opened)
        answer = stub.WhoAmI(identity_pb2.WhoAmIRequest(), timeout=ANSWER_SECONDS_MAX)
    return {"name": answer.name, "roles": _roles(answer.roles)}


def _plain(one: identity_pb2.Operator) -> dict[str, Any]:
    return {
        "name": one.name,
        "roles": _roles(one.roles),
        "created": written(one.created_unix_nano),
        "created_by": one.created_by,
        "expires": written(one.expires_unix_nano),
    }


def _roles(roles: Any) -> list[str]:
    from toolreeve.v1 import identity_pb2

    return [identity_pb2.Role.Name(role).removeprefix("ROLE_").lower() for role in roles]
