"""Headers that a tool asks for (`x-mcp-header`): mirrored, checked, and telling nobody anything."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING

import pytest
from tests.integration.proxy.actors import STATELESS, HttpClient, HttpServer, Message
from tests.integration.proxy.plays import answer, ask_alone
from tests.integration.proxy.test_plays import Names, perform

if TYPE_CHECKING:
    from tests.integration.proxy.conftest import OpenStage
    from tests.integration.proxy.stage import Stage

SCHEMA: Message = {
    "type": "object",
    "properties": {"region": {"type": "string", "x-mcp-header": "Region"}},
}
TOOLS: list[Message] = [
    {"name": name, "inputSchema": SCHEMA} for name in ("restart", "fails_by_raising")
]
CACHED: Message = {"resultType": "complete", "ttlMs": 0, "cacheScope": "private"}


async def list_tools(stage: Stage) -> None:
    names = Names()
    await perform(stage, [ask_alone("@1", "tools/list")], names)
    line = answer("@1", tools=TOOLS, **CACHED)
    await stage.server.say(json.dumps(names.spoken("server", line.message)).encode())
    shown = (await stage.client_hears())["result"]["tools"]
    assert shown == [tool for tool in TOOLS if tool["name"] not in stage.gate.hidden]


def call(tool: str) -> Message:
    return ask_alone("c", "tools/call", name=tool, arguments={"region": "zürich"}).message


@pytest.mark.parametrize("way", ["http", "bridge"])
def test_a_header_that_is_right_passes_and_one_that_is_not_is_refused(
    open_stage: OpenStage, way: str
) -> None:
    async def main() -> None:
        async with asyncio.timeout(10), open_stage(way, STATELESS) as stage:
            client = stage.client
            assert isinstance(client, HttpClient)
            await list_tools(stage)
            for headers in ([], [b"Mcp-Param-Region: bern"], [b"Mcp-Param-Region: z\xc3\xbcrich"]):
                client.more_headers = headers
                await client.say(call("restart"))
                assert (await stage.client_hears())["error"]["code"] == -32020
            assert client.statuses[-3:] == [400, 400, 400]
            assert [bad.code for bad in stage.gate.refusals] == ["header_mismatch"] * 3
            client.more_headers = [b"Mcp-Param-Region: =?base64?esO8cmljaA==?="]
            params: Message = {**call("restart")["params"]}
            params.pop("_meta")
            await perform(stage, [ask_alone("@2", "tools/call", None, **params)], Names())
            if isinstance(stage.server, HttpServer):
                assert b"mcp-param-region: =?base64?esO8cmljaA==?=\r\n" in stage.server.heads[-1]

    asyncio.run(main())


@pytest.mark.parametrize("way", ["http", "bridge"])
def test_a_hidden_tool_does_not_betray_itself_by_the_headers_it_would_ask_for(
    open_stage: OpenStage, way: str
) -> None:
    """Neither one that was always hidden nor one that has been hidden since it was listed."""

    async def main() -> None:
        async with asyncio.timeout(10), open_stage(way, STATELESS) as stage:
            await list_tools(stage)
            heard: list[Message] = []
            for tool in ("fails_by_raising", "restart", "nobody_knows_it"):
                stage.gate.denied |= {tool}
                if tool == "restart":
                    stage.gate.hidden |= {tool}
                    stage.gate.tools_change()
                await stage.client.say(call(tool))
                heard.append(await stage.client_hears())
            assert ["POLICY DENIED" in str(one["result"]) for one in heard] == [True] * 3
            assert stage.gate.refusals == []

    asyncio.run(main())
