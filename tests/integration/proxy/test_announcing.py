"""Clients are told that their tools are others now, on every way they may hear it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest
from mcp.client import Client
from mcp_types import ToolListChangedNotification
from tests.integration.proxy.actors import SESSION, STATELESS, HttpClient, unchunked
from tests.integration.proxy.stage import CHANGED, in_turn
from tests.integration.proxy.test_plays import Names, introduce
from tests.integration.proxy.words import EVENT_STREAM, OK, fixed, request
from tests.integration.proxy.words import SESSION as IN_SESSION

from toolreeve.proxy.sse import message_event

if TYPE_CHECKING:
    from contextlib import AbstractAsyncContextManager

    from tests.integration.proxy.actors import Message
    from tests.integration.proxy.conftest import (
        Arrived,
        Ends,
        OpenSite,
        OpenStage,
        OpenUpstream,
        Site,
    )
    from tests.integration.proxy.stage import Stage

FlatUrl = Callable[[str], str]
WAYS = ["http", "bridge", "wrap"]


@pytest.fixture(params=["sse", "json", "stdio"])
def site(
    request: pytest.FixtureRequest, to_url: OpenSite, to_command: OpenSite, flat_url: FlatUrl
) -> AbstractAsyncContextManager[Site]:
    return to_command() if request.param == "stdio" else to_url(flat_url(request.param))


# The SDK's own clients.


@pytest.mark.parametrize("mode", ["auto", "legacy"])
def test_an_sdk_client_hears_and_lists_again(
    site: AbstractAsyncContextManager[Site], mode: str
) -> None:
    async def main() -> None:
        told = asyncio.Event()

        async def note(message: object) -> None:
            if isinstance(message, ToolListChangedNotification):
                told.set()

        async with (
            asyncio.timeout(20),
            site as here,
            Client(here.url, mode=mode, message_handler=note) as client,
        ):
            assert client.server_capabilities.tools is not None
            assert client.server_capabilities.tools.list_changed is True
            assert "vm_restart" in [tool.name for tool in (await client.list_tools()).tools]

            async def change() -> None:
                here.gate.hidden = {"vm_restart"}
                here.gate.tools_change()

            if mode == "auto":
                async with client.listen(tools_list_changed=True) as events:
                    await change()
                    async for event in events:
                        assert type(event).__name__ == "ToolsListChanged"
                        break
            else:
                while not told.is_set():  # its GET stream is opened behind our back
                    await change()
                    await asyncio.wait([asyncio.ensure_future(told.wait())], timeout=0.05)
            assert "vm_restart" not in [tool.name for tool in (await client.list_tools()).tools]

    asyncio.run(main())


def test_a_list_that_an_sdk_client_has_cached_is_dropped_with_the_announcement(
    to_url: OpenSite, answering: OpenUpstream
) -> None:
    """The upstream lets its list be cached for an hour; of that, five seconds are left."""
    listed: list[bytes] = []

    async def answer(request: Arrived, ends: Ends) -> None:
        message: dict[str, Any] = json.loads(request.body)
        cached: dict[str, Any] = {
            "resultType": "complete",
            "ttlMs": 3_600_000,
            "cacheScope": "public",
        }
        if message["method"] == "server/discover":
            cached |= {
                "supportedVersions": [STATELESS],
                "capabilities": {"tools": {}},
                "serverInfo": {"name": "s", "version": "1"},
            }
        elif message["method"] == "tools/list":
            listed.append(request.body)
            tools = [{"name": name, "inputSchema": {"type": "object"}} for name in ("a", "b")]
            cached["tools"] = tools
        else:
            unknown = {"code": -32601, "message": "Method not found"}
            body = json.dumps({"jsonrpc": "2.0", "id": message["id"], "error": unknown}).encode()
            ends.writer.write(fixed(body, status=b"404 Not Found"))
            return
        body = json.dumps({"jsonrpc": "2.0", "id": message["id"], "result": cached}).encode()
        ends.writer.write(fixed(body))

    async def main() -> None:
        async with (
            asyncio.timeout(10),
            answering(answer) as (url, _),
            to_url(url) as here,
            Client(here.url) as client,
            client.listen(tools_list_changed=True) as events,
        ):
            first = await client.list_tools()
            assert (first.ttl_ms, first.cache_scope) == (5_000, "private")
            here.gate.hidden = {"a"}
            await client.list_tools()
            assert len(listed) == 1, "it was cached"
            here.gate.tools_change()
            async for _ in events:
                break
            assert [tool.name for tool in (await client.list_tools()).tools] == ["b"]
            assert len(listed) == 2

    asyncio.run(main())


# The era of sessions.


@pytest.mark.parametrize("way", WAYS)
def test_a_client_with_a_session_hears_on_the_stream_for_what_belongs_to_no_request(
    open_stage: OpenStage, way: str
) -> None:
    async def main() -> None:
        async with asyncio.timeout(10), open_stage(way, SESSION) as here:
            await introduce(here, Names())
            here.gate.tools_change()
            assert await here.client_hears() == CHANGED
            await in_turn(here)
            assert here.client.heard.empty()

    asyncio.run(main())


@pytest.mark.parametrize("way", ["http", "bridge"])
def test_who_had_no_stream_open_is_told_with_the_next_one_until_the_tools_are_listed(
    open_stage: OpenStage, way: str
) -> None:
    async def main() -> None:
        async with asyncio.timeout(10), open_stage(way, SESSION) as here:
            client = here.client
            assert isinstance(client, HttpClient)
            await introduce(here, Names())
            here.gate.tools_change()
            assert await here.client_hears() == CHANGED
            for times in (1, 2):
                await client.leave()
                if times == 2:
                    await list_tools(here)
                await client.listen()
                if times == 1:
                    assert await here.client_hears() == CHANGED
            await in_turn(here)
            assert client.heard.empty()

    asyncio.run(main())


@pytest.mark.parametrize("way", ["http", "bridge"])
def test_who_was_in_the_middle_of_listing_is_told(open_stage: OpenStage, way: str) -> None:
    """The first page was of the old policy, the second is of the new one."""

    async def main() -> None:
        async with asyncio.timeout(10), open_stage(way, SESSION) as here:
            client = here.client
            assert isinstance(client, HttpClient)
            await introduce(here, Names())
            await client.leave()
            await list_tools(here)
            here.gate.tools_change()
            await list_tools(here, cursor="2")
            await client.listen()
            assert await here.client_hears() == CHANGED

    asyncio.run(main())


async def list_tools(stage: Stage, **params: object) -> None:
    message: Message = {"jsonrpc": "2.0", "id": "l", "method": "tools/list", "params": params}
    await stage.client.say(message)
    heard = await stage.server.heard.get()
    listing: Message = {"jsonrpc": "2.0", "id": heard["id"], "result": {"tools": []}}
    await stage.server.say(json.dumps(listing).encode())
    assert (await stage.client_hears())["result"] == {"tools": []}


def test_of_several_streams_of_a_session_one_carries_the_announcement(
    to_url: OpenSite, answering: OpenUpstream
) -> None:
    async def answer(_: Arrived, ends: Ends) -> None:
        ends.writer.write(b"HTTP/1.1 200 OK\r\n" + EVENT_STREAM + b"\r\n: here\n\n")

    async def main() -> None:
        async with asyncio.timeout(5), answering(answer) as (url, _), to_url(url) as site:
            streams: dict[str, asyncio.StreamReader] = {}
            for name, headers in (
                ("first", IN_SESSION),
                ("second", IN_SESSION),
                ("resumed", IN_SESSION + b"Last-Event-ID: 4\r\n"),
                ("other", IN_SESSION.replace(b"s-1", b"s-2")),
            ):
                reader, writer = await site.connect()
                writer.write(b"GET /flat/mcp HTTP/1.1\r\n" + headers + b"\r\n")
                await reader.readuntil(b": here\n\n")
                streams[name] = reader
            site.gate.tools_change()
            for name in ("second", "other"):
                assert b"list_changed" in await streams[name].readuntil(b"\n\n")
            for writer in site.writers:
                writer.close()
            assert b"list_changed" not in await streams["resumed"].read()

    asyncio.run(main())


def test_an_announcement_stands_between_events_and_takes_no_place_among_them(
    to_url: OpenSite, answering: OpenUpstream
) -> None:
    """The upstream stops in the middle of an event, and of one that is too long to be held."""
    go_on = asyncio.Event()
    long = b"id: 8\r\ndata: " + OK.replace(b"[]", b'["' + b"x" * 3_000_000 + b'"]') + b"\r\n\r\n"
    pieces = [
        b': one\r\n\r\nid: 7\r\nevent: message\r\ndata: {"jsonrpc":"2.0",',
        b'"method":"notifications/x"}\r\n\r\n' + long[:2_000_000],
        long[2_000_000:] + b"id: 9\r\ndata:\r\n\r\n",
    ]

    async def answer(request: Arrived, ends: Ends) -> None:
        if request.head.startswith(b"POST"):
            await asyncio.Event().wait()
        ends.writer.write(b"HTTP/1.1 200 OK\r\n" + EVENT_STREAM + b"\r\n")
        for piece in pieces:
            ends.writer.write(piece)
            await ends.writer.drain()
            await go_on.wait()
            go_on.clear()
        raise EOFError

    async def main() -> None:
        async with asyncio.timeout(10), answering(answer) as (url, arrived), to_url(url) as site:
            _, calling = await site.connect()
            calling.write(request("tools/call", IN_SESSION, name="vm_list"))
            await site.until(lambda: bool(arrived))
            reader, writer = await site.connect()
            writer.write(b"GET /flat/mcp HTTP/1.1\r\n" + IN_SESSION + b"Connection: close\r\n\r\n")
            got = await reader.readuntil(b": one\r\n\r\n")
            site.gate.tools_change()
            go_on.set()
            while b"x" * 1000 not in got:
                got += await reader.read(1 << 20)
            site.gate.tools_change()
            site.gate.tools_change()
            go_on.set()
            while b"id: 9" not in got:
                got += await reader.read(1 << 20)
            go_on.set()
            got += await reader.read()
            body = unchunked(got).replace(b"\r\n", b"\n")
            events = [event + b"\n\n" for event in body.split(b"\n\n")[:-1]]
            ours = message_event(json.dumps(CHANGED, separators=(",", ":")).encode())
            assert events.count(ours) == 3
            rest = b"".join(event for event in events if event != ours)
            assert rest == b"".join(pieces).replace(b"\r\n", b"\n")
            assert site.gate.outcomes == ["success"]

    asyncio.run(main())


def test_where_the_upstream_has_no_stream_there_is_one_of_ours_as_long_as_the_session(
    to_url: OpenSite, answering: OpenUpstream
) -> None:
    async def answer(request: Arrived, ends: Ends) -> None:
        deleted = request.head.startswith(b"DELETE")
        ends.writer.write(fixed(b"", status=b"200 OK" if deleted else b"405 No"))

    async def main() -> None:
        async with asyncio.timeout(5), answering(answer) as (url, _), to_url(url) as site:
            reader, writer = await site.connect()
            writer.write(b"GET /flat/mcp HTTP/1.1\r\n" + IN_SESSION + b"\r\n")
            assert (await reader.readuntil(b": ping\n\n")).startswith(b"HTTP/1.1 200")
            # Nothing is known of this session's past, so it is told at once.
            assert b"list_changed" in await reader.readuntil(b"\n\n")
            site.gate.tools_change()
            assert b"list_changed" in await reader.readuntil(b"\n\n")
            await site.raw(
                b"DELETE /flat/mcp HTTP/1.1\r\n" + IN_SESSION + b"\r\n", until=b"\r\n\r\n"
            )
            assert (await reader.readuntil(b"0\r\n\r\n")).endswith(b"0\r\n\r\n")

    asyncio.run(main())
