"""Meta-tools: one wire tool in front of many operations.

A tool is one when a property called `action`, `operation` or the like chooses among operations:
an enumeration of at least four values, or of fewer with one that reads (so that one rule for the
whole tool could not fit them all); one value in each branch of a union of argument objects; or a
plain string whose operations the descriptions list, or the server's own help, or that stands
beside an object for the operation's arguments. The property stands at the top, or in the one
object that is the tool's only argument.
"""

import re
from collections.abc import Mapping, Sequence

from msgspec import Struct

from toolreeve.policy.catalogue.help_text import listed_operations
from toolreeve.policy.catalogue.naming import class_of_name, words_of
from toolreeve.policy.catalogue.schemas import (
    Schema,
    all_types,
    branches_of,
    enumerated,
    followed,
    listed,
    members_of,
    refers,
)
from toolreeve.policy.catalogue.tool import RiskClass, Tool, may_be_named, properties_of
from toolreeve.policy.model import Dispatch
from toolreeve.policy.pointer import parse_pointer, write_pointer

_OPERATION = ("action", "operation", "op", "subcommand", "command_name", "tool_name", "function")
_ARGUMENTS = ("params", "parameters", "arguments", "args", "payload", "options", "kwargs", "input")
_GROUP = ("category", "group", "namespace", "resource", "resource_type", "domain", "module")
_SUFFIXES = frozenset(
    ("management", "manager", "manage", "tools", "tool", "operations", "ops", "actions", "api")
)
_HELPING = re.compile(
    r"(?i)\b(help|discover|without arguments|no args|"
    r"list (?:all |the )?(?:available )?(?:actions|categories|operations|commands))\b"
)
_DEFINITIONS = ("$defs", "definitions")


class Expanded(Struct, frozen=True, kw_only=True):
    """What a server really offers.

    `tools` are the effective tools; `dispatch` says for each meta-tool how a call names its
    operation. `unlisted` are meta-tools whose operations are not known from here.
    """

    tools: tuple[Tool, ...]
    dispatch: tuple[Dispatch, ...]
    unlisted: frozenset[str]


class _Chooser(Struct, frozen=True):
    """Where a meta-tool's operation is named: `key`, in each of the objects at `path`.

    There is one such object, or one for each branch of a union.
    """

    path: tuple[str, ...]
    key: str
    objects: tuple[Schema, ...]

    def named(self, branch: Schema, root: Mapping[str, object]) -> Schema:
        """The schema of the name in one of the objects."""
        return followed(members_of(branch.get("properties")).get(self.key), root)


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
    return _chooser(tool) is not None


def operation_pointer(tool: Tool) -> str | None:
    """Where a meta-tool's call names its operation; None for a tool that is none."""
    found = _chooser(tool)
    return None if found is None else write_pointer([*found.path, found.key])


def group_property(tool: Tool) -> str | None:
    """The property that holds the operation's category, such as `category`."""
    return _first(properties_of(tool.input_schema), tool.input_schema, _GROUP, "string")


def offers_help(tool: Tool, key: str) -> bool:
    """Whether a tool's own texts say that `help` may stand as `key`."""
    said = _text(followed(properties_of(tool.input_schema).get(key), tool.input_schema))
    named = re.compile(rf"(?i)\b{re.escape(key)}[\"'`]?\s*(?:=|:|\bof\b)+\s*[\"'`]*help\b")
    quoted = re.search(r"(?i)[\"'`]help[\"'`]", said) is not None
    return quoted or any(named.search(text) is not None for text in (said, tool.description))


def is_optional(tool: Tool, pointer: str) -> bool:
    """Whether a call of a meta-tool may name no operation, so that it keeps its own name."""
    path = parse_pointer(pointer)
    for depth, key in enumerate(path):
        objects = branches_of(tool.input_schema, path[:depth]) or [dict(tool.input_schema)]
        if not all(key in listed(one.get("required")) for one in objects):
            return True
    return False


def operations_of(tool: Tool, pointer: str) -> dict[str, str]:
    """The operations of a meta-tool, each with what its descriptions say of it."""
    if tool.operations:
        return {operation.name: operation.description for operation in tool.operations}
    chooser = _at(tool, pointer)
    texts: dict[str, str] = {}
    values: dict[str, str] = {}
    for branch in chooser.objects:
        named = chooser.named(branch, tool.input_schema)
        texts |= listed_operations(_text(named))
        said = _text(branch) if len(chooser.objects) > 1 else ""
        values |= dict.fromkeys(enumerated(named, tool.input_schema), said)
    texts |= listed_operations(tool.description)
    return {value: said or texts.get(value, "") for value, said in values.items()} or texts


def _suggest(tools: Sequence[Tool]) -> list[Dispatch]:
    taken = {tool.name for tool in tools}
    found: list[Dispatch] = []
    for tool in tools:
        chooser = _chooser(tool)
        named = may_be_named(tool.name) and all(entry.wire_tool != tool.name for entry in found)
        if chooser is None or not named:
            continue
        pointer = write_pointer([*chooser.path, chooser.key])
        names = list(operations_of(tool, pointer))
        prefix = _prefix(tool.name, names, taken)
        taken |= {prefix + name for name in names}
        beside = _beside(chooser, tool.input_schema, _ARGUMENTS, "object")
        group = None
        if beside is not None:
            group = _beside(chooser, tool.input_schema, _GROUP, "string")
        arguments = [*chooser.path, *([] if beside is None else [beside])]
        found.append(
            Dispatch(
                wire_tool=tool.name,
                name=pointer,
                arguments=write_pointer(arguments) or None,
                group=None if group is None else write_pointer([*chooser.path, group]),
                prefix=prefix,
            )
        )
    return found


def _prefix(wire_tool: str, names: Sequence[str], taken: set[str]) -> str:
    """What keeps operations apart: nothing where their names say enough and are free."""
    if all((len(words_of(name)) > 1 or name == "help") and name not in taken for name in names):
        return ""
    words = re.split(r"[_.-]", wire_tool)
    if len(words) > 1 and words[-1].lower() in _SUFFIXES:
        words = words[:-1]
    short = "_".join(words) + "_"
    if len(short) <= 64 and not any(short + name in taken for name in names):
        return short
    return wire_tool[:63] + "."


def _operation(tool: Tool, entry: Dispatch, name: str, text: str) -> Tool:
    """One operation, with the schema of the arguments that it gets, as far as it is known."""
    known = next((one for one in tool.operations if one.name == name), None)
    chooser = _at(tool, entry.name)
    checked = entry.arguments in {None, write_pointer(chooser.path)}
    schema: Mapping[str, object] = {}
    mentions = None
    if known is not None and known.input_schema:
        schema = known.input_schema
    elif checked and entry.arguments is None and chooser.path:
        schema = tool.input_schema
    elif checked:
        schema = _branch(tool, chooser, name)
        if len(chooser.objects) < 2:
            mentions = _mentions(schema, text)
    return Tool(
        name=entry.prefix + name,
        description=text,
        input_schema=schema,
        annotations=tool.annotations if known is None else known.annotations,
        wire_tool=tool.name,
        arguments_checked=checked,
        mentions=mentions,
    )


def _branch(tool: Tool, chooser: _Chooser, name: str) -> Mapping[str, object]:
    """The object in which an operation is named, with the definitions that it may refer to."""
    root = tool.input_schema
    if not chooser.path and len(chooser.objects) < 2:
        return root
    found = next(
        (
            branch
            for branch in chooser.objects
            if name in enumerated(chooser.named(branch, root), root)
        ),
        {} if len(chooser.objects) != 1 else chooser.objects[0],
    )
    definitions = {key: root[key] for key in _DEFINITIONS if key in root and refers(found)}
    return {**definitions, **found} if found else {}


def _bare(tool: Tool, entry: Dispatch, operations: Mapping[str, str]) -> Tool:
    """The meta-tool called without an operation: its default one, its help, or unknown."""
    chooser = _at(tool, entry.name)
    default: object = None
    for branch in chooser.objects[:1]:
        default = chooser.named(branch, tool.input_schema).get("default")
    if isinstance(default, str) and default:
        text = operations.get(default, "")
        said = f"By default: {entry.prefix}{default}. {text}"
        means = f"without an operation it does {entry.prefix}{default}"
        helps = class_of_name(entry.prefix + default) == RiskClass.READ.value
    else:
        said, means = tool.description, "without an operation it tells of those it has"
        helps = _HELPING.search(tool.description) is not None
    return Tool(
        name=tool.name,
        description="Describe what there is." if helps else said,
        stands_for=means if helps else "",
        input_schema=tool.input_schema,
        annotations=tool.annotations,
        wire_tool=tool.name,
        mentions=frozenset(),
    )


def _at(tool: Tool, pointer: str) -> _Chooser:
    """What stands at a dispatch's pointer to the operation's name."""
    *path, key = parse_pointer(pointer)
    objects = branches_of(tool.input_schema, path)
    named = tuple(one for one in objects if key in members_of(one.get("properties")))
    return _Chooser(tuple(path), key, named)


def _chooser(tool: Tool) -> _Chooser | None:
    """Where a meta-tool's operation is named; None for a tool that is none."""
    properties = properties_of(tool.input_schema)
    paths: list[tuple[str, ...]] = [()]
    if len(properties) == 1:
        paths.append(tuple(properties))
    for path in paths:
        objects = branches_of(tool.input_schema, path)
        chooser = _among(tool, path, objects) if objects else None
        if chooser is not None:
            return chooser
    return None


def _among(tool: Tool, path: tuple[str, ...], objects: Sequence[Schema]) -> _Chooser | None:
    root = tool.input_schema
    keys = [
        _first(members_of(one.get("properties")), root, _OPERATION, "string") for one in objects
    ]
    key = keys[0]
    if key is None or any(one != key for one in keys):
        return None
    found = _Chooser(path, key, tuple(objects))
    values = [enumerated(found.named(one, root), root) for one in objects]
    if len(objects) > 1:
        return found if all(len(one) == 1 for one in values) else None
    if tool.operations:
        return found
    if values[0]:
        reads = any(class_of_name(value) == RiskClass.READ.value for value in values[0])
        return found if len(values[0]) >= 4 or (len(values[0]) > 1 and reads) else None
    pointer = write_pointer([*path, key])
    known = operations_of(tool, pointer) or (not path and offers_help(tool, key))
    return found if known or _beside(found, root, _ARGUMENTS, "object") is not None else None


def _beside(
    chooser: _Chooser, root: Mapping[str, object], names: Sequence[str], kind: str
) -> str | None:
    """The property of one of these names beside the operation's; None in a union."""
    if len(chooser.objects) != 1:
        return None
    return _first(members_of(chooser.objects[0].get("properties")), root, names, kind)


def _first(
    properties: Mapping[str, object], root: Mapping[str, object], names: Sequence[str], kind: str
) -> str | None:
    return next(
        (
            name
            for name in names
            if name in properties and kind in all_types(properties[name], root)
        ),
        None,
    )


def _mentions(schema: Mapping[str, object], text: str) -> frozenset[str] | None:
    """Properties that an operation's text names; None where it has no text."""
    words = set(re.findall(r"\w+", text))
    return frozenset(words & set(properties_of(schema))) if text else None


def _text(schema: Mapping[str, object]) -> str:
    found = schema.get("description")
    return found if isinstance(found, str) else ""
