"""Meta-tools: one wire tool in front of many operations.

A tool is one when a property called `action`, `operation` or the like chooses among operations:
an enumeration of at least four values, or of fewer with one that reads (so that one rule for the
whole tool could not fit them all); or a plain string whose operations the descriptions list, or
the server's own help, or that stands beside an object for the operation's arguments.
"""

import re
from collections.abc import Mapping, Sequence

from msgspec import Struct

from toolreeve.policy.catalogue.naming import class_of_name, words_of
from toolreeve.policy.catalogue.tool import RiskClass, Tool, may_be_named, properties_of, types_of
from toolreeve.policy.model import Dispatch
from toolreeve.policy.pointer import write_pointer

_OPERATION = ("action", "operation", "op", "subcommand", "command_name", "tool_name", "function")
_ARGUMENTS = ("params", "parameters", "arguments", "args", "payload", "options", "kwargs", "input")
_GROUP = ("category", "group", "namespace", "resource", "resource_type", "domain", "module")
_SUFFIXES = frozenset(
    ("management", "manager", "manage", "tools", "tool", "operations", "ops", "actions", "api")
)
_NAME = r"[A-Za-z][A-Za-z0-9]*(?:[_.-][A-Za-z0-9]+)*"
_HEADER = r"(?:actions?|operations?|commands?)"
_INLINE = re.compile(rf"(?im)^\W*(?:available |valid )?{_HEADER}:[ \t]*({_NAME}(?:,\s*{_NAME})+)")
_BULLET_HEADER = re.compile(rf"(?im)^\W*(?:available |valid )?{_HEADER}\W*$|one of:?\s*$")
_BULLET = re.compile(
    rf'^\s*[-*\u2022]\s+["\'`]?({_NAME})["\'`]?(?:\s*[:(\u2014-]|\s{{2,}}|\s*$)(.*)$'
)
_HELP_LINE = re.compile(
    rf"(?m)^\s*[-*\u2022]?\s*[\"'`]?({_NAME})[\"'`]?\s*(?::|\u2014|\s-\s)\s*(.*)$"
)
_HELPING = re.compile(
    r"(?i)\b(help|discover|without arguments|no args|"
    r"list (?:all |the )?(?:available )?(?:actions|categories|operations|commands))\b"
)
_CATEGORIES = re.compile(rf"(?i)\b(?:categor(?:y|ies)|groups?)[^:\n]*:\s*({_NAME}(?:,\s*{_NAME})+)")
OPERATIONS_MAX = 5_000


class Expanded(Struct, frozen=True, kw_only=True):
    """What a server really offers.

    `tools` are the effective tools; `dispatch` says for each meta-tool how a call names its
    operation. `unlisted` are meta-tools whose operations are not known from here.
    """

    tools: tuple[Tool, ...]
    dispatch: tuple[Dispatch, ...]
    unlisted: frozenset[str]


def expand(tools: Sequence[Tool], dispatch: Sequence[Dispatch] | None = None) -> Expanded:
    """Put operations in the place of meta-tools.

    With `dispatch`, a policy's own, exactly the tools it names are meta-tools; without, they are
    found here and a dispatch is suggested for each.
    """
    if dispatch is None:
        dispatch = _suggest(tools)
    by_tool = {entry.wire_tool: entry for entry in dispatch}
    found: dict[str, Tool] = {}
    unlisted: set[str] = set()
    for tool in tools:
        entry = by_tool.get(tool.name)
        if entry is None:
            found.setdefault(tool.name, tool)
            continue
        operations = operations_of(tool, entry.name)
        if not operations:
            unlisted.add(tool.name)
        for name, text in operations.items():
            operation = _operation(tool, entry, name, text)
            found.setdefault(operation.name, operation)
        if is_optional(tool, entry.name):
            found.setdefault(tool.name, _bare(tool, entry, operations))
    names = {tool.name for tool in tools}
    kept = tuple(entry for entry in dispatch if entry.wire_tool in names)
    return Expanded(tools=tuple(found.values()), dispatch=kept, unlisted=frozenset(unlisted))


def is_meta(tool: Tool) -> bool:
    """Whether one rule for this tool would have to fit many operations."""
    return _operation_property(tool) is not None


def group_property(tool: Tool) -> str | None:
    """The property that holds the operation's category, such as `category`."""
    return _first(properties_of(tool.input_schema), _GROUP, "string")


def operation_property(tool: Tool) -> str | None:
    """The property that names a meta-tool's operation; None for a tool that is none."""
    return _operation_property(tool)


def is_optional(tool: Tool, pointer: str) -> bool:
    """Whether a call of a meta-tool may name no operation, so that it keeps its own name."""
    required = tool.input_schema.get("required")
    key = pointer.removeprefix("/")
    return not (isinstance(required, list) and key in required)


def operations_of(tool: Tool, pointer: str) -> dict[str, str]:
    """The operations of a meta-tool, each with what its descriptions say of it."""
    if tool.operations:
        return {operation.name: operation.description for operation in tool.operations}
    key = pointer.removeprefix("/")
    schema = properties_of(tool.input_schema).get(key)
    said = _text(schema, "description")
    texts = listed_operations(said) | listed_operations(tool.description)
    values = _enumerated(schema)
    return {value: texts.get(value, "") for value in values} if values else texts


def listed_operations(text: str) -> dict[str, str]:
    """Operations that a description lists under a heading such as `Actions:`, with their texts."""
    found: dict[str, str] = {}
    for inline in _INLINE.finditer(text):
        for name in inline.group(1).split(","):
            found.setdefault(name.strip().rstrip("."), "")
    within = False
    for line in text.splitlines():
        bullet = _BULLET.match(line)
        if _BULLET_HEADER.search(line) is not None:
            within = True
        elif bullet is not None and within:
            found.setdefault(bullet.group(1), bullet.group(2).strip())
    return found if len(found) > 1 else {}


def help_lines(text: str) -> dict[str, str]:
    """Names with texts in what a meta-tool answers when it is asked for help."""
    found = {line.group(1): line.group(2).strip() for line in _HELP_LINE.finditer(text)}
    return dict(list(found.items())[:OPERATIONS_MAX])


def help_groups(text: str) -> list[str]:
    """Categories in what a meta-tool answers when it is asked for help, or describes itself by."""
    found = _CATEGORIES.search(text)
    return [] if found is None else [name.strip() for name in found.group(1).split(",")]


def _suggest(tools: Sequence[Tool]) -> list[Dispatch]:
    taken = {tool.name for tool in tools}
    found: list[Dispatch] = []
    for tool in tools:
        key = _operation_property(tool)
        named = may_be_named(tool.name) and all(entry.wire_tool != tool.name for entry in found)
        if key is None or not named:
            continue
        properties = properties_of(tool.input_schema)
        pointer = write_pointer([key])
        names = list(operations_of(tool, pointer))
        prefix = _prefix(tool.name, names, taken)
        taken |= {prefix + name for name in names}
        arguments = _first(properties, _ARGUMENTS, "object")
        group = _first(properties, _GROUP, "string") if arguments is not None else None
        found.append(
            Dispatch(
                wire_tool=tool.name,
                name=pointer,
                arguments=None if arguments is None else write_pointer([arguments]),
                group=None if group is None else write_pointer([group]),
                prefix=prefix,
            )
        )
    return found


def _prefix(wire_tool: str, names: Sequence[str], taken: set[str]) -> str:
    """What keeps operations apart: nothing where their names say enough and are free."""
    if all(len(words_of(name)) > 1 and name not in taken for name in names):
        return ""
    words = re.split(r"[_.-]", wire_tool)
    if len(words) > 1 and words[-1].lower() in _SUFFIXES:
        words = words[:-1]
    short = "_".join(words) + "_"
    if len(short) <= 64 and not any(short + name in taken for name in names):
        return short
    return wire_tool[:63] + "."


def _operation(tool: Tool, entry: Dispatch, name: str, text: str) -> Tool:
    known = next((one for one in tool.operations if one.name == name), None)
    if known is not None:
        return Tool(
            name=entry.prefix + name,
            description=known.description,
            input_schema=known.input_schema,
            annotations=known.annotations,
            wire_tool=tool.name,
            arguments_checked=entry.arguments is None,
        )
    shared = entry.arguments is None
    return Tool(
        name=entry.prefix + name,
        description=text,
        input_schema=tool.input_schema if shared else {},
        annotations=tool.annotations,
        wire_tool=tool.name,
        arguments_checked=shared,
        mentions=_mentions(tool, text),
    )


def _bare(tool: Tool, entry: Dispatch, operations: Mapping[str, str]) -> Tool:
    """The meta-tool called without an operation: its default one, its help, or unknown."""
    schema = properties_of(tool.input_schema).get(entry.name.removeprefix("/"))
    default = schema.get("default") if isinstance(schema, Mapping) else None  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
    if isinstance(default, str) and default:
        text = operations.get(default, "")
        said = f"By default: {entry.prefix}{default}. {text}"
        helps = class_of_name(entry.prefix + default) == RiskClass.READ.value
    else:
        said = tool.description
        helps = _HELPING.search(tool.description) is not None
    return Tool(
        name=tool.name,
        description="Describe what there is." if helps else said,
        input_schema=tool.input_schema,
        annotations=tool.annotations,
        wire_tool=tool.name,
        mentions=frozenset(),
    )


def _operation_property(tool: Tool) -> str | None:
    properties = properties_of(tool.input_schema)
    key = _first(properties, _OPERATION, "string")
    if key is None:
        return None
    if tool.operations:
        return key
    values = _enumerated(properties[key])
    if values:
        reads = any(class_of_name(value) == RiskClass.READ.value for value in values)
        return key if len(values) >= 4 or (len(values) > 1 and reads) else None
    listed = operations_of(tool, write_pointer([key]))
    if listed or _first(properties, _ARGUMENTS, "object") is not None:
        return key
    return None


def _first(properties: Mapping[str, object], names: Sequence[str], kind: str) -> str | None:
    return next(
        (name for name in names if name in properties and kind in types_of(properties[name])), None
    )


def _enumerated(schema: object) -> list[str]:
    """The strings that an enumeration allows, within `anyOf` and `oneOf` too."""
    if not isinstance(schema, Mapping):
        return []
    members: dict[str, object] = {str(key): value for key, value in schema.items()}  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]
    found: list[str] = []
    values = members.get("enum")
    if isinstance(values, list):
        found += [value for value in values if isinstance(value, str) and value]  # pyright: ignore[reportUnknownVariableType]
    if isinstance(members.get("const"), str):
        found.append(str(members["const"]))
    for key in ("anyOf", "oneOf"):
        choices = members.get(key)
        if isinstance(choices, list):
            for choice in choices:  # pyright: ignore[reportUnknownVariableType]
                found += _enumerated(choice)  # pyright: ignore[reportUnknownArgumentType]
    return list(dict.fromkeys(found))[:OPERATIONS_MAX]


def _mentions(tool: Tool, text: str) -> frozenset[str] | None:
    """Properties that an operation's text names; None where it names none."""
    words = set(re.findall(r"\w+", text))
    found = words & set(properties_of(tool.input_schema))
    return frozenset(found) if text else None


def _text(schema: object, key: str) -> str:
    found = schema.get(key) if isinstance(schema, Mapping) else None  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
    return found if isinstance(found, str) else ""
