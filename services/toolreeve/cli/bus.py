"""`toolreeve bus`: a NATS where every enforcer has a login of its own."""

from __future__ import annotations

from pathlib import Path

import click

from toolreeve.cli.failure import BAD_INPUT, CommandError
from toolreeve.cli.output import json_option, print_json


@click.group()
def bus() -> None:
    """Make the accounts of a NATS where every enforcer has its own login."""


@bus.command()
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False))
@click.option("--prefix", default="toolreeve", show_default=True, help="First part of subjects.")
@json_option
def init(*, folder: Path, prefix: str, as_json: bool) -> None:
    """Make an operator, an account and logins in FOLDER, which is new or empty.

    nats-server includes accounts.conf; the control plane needs control.creds and enforcers.json,
    the worker needs worker.creds. Lock operator.json away: nothing that runs needs it.
    """
    from toolreeve.control.nats_accounts import FILES, make_accounts
    from toolreeve.runtime.clock import Clock

    if folder.exists() and any(folder.iterdir()):
        raise CommandError(
            f"{folder} is not empty",
            "name a new folder: accounts are not made over others",
            exit_code=BAD_INPUT,
        )
    try:
        account = make_accounts(folder, prefix=prefix, issued_at=Clock().now())
    except ValueError as error:
        raise CommandError(str(error), "choose another --prefix", exit_code=BAD_INPUT) from error
    except OSError as error:
        raise CommandError(
            f"{folder} cannot be written: {error.strerror}", "make it writable"
        ) from error
    if as_json:
        print_json({"account": account, "files": {name: str(folder / name) for name in FILES}})
        return
    for name, what in FILES.items():
        click.echo(f"{folder / name}: {what}")
