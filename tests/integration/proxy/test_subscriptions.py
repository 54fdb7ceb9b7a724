"""Subscriptions in the stateless era, and what servers are said to announce."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING

import pytest
from tests.integration.proxy.actors import SESSION, STATELESS, HttpClient, HttpServer
from tests.integration.proxy.plays import SUBSCRIPTION, Line, ask_alone
from tests.integration.proxy.stage import CHANGED, in_turn
from tests.integration.proxy.test_plays import Names, perform

if TYPE_CHECKING:
    from tests.integration.proxy.conftest import OpenStage

WAYS = ["http", "bridge", "wrap"]


def subscribing(**wanted: object) -> list[Line]:
    return [ask_alone("@1", "subscriptions/listen", notifications=wanted)]


def acknowledging(**granted: object) -> Line:
    params = {"notifications": granted, "_meta": {SUBSCRIPTION: "@1"}}
    method = "notifications/subscriptions/acknowledged"
    return Line("server", {"jsonrpc": "2.0", "method": method, "params": params}, "@1")


def announced(names: Names) -> dict[str, object]:
    return {**CHANGED, "params": {"_meta": {SUBSCRIPTION: names.at["client"]["@1"]}}}


@pytest.mark.parametrize("granted", [{}, {"promptsListChanged": True}, {"toolsListChanged": True}])
@pytest.mark.parametrize("way", WAYS)
def test_a_subscriber_hears_whether_or_not_its_server_would_have_said_anything(
    open_stage: OpenStage, way: str, granted: dict[str, object]
) -> None:
    async def main() -> None:
        async with asyncio.timeout(10), open_stage(way, STATELESS) as here:
            names = Names()
            await perform(here, subscribing(toolsListChanged=True, promptsListChanged=True), names)
            if isinstance(here.server, HttpServer) and isinstance(here.client, HttpClient):
                await here.server.say_event(b": begun\r\n\r\n", on=names.spoken("server", "@1"))
                await here.client.until_answering()
            here.gate.tools_change()  # before it is acknowledged: kept until then
            line = names.spoken("server", acknowledging(**granted).message)
            await here.server.say(json.dumps(line).encode(), on=names.spoken("server", "@1"))
            acknowledged = await here.client_hears()
            assert acknowledged["params"] == {
                "notifications": {**granted, "toolsListChanged": True},
                "_meta": {SUBSCRIPTION: names.at["client"]["@1"]},
            }
            assert await here.client_hears() == announced(names)
            here.gate.tools_change()
            assert await here.client_hears() == announced(names)

    asyncio.run(main())


@pytest.mark.parametrize("way", WAYS)
def test_a_subscriber_to_something_else_hears_nothing(open_stage: OpenStage, way: str) -> None:
    async def main() -> None:
        async with asyncio.timeout(10), open_stage(way, STATELESS) as here:
            names = Names()
            play = [*subscribing(promptsListChanged=True), acknowledging(promptsListChanged=True)]
            await perform(here, play, names)
            here.gate.tools_change()
            update = {"_meta": {SUBSCRIPTION: "@1"}}
            method = "notifications/prompts/list_changed"
            line = {"jsonrpc": "2.0", "method": method, "params": update}
            await perform(here, [Line("server", line, "@1")], names)
            assert here.client.heard.empty()

    asyncio.run(main())


@pytest.mark.parametrize("way", WAYS)
def test_where_the_server_knows_no_subscriptions_we_keep_this_one(
    open_stage: OpenStage, way: str
) -> None:
    async def main() -> None:
        async with asyncio.timeout(10), open_stage(way, STATELESS) as here:
            names = Names()
            await perform(here, subscribing(toolsListChanged=True, promptsListChanged=True), names)
            number = names.spoken("server", "@1")
            error = {"code": -32601, "message": "Method not found"}
            await here.server.say(
                json.dumps({"jsonrpc": "2.0", "id": number, "error": error}).encode()
            )
            acknowledged = await here.client_hears()
            assert acknowledged["params"]["notifications"] == {"toolsListChanged": True}
            here.gate.tools_change()
            assert await here.client_hears() == announced(names)

    asyncio.run(main())


def test_a_wrapped_subscription_that_is_cancelled_hears_no_more(open_stage: OpenStage) -> None:
    async def main() -> None:
        async with asyncio.timeout(10), open_stage("wrap", STATELESS) as here:
            names = Names()
            play = [*subscribing(toolsListChanged=True), acknowledging(toolsListChanged=True)]
            await perform(here, play, names)
            params = {"requestId": names.at["client"]["@1"]}
            note = {"jsonrpc": "2.0", "method": "notifications/cancelled", "params": params}
            await perform(here, [Line("client", note)], names)
            here.gate.tools_change()
            await in_turn(here)
            assert here.client.heard.empty()

    asyncio.run(main())


# What a server says of itself.


INTRODUCTIONS = {
    "initialize": (SESSION, '"protocolVersion":"2025-11-25","x":{"y" : [1 ,2e1]}'),
    "server/discover": (STATELESS, '"supportedVersions":["2026-07-28"],"ttlMs":3600000'),
}
CAPABILITIES = {
    "tools that never change": (
        '{"tools":{"listChanged":false,"x":1e2},"prompts":{"listChanged": false}}',
        '{"tools":{"listChanged":true,"x":1e2},"prompts":{"listChanged": false}}',
    ),
    "tools": ('{"logging":{ },"tools":{ }}', '{"logging":{ },"tools":{"listChanged":true}}'),
    "announced tools": ('{"tools" : {"listChanged":true}}', '{"tools" : {"listChanged":true}}'),
    "no tools": ('{"resources":{"subscribe":true}}', '{"resources":{"subscribe":true}}'),
}


@pytest.mark.parametrize("capabilities", CAPABILITIES)
@pytest.mark.parametrize("method", INTRODUCTIONS)
@pytest.mark.parametrize("way", WAYS)
def test_a_server_with_tools_is_said_to_announce_them_and_nothing_else_is_changed(
    open_stage: OpenStage, way: str, method: str, capabilities: str
) -> None:
    era, more = INTRODUCTIONS[method]
    said, shown = CAPABILITIES[capabilities]
    rest = f'{more},"serverInfo":{{"name":"s" , "title":"\\u00e4"}}'

    async def main() -> None:
        async with asyncio.timeout(10), open_stage(way, era) as here:
            if era == SESSION:
                params: dict[str, object] = {"protocolVersion": SESSION, "capabilities": {}}
                hello = Line("client", {"jsonrpc": "2.0", "id": "@1", "method": method})
                hello.message["params"] = params
            else:
                hello = ask_alone("@1", method)
            names = Names()
            await perform(here, [hello], names)
            number = json.dumps(names.spoken("server", "@1"))
            result = f'{{"capabilities":{said},{rest}}}'
            raw = f'{{"jsonrpc":"2.0","id":{number},"result":{result}}}'
            await here.server.say(raw.encode())
            number = json.dumps(names.spoken("client", "@1"))
            result = f'{{"capabilities":{shown},{rest}}}'
            expected = f'{{"jsonrpc":"2.0","id":{number},"result":{result}}}'
            assert (await here.client.heard.get()).decode() == expected

    asyncio.run(main())
