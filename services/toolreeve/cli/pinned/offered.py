"""What a server offers at this moment, entry by entry as it says it: nothing may get lost."""

from __future__ import annotations

import asyncio
import functools
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from toolreeve.cli.authoring.reading import read_bytes
from toolreeve.cli.authoring.tools import ANSWER_SECONDS_MAX, PAGES_MAX, SCAN_SECONDS_MAX, Source
from toolreeve.cli.failure import BAD_INPUT, CommandError, first_of
from toolreeve.cli.needs import needs_extra

if TYPE_CHECKING:
    from collections.abc import Callable

    from toolreeve.enforcement.definition import Definition

R = TypeVar("R")

_OPTIONS = (
    click.option("--url", help="Ask this MCP server, over Streamable HTTP, what it offers now."),
    click.option("--command", "server_command", help="Ask this MCP server, a command on stdio."),
    click.option(
        "--tools",
        "tools_file",
        type=click.Path(path_type=Path, dir_okay=False),
        metavar="FILE",
        help="Go by this recorded tools/list.",
    ),
    click.option(
        "--token-env",
        metavar="NAME",
        help="With --url: the variable that holds the server's bearer token.",
    ),
)


class Offer(Source):
    """A server to ask, or a recording of one; `given` says whether any was named."""

    def __init__(
        self, file: Path | None, url: str | None, command: str | None, token_env: str | None
    ) -> None:
        super().__init__(file, url, command, token_env, may_call=False)

    def definitions(self) -> dict[str, Definition]:
        """Return what is offered, by name, or end the command with what kept it away."""
        from toolreeve.enforcement.definition import definition_of

        found: dict[str, Definition] = {}
        for entry in self._entries():
            try:
                definition = definition_of(entry)
            except (TypeError, ValueError) as error:
                raise CommandError(
                    f"a tool's definition cannot be written as JSON: {error}", "mend the server"
                ) from error
            if definition is None:
                continue
            known = found.setdefault(definition.tool, definition)
            if known.digest != definition.digest:
                raise CommandError(
                    f"the server offers {definition.tool!r} under two definitions at once",
                    "no such tool can be approved; mend the server",
                )
        return found

    def _entries(self) -> list[object]:
        if self._file is not None:
            return _recorded(self._file)
        with needs_extra("demo", "mcp"):
            target = self._target()
            try:
                return asyncio.run(_listed(target))
            except Exception as error:
                fault = first_of(error)
                said = str(fault).partition("\n")[0] or type(fault).__name__
                raise CommandError(
                    f"the server's tools cannot be listed: {said}",
                    "see that it starts and speaks MCP",
                ) from error


def offer_options(command: Callable[..., R]) -> Callable[..., R]:
    """Give a command the options that name a server to ask, as its argument `offer`."""

    @functools.wraps(command)
    def with_offer(
        *args: Any,
        tools_file: Path | None,
        url: str | None,
        server_command: str | None,
        token_env: str | None,
        **options: Any,
    ) -> R:
        offer = Offer(tools_file, url, server_command, token_env)
        return command(*args, offer=offer, **options)

    decorated: Callable[..., R] = with_offer
    for option in reversed(_OPTIONS):
        decorated = option(decorated)
    return decorated


async def _listed(target: Any) -> list[object]:
    import mcp_types
    from mcp import Client
    from pydantic import TypeAdapter

    # The SDK's own model of a tool leaves out what it does not know.
    as_it_is: Any = TypeAdapter(dict[str, Any])
    async with (
        asyncio.timeout(SCAN_SECONDS_MAX),
        Client(target, read_timeout_seconds=ANSWER_SECONDS_MAX, cache=None) as client,
    ):
        entries: list[object] = []
        cursor: str | None = None
        for _ in range(PAGES_MAX):
            params = mcp_types.PaginatedRequestParams(cursor=cursor)
            request = mcp_types.ListToolsRequest(params=params)
            page: dict[str, Any] = await client.session.send_request(request, as_it_is)
            entries += page.get("tools") or []
            cursor = page.get("nextCursor")
            if not cursor:
                break
        return entries


def _recorded(file: Path) -> list[object]:
    """Return the entries of a recording, or end the command."""
    import msgspec

    text = read_bytes(file, what="recorded tools/list")
    try:
        found = _tools_in(msgspec.json.decode(text))
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        found = None
    if found is None:
        raise CommandError(
            f"{file}: not a recorded tools/list",
            "record one with 'toolreeve tools list --json --url URL'",
            exit_code=BAD_INPUT,
        )
    return found


def _tools_in(document: object) -> list[object] | None:
    """Entries of an answer, its result, pages of those, bare tools, or our own `tools list`."""
    from toolreeve.proxy.shapes import is_array, is_object

    if is_object(document):
        if "result" in document:
            return _tools_in(document["result"])
        tools = document.get("tools")
        return tools if is_array(tools) else None
    if not is_array(document):
        return None
    found: list[object] = []
    for one in document:
        if is_object(one) and "name" not in one and "definition" not in one:
            page = _tools_in(one)
            if page is None:
                return None
            found += page
        else:
            found.append(one["definition"] if is_object(one) and "definition" in one else one)
    return found
