"""Everything that does not fit a schema, for people; a decision needs only the first."""

from collections.abc import Mapping
from typing import Any

from msgspec import Struct

from toolreeve.policy import write_pointer
from toolreeve.policy.schema_check import compile_schema

MISFITS_MAX = 20


class Misfit(Struct, frozen=True):
    """One place in the arguments, the keyword of the schema that it breaks, and what stands there.

    `pointer` names the keyword in the schema.
    """

    place: str
    keyword: str
    pointer: str
    value: object


def misfits(schema: Mapping[str, object], arguments: Mapping[str, object]) -> tuple[Misfit, ...]:
    """What does not fit, the first twenty; nothing where the arguments fit."""
    validator = compile_schema(schema)
    found: list[Misfit] = []
    for error in validator.iter_errors(dict(arguments)):
        if len(found) == MISFITS_MAX:
            break
        keywords = [step for step in error.schema_path if isinstance(step, str)]
        value: Any = error.instance
        found.append(
            Misfit(
                place=write_pointer(list(error.instance_path)) or "the arguments",
                keyword=keywords[-1] if keywords else "the schema",
                pointer=write_pointer(list(error.schema_path)),
                value=value,
            )
        )
    return tuple(found)
