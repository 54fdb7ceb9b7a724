"""Parameters of operations, as the help of a meta-tool tells of them, as a JSON Schema.

In JSON they stand as a schema, by name, or as a list; in a text as `params: id, force`, as
`Required: id (which one)`, or as indented bullets. What cannot be read tells of nothing.
"""

import re
from collections.abc import Iterator, Mapping, Sequence

from msgspec.structs import replace

from toolreeve.policy.catalogue.help_text import NAME, TEXT_CHARACTERS_MAX
from toolreeve.policy.catalogue.schemas import Schema, listed, members_of
from toolreeve.policy.catalogue.tool import Tool

TEXTS = ("description", "desc", "summary", "help", "doc", "purpose", "what", "about", "text")
NOTHING: Schema = {"type": "object", "properties": {}, "additionalProperties": False}

_JSON_TYPES = {
    "string": "string", "str": "string", "text": "string",
    "integer": "integer", "int": "integer",
    "number": "number", "float": "number", "double": "number",
    "boolean": "boolean", "bool": "boolean",
    "array": "array", "list": "array",
    "object": "object", "dict": "object", "map": "object", "record": "object",
}  # fmt: skip
_KEYWORDS = ("type", "enum", "const", "pattern", "minimum", "maximum", "items", "anyOf", "oneOf")
_OF_A_SCHEMA = frozenset(("type", "required", "optional", "additionalProperties", "$schema"))
_PARAMETER = re.compile(rf"\s*({NAME})(\?)?\s*(?:[:=(\u2014-]\s*(.*))?$", re.DOTALL)
_TYPED = re.compile(r"\s*([^\s(,;:=|]+(?:\s*\|\s*[^\s(,;:=|]+)*)\s*(?:$|[(,;:=\u2014]|-\s)")
_WORD = re.compile(
    r"(?i)(?<![\w-])(?P<word>required|requires|optional|params?|parameters?|args|arguments?)\s*:"
)
_REQUIRED = re.compile(r"(?i)(?:^|[(,;-])\s*required\s*(?:[),;.]|$)")
_NONE = frozenset(("", "none", "nothing", "-", "n/a"))
_BULLET = re.compile(rf"\s*[-*\u2022]\s+[\"'`]?({NAME})[\"'`]?\s*(?:\(([^()]*)\))?\s*[:\u2014-]")


def with_parameters(operations: Sequence[Tool]) -> list[Tool]:
    """The operations of one meta-tool, each with the parameters that its text tells of.

    Help that tells of the parameters of some operations tells of all: the others have none.
    """
    told = [
        one if one.input_schema else replace(one, input_schema=parameters_in(one.description))
        for one in operations
    ]
    if not any(one.input_schema for one in told):
        return told
    return [
        one
        if one.input_schema or _WORD.search(one.description) is not None
        else replace(one, input_schema=NOTHING)
        for one in told
    ]


def parameters_in(text: str) -> Schema:
    """The parameters that an operation's text lists; empty where it lists none."""
    required: list[object] = []
    optional: list[object] = []
    lines = text.splitlines()
    for line in lines:
        for word, items in _lists(line):
            if items is None:
                return {}
            (required if word.startswith("requir") else optional).extend(items)
    for line in lines[1:]:
        bullet = _BULLET.match(line)
        if bullet is not None:
            optional.append(f"{bullet[1]}: {bullet[2] or ''}")
    return schema_of(None, required=required, optional=optional)


def _lists(line: str) -> Iterator[tuple[str, list[str] | None]]:
    """Each list in a line, by the word before it; None for one that is more than names."""
    words = list(_WORD.finditer(line))
    for place, found in enumerate(words):
        end = words[place + 1].start() if place + 1 < len(words) else len(line)
        said = line[found.end() : end].partition(";")[0].strip().rstrip(".").strip()
        items = [] if said.lower() in _NONE else _split(said)
        fit = bool(items) or said.lower() in _NONE
        fit = fit and all(_PARAMETER.fullmatch(item) is not None for item in items)
        yield found["word"].lower(), items if fit else None


def _split(text: str) -> list[str]:
    """The members of a list, at the commas that stand in no brackets; none where those do not fit.

    Help that was cut short leaves a bracket open, and would hide the names behind it.
    """
    items, depth = [""], 0
    for character in text:
        depth += (character in "([{") - (character in ")]}")
        if depth < 0:
            return []
        if character == "," and depth == 0:
            items.append("")
        else:
            items[-1] += character
    return [] if depth else [item.strip() for item in items]


def schema_of(given: object, *, required: Sequence[object], optional: Sequence[object]) -> Schema:
    """A JSON Schema of parameters, however they are told; empty where nothing is told of them."""
    members = members_of(given)
    if isinstance(members.get("properties"), Mapping):
        return members
    properties: dict[str, object] = {}
    needed: list[str] = []
    for name, spec in members.items():
        if name in _OF_A_SCHEMA and not members_of(spec):
            continue
        properties[name] = _property(spec)
        if members_of(spec).get("required") is True or _is_said_required(spec):
            needed.append(name)
    for item in [*listed(given), *required, *optional]:
        name, spec, is_needed = _parameter(item)
        if name:
            properties.setdefault(name, spec)
            if is_needed or item in required:
                needed.append(name)
    needed += [one for one in listed(members.get("required")) if isinstance(one, str)]
    if not properties:
        return {}
    found: Schema = {"type": "object", "properties": properties}
    known = [name for name in dict.fromkeys(needed) if name in properties]
    return {**found, "required": known} if known else found


def _is_said_required(spec: object) -> bool:
    """Whether a text says that a parameter is required: `integer, required`, `id (required)`."""
    return isinstance(spec, str) and _REQUIRED.search(spec) is not None


def _parameter(item: object) -> tuple[str, Schema, bool]:
    """A parameter from a list: its name, its schema, and whether it must be given."""
    if isinstance(item, str):
        found = _PARAMETER.match(item)
        if found is None:
            return "", {}, False
        said = (found[3] or "").removesuffix(")" if "(" in item[: found.start(3)] else "")
        return found[1], _property(said), _is_said_required(said)
    members = members_of(item)
    name = first_text(members, ("name", "key", "id", "param", "parameter"))
    return name, _property(members), members.get("required") is True


def _property(spec: object) -> Schema:
    """A parameter's schema: what of it JSON Schema knows. A type it does not know says nothing."""
    if isinstance(spec, str):
        typed = _TYPED.match(spec)
        types = {} if typed is None else _types(typed[1])
        return {**types, "description": spec[:TEXT_CHARACTERS_MAX]} if spec else {}
    members = members_of(spec)
    found = {key: members[key] for key in _KEYWORDS if key in members and key != "type"}
    text = first_text(members, TEXTS)
    said: Schema = {"description": text[:TEXT_CHARACTERS_MAX]} if text else {}
    named = members.get("type")
    words = [word for word in (listed(named) or [named]) if isinstance(word, str)]
    types = _types("|".join(words)) if words else {}
    return {**types, **found, **said}


def _types(word: str) -> Schema:
    """`string`, `int | null`, `list[str]`: as JSON Schema says it; nothing where a word is new."""
    plain = word.lower()
    if plain.endswith("[]") or re.match(r"(list|array|sequence)[\[<]", plain):
        return {"type": "array"}
    words = [one.strip() for one in plain.split("|")]
    types = [_JSON_TYPES.get(one, "null" if one in {"null", "none"} else "") for one in words]
    if not all(types):
        return {}
    return {"type": types[0] if len(types) == 1 else list(dict.fromkeys(types))}


def first_text(members: Mapping[str, object], keys: Sequence[str]) -> str:
    """The first of these members that is a text; empty where none is."""
    for key in keys:
        value = members.get(key)
        if isinstance(value, str) and value:
            return value
    return ""
