"""Every request that is answered in our own name has left an event by then, and says who asked."""

from __future__ import annotations

import asyncio
import json
import socket
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tests.integration.proxy.actors import SESSION, Message, PuppetServer
from tests.integration.proxy.plays import Line, ask, ask_alone
from tests.integration.proxy.test_bridge import connect, in_session, opened, stateless
from tests.integration.proxy.test_plays import Names, perform
from tests.integration.proxy.words import SESSION as IN_SESSION
from tests.integration.proxy.words import STREAM_HEAD, fixed, request, saying

from toolreeve.proxy.bridge import BridgeBounds
from toolreeve.proxy.child import ChildBounds
from toolreeve.proxy.http_client import UpstreamBounds

if TYPE_CHECKING:
    from tests.integration.proxy.conftest import Answer, OpenSite, OpenStage, OpenUpstream

HERE = Path(__file__).parent
ODD = [sys.executable, str(HERE / "odd_server.py")]
Sent = tuple[str, list[str], bytes]


SESSIONLESS: dict[str, tuple[Sent, int, str, str]] = {
    "a ping before initialize": (in_session("", "ping"), 400, "no_session", "ping"),
    "a ping of nobody's session": (in_session("nobody", "ping"), 404, "no_session", "ping"),
    "a stream of no session": (("GET", [], b""), 400, "no_session", ""),
    "the end of no session": (("DELETE", [], b""), 400, "no_session", ""),
    "a stream of nobody's session": (
        ("GET", ["Mcp-Session-Id: nobody"], b""),
        404,
        "no_session",
        "",
    ),
    "one session too many": (in_session("", "initialize"), 503, "busy", "initialize"),
    "an initialize of the new version": (stateless("initialize"), 404, "method", "initialize"),
}


@pytest.mark.parametrize("name", SESSIONLESS)
def test_what_a_bridge_refuses_by_itself_is_recorded(to_command: OpenSite, name: str) -> None:
    sent, status, code, method = SESSIONLESS[name]
    bounds = BridgeBounds(sessions_max=0)

    async def main() -> None:
        async with asyncio.timeout(10), to_command(ODD, bridge_bounds=bounds) as site:
            client = await connect(site)
            client.send(*sent)
            assert (await client.answer()).status == status
            (bad,) = site.gate.refusals
            assert (bad.code, bad.http_status, bad.method) == (code, status, method)
            assert (bad.server, bad.caller) == ("flat", site.gate.authenticate("flat", None))

    asyncio.run(main())


def test_a_second_stream_and_a_server_that_ended_are_recorded(to_command: OpenSite) -> None:
    async def main() -> None:
        async with asyncio.timeout(10), to_command(ODD) as site:
            client, other = await connect(site), await connect(site)
            session = await opened(client)
            other.send("GET", [f"Mcp-Session-Id: {session}"])
            assert (await other.head())[0] == 200
            client.send("GET", [f"Mcp-Session-Id: {session}"])
            assert (await client.answer()).status == 409
            assert [bad.code for bad in site.gate.refusals] == ["busy"]
            client.send(*in_session(session, "tools/call", 1, name="exit"))
            assert (await client.answer()).status == 502
            client.send(*in_session(session, "tools/call", 2, name="pid"))
            client.send(*in_session(session, "ping", 3))
            assert [(await client.answer()).status for _ in range(2)] == [404, 404]
            # The calls have their decisions and outcomes instead.
            assert [bad.code for bad in site.gate.refusals] == ["busy", "no_session"]
            assert site.gate.every_call_ended_once()

    asyncio.run(main())


@pytest.mark.parametrize("method", ["ping", "tools/list", "server/discover"])
def test_a_server_that_cannot_be_started_is_recorded(to_command: OpenSite, method: str) -> None:
    async def main() -> None:
        async with asyncio.timeout(10), to_command(["/no/such/server"]) as site:
            client = await connect(site)
            client.send(*stateless(method))
            assert (await client.answer()).status == 502
            assert [bad.code for bad in site.gate.refusals] == ["unreachable"]

    asyncio.run(main())


FAILING: dict[str, tuple[Answer, int, str]] = {
    "silence": (saying(b""), 504, "timed_out"),
    "an end without a word": (saying(b"", then_close=True), 502, "broken_off"),
    "a redirect": (saying(fixed(b"", status=b"302 Away")), 502, "unreachable"),
    "an end in the body": (saying(fixed(b"{}")[:-1], then_close=True), 502, "broken_off"),
    "an end of the stream": (saying(STREAM_HEAD + b": x\n\n", then_close=True), 200, "broken_off"),
}


@pytest.mark.parametrize("name", FAILING)
def test_what_becomes_of_a_request_when_its_upstream_fails_is_recorded(
    to_url: OpenSite, answering: OpenUpstream, name: str
) -> None:
    respond, status, code = FAILING[name]
    quick = UpstreamBounds(head_seconds_max=0.2, silence_seconds_max=0.2)

    async def main() -> None:
        async with (
            asyncio.timeout(5),
            answering(respond) as (url, _),
            to_url(url, upstream_bounds=quick) as site,
        ):
            said = await site.raw(request("resources/read", IN_SESSION + b"Connection: close\r\n"))
            assert int(said.split(b" ", 2)[1]) == status
            assert [(bad.code, bad.method) for bad in site.gate.refusals] == [
                (code, "resources/read")
            ]

    asyncio.run(main())


def test_an_upstream_that_is_not_there_is_recorded(to_url: OpenSite) -> None:
    async def main() -> None:
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        async with asyncio.timeout(5), to_url(f"http://127.0.0.1:{port}/mcp") as site:
            for method in (b"GET", b"DELETE"):
                head = method + b" /flat/mcp HTTP/1.1\r\n" + IN_SESSION + b"\r\n"
                said = await site.raw(head, until=b"}}")
                assert said.startswith(b"HTTP/1.1 502")
            assert [bad.code for bad in site.gate.refusals] == ["unreachable"] * 2

    asyncio.run(main())


# Which version of the protocol a call is recorded with.


@pytest.mark.parametrize("way", ["http", "bridge", "wrap"])
def test_a_call_is_recorded_with_the_version_that_was_negotiated(
    open_stage: OpenStage, way: str
) -> None:
    """The client offers one and its server settles on an older one, which says it only once."""
    params: Message = {"protocolVersion": SESSION, "capabilities": {}}
    result: Message = {"protocolVersion": "2025-03-26", "capabilities": {}, "serverInfo": {}}
    hello = [
        Line("client", {"jsonrpc": "2.0", "id": "@0", "method": "initialize", "params": params}),
        Line("server", {"jsonrpc": "2.0", "id": "@0", "result": result}),
        ask("@1", "tools/call", name="a"),
    ]

    async def main() -> None:
        async with asyncio.timeout(10), open_stage(way, "2025-03-26") as stage:
            await perform(stage, hello, Names())
            assert [call.protocol_version for call in stage.gate.calls] == ["2025-03-26"]

    asyncio.run(main())


def test_a_wrapped_call_of_the_stateless_era_is_recorded_with_its_own_version(
    open_stage: OpenStage,
) -> None:
    async def main() -> None:
        async with asyncio.timeout(10), open_stage("wrap", "2026-07-28") as stage:
            call = ask_alone("@1", "tools/call", name="a", arguments={})
            await perform(stage, [call], Names())
            assert [call.protocol_version for call in stage.gate.calls] == ["2026-07-28"]

    asyncio.run(main())


def test_a_request_that_a_wrapped_server_does_not_read_is_answered_and_recorded(
    open_stage: OpenStage,
) -> None:
    async def main() -> None:
        bounds = ChildBounds(backlog_bytes_max=100_000, stop_seconds_max=0.2)
        async with asyncio.timeout(20), open_stage("wrap", SESSION, bounds) as stage:
            assert isinstance(stage.server, PuppetServer)
            await stage.client.say({"jsonrpc": "2.0", "id": 0, "method": "ping"})
            await stage.server.heard.get()
            stage.server.deafen()
            sent = 0
            while stage.client.heard.empty():
                sent += 1
                params = {"uri": "x" * 50_000}
                message = {
                    "jsonrpc": "2.0",
                    "id": sent,
                    "method": "resources/read",
                    "params": params,
                }
                await stage.client.say(message)
            error = json.loads(await stage.client.heard.get())
            assert error["error"]["code"] == -32006
            assert [bad.code for bad in stage.gate.refusals][:1] == ["busy"]

    asyncio.run(main())
