"""Input schemas looked into: references followed, places found, unions taken apart.

Generators write one thing in many ways: an enumeration stands in the property, behind a `$ref`,
or in one branch of a nullable `anyOf`; a union of argument objects stands at the top. References
are followed within the schema only, and only so far.
"""

from collections.abc import Mapping, Sequence

FOLLOWED_MAX = 16
BRANCHES_MAX = 5_000
DEPTH_MAX = 64
CHOICES = ("anyOf", "oneOf")
_OF_UNIONS = (*CHOICES, "discriminator")

Schema = dict[str, object]


def members_of(value: object) -> Schema:
    """An object's members; none of anything else."""
    if not isinstance(value, Mapping):
        return {}
    return {str(key): member for key, member in value.items()}  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]


def listed(value: object) -> list[object]:
    """A list's members; none of anything else."""
    return list(value) if isinstance(value, list) else []  # pyright: ignore[reportUnknownArgumentType, reportUnknownVariableType]


def followed(schema: object, root: Mapping[str, object]) -> Schema:
    """A schema with its own `$ref` followed; what stands beside the reference stays."""
    found = members_of(schema)
    for _ in range(FOLLOWED_MAX):
        reference = found.get("$ref")
        if not isinstance(reference, str):
            return found
        target: object = root
        for key in reference.removeprefix("#").strip("/").split("/"):
            unescaped = key.replace("~1", "/").replace("~0", "~")
            target = members_of(target).get(unescaped) if key else target
        beside = {key: value for key, value in found.items() if key != "$ref"}
        found = {**members_of(target), **beside}
    return {}


def refers(schema: object, depth: int = 0) -> bool:
    """Whether a `$ref` stands in a schema, or it is too deep to be sure."""
    members = members_of(schema)
    inner = [*members.values(), *listed(schema)]
    return "$ref" in members or depth > DEPTH_MAX or any(refers(one, depth + 1) for one in inner)


def choices_of(schema: object, root: Mapping[str, object]) -> list[Schema]:
    """The branches of a schema's `anyOf` and `oneOf`, followed; none where it has neither."""
    found = followed(schema, root)
    choices = [one for key in CHOICES for one in listed(found.get(key))]
    return [followed(one, root) for one in choices[:BRANCHES_MAX]]


def named_properties(schema: object, root: Mapping[str, object]) -> dict[str, Schema]:
    """The properties of an object's schema by name, each followed."""
    found = members_of(followed(schema, root).get("properties"))
    return {name: followed(inner, root) for name, inner in found.items()}


def all_types(schema: object, root: Mapping[str, object]) -> frozenset[str]:
    """The JSON types that a schema names, within its branches too."""
    types: set[str] = set()
    for found in _with_branches(schema, root):
        named = found.get("type")
        said = {one for one in (listed(named) or [named]) if isinstance(one, str)}
        values = _values(found)
        if not said and values and all(isinstance(value, str) for value in values):
            said.add("string")
        types |= said
    return frozenset(types)


def enumerated(schema: object, root: Mapping[str, object]) -> list[str]:
    """The texts that an enumeration allows, within its branches too, each once."""
    values = [value for found in _with_branches(schema, root) for value in _values(found)]
    texts = dict.fromkeys(value for value in values if isinstance(value, str) and value)
    return list(texts)[:BRANCHES_MAX]


def _values(schema: Schema) -> list[object]:
    return [*listed(schema.get("enum")), *([schema["const"]] if "const" in schema else [])]


def _with_branches(schema: object, root: Mapping[str, object]) -> list[Schema]:
    """A schema and all branches within it. A union of itself ends at the bound."""
    found = [followed(schema, root)]
    for one in found:
        if len(found) < BRANCHES_MAX:
            found += choices_of(one, root)
    return found


def branches_of(schema: Mapping[str, object], path: Sequence[str]) -> list[Schema]:
    """The alternative objects at a path: one where there is no union, none where no object is."""
    found = [followed(schema, schema)]
    for key in path:
        found = [named_properties(one, schema).get(key, {}) for one in _opened(found, schema)]
    return [one for one in _opened(found, schema) if members_of(one.get("properties"))]


def _opened(found: Sequence[Schema], root: Mapping[str, object]) -> list[Schema]:
    """Objects with unions of objects taken apart; what all branches share stands in each."""
    opened: list[Schema] = []
    for one in found:
        choices = [choice for choice in choices_of(one, root) if "properties" in choice]
        if not choices:
            opened.append(one)
            continue
        shared = {key: value for key, value in one.items() if key not in _OF_UNIONS}
        for choice in choices:
            properties = {
                **members_of(shared.get("properties")),
                **members_of(choice.get("properties")),
            }
            required = list(
                dict.fromkeys([*listed(shared.get("required")), *listed(choice.get("required"))])
            )
            merged = {**shared, **choice, "properties": properties}
            opened.append({**merged, "required": required} if required else merged)
    return opened[:BRANCHES_MAX]
