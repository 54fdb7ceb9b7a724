"""`toolreeve gateway`, `wrap`, `control` and `worker`: the processes themselves."""

from __future__ import annotations

import errno
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from toolreeve.cli.failure import BAD_INPUT, CommandError, Complaints, first_of
from toolreeve.cli.needs import needs_extra
from toolreeve.cli.reach import default_data
from toolreeve.runtime.lean import load_structlog_alone

if TYPE_CHECKING:
    from collections.abc import Generator

config_option = click.option(
    "--config", type=click.Path(path_type=Path, dir_okay=False), help="Settings in TOML."
)
policy_option = click.option(
    "--policy",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Decide by this file; reloaded when it changes.",
)
no_bus_option = click.option("--no-bus", is_flag=True, help="Keep events in the outbox only.")
state_option = click.option(
    "--data", type=click.Path(path_type=Path, file_okay=False), help="Where its state lies."
)


@click.command()
@config_option
@policy_option
@no_bus_option
@state_option
@click.option("--listen", metavar="HOST:PORT", help="Where clients connect.")
def gateway(
    *,
    config: Path | None,
    policy: Path | None,
    no_bus: bool,
    data: Path | None,
    listen: str | None,
) -> int:
    """Run an enforcer in front of MCP servers.

    Each upstream of the settings stands at http://HOST:PORT/NAME/mcp.
    """
    load_structlog_alone()
    from msgspec import structs

    from toolreeve.gateway.process import serve
    from toolreeve.gateway.settings import GatewaySettings
    from toolreeve.runtime import log
    from toolreeve.runtime.process import run
    from toolreeve.runtime.settings import load_settings

    given = {"policy": policy, "data": data, "listen": listen}
    with faults_told():
        settings = load_settings(GatewaySettings, config, overrides=given)
        if no_bus:
            settings = structs.replace(settings, bus=None)
        log.configure(process="gateway", level=settings.log_level)
        return run(lambda stopping: serve(settings, stopping))


@click.command()
@click.option("--server", help="Name of the server; without it, one made from COMMAND.")
@config_option
@policy_option
@no_bus_option
@state_option
@click.argument("command", nargs=-1, required=True, type=click.UNPROCESSED)
def wrap(
    *,
    server: str | None,
    config: Path | None,
    policy: Path | None,
    no_bus: bool,
    data: Path | None,
    command: tuple[str, ...],
) -> int:
    """Stand in front of one stdio MCP server.

    Write `toolreeve wrap --` before the server's own command, wherever a client spawns it.
    Settings are those of the gateway; without --config they come from wrap.toml in the user's
    configuration folder, where there is one. A control plane named there wins over --policy.
    """
    load_structlog_alone()
    import structlog
    from msgspec import structs

    from toolreeve.cli.naming import server_name
    from toolreeve.gateway.settings import GatewaySettings
    from toolreeve.gateway.wrapping import serve
    from toolreeve.proxy.child import ChildError
    from toolreeve.runtime import log
    from toolreeve.runtime.process import run
    from toolreeve.runtime.settings import load_settings

    file = config or _own_settings()
    state = data if data is not None or file is not None else default_data()
    with faults_told(wrong=(ChildError,)):
        settings = load_settings(GatewaySettings, file, overrides={"data": state})
        log.configure(process="wrap", level=settings.log_level)
        if settings.control is None:
            settings = structs.replace(settings, policy=policy or settings.policy)
        elif policy is not None:
            structlog.get_logger().warning("policy.file_not_used", file=str(policy))
        if no_bus:
            settings = structs.replace(settings, bus=None)
        name = server or server_name(command)
        return run(lambda stopping: serve(settings, name, command, stopping))


def _own_settings() -> Path | None:
    import platformdirs

    found = platformdirs.user_config_path("toolreeve", appauthor=False) / "wrap.toml"
    return found if found.exists() else None


@click.command()
@config_option
def control(*, config: Path | None) -> int:
    """Run the control plane."""
    with needs_extra("control", "grpc_health"):
        from toolreeve.bus import BusError
        from toolreeve.control.authority import AuthorityError
        from toolreeve.control.ledger import LedgerLostError
        from toolreeve.control.process import serve
        from toolreeve.control.server import ListenError
        from toolreeve.control.settings import ControlSettings
        from toolreeve.fleet import HistoryError
        from toolreeve.runtime.keyfile import KeyFileError
        from toolreeve.runtime.private import PrivateFileError
        from toolreeve.wire import WireError
    from toolreeve.runtime import log
    from toolreeve.runtime.process import run
    from toolreeve.runtime.settings import load_settings

    failed = (BusError, HistoryError, LedgerLostError, WireError)
    wrong = (AuthorityError, KeyFileError, ListenError, PrivateFileError)
    with faults_told(wrong=wrong, failed=failed):
        settings = load_settings(ControlSettings, config)
        log.configure(process="control", level=settings.log_level)
        return run(lambda stopping: serve(settings, stopping))


@click.command()
@config_option
@click.option(
    "--ready-file",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Written with the address once queries are answered.",
)
def worker(*, config: Path | None, ready_file: Path | None) -> int:
    """Run the analytics worker and its query service."""
    with needs_extra("analytics", "duckdb", "grpc_health"):
        from toolreeve.warehouse.errors import WarehouseError
        from toolreeve.worker.process import serve
        from toolreeve.worker.settings import WorkerSettings
    from toolreeve.runtime import log
    from toolreeve.runtime.process import run
    from toolreeve.runtime.settings import load_settings

    with faults_told(failed=(WarehouseError,)):
        settings = load_settings(WorkerSettings, config)
        log.configure(process="worker", level=settings.log_level)
        return run(lambda stopping: serve(settings, stopping, ready_file=ready_file))


@contextmanager
def faults_told(
    *, wrong: tuple[type[Exception], ...] = (), failed: tuple[type[Exception], ...] = ()
) -> Generator[None]:
    """End the command where a process cannot start or go on, with what its exception says.

    Exit 2 for settings and the types in `wrong`, 1 for an outbox, the network and the types in
    `failed`. Their words are `WHERE: problem; remedy`.
    """
    from toolreeve.outbox import OutboxError
    from toolreeve.policy import PolicyTextError
    from toolreeve.runtime.settings import SettingsError

    bad_input: tuple[type[Exception], ...] = (SettingsError, *wrong)
    failures: tuple[type[Exception], ...] = (OSError, OutboxError, *failed)
    try:
        yield
    except _all((*bad_input, *failures, PolicyTextError, ExceptionGroup)) as error:
        fault = first_of(error)
        if isinstance(fault, PolicyTextError):
            raise Complaints(str(fault)) from error
        problem, _, remedy = str(fault).partition("; ")
        if isinstance(fault, bad_input):
            raise CommandError(problem, remedy, exit_code=BAD_INPUT) from error
        if isinstance(fault, failures):
            in_use = isinstance(fault, OSError) and fault.errno == errno.EADDRINUSE
            fallback = "choose another address" if in_use else "see the log above"
            raise CommandError(problem, remedy or fallback) from error
        raise


def _all(kinds: tuple[type[Exception], ...]) -> tuple[type[Exception], ...]:
    """Return what is given: a tuple of types that a checker takes for no more than that."""
    return kinds
