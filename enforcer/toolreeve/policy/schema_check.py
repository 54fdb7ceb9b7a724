"""`arguments`: a JSON Schema for a tool's arguments, checked when the policy is read.

Compiled by jsonschema-rs, offline, with patterns in an engine that takes time linear in the text:
a hostile schema costs its own size and no more.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from toolreeve.policy.reader import Reader
from toolreeve.policy.text import Path

if TYPE_CHECKING:
    from jsonschema_rs import Draft202012Validator

_REFERENCES = ("$ref", "$dynamicRef")


def read_schema(reader: Reader, value: object, path: Path) -> Mapping[str, object] | None:
    """A schema that compiles and refers to nothing outside itself; None after a complaint."""
    if not isinstance(value, dict):
        reader.any_mapping(value, path)
        return None
    schema: dict[str, object] = value  # pyright: ignore[reportUnknownVariableType]
    for place, reference in _references(schema, path):
        if not isinstance(reference, str) or not reference.startswith("#"):
            problem = f"{reference!r} points outside the schema"
            reader.complain(place, problem, 'write "#/$defs/..." and define it here')
            return None
    try:
        compile_schema(schema)
    except SchemaError as error:
        reader.complain(path, f"not a JSON Schema: {error}", "mend it (draft 2020-12)")
        return None
    return schema


class SchemaError(ValueError):
    """Something is no JSON Schema. Says why, in one line."""


def compile_schema(schema: Mapping[str, object]) -> "Draft202012Validator":
    """Make a schema ready. Raises SchemaError."""
    # Takes 30 ms to load, which only enforcers whose policies hold schemas pay.
    import jsonschema_rs  # noqa: PLC0415

    patterns = jsonschema_rs.RegexOptions()
    try:
        return jsonschema_rs.Draft202012Validator(
            dict(schema), pattern_options=patterns, offline=True
        )
    except (jsonschema_rs.ValidationError, jsonschema_rs.ReferencingError, ValueError) as error:
        raise SchemaError(str(error).partition("\n")[0]) from error


def _references(value: Any, path: Path) -> "list[tuple[Path, object]]":
    found: list[tuple[Path, object]] = []
    if isinstance(value, dict):
        for key, inner in value.items():  # pyright: ignore[reportUnknownVariableType]
            if key in _REFERENCES:
                found.append(((*path, key), inner))  # pyright: ignore[reportUnknownArgumentType]
            found += _references(inner, (*path, str(key)))  # pyright: ignore[reportUnknownArgumentType]
    elif isinstance(value, list):
        for index, inner in enumerate(value):  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]
            found += _references(inner, (*path, index))
    return found
