"""Where the pins of which server lie, as far as a folder tells."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from toolreeve.cli.failure import BAD_INPUT, CommandError
from toolreeve.cli.reach import default_data

if TYPE_CHECKING:
    from toolreeve.gateway.pinfile import Kept, PinFile

# Below the folder that is named: an enforcer's own, that of `toolreeve up`, or of its demo.
WHERE = (".", "gateway", "demo/gateway")

data_option = click.option(
    "--data",
    type=click.Path(path_type=Path, file_okay=False),
    envvar="TOOLREEVE_DATA",
    show_envvar=True,
    help="Folder of the enforcer, or of the 'toolreeve up' around it.",
)
server_option = click.option("--server", help="Only this server.")


def pins_below(data: Path | None, server: str | None) -> list[PinFile]:
    """Return the files of pins below a folder, all of them or those of one server."""
    from toolreeve.gateway.pinfile import FOLDER, pin_files

    root = data or default_data()
    for part in WHERE:
        found = pin_files(root / part / FOLDER)
        if found:
            return [file for file in found if server is None or file.server == server]
    return []


def some_pins(data: Path | None, server: str | None) -> list[PinFile]:
    """Return at least one file of pins, or end the command."""
    found = pins_below(data, server)
    if not found:
        what = "no tools are pinned" if server is None else f"no tools of {server} are pinned"
        raise CommandError(
            f"{what} below {data or default_data()}",
            "name the enforcer's folder with --data; a server's tools are pinned when they are "
            "listed through it",
        )
    return found


def one_server(data: Path | None, server: str | None) -> PinFile:
    """Return the file of the one server that is meant, or end the command."""
    found = some_pins(data, server)
    if len(found) > 1:
        names = ", ".join(file.server for file in found)
        raise CommandError(
            f"the tools of several servers are pinned here: {names}",
            "say which with --server",
            exit_code=BAD_INPUT,
        )
    return found[0]


def file_for(data: Path | None, server: str) -> PinFile:
    """Return the file of a server's pins, be it there or not."""
    from toolreeve.gateway.pinfile import FOLDER, PinFile

    found = pins_below(data, server)
    if found:
        return found[0]
    root = data or default_data()
    own = next((root / part for part in WHERE if (root / part / "outbox").is_dir()), root)
    return PinFile(own / FOLDER, server)


def read_pins(file: PinFile) -> Kept:
    """Return what a file of pins says, or end the command."""
    from toolreeve.gateway.pinfile import PinFileError

    try:
        return file.read()
    except PinFileError as error:
        raise CommandError(f"{file.path}: {error.problem}", error.remedy) from error
