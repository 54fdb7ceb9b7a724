"""Operations and categories in the help of a meta-tool that answers in JSON.

Nothing says what such an answer looks like. What is read are the shapes that servers use: a list
of names, of objects, or an object keyed by name, under a word such as `actions` or
`available_operations`; the same inside each category; and parameters as a JSON Schema, as a list of
names, or as an object keyed by name. An answer may be wrapped, as in `{"success": true, "data":
{...}}`.
"""

import re
from collections.abc import Iterator, Mapping, Sequence

from toolreeve.policy.catalogue.help_parameters import TEXTS, first_text, schema_of
from toolreeve.policy.catalogue.help_text import (
    NAME,
    OPERATIONS_MAX,
    TEXT_CHARACTERS_MAX,
    entry_of,
    read_text,
)
from toolreeve.policy.catalogue.schemas import listed, members_of
from toolreeve.policy.catalogue.tool import Help, Tool

DEPTH_MAX = 6

_OPERATIONS = frozenset(
    "actions operations commands subcommands tools functions methods endpoints".split()  # noqa: SIM905
)
_GROUPS = frozenset(
    "categories groups domains namespaces modules sections toolsets areas".split()  # noqa: SIM905
)
_WRAPPERS = frozenset(
    """data result results response help output content payload documentation details info
    body""".split()  # noqa: SIM905
)
_PROSE = frozenset("help text message usage documentation output result content hint".split())  # noqa: SIM905
_NAMES = ("name", "action", "operation", "command", "tool", "method", "function", "id", "key")
_PARAMETERS = (
    "inputSchema", "input_schema", "schema", "parameters", "params", "args", "arguments",
    "inputs", "input", "fields", "properties",
)  # fmt: skip
_REQUIRED = ("required", "required_params", "requiredParams", "required_parameters")
_OPTIONAL = ("optional", "optional_params", "optionalParams", "optional_parameters")
_ADJECTIVES = ("available", "valid", "supported", "allowed", "known", "all")
_NAME = re.compile(NAME)


def read_value(value: object) -> Help:
    """Read what a meta-tool answers, as a JSON value. Empty where it tells of no operation."""
    groups: dict[str, None] = {}
    operations: dict[str, Tool] = {}
    _walk(value, groups, operations, 0)
    described = [one for one in listed(value) if _is_described(members_of(one))]
    if described and len(described) == len(listed(value)):
        _add(_operations(described), operations)
    return Help(groups=tuple(groups), operations=tuple(operations.values())[:OPERATIONS_MAX])


def _walk(value: object, groups: dict[str, None], operations: dict[str, Tool], depth: int) -> None:
    if depth > DEPTH_MAX:
        return
    for key, member in members_of(value).items():
        word = _word(key)
        if word in _OPERATIONS:
            _add(_operations(member), operations)
        elif word in _GROUPS:
            for name, inner in _grouped(member):
                before = len(operations)
                _walk(inner, groups, operations, depth + 1)
                _add(_operations(listed(inner)), operations)
                if len(operations) == before:
                    groups.setdefault(name)
        elif word in _PROSE and isinstance(member, str):
            told = read_text(member)
            groups |= dict.fromkeys(told.groups)
            _add(told.operations, operations)
        elif word in _WRAPPERS:
            _walk(member, groups, operations, depth + 1)


def _is_described(members: Mapping[str, object]) -> bool:
    """Whether an object is about an operation and no record of what is managed, such as a VM."""
    return any(key in members for key in (*TEXTS, *_PARAMETERS))


def _word(key: str) -> str:
    """A key as a plain word: `available_actions` and `validActions` are `actions`."""
    plain = re.sub(r"[_\W]", "", key).lower()
    adjective = next((one for one in _ADJECTIVES if plain.startswith(one)), "")
    return plain.removeprefix(adjective)


def _add(found: Sequence[Tool], operations: dict[str, Tool]) -> None:
    for tool in found:
        if len(operations) < OPERATIONS_MAX:
            operations.setdefault(tool.name, tool)


def _grouped(value: object) -> Iterator[tuple[str, object]]:
    """Categories with what stands in them: a list of names or objects, or an object by name."""
    for key, inner in members_of(value).items():
        if _NAME.fullmatch(key):
            yield key, inner
    for item in listed(value):
        if isinstance(item, str):
            entry = entry_of(item)
            if entry is not None:
                yield entry[0], None
        else:
            name = first_text(members_of(item), ("name", "category", "group", "id", "key"))
            if _NAME.fullmatch(name):
                yield name, item


def _operations(value: object) -> list[Tool]:
    """Operations: a list of names or objects, or an object by name."""
    found: list[Tool] = []
    for name, inner in members_of(value).items():
        if _NAME.fullmatch(name):
            found.append(_operation(name, inner))
    for item in listed(value):
        if isinstance(item, str):
            entry = entry_of(item)
            if entry is not None:
                found.append(Tool(name=entry[0], description=entry[1][:TEXT_CHARACTERS_MAX]))
        else:
            name = first_text(members_of(item), _NAMES)
            if _NAME.fullmatch(name):
                found.append(_operation(name, item))
    return found


def _operation(name: str, value: object) -> Tool:
    if isinstance(value, str):
        return Tool(name=name, description=value[:TEXT_CHARACTERS_MAX])
    members = members_of(value)
    text = first_text(members, TEXTS)
    given = next((members[key] for key in _PARAMETERS if key in members), None)
    if given is None:
        given = listed(value) or None  # {"vm_start": ["id"]}
    if isinstance(given, str):
        text, given = f"{text}; params: {given}", None
    named = {key: listed(members[one]) for key, keys in _LISTS for one in keys if one in members}
    schema = schema_of(
        given, required=named.get("required", []), optional=named.get("optional", [])
    )
    annotations = members_of(members.get("annotations"))
    return Tool(
        name=name,
        description=text[:TEXT_CHARACTERS_MAX],
        input_schema=schema,
        annotations=annotations,
    )


_LISTS = (("required", _REQUIRED), ("optional", _OPTIONAL))
