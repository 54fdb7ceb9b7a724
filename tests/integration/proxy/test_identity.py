"""Credentials and sessions: whose they are, and what never crosses."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from tests.integration.proxy.words import (
    CALL,
    JSON,
    OK,
    PLAIN,
    SESSION,
    STREAM_HEAD,
    fixed,
    request,
    saying,
)

from toolreeve.proxy.gate import Caller

if TYPE_CHECKING:
    from tests.integration.proxy.conftest import Arrived, Ends, OpenSite, OpenUpstream


def test_the_clients_credential_stays_here_and_ours_goes_on(
    to_url: OpenSite, answering: OpenUpstream
) -> None:
    async def main() -> None:
        async with (
            asyncio.timeout(5),
            answering(saying(fixed(OK))) as (url, arrived),
            to_url(url, headers={"Authorization": "Bearer ours", "X-Key": "k"}) as site,
        ):
            extra = (
                b"Authorization: Bearer theirs\r\nCookie: a=b\r\nX-Key: forged\r\nX-Other: 1\r\n"
                b"Connection: X-Hop\r\nX-Hop: 1\r\nmcp_name: x\r\nMcp-Method: lie\r\n"
                b"Accept-Encoding: gzip\r\nX-Forwarded-For: 1.2.3.4\r\nOrigin: http://localhost\r\n"
            )
            await site.raw(request("tools/call", PLAIN + extra, name="vm_list"), until=b"}}")
            headers = arrived[0].headers
            assert headers["authorization"] == "Bearer ours"
            assert headers["x-key"] == "k"
            assert headers["x-other"] == "1"
            assert headers["accept-encoding"] == "identity"
            absent = {"cookie", "x-hop", "connection", "mcp_name", "mcp-method"}
            absent |= {"x-forwarded-for", "origin"}
            assert absent.isdisjoint(headers)

    asyncio.run(main())


def test_without_a_grant_there_is_a_challenge_and_nothing_else(
    to_url: OpenSite, answering: OpenUpstream
) -> None:
    async def main() -> None:
        async with (
            asyncio.timeout(5),
            answering(saying(fixed(OK))) as (url, arrived),
            to_url(url) as site,
        ):
            site.gate.tokens = {"good": Caller("g", "a")}
            said = await site.raw(CALL, until=b"}}")
            assert said.startswith(b"HTTP/1.1 401")
            assert b'www-authenticate: Bearer realm="toolreeve"' in said
            assert [bad.code for bad in site.gate.refusals] == ["unauthenticated"]
            assert arrived == []
            good = PLAIN + b"Authorization: Bearer good\r\n"
            said = await site.raw(request("tools/call", good, name="vm_list"), until=b"}}")
            assert said.startswith(b"HTTP/1.1 200")

    asyncio.run(main())


def test_a_session_belongs_to_the_grant_that_opened_it(
    to_url: OpenSite, answering: OpenUpstream
) -> None:
    opened = fixed(
        b'{"jsonrpc":"2.0","id":1,"result":{}}', headers=JSON + b"mcp-session-id: s-1\r\n"
    )

    async def main() -> None:
        async with (
            asyncio.timeout(5),
            answering(saying(opened)) as (url, arrived),
            to_url(url) as site,
        ):
            site.gate.tokens = {"one": Caller("g-1", "a"), "two": Caller("g-2", "b")}
            one, two = b"Authorization: Bearer one\r\n", b"Authorization: Bearer two\r\n"
            said = await site.raw(request("initialize", PLAIN + one), until=b"}}")
            assert b"mcp-session-id: s-1" in said
            said = await site.raw(request("ping", SESSION + two), until=b"}}")
            assert said.startswith(b"HTTP/1.1 404")
            assert [bad.code for bad in site.gate.refusals] == ["no_session"]
            said = await site.raw(request("ping", SESSION + one), until=b"}}")
            assert said.startswith(b"HTTP/1.1 200")
            assert len(arrived) == 2

    asyncio.run(main())


@pytest.mark.parametrize("session", [b"x" * 600, b"a\xe9\x85b", b""])
def test_a_session_id_of_a_strange_form_is_no_session(
    to_url: OpenSite, answering: OpenUpstream, session: bytes
) -> None:
    async def main() -> None:
        async with (
            asyncio.timeout(5),
            answering(saying(fixed(OK))) as (url, arrived),
            to_url(url) as site,
        ):
            headers = PLAIN + b"Mcp-Session-Id: " + session + b"\r\n"
            said = await site.raw(request("ping", headers), until=b"}}")
            assert said.startswith(b"HTTP/1.1 404")
            assert arrived == []

    asyncio.run(main())


def test_an_id_under_way_in_a_session_is_not_taken_twice(
    to_url: OpenSite, answering: OpenUpstream
) -> None:
    go_on = asyncio.Event()

    async def answer(_: Arrived, ends: Ends) -> None:
        await go_on.wait()
        ends.writer.write(fixed(OK))

    async def main() -> None:
        async with asyncio.timeout(5), answering(answer) as (url, arrived), to_url(url) as site:
            first = asyncio.create_task(
                site.raw(request("tools/call", SESSION, name="vm_list"), until=b"}}")
            )
            await site.gate.until(lambda: bool(site.gate.calls))
            said = await site.raw(request("tools/call", SESSION, name="vm_stop"), until=b"}}")
            assert said.startswith(b"HTTP/1.1 400")
            assert [bad.code for bad in site.gate.refusals] == ["id_in_use"]
            go_on.set()
            assert (await first).startswith(b"HTTP/1.1 200")
            assert len(arrived) == 1
            said = await site.raw(request("tools/call", SESSION, name="vm_list"), until=b"}}")
            assert said.startswith(b"HTTP/1.1 200")

    asyncio.run(main())


def test_an_answer_that_comes_on_a_later_stream_still_ends_its_call(
    to_url: OpenSite, answering: OpenUpstream
) -> None:
    async def answer(request: Arrived, ends: Ends) -> None:
        if request.head.startswith(b"POST"):
            ends.writer.write(STREAM_HEAD + b"id: 7\ndata:\n\n")
        else:
            assert request.headers["last-event-id"] == "7"
            ends.writer.write(STREAM_HEAD + b"id: 8\ndata: " + OK + b"\n\n")
        await ends.writer.drain()
        raise EOFError

    async def main() -> None:
        async with asyncio.timeout(5), answering(answer) as (url, _), to_url(url) as site:
            said = await site.raw(
                request("tools/call", SESSION, name="vm_list"), until=b"0\r\n\r\n"
            )
            assert b"id: 7\ndata:\n\n" in said
            assert site.gate.endings == []
            resume = b"GET /flat/mcp HTTP/1.1\r\n" + SESSION + b"Last-Event-ID: 7\r\n\r\n"
            said = await site.raw(resume, until=b"0\r\n\r\n")
            assert b"id: 8\ndata: " + OK in said
            assert site.gate.outcomes == ["success"]

    asyncio.run(main())


def test_a_call_left_open_ends_with_its_session(to_url: OpenSite, answering: OpenUpstream) -> None:
    async def answer(request: Arrived, ends: Ends) -> None:
        if request.head.startswith(b"POST"):
            ends.writer.write(STREAM_HEAD + b"id: 7\ndata:\n\n")
            await ends.writer.drain()
            raise EOFError
        ends.writer.write(fixed(b"", headers=b""))

    async def main() -> None:
        async with asyncio.timeout(5), answering(answer) as (url, _), to_url(url) as site:
            await site.raw(request("tools/call", SESSION, name="vm_list"), until=b"0\r\n\r\n")
            await site.raw(b"DELETE /flat/mcp HTTP/1.1\r\n" + SESSION + b"\r\n", until=b"\r\n\r\n")
            assert (site.gate.last.outcome, site.gate.last.detail) == ("unknown", "session ended")
            assert site.gate.every_call_ended_once()

    asyncio.run(main())
