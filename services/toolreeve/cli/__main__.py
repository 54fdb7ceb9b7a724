"""The command `toolreeve`. Knows the names of its commands and loads the one that is called."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

import click

from toolreeve.cli.failure import BAD_INPUT, FAILED, CommandError, Complaints
from toolreeve.cli.lazy import LazyGroup
from toolreeve.runtime.version import VERSION

if TYPE_CHECKING:
    from collections.abc import Sequence

# name -> (module, attribute, one line for --help)
COMMANDS = {
    "up": ("toolreeve.cli.up", "up", "Run everything on this machine; --demo shows it."),
    "wrap": ("toolreeve.cli.processes", "wrap", "Stand in front of one stdio MCP server."),
    "gateway": ("toolreeve.cli.processes", "gateway", "Run an enforcer in front of MCP servers."),
    "control": ("toolreeve.cli.processes", "control", "Run the control plane."),
    "worker": ("toolreeve.cli.processes", "worker", "Run the analytics worker."),
    "policy": ("toolreeve.cli.policy", "policy", "Write, check, try and publish policies."),
    "tools": ("toolreeve.cli.tools", "tools", "See what tools say they are, and approve it."),
    "enforcer": ("toolreeve.cli.enforcer", "enforcer", "Let enforcers join, or put one out."),
    "bus": ("toolreeve.cli.bus", "bus", "Give every enforcer a NATS login of its own."),
    "operator": ("toolreeve.cli.operator", "operator", "Say who may command; log in."),
    "fleet": ("toolreeve.cli.fleet", "fleet", "See which enforcer runs what."),
    "rollout": ("toolreeve.cli.rollout", "rollout", "Bring a policy to a fleet in stages."),
    "grant": ("toolreeve.cli.grant", "grant", "Let agents in, and keep them out again."),
    "approvals": ("toolreeve.cli.approvals", "approvals", "Say yes or no to calls that wait."),
    "hold": ("toolreeve.cli.hold", "hold", "Stop calls at once, and let them go again."),
    "audit": ("toolreeve.cli.audit", "audit", "Ask the audit history, in SQL or live."),
    "report": ("toolreeve.cli.report", "report", "Reports about the use of tools."),
    "alerts": ("toolreeve.cli.alerts", "alerts", "What the detectors have raised."),
}


def _print_version(ctx: click.Context, _: click.Parameter, asked: bool) -> None:
    if asked and not ctx.resilient_parsing:
        click.echo(f"toolreeve {VERSION}")
        ctx.exit()


@click.group(
    cls=LazyGroup, table=COMMANDS, context_settings={"help_option_names": ["-h", "--help"]}
)
@click.option(
    "--version",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_print_version,
    help="Print the version and exit.",
)
def cli() -> None:
    """Decide, record and watch every tool call that AI agents make over MCP.

    Begin with `toolreeve up --demo`.
    """


def main(arguments: Sequence[str] | None = None) -> None:
    """Run one command and exit: 0 done, 1 it failed, 2 the command line or a file is wrong."""
    sys.exit(run(arguments))


def run(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code, with everything said on stdout and stderr."""
    # gRPC's handlers around fork crash children that are spawned while it is at work: 10 of 60
    # ended by SIGSEGV or SIGABRT. Nothing of ours uses gRPC after a fork; read when it is loaded.
    os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")
    # gRPC has no setting for the least version of TLS. Where of the ciphers for TLS 1.2 only one is
    # left that needs a key agreed on beforehand, nothing but TLS 1.3 comes about.
    os.environ.setdefault("GRPC_SSL_CIPHER_SUITES", "ECDHE-PSK-CHACHA20-POLY1305")
    try:
        code = cli.main(args=arguments, prog_name="toolreeve", standalone_mode=False)
    except CommandError as error:
        click.echo(f"toolreeve: {error}", err=True)
        return error.exit_code
    except Complaints as error:
        click.echo(str(error), err=True)
        return error.exit_code
    except click.exceptions.NoArgsIsHelpError as error:
        error.show()
        return BAD_INPUT
    except click.UsageError as error:
        click.echo(f"toolreeve: {_problem(error)}; {_see_help(error)}", err=True)
        return BAD_INPUT
    except click.ClickException as error:
        click.echo(f"toolreeve: {error.format_message()}", err=True)
        return error.exit_code
    except click.Abort:
        return 130
    except BrokenPipeError:  # the reader of our output has left, as `head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED
    return code if isinstance(code, int) else 0


def _problem(error: click.UsageError) -> str:
    return error.format_message().rstrip(".")


def _see_help(error: click.UsageError) -> str:
    path = error.ctx.command_path if error.ctx is not None else "toolreeve"
    return f"see '{path} --help'"


if __name__ == "__main__":
    main()
