"""`toolreeve policy`: write, check, try, publish and show policies."""

from __future__ import annotations

import click

from toolreeve.cli.lazy import LazyGroup

# name -> (module, attribute, one line for --help)
COMMANDS = {
    "validate": ("toolreeve.cli.authoring.validate", "validate", "Say whether a file is a policy."),
    "lint": (
        "toolreeve.cli.authoring.lint",
        "lint",
        "Say what a policy forgets about a server's tools.",
    ),
    "fmt": ("toolreeve.cli.authoring.fmt", "fmt", "Write a policy in its canonical layout."),
    "diff": ("toolreeve.cli.authoring.diff", "diff", "Compare two policies by what they mean."),
    "explain": (
        "toolreeve.cli.authoring.explain",
        "explain",
        "Show how one call is decided, rule by rule.",
    ),
    "test": ("toolreeve.cli.authoring.testing", "test", "Run the cases beside a policy."),
    "import": (
        "toolreeve.cli.authoring.importing",
        "import_",
        "Turn a policy of another product into ours.",
    ),
    "recommend": (
        "toolreeve.cli.authoring.recommend",
        "recommend",
        "Propose a policy for a server's tools.",
    ),
    "schema": (
        "toolreeve.cli.authoring.schema",
        "schema",
        "Print the JSON Schema of a policy, for editors.",
    ),
    "publish": (
        "toolreeve.cli.authoring.publishing",
        "publish",
        "Sign a policy and bring it to the fleet.",
    ),
    "submit": (
        "toolreeve.cli.authoring.submitting",
        "submit",
        "Write a policy down for another to release.",
    ),
    "sign": (
        "toolreeve.cli.authoring.signing",
        "sign",
        "Sign by a key that the control plane does not have.",
    ),
    "deliver": (
        "toolreeve.cli.authoring.signing",
        "deliver",
        "Do what was signed elsewhere.",
    ),
    "list": (
        "toolreeve.cli.authoring.publishing",
        "list_policies",
        "Show which revision each server is to run.",
    ),
    "show": ("toolreeve.cli.authoring.publishing", "show", "Print a published policy."),
}


@click.group(cls=LazyGroup, table=COMMANDS)
def policy() -> None:
    """Write, check, try, publish and show policies."""
