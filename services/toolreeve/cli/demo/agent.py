"""An agent of the demo: a real client of the MCP SDK, and what it is told."""

from __future__ import annotations

from contextlib import asynccontextmanager
from enum import Enum
from typing import TYPE_CHECKING, Any

import httpx2
from mcp import Client
from mcp.client.streamable_http import streamable_http_client
from mcp_types import TextContent
from msgspec import Struct

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

DECISION_META = "io.toolreeve/decision"
ANSWER_SECONDS_MAX = 20.0


class Era(Enum):
    """How a client opens a connection: the SDK's word for it."""

    NEWEST = "auto"  # stateless, 2026-07-28
    SESSIONS = "legacy"  # initialize and a session id, 2025-11-25


class Told(Struct, frozen=True):
    """What an agent hears about one call. `decision` is toolreeve's, empty where it let it pass."""

    text: str
    is_error: bool
    decision: dict[str, Any]

    @property
    def is_refused(self) -> bool:
        """Whether the call did not do what it was for: toolreeve refused it, or the server did."""
        return self.is_error or bool(self.decision)


class Agent:
    """One agent with a connection to one server through the gateway."""

    def __init__(self, name: str, client: Client) -> None:
        self.name = name
        self._client = client

    @property
    def protocol_version(self) -> str:
        """Return the revision of MCP that was agreed on."""
        return self._client.protocol_version

    async def tools(self) -> list[str]:
        """Return the names of the tools it can see."""
        return [tool.name for tool in (await self._client.list_tools()).tools]

    async def call(self, tool: str, arguments: dict[str, Any] | None = None) -> Told:
        """Call a tool and return what came back, refused or not."""
        result = await self._client.call_tool(tool, arguments or {})
        texts = [block.text for block in result.content if isinstance(block, TextContent)]
        meta = result.meta or {}
        return Told(
            text="\n".join(texts),
            is_error=result.is_error,
            decision=meta.get(DECISION_META) or {},
        )


@asynccontextmanager
async def connected(name: str, url: str, *, token: str | None, era: Era) -> AsyncGenerator[Agent]:
    """Connect an agent to `url`, presenting `token` as its bearer token."""
    headers = {} if token is None else {"Authorization": f"Bearer {token}"}
    async with httpx2.AsyncClient(headers=headers, timeout=ANSWER_SECONDS_MAX) as http:
        transport = streamable_http_client(url, http_client=http)
        async with Client(
            transport, mode=era.value, read_timeout_seconds=ANSWER_SECONDS_MAX
        ) as client:
            yield Agent(name, client)


def shown(tool: str, arguments: dict[str, Any]) -> str:
    """Return a call as a line of a story: the tool and its plain arguments."""
    plain = [f"{key}={value}" for key, value in arguments.items() if not isinstance(value, dict)]
    return " ".join((tool, *plain))
