"""Everything of the protocol that is no tool call passes untouched, in both eras, on every way."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

import pytest
from tests.integration.proxy.actors import SESSION, STATELESS, HttpClient
from tests.integration.proxy.plays import ALONE, IN_SESSION, Line

from toolreeve.proxy.shapes import is_array, is_object

if TYPE_CHECKING:
    from tests.integration.proxy.actors import Message
    from tests.integration.proxy.conftest import OpenStage
    from tests.integration.proxy.stage import Stage

WAYS = ["http", "bridge", "wrap"]


class Names:
    """What stands for `@name` on each side."""

    def __init__(self) -> None:
        self.at: dict[str, dict[str, object]] = {"client": {}, "server": {}}

    def spoken(self, who: str, pattern: Any) -> Any:
        """The message as `who` says it; a name it does not know yet gets an id of its own."""
        if isinstance(pattern, str) and pattern.startswith("@"):
            known = self.at[who]
            return known.setdefault(pattern, f"{who}-{pattern[1:]}" if len(known) % 2 else 70)
        if is_object(pattern):
            return {key: self.spoken(who, value) for key, value in pattern.items()}
        if is_array(pattern):
            return [self.spoken(who, value) for value in pattern]
        return pattern

    def heard(self, who: str, pattern: Any, actual: Any) -> Any:
        """The pattern with the names as `who` has now heard them."""
        if isinstance(pattern, str) and pattern.startswith("@"):
            return self.at[who].setdefault(pattern, actual)
        if is_object(pattern) and is_object(actual):
            return {key: self.heard(who, value, actual.get(key)) for key, value in pattern.items()}
        return pattern


async def perform(stage: Stage, play: list[Line], names: Names) -> None:
    for line in play:
        if line.who == "client":
            await stage.client.say(names.spoken("client", line.message))
            arrived: Message = await stage.server.heard.get()
            assert arrived == names.heard("server", line.message, arrived)
        else:
            on = None if line.on is None else names.spoken("server", line.on)
            said = json.dumps(names.spoken("server", line.message), ensure_ascii=False).encode()
            await stage.server.say(said, on=on)
            arrived = await stage.client_hears()
            assert arrived == names.heard("client", line.message, arrived)


async def introduce(stage: Stage, names: Names) -> None:
    """A session begins, and the client opens the stream for what belongs to no request."""
    hello = [
        Line(
            "client",
            {
                "jsonrpc": "2.0",
                "id": "@0",
                "method": "initialize",
                "params": {"protocolVersion": SESSION, "capabilities": {"x-new": {"a": 1}}},
            },
        ),
        Line(
            "server",
            {
                "jsonrpc": "2.0",
                "id": "@0",
                "result": {
                    "protocolVersion": SESSION,
                    "capabilities": {"prompts": {"listChanged": False}, "x-new": [1]},
                    "serverInfo": {"name": "s", "version": "2"},
                    "instructions": "ä",
                },
            },
        ),
        Line("client", {"jsonrpc": "2.0", "method": "notifications/initialized"}),
    ]
    await perform(stage, hello, names)
    if isinstance(stage.client, HttpClient):
        await stage.client.listen()


@pytest.mark.parametrize("name", IN_SESSION)
@pytest.mark.parametrize("way", WAYS)
def test_in_a_session_it_arrives_as_it_was_said(open_stage: OpenStage, way: str, name: str) -> None:
    async def main() -> None:
        async with asyncio.timeout(15), open_stage(way, SESSION) as stage:
            names = Names()
            await introduce(stage, names)
            await perform(stage, IN_SESSION[name], names)
            assert stage.client.heard.empty()
            assert stage.gate.every_call_ended_once()
            assert stage.gate.refusals == []
            assert stage.gate.unheard == []

    asyncio.run(main())


@pytest.mark.parametrize("name", ALONE)
@pytest.mark.parametrize("way", WAYS)
def test_without_sessions_it_arrives_as_it_was_said(
    open_stage: OpenStage, way: str, name: str
) -> None:
    async def main() -> None:
        async with asyncio.timeout(15), open_stage(way, STATELESS) as stage:
            await perform(stage, ALONE[name], Names())
            assert stage.client.heard.empty()
            assert stage.gate.every_call_ended_once()
            assert stage.gate.refusals == []
            assert stage.gate.unheard == []

    asyncio.run(main())
