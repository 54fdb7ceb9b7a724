"""Whatever happens on the way, the client gets an answer and the call has exactly one outcome."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from typing import TYPE_CHECKING, NamedTuple

import pytest
from tests.integration.proxy.words import (
    CALL,
    JSON,
    OK,
    STREAM_HEAD,
    fixed,
    saying,
)

from toolreeve.proxy.http_client import UpstreamBounds

if TYPE_CHECKING:
    from tests.integration.proxy.conftest import Answer, Arrived, Ends, OpenSite, OpenUpstream


class Case(NamedTuple):
    answer: Answer
    outcome: str
    status: int
    says: bytes = b""


CASES = {
    "an answer": Case(saying(fixed(OK)), "success", 200, b'"isError":false'),
    "a failed tool": Case(saying(fixed(OK.replace(b"false", b"true"))), "tool_error", 200),
    "an RPC error": Case(
        saying(fixed(b'{"jsonrpc":"2.0","id":1,"error":{"code":-32602,"message":"x"}}')),
        "rpc_error",
        200,
    ),
    "a call for more input": Case(
        saying(fixed(b'{"jsonrpc":"2.0","id":1,"result":{"resultType":"input_required"}}')),
        "input_required",
        200,
    ),
    "an HTTP error": Case(
        saying(fixed(b"oh", headers=b"", status=b"500 No")), "rpc_error", 500, b"oh"
    ),
    "accepted, but no answer": Case(saying(fixed(b"", status=b"202 Accepted")), "unknown", 202),
    "rubbish": Case(saying(b"HTTP/7 what\r\n\r\n"), "unknown", 502),
    "an end without a word": Case(saying(b"", then_close=True), "unknown", 502),
    "an end in the head": Case(saying(b"HTTP/1.1 200 OK\r\nX", then_close=True), "unknown", 502),
    "an end in the body": Case(saying(fixed(OK)[:-5], then_close=True), "unknown", 502),
    "an answer that ends with the connection": Case(
        saying(b"HTTP/1.1 200 OK\r\n" + JSON + b"\r\n" + OK, then_close=True), "success", 200
    ),
    "silence": Case(saying(b""), "timeout", 504),
    "silence in the body": Case(saying(fixed(OK)[:-5]), "timeout", 504),
    "a redirect": Case(
        saying(fixed(b"", headers=b"location: http://evil.example/\r\n", status=b"307 Away")),
        "unknown",
        502,
        b"redirect",
    ),
    "a login": Case(
        saying(fixed(b"", headers=b"www-authenticate: Bearer\r\n", status=b"401 No")),
        "rpc_error",
        502,
        b"credentials",
    ),
    "a compressed answer": Case(
        saying(fixed(b"\x1f\x8b", headers=JSON + b"content-encoding: gzip\r\n")), "unknown", 502
    ),
    "an answer that is no JSON": Case(saying(fixed(b"hello")), "unknown", 502),
    "very long headers": Case(saying(b"HTTP/1.1 200 OK\r\nx: " + b"y" * 100_000), "unknown", 502),
    "a stream with the answer": Case(
        saying(STREAM_HEAD + b"data: " + OK + b"\n\n", then_close=True),
        "success",
        200,
        b"data: " + OK,
    ),
    "a stream without an answer": Case(
        saying(STREAM_HEAD + b": nothing\n\n", then_close=True), "unknown", 200, b"-32005"
    ),
    "a stream with an answer to somebody else": Case(
        saying(STREAM_HEAD + b"data: " + OK.replace(b":1", b":9") + b"\n\n", then_close=True),
        "unknown",
        200,
    ),
    "a stream that falls silent": Case(
        saying(STREAM_HEAD + b": ping\n\n"), "timeout", 200, b'"code":-32004'
    ),
    "a stream with rubbish": Case(
        saying(STREAM_HEAD + b"data: {NaN\n\n", then_close=True), "unknown", 200
    ),
    "two answers": Case(
        saying(
            STREAM_HEAD + b"data: " + OK + b"\n\ndata: " + OK.replace(b"false", b"true") + b"\n\n",
            then_close=True,
        ),
        "success",
        200,
    ),
}
QUICK = UpstreamBounds(head_seconds_max=0.2, silence_seconds_max=0.2)


@pytest.mark.parametrize("name", CASES)
def test_every_end_of_a_call_is_told_once(
    to_url: OpenSite, answering: OpenUpstream, name: str
) -> None:
    case = CASES[name]

    async def main() -> None:
        async with (
            asyncio.timeout(5),
            answering(case.answer) as (url, arrived),
            to_url(url, upstream_bounds=QUICK) as site,
        ):
            closing = CALL.replace(b"Host", b"Connection: close\r\nHost", 1)
            said = await site.raw(closing)
            assert site.gate.outcomes == [case.outcome]
            assert site.gate.every_call_ended_once()
            assert len(arrived) == 1
            assert int(said.split(b" ", 2)[1]) == case.status
            assert case.says in said
            assert b"location" not in said
            assert b"www-authenticate" not in said

    asyncio.run(main())


def test_an_upstream_that_is_not_there_was_not_sent_anything(to_url: OpenSite) -> None:
    async def main() -> None:
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        async with asyncio.timeout(5), to_url(f"http://127.0.0.1:{port}/mcp") as site:
            said = await site.raw(CALL, until=b"}}")
            assert said.startswith(b"HTTP/1.1 502")
            assert b"no connection to the upstream" in said
            assert site.gate.outcomes == ["not_sent"]

    asyncio.run(main())


def test_a_gate_that_fails_lets_nothing_through(to_url: OpenSite, answering: OpenUpstream) -> None:
    async def main() -> None:
        async with (
            asyncio.timeout(5),
            answering(saying(fixed(OK))) as (url, arrived),
            to_url(url) as site,
        ):
            site.gate.fails = True
            said = await site.raw(CALL, until=b"}}")
            assert said.startswith(b"HTTP/1.1 500")
            assert b"the enforcer failed" in said
            assert arrived == []
            site.gate.fails = False
            assert (await site.raw(CALL, until=b"}}")).startswith(b"HTTP/1.1 200")

    asyncio.run(main())


def test_the_outcome_is_told_before_the_answer_is_heard(
    to_url: OpenSite, answering: OpenUpstream
) -> None:
    async def main() -> None:
        async with (
            asyncio.timeout(5),
            answering(saying(fixed(OK))) as (url, _),
            to_url(url) as site,
        ):
            for number in range(1, 20):
                await site.raw(CALL, until=b"}}")
                assert len(site.gate.endings) == number

    asyncio.run(main())


@pytest.mark.parametrize("form", ["json", "stream"])
def test_a_client_that_leaves_takes_the_upstream_request_with_it(
    to_url: OpenSite, answering: OpenUpstream, form: str
) -> None:
    waiting, left = asyncio.Event(), asyncio.Event()

    async def answer(_: Arrived, ends: Ends) -> None:
        waiting.set()
        if form == "stream":
            ends.writer.write(STREAM_HEAD + b": started\n\n")
        with contextlib.suppress(ConnectionResetError):
            assert await ends.reader.read(1) == b""
        left.set()

    async def main() -> None:
        async with asyncio.timeout(5), answering(answer) as (url, arrived), to_url(url) as site:
            _, writer = await asyncio.open_connection("127.0.0.1", site.port)
            writer.write(CALL)
            await site.gate.until(lambda: bool(site.gate.calls))
            await waiting.wait()
            assert len(arrived) == 1
            writer.close()
            await left.wait()
            await site.gate.until(lambda: bool(site.gate.endings))
            assert (site.gate.last.outcome, site.gate.last.detail) == ("unknown", "client gone")

    asyncio.run(main())


def test_a_client_that_leaves_while_its_call_is_decided_sends_nothing_on(
    to_url: OpenSite, answering: OpenUpstream
) -> None:
    async def main() -> None:
        async with (
            asyncio.timeout(5),
            answering(saying(fixed(OK))) as (url, arrived),
            to_url(url) as site,
        ):
            site.gate.hold = asyncio.Event()
            _, writer = await asyncio.open_connection("127.0.0.1", site.port)
            writer.write(CALL)
            await site.gate.until(lambda: bool(site.gate.calls))
            writer.close()
            await site.until(lambda: site.listener.connections == 0)
            site.gate.hold.set()
            await site.gate.until(lambda: bool(site.gate.endings))
            assert site.gate.outcomes == ["not_sent"]
            assert arrived == []

    asyncio.run(main())
