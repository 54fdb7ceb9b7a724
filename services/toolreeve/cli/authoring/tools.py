"""A server's tools for `recommend` and `lint`: from a file, over HTTP or from a command."""

from __future__ import annotations

import asyncio
import json
import os
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from toolreeve.cli.authoring.reading import read_bytes
from toolreeve.cli.failure import BAD_INPUT, CommandError, first_of
from toolreeve.cli.needs import needs_extra

if TYPE_CHECKING:
    from collections.abc import Callable

    from toolreeve.policy.catalogue import Tool

ANSWER_SECONDS_MAX = 30.0
SCAN_SECONDS_MAX = 120.0
PAGES_MAX = 1_000


class Source:
    """Where the tools come from: one of a file, a URL and a command; `given` says whether any."""

    def __init__(
        self,
        file: Path | None,
        url: str | None,
        command: str | None,
        token_env: str | None,
        *,
        may_call: bool,
    ) -> None:
        if sum(one is not None for one in (file, url, command)) > 1:
            raise click.UsageError("give one of --tools, --url and --command")
        self.given = file is not None or url is not None or command is not None
        self._file = file
        self._url = url
        self._command = command
        self._token_env = token_env
        self._may_call = may_call

    def tools(self) -> tuple[Tool, ...]:
        """Return the tools, or end the command with what kept them away."""
        if self._file is not None:
            return read_tools_file(self._file)
        with needs_extra("demo", "mcp"):
            return _scan(self._target(), may_call=self._may_call)

    def _target(self) -> Any:
        if self._url is not None:
            return _over_http(self._url, self._token())
        from mcp.client.stdio import StdioServerParameters

        assert self._command is not None
        try:
            words = shlex.split(self._command)
        except ValueError as error:
            raise click.UsageError(f"--command cannot be split into words: {error}") from error
        if not words:
            raise click.UsageError("--command is empty")
        return StdioServerParameters(command=words[0], args=words[1:], env=dict(os.environ))

    def _token(self) -> str | None:
        if self._token_env is None:
            return None
        token = os.environ.get(self._token_env)
        if not token:
            raise CommandError(
                f"the environment has no {self._token_env}",
                "set it to the token, or leave --token-env out",
                exit_code=BAD_INPUT,
            )
        return token


def source_options(command: Callable[..., None]) -> Callable[..., None]:
    """Add the options that say where the tools come from."""
    for option in reversed(
        (
            click.option(
                "--tools",
                "tools_file",
                type=click.Path(path_type=Path, dir_okay=False),
                metavar="FILE",
                help="A recorded tools/list.",
            ),
            click.option("--url", help="An MCP server over Streamable HTTP."),
            click.option(
                "--command", "server_command", help="A command that is an MCP server over stdio."
            ),
            click.option(
                "--token-env",
                metavar="NAME",
                help="With --url: the variable that holds the server's bearer token.",
            ),
            click.option(
                "--no-calls",
                is_flag=True,
                help="Never call a meta-tool, not even for its help.",
            ),
        )
    ):
        command = option(command)
    return command


def read_tools_file(file: Path) -> tuple[Tool, ...]:
    """Read a recorded listing, or end the command."""
    from toolreeve.policy.catalogue.listing import ToolsError, read_listing

    remedy = "record it with 'toolreeve policy recommend --command ... --save FILE'"
    try:
        return read_listing(json.loads(read_bytes(file, what="recorded tools/list")))
    except (ValueError, RecursionError) as error:
        said = str(error) if isinstance(error, ToolsError) else "not JSON"
        raise CommandError(f"{file}: {said}", remedy, exit_code=BAD_INPUT) from error


def _over_http(url: str, token: str | None) -> Any:
    import httpx2
    from mcp.client.streamable_http import streamable_http_client

    if not url.startswith(("http://", "https://")):
        raise click.UsageError("--url needs http:// or https://")
    headers = {} if token is None else {"Authorization": f"Bearer {token}"}
    http = httpx2.AsyncClient(headers=headers, timeout=ANSWER_SECONDS_MAX)
    return streamable_http_client(url, http_client=http)


def _scan(target: Any, *, may_call: bool) -> tuple[Tool, ...]:
    try:
        return asyncio.run(_listed(target, may_call=may_call))
    except Exception as error:
        fault = first_of(error)
        if isinstance(fault, CommandError):
            raise fault from error
        said = str(fault).partition("\n")[0] or type(fault).__name__
        if isinstance(fault, OSError) and fault.filename:
            said = f"{fault.filename}: {fault.strerror}"
        raise CommandError(
            f"the server's tools cannot be listed: {said}",
            "see that it starts and speaks MCP",
        ) from error


async def _listed(target: Any, *, may_call: bool) -> tuple[Tool, ...]:
    from mcp import Client

    from toolreeve.cli.authoring.asking import with_operations
    from toolreeve.policy.catalogue.listing import read_listing

    async with (
        asyncio.timeout(SCAN_SECONDS_MAX),
        Client(target, read_timeout_seconds=ANSWER_SECONDS_MAX, cache=None) as client,
    ):
        entries: list[Any] = []
        cursor: str | None = None
        for _ in range(PAGES_MAX):
            page = await client.list_tools(cursor=cursor)
            entries += [
                tool.model_dump(mode="json", by_alias=True, exclude_none=True)
                for tool in page.tools
            ]
            cursor = page.next_cursor
            if cursor is None:
                break
        tools = read_listing(entries)
        if not may_call:
            return tools
        return tuple([await with_operations(client, tool) for tool in tools])
