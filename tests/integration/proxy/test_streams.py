"""Streams as the protocol means them: resumed, cancelled, ended, and nothing of them made up."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING

import pytest
from tests.integration.proxy.actors import SESSION, STATELESS, HttpClient, HttpServer, unchunked
from tests.integration.proxy.plays import ask, ask_alone, note, tell
from tests.integration.proxy.stage import in_turn
from tests.integration.proxy.test_plays import Names, introduce, perform
from tests.integration.proxy.words import CALL, EVENT_STREAM, OK, PLAIN, fixed, request
from tests.integration.proxy.words import SESSION as IN_SESSION

from toolreeve.proxy.announcing import tools_changed
from toolreeve.proxy.http_client import UpstreamBounds
from toolreeve.proxy.sse import message_event

if TYPE_CHECKING:
    from tests.integration.proxy.conftest import (
        Arrived,
        Ends,
        OpenSite,
        OpenStage,
        OpenUpstream,
    )

PRIMING = b"id: 1\r\nretry: 50\r\ndata:\r\n\r\n"
NOTE = b': a comment\rid:2\revent: message\rdata: {"jsonrpc":"2.0","method":"notifications/x"}\r\r'
RESULT = b"event: message\nid: 3\ndata: " + OK + b"\n\n"


def test_a_stream_that_broke_off_is_taken_up_again_byte_for_byte(
    to_url: OpenSite, answering: OpenUpstream
) -> None:
    async def respond(request: Arrived, ends: Ends) -> None:
        first = request.head.startswith(b"POST")
        events = PRIMING + NOTE if first else b"data: \n\n" + RESULT
        ends.writer.write(b"HTTP/1.1 200 OK\r\n" + EVENT_STREAM + b"\r\n" + events)
        await ends.writer.drain()
        raise EOFError

    async def main() -> None:
        async with asyncio.timeout(5), answering(respond) as (url, arrived), to_url(url) as site:
            call = request("tools/call", IN_SESSION + b"Connection: close\r\n", name="vm_list")
            said = await site.raw(call)
            assert unchunked(said) == PRIMING + NOTE
            assert site.gate.endings == [], "its answer may still come"
            headers = IN_SESSION + b"Connection: close\r\nLast-Event-ID: 2\r\n\r\n"
            said = await site.raw(b"GET /flat/mcp HTTP/1.1\r\n" + headers)
            told = message_event(tools_changed())  # a session that is not known here any more
            assert unchunked(said) == told + b"data: \n\n" + RESULT
            assert arrived[1].headers["last-event-id"] == "2"
            assert site.gate.outcomes == ["success"]

    asyncio.run(main())


def test_a_cancelled_call_ends_without_an_answer_and_without_one_of_ours(
    open_stage: OpenStage,
) -> None:
    async def main() -> None:
        async with asyncio.timeout(10), open_stage("http", SESSION) as stage:
            assert isinstance(stage.server, HttpServer)
            assert isinstance(stage.client, HttpClient)
            names = Names()
            await introduce(stage, names)
            play = [
                ask("@1", "tools/call", name="a", _meta={"progressToken": "@p"}),
                note("notifications/progress", "@1", progressToken="@p", progress=1),
                tell("notifications/cancelled", requestId="@1", reason="enough"),
            ]
            await perform(stage, play, names)
            await stage.server.close_stream(names.spoken("server", "@1"))
            await stage.gate.until(lambda: bool(stage.gate.endings))
            last = stage.gate.last
            assert (last.outcome, last.detail) == ("unknown", "cancelled by the client")
            await in_turn(stage)
            assert stage.client.heard.empty()
            assert stage.gate.refusals == []

    asyncio.run(main())


@pytest.mark.parametrize("way", ["bridge", "wrap"])
def test_an_answer_that_comes_after_its_cancellation_is_no_news(
    open_stage: OpenStage, way: str
) -> None:
    async def main() -> None:
        async with asyncio.timeout(10), open_stage(way, SESSION) as stage:
            names = Names()
            await introduce(stage, names)
            play = [
                ask("@1", "tools/call", name="a"),
                tell("notifications/cancelled", requestId="@1"),
            ]
            await perform(stage, play, names)
            if way == "bridge":  # where the client waits for an HTTP answer
                assert (await stage.client_hears())["error"]["code"] == -32800
            number = names.spoken("server", "@1")
            late = json.dumps({"jsonrpc": "2.0", "id": number, "result": {"content": []}}).encode()
            await stage.server.say(late)
            await in_turn(stage)
            assert stage.client.heard.empty()
            assert stage.gate.unheard == []
            await stage.server.say(late)  # once more is a stray
            await in_turn(stage)
            assert [bad.code for bad in stage.gate.unheard] == ["stray_answer"]
            assert stage.gate.outcomes == ["unknown"]

    asyncio.run(main())


def test_a_server_that_ends_a_subscription_over_stdio_ends_the_stream(
    open_stage: OpenStage,
) -> None:
    from tests.integration.proxy.test_subscriptions import acknowledging, subscribing

    async def main() -> None:
        async with asyncio.timeout(10), open_stage("bridge", STATELESS) as stage:
            assert isinstance(stage.client, HttpClient)
            names = Names()
            play = [*subscribing(toolsListChanged=True), acknowledging(toolsListChanged=True)]
            await perform(stage, play, names)
            cancelled = note("notifications/cancelled", "@1", requestId="@1")
            await stage.server.say(json.dumps(names.spoken("server", cancelled.message)).encode())
            await stage.client.all_answered()
            assert stage.client.heard.empty()
            stage.gate.tools_change()

    asyncio.run(main())


def test_a_session_is_ended_at_the_server_too(to_url: OpenSite, answering: OpenUpstream) -> None:
    hung = asyncio.Event()

    async def respond(request: Arrived, ends: Ends) -> None:
        if request.head.startswith(b"POST"):
            await hung.wait()
        ends.writer.write(fixed(b"", status=b"204 No"))

    async def main() -> None:
        async with asyncio.timeout(5), answering(respond) as (url, arrived), to_url(url) as site:
            _, writer = await site.connect()
            writer.write(request("tools/call", IN_SESSION, name="vm_list"))
            await site.until(lambda: bool(arrived))
            closing = b"DELETE /flat/mcp HTTP/1.1\r\n" + IN_SESSION + b"Connection: close\r\n\r\n"
            assert (await site.raw(closing)).startswith(b"HTTP/1.1 204")
            assert arrived[1].headers["mcp-session-id"] == "s-1"
            assert (site.gate.last.outcome, site.gate.last.detail) == ("unknown", "session ended")
            hung.set()

    asyncio.run(main())


STRAYS = {
    "another's answer": OK.replace(b":1", b":9"),
    "a list of tools under another's id": b'{"jsonrpc":"2.0","id":9,"result":{"tools":[]}}',
    "a batch": b"[" + OK + b"]",
    "a question": b'{"jsonrpc":"2.0","id":1,"method":"sampling/createMessage"}',
}


@pytest.mark.parametrize("name", STRAYS)
def test_a_body_that_is_not_the_answer_is_not_passed_on(
    to_url: OpenSite, answering: OpenUpstream, name: str
) -> None:
    async def respond(_: Arrived, ends: Ends) -> None:
        ends.writer.write(fixed(STRAYS[name]))

    async def main() -> None:
        async with asyncio.timeout(5), answering(respond) as (url, _), to_url(url) as site:
            said = await site.raw(CALL.replace(b"Host", b"Connection: close\r\nHost", 1))
            assert said.startswith(b"HTTP/1.1 502")
            assert STRAYS[name] not in said
            assert site.gate.outcomes == ["unknown"]
            assert len(site.gate.unheard) == 1

    asyncio.run(main())


# Answers too long to be held.


LONG = b'"content":["' + b"x" * 1_500_000 + b'"]'
BEGINNINGS = {
    "id first": b'{"jsonrpc":"2.0","id":1,"result":{' + LONG + b"}}",
    "result first": b'{"result":{' + LONG + b'},"jsonrpc":"2.0","id":1}',
    "a failed tool": b'{"jsonrpc":"2.0","id":1,"result":{"isError":true,' + LONG + b"}}",
    "an error": b'{"jsonrpc":"2.0","id":1,"error":{"code":-1,"data":{' + LONG + b"}}}",
    "more input": b'{"jsonrpc":"2.0","id":1,"result":{'
    + LONG
    + b',"resultType":"input_required"}}',
    "another's": b'{"result":{' + LONG + b'},"jsonrpc":"2.0","id":2}',
    "a question at last": b'{"jsonrpc":"2.0","id":1,"result":{'
    + LONG
    + b'},"M\\u0045thod":"ping"}',
    "no id": b'{"jsonrpc":"2.0","result":{' + LONG + b"}}",
    "two ids": b'{"jsonrpc":"2.0","id":1,"result":{' + LONG + b'},"id":2}',
}
ENDINGS = {
    "id first": "success",
    "result first": "success",
    "a failed tool": "tool_error",
    "an error": "rpc_error",
    "more input": "input_required",
}


@pytest.mark.parametrize("form", ["json", "stream"])
@pytest.mark.parametrize("may_ask", [True, False])
@pytest.mark.parametrize("name", BEGINNINGS)
def test_a_long_answer_passes_whole_or_never_comes_to_an_end(
    to_url: OpenSite, answering: OpenUpstream, name: str, form: str, may_ask: bool
) -> None:
    body = BEGINNINGS[name]
    passes = name in ENDINGS and (may_ask or name != "more input")

    async def respond(_: Arrived, ends: Ends) -> None:
        if form == "json":
            ends.writer.write(fixed(body))
        else:
            head = b"HTTP/1.1 200 OK\r\n" + EVENT_STREAM + b"\r\n"
            ends.writer.write(head + b"data: " + body + b"\n\n")
            await ends.writer.drain()
            raise EOFError

    async def main() -> None:
        async with asyncio.timeout(10), answering(respond) as (url, _), to_url(url) as site:
            if not may_ask:
                site.gate.methods_denied = {"sampling/createMessage"}
            closing = CALL.replace(b"Host", b"Connection: close\r\nHost", 1)
            reader, writer = await site.connect()
            writer.write(closing)
            said = b""
            broken = False
            try:
                while data := await reader.read(1 << 20):
                    said += data
            except ConnectionResetError:
                broken = True
            if passes:
                whole = said.partition(b"\r\n\r\n")[2] if form == "json" else unchunked(said)
                assert whole == (body if form == "json" else b"data: " + body + b"\n\n")
                assert site.gate.outcomes == [ENDINGS[name]]
                assert site.gate.unheard == []
            else:
                assert broken or not said.endswith((body[-8:], b"0\r\n\r\n"))
                assert site.gate.outcomes == ["unknown"]
                assert [bad.code for bad in site.gate.unheard] == ["unreadable"]

    asyncio.run(main())


@pytest.mark.parametrize("kind", ["GET", "subscription"])
def test_a_stream_that_waits_for_events_may_be_silent_for_long(
    to_url: OpenSite, answering: OpenUpstream, kind: str
) -> None:
    """Far longer than an answer may be, and what comes then still comes."""
    go_on = asyncio.Event()

    async def respond(_: Arrived, ends: Ends) -> None:
        ends.writer.write(b"HTTP/1.1 200 OK\r\n" + EVENT_STREAM + b"\r\n: open\n\n")
        await ends.writer.drain()
        await go_on.wait()
        ends.writer.write(NOTE)

    async def main() -> None:
        quick = UpstreamBounds(head_seconds_max=0.2, silence_seconds_max=0.2)
        async with (
            asyncio.timeout(10),
            answering(respond) as (url, _),
            to_url(url, upstream_bounds=quick) as site,
        ):
            reader, writer = await site.connect()
            if kind == "GET":
                writer.write(b"GET /flat/mcp HTTP/1.1\r\n" + IN_SESSION + b"\r\n")
            else:
                line = ask_alone("1", "subscriptions/listen", notifications={})
                body = json.dumps(line.message).encode()
                versions = (
                    b"MCP-Protocol-Version: 2026-07-28\r\nMcp-Method: subscriptions/listen\r\n"
                    b"Content-Length: %d\r\n\r\n%b" % (len(body), body)
                )
                writer.write(b"POST /flat/mcp HTTP/1.1\r\n" + PLAIN + versions)
            await reader.readuntil(b": open\n\n")
            late = asyncio.get_running_loop().time() + 1.0
            await site.until(lambda: asyncio.get_running_loop().time() > late)
            go_on.set()
            assert b"notifications/x" in await reader.readuntil(b"\r\r")

    asyncio.run(main())
