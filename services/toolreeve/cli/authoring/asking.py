"""A meta-tool is asked for its help, where only that tells its operations."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from mcp import Client

    from toolreeve.policy.catalogue import Tool
    from toolreeve.policy.catalogue.tool import Help


async def with_operations(client: Client, tool: Tool) -> Tool:
    """Return the tool with the operations that its help lists; itself where none has to be asked.

    It is called without arguments, or with the word `help` where its own texts offer that, and
    then with nothing but each category it has told of: never with an operation. Each call is said
    on stderr.
    """
    from msgspec.structs import replace

    from toolreeve.policy.catalogue.expand import operation_pointer, operations_of
    from toolreeve.policy.catalogue.help import first_questions, questions_by_group, with_help

    pointer = operation_pointer(tool)
    if pointer is None or operations_of(tool, pointer):
        return tool
    asked = first_questions(tool)
    if not asked:
        _say(f"{tool.name}: its operations are not listed, and it cannot be asked without one")
        return tool
    for arguments in asked:
        told = await _ask(client, tool.name, arguments)
        listed = list(told.operations)
        for question in questions_by_group(tool, arguments, told):
            listed += (await _ask(client, tool.name, question)).operations
        if listed:
            return replace(tool, operations=with_help(listed, arguments, pointer))
    return tool


async def _ask(client: Client, tool: str, arguments: dict[str, str]) -> Help:
    from mcp_types import TextContent

    from toolreeve.policy.catalogue.help import read_help

    given = " and ".join(f"{key}={value}" for key, value in arguments.items())
    _say(f"{tool}: called {f'with {given}' if given else 'without arguments'}, for its help")
    result = await client.call_tool(tool, dict(arguments))
    texts = [block.text for block in result.content if isinstance(block, TextContent)]
    return read_help(texts, result.structured_content, failed=bool(result.is_error))


def _say(line: str) -> None:
    click.echo(line, err=True)
