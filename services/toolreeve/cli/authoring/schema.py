"""`toolreeve policy schema`: the JSON Schema of a policy."""

from __future__ import annotations

import click

from toolreeve.cli.output import print_json


@click.command()
def schema() -> None:
    """Print the JSON Schema (draft-07) of a policy, for editors and other programs.

    Whatever a policy may hold the schema takes. What the schema cannot say, such as two limits
    that contradict each other, `toolreeve policy validate` says.
    """
    from toolreeve.policy.schema import policy_schema

    print_json(policy_schema())
