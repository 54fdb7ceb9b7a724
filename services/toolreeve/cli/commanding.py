"""What stands in every command that changes something: who, why, and an id that makes it safe
to send twice."""

from __future__ import annotations

import getpass
import uuid
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from toolreeve.v1 import operator_pb2


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a user id without a name, as in a container
        return "unknown"


actor_option = click.option(
    "--actor",
    envvar="TOOLREEVE_ACTOR",
    show_envvar=True,
    default=_user,
    show_default="your user name",
    help="Who does this, for the record.",
)
reason_option = click.option("--reason", default="", help="Why, for the record.")
needed_reason_option = click.option("--reason", required=True, help="Why, for the record.")


def command_of(actor: str, reason: str) -> operator_pb2.Command:
    """Return a command with a fresh id."""
    from toolreeve.v1 import operator_pb2

    return operator_pb2.Command(command_id=str(uuid.uuid4()), actor=actor, reason=reason)
