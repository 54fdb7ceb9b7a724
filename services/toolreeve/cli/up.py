"""`toolreeve up`: everything on this machine, and with --demo something to see."""

from __future__ import annotations

from pathlib import Path

import click

from toolreeve.cli.failure import BAD_INPUT, CommandError
from toolreeve.cli.reach import default_data


@click.command()
@click.option("--demo", is_flag=True, help="Add two demo MCP servers and agents that call them.")
@click.option("--once", is_flag=True, help="With --demo: end after the story; 0 if all was seen.")
@click.option(
    "--data",
    type=click.Path(path_type=Path, file_okay=False),
    envvar="TOOLREEVE_UP_DATA",
    show_envvar=True,
    help="Where everything is kept; a demo empties a folder of its own first.",
)
@click.option("--port", type=click.IntRange(0, 65535), help="Port of the gateway; 0: a free one.")
def up(*, demo: bool, once: bool, data: Path | None, port: int | None) -> int:
    """Run nats-server, control plane, worker and gateway on this machine.

    Everything listens on 127.0.0.1 and ends with Ctrl-C. Add MCP servers in gateway.toml in the
    data folder. With --demo: see in a minute what toolreeve does.
    """
    if once and not demo:
        raise CommandError(
            "--once ends after the demo's story", "give --demo too", exit_code=BAD_INPUT
        )
    from toolreeve.cli.launch.run import Wish, run_up
    from toolreeve.cli.needs import needs_extra

    if not demo:
        return run_up(Wish(root=(data or default_data()).absolute(), port=port))
    with needs_extra("demo", "mcp"):
        from toolreeve.cli.demo.show import DemoShow
    root = (data or default_data() / "demo").absolute()
    return run_up(Wish(root=root, port=port, show=DemoShow(), once=once))
