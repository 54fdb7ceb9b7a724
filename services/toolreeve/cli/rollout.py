"""`toolreeve rollout`: bring a policy to a fleet in stages, which halt by themselves."""

from __future__ import annotations

import click

from toolreeve.cli.lazy import LazyGroup

_STARTING = "toolreeve.cli.rollouts.starting"
_SHOWING = "toolreeve.cli.rollouts.showing"
_CHANGING = "toolreeve.cli.rollouts.changing"

# name -> (module, attribute, one line for --help)
COMMANDS = {
    "start": (_STARTING, "start", "Bring a policy to a server's enforcers in stages."),
    "status": (_SHOWING, "status", "Show how a rollout stands."),
    "list": (_SHOWING, "list_rollouts", "Show the rollouts that are remembered."),
    "watch": (_SHOWING, "watch", "Show a rollout until it is over."),
    "wait": (_SHOWING, "wait", "Return once enough enforcers run it."),
    "pause": (_CHANGING, "pause", "Stay at the stage until somebody resumes it."),
    "resume": (_CHANGING, "resume", "Go on with one that is paused."),
    "promote": (_CHANGING, "promote", "Go on to the next stage now, proved or not."),
    "abort": (_CHANGING, "abort", "Give it up: everybody goes back."),
    "rollback": (_CHANGING, "rollback", "Take it back, also when it is done."),
}


@click.group(cls=LazyGroup, table=COMMANDS)
def rollout() -> None:
    """Bring a policy to a fleet in stages, which halt by themselves."""
