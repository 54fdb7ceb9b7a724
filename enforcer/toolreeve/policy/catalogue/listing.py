"""A recorded `tools/list`, read and written.

Taken are the result object, a whole JSON-RPC answer, a list of tools, and a list of such results
(pages). What a meta-tool's help has listed stands in its `_meta`, under OPERATIONS, so that a
recording says all that a live server does.
"""

from collections.abc import Mapping, Sequence

from toolreeve.policy.catalogue.tool import Tool

OPERATIONS = "io.toolreeve/operations"
TOOLS_MAX = 20_000


class ToolsError(ValueError):
    """A document is no list of tools. Says where and why."""


def read_listing(document: object) -> tuple[Tool, ...]:
    """The tools of a recorded listing. Raises ToolsError."""
    tools = tuple(_tool(entry, place) for entry, place in _entries(document, ""))
    if len(tools) > TOOLS_MAX:
        raise ToolsError(f"{len(tools)} tools are listed, {TOOLS_MAX} are read at most")
    return tools


def write_listing(tools: Sequence[Tool]) -> dict[str, object]:
    """A listing that `read_listing` reads as these tools."""
    return {"tools": [_plain(tool) for tool in tools]}


def _plain(tool: Tool) -> dict[str, object]:
    found: dict[str, object] = {"name": tool.name}
    if tool.description:
        found["description"] = tool.description
    found["inputSchema"] = dict(tool.input_schema)
    if tool.annotations:
        found["annotations"] = dict(tool.annotations)
    if tool.operations:
        found["_meta"] = {OPERATIONS: [_plain(one) for one in tool.operations]}
    return found


def _entries(document: object, place: str) -> list[tuple[object, str]]:
    if isinstance(document, list):
        items: list[object] = document  # pyright: ignore[reportUnknownVariableType]
        if items and all(isinstance(one, dict) and "name" not in one for one in items):
            pages = [_entries(one, f"{place}/{index}") for index, one in enumerate(items)]
            return [entry for page in pages for entry in page]
        return [(one, f"{place}/{index}") for index, one in enumerate(items)]
    if isinstance(document, dict):
        members = _members(document)  # pyright: ignore[reportUnknownArgumentType]
        if "result" in members:
            return _entries(members["result"], f"{place}/result")
        if isinstance(members.get("tools"), list):
            return _entries(members["tools"], f"{place}/tools")
    where = f'at "{place}": ' if place else ""
    raise ToolsError(where + 'expected {"tools": [...]}, as tools/list answers')


def _tool(entry: object, place: str) -> Tool:
    if not isinstance(entry, dict):
        raise ToolsError(f'at "{place}": a tool is an object')
    members = _members(entry)  # pyright: ignore[reportUnknownArgumentType]
    name = members.get("name")
    if not isinstance(name, str) or not name:
        raise ToolsError(f'at "{place}": the tool has no name')
    description = members.get("description")
    meta = _members(members.get("_meta"))
    operations = meta.get(OPERATIONS, [])
    if not isinstance(operations, list):
        raise ToolsError(f'at "{place}/_meta/{OPERATIONS}": expected a list of tools')
    return Tool(
        name=name,
        description=description if isinstance(description, str) else "",
        input_schema=_members(members.get("inputSchema")),
        annotations=_members(members.get("annotations")),
        operations=tuple(_tool(one, place) for one in operations),  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]
    )


def _members(value: object) -> dict[str, object]:
    if not isinstance(value, Mapping):
        return {}
    return {str(key): member for key, member in value.items()}  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]
