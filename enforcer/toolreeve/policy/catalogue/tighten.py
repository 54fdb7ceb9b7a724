"""A schema for a tool's arguments, made from the server's own and never wider.

Servers put an `id` into the path of a request to what stands behind them, and few look at it
first: `"1/../../pool/id/2"` reaches another object than any rule has thought of. So ids are whole
numbers, or text in which no segment begins with a dot, and file paths hold no `..`.
"""

import re
from collections.abc import Mapping

import jsonschema_rs

from toolreeve.policy.catalogue.naming import words_of
from toolreeve.policy.catalogue.tool import Tool, properties_of, types_of
from toolreeve.policy.schema_check import compile_schema

SAFE_ID = r"^\w[\w.:@+=-]*$"
SAFE_ID_WITH_SLASHES = r"^\w[\w.:@+= -]*(/\w[\w.:@+= -]*)*$"
STEPS_UP = r"(^|[/\\])\.\.([/\\]|$)"
ID_NAME = "(^|[^A-Za-z])([Ii][Dd]s?|[ug]uids?|vmid)$|[a-z0-9](Ids?|IDs?|Uuids?)$"
PATH_NAME = (
    "(^|[^A-Za-z])(paths?|files?|filename|filepath|dirs?|director(y|ies)|folder)$"
    "|[a-z0-9](Paths?|Files?|Filename|Dirs?|Folder)$"
)
DEPTH_MAX = 20

_ID_WORDS = frozenset(("id", "ids", "uuid", "uuids", "guid", "guids", "vmid"))
_PATH_WORDS = frozenset(
    """path paths file filename filepath files dir dirs directory directories folder""".split()  # noqa: SIM905
)
_EXAMPLE_WITH_SLASH = re.compile(r"""['"`(][\w.@-]+/[\w./@-]+['"`)]""")
_PATH_GUARD: dict[str, object] = {"not": {"type": "string", "pattern": STEPS_UP}}
_ID_GUARD: dict[str, object] = {
    "type": ["integer", "string", "array"],
    "pattern": SAFE_ID_WITH_SLASHES,
    "items": {"type": ["integer", "string"], "pattern": SAFE_ID_WITH_SLASHES},
}
_NOTHING: dict[str, object] = {"type": "object", "additionalProperties": False}
_TYPES = frozenset(("array", "boolean", "integer", "null", "number", "object", "string"))
_NOTES = frozenset(("$schema", "$id", "$comment", "title", "description", "default", "examples"))
_OF_NAMES = frozenset(("properties", "patternProperties", "$defs", "definitions"))
_OF_MANY = frozenset(("anyOf", "allOf", "oneOf", "prefixItems"))
_OF_ONE = frozenset(("items", "additionalProperties", "not", "if", "then", "else", "contains"))
_CONTAINERS = ("allOf", "anyOf", "oneOf", "$ref", "if", "dependentSchemas", "patternProperties")


def reaches_path(name: str) -> bool:
    """Whether a property of this name is an id, which servers put into a path."""
    words = words_of(name)
    return bool(words) and words[-1] in _ID_WORDS


def is_file_path(name: str) -> bool:
    """Whether a property of this name is a place in a file system."""
    words = words_of(name)
    return bool(words) and words[-1] in _PATH_WORDS


def tighten(tool: Tool) -> dict[str, object] | None:
    """A JSON Schema for a tool's arguments; None where there is nothing to say of them."""
    properties = properties_of(tool.input_schema)
    if not tool.arguments_checked and not tool.input_schema:
        guards = {ID_NAME: dict(_ID_GUARD), PATH_NAME: dict(_PATH_GUARD)}
        return {"type": "object", "patternProperties": guards}
    if not properties:
        takes_nothing = tool.input_schema.get("additionalProperties") is False
        return dict(_NOTHING) if takes_nothing and not tool.arguments_checked else None
    guarded = {name: _guard(name, schema, tool) for name, schema in properties.items()}
    own = _members(_bare(tool.input_schema))
    closed = {"additionalProperties": False}
    if "additionalProperties" in own or any(key in own for key in _CONTAINERS):
        closed = {}
    schema: dict[str, object] = {**own, "type": "object", "properties": guarded, **closed}
    if _is_good(schema):
        return schema
    # What the server publishes cannot be used; what is asked of ids and paths still holds.
    named = {name: _guard(name, _typed(inner), tool) for name, inner in properties.items()}
    return {"type": "object", "properties": named, **closed}


def _typed(schema: object) -> dict[str, object]:
    """No more of a schema than its types."""
    types = sorted(types_of(schema) & _TYPES)
    return {"type": types} if types else {}


def _guard(name: str, schema: object, tool: Tool) -> object:
    """A property's schema with what its name demands."""
    bare = _bare(schema)
    if reaches_path(name):
        slashes = _EXAMPLE_WITH_SLASH.search(_described(schema, tool)) is not None
        return _guard_id(bare, SAFE_ID_WITH_SLASHES if slashes else SAFE_ID)
    if is_file_path(name):
        return _guard_path(bare)
    return bare


def _guard_id(schema: object, pattern: str) -> object:
    members = _members(schema)
    if "enum" in members or "const" in members:
        return members
    if members.get("type") == "number":
        members["type"] = "integer"
    if "array" in types_of(members):
        members["items"] = _guard_id(members.get("items"), pattern)
    if not types_of(members) and "$ref" not in members:
        members["type"] = ["integer", "string"]
    if types_of(members) and "string" not in types_of(members):
        return members
    return _with(members, {"pattern": pattern}, "pattern")


def _guard_path(schema: object) -> object:
    members = _members(schema)
    if "enum" in members or "const" in members:
        return members
    if "array" in types_of(members) or not types_of(members):
        members["items"] = _guard_path(members.get("items") or {"type": "string"})
    return _with(members, _PATH_GUARD, "not")


def _bare(schema: object, depth: int = 0) -> object:
    """A schema without what only people read: a policy holds what is checked.

    What is deeper than a policy may be stays as it is, and will be found too deep.
    """
    if not isinstance(schema, Mapping) or depth > DEPTH_MAX:
        return schema  # pyright: ignore[reportUnknownVariableType]
    found: dict[str, object] = {}
    for key, value in _members(schema).items():  # pyright: ignore[reportUnknownArgumentType]
        if key in _NOTES:
            continue
        if key in _OF_NAMES and isinstance(value, Mapping):
            named = _members(value)  # pyright: ignore[reportUnknownArgumentType]
            found[key] = {name: _bare(inner, depth + 1) for name, inner in named.items()}
        elif key in _OF_MANY and isinstance(value, list):
            found[key] = [_bare(inner, depth + 1) for inner in value]  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]
        else:
            found[key] = _bare(value, depth + 1) if key in _OF_ONE else value
    return found


def _with(members: dict[str, object], demand: dict[str, object], key: str) -> dict[str, object]:
    return {**members, **demand} if key not in members else {"allOf": [members, demand]}


def _members(schema: object) -> dict[str, object]:
    if not isinstance(schema, Mapping):
        return {}
    return {str(key): value for key, value in schema.items()}  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]


def _described(schema: object, tool: Tool) -> str:
    return f"{_members(schema).get('description', '')} {tool.description}"


def _is_good(schema: dict[str, object]) -> bool:
    """Whether a policy may hold the schema: it compiles, refers to nothing outside, is not deep."""
    if _depth(schema) > DEPTH_MAX or _refers_outside(schema):
        return False
    try:
        compile_schema(schema)
    except (jsonschema_rs.ValidationError, jsonschema_rs.ReferencingError, ValueError):
        return False
    return True


def _depth(value: object, depth: int = 0) -> int:
    if depth > DEPTH_MAX:
        return depth
    if isinstance(value, Mapping):
        return max((_depth(one, depth + 1) for one in value.values()), default=depth)  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]
    if isinstance(value, list):
        return max((_depth(one, depth + 1) for one in value), default=depth)  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]
    return depth


def _refers_outside(value: object) -> bool:
    if isinstance(value, Mapping):
        members = _members(value)  # pyright: ignore[reportUnknownArgumentType]
        references = [members[key] for key in ("$ref", "$dynamicRef") if key in members]
        if any(not str(reference).startswith("#") for reference in references):
            return True
        return any(_refers_outside(inner) for inner in members.values())
    return isinstance(value, list) and any(_refers_outside(inner) for inner in value)  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]
