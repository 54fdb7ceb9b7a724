"""`toolreeve audit rotate-key`: hashes of arguments under a new key."""

from __future__ import annotations

import time
from pathlib import Path

import click

from toolreeve.cli.failure import CommandError
from toolreeve.cli.output import json_option, print_json


@click.command("rotate-key")
@click.option(
    "--data",
    type=click.Path(file_okay=False, path_type=Path),
    envvar="TOOLREEVE_DATA",
    show_envvar=True,
    required=True,
    help="The enforcer's data folder.",
)
@json_option
def rotate_key(*, data: Path, as_json: bool) -> None:
    """Give an enforcer a new key for the hashes of arguments, from its next start on.

    The old keys stay in hash.keys, so that `audit match` goes on finding what was hashed with them.
    """
    from toolreeve.audit.redact import key_id
    from toolreeve.runtime.hashkeys import FILE, rotate
    from toolreeve.runtime.settings import SettingsError

    path = data / FILE
    try:
        made = rotate(path, time.time())
    except FileNotFoundError as error:
        raise CommandError(
            f"{path} is not there", "name the folder of an enforcer that has been started once"
        ) from error
    except SettingsError as error:
        raise CommandError(f"{error.source}: {error.problem}", error.remedy) from error
    except OSError as error:
        raise CommandError(f"{path} cannot be written: {error.strerror}", "see the disk") from error
    name = key_id(made.key).hex()
    if as_json:
        print_json({"file": str(path), "key": name, "made_at": made.made_at})
    else:
        click.echo(f"key {name} is the newest in {path}; restart the enforcer to use it")
