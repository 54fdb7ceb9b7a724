"""How requests may come: in what time, how many at once, and what is done with the rest.

What single requests are refused for stands in the corpus of bad input, beside `hostile`.
"""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING

import pytest

from toolreeve.proxy.http_request import HttpBounds

if TYPE_CHECKING:
    from tests.integration.proxy.conftest import Arrived, Ends, OpenSite, OpenUpstream

CALL = json.dumps(
    {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "vm_list"}},
    separators=(",", ":"),
).encode()
PLAIN = (
    b"Host: localhost\r\nContent-Type: application/json\r\n"
    b"Accept: application/json, text/event-stream\r\n"
)


def post(
    body: bytes = CALL,
    *,
    headers: bytes = PLAIN,
    line: bytes = b"POST /flat/mcp HTTP/1.1",
    length: bytes | None = None,
) -> bytes:
    if length is None:
        length = b"Content-Length: %d\r\n" % len(body)
    return line + b"\r\n" + headers + length + b"\r\n" + body


def chunked(body: bytes, *, coding: bytes = b"Transfer-Encoding: chunked\r\n") -> bytes:
    return post(body, length=coding)


BATCH = b"[" + CALL + b"," + CALL.replace(b"vm_list", b"vm_delete") + b"]"


async def answer_ok(_: Arrived, ends: Ends) -> None:
    body = b'{"jsonrpc":"2.0","id":1,"result":{"content":[],"isError":false}}'
    ends.writer.write(
        b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%b"
        % (len(body), body)
    )


def test_every_element_of_a_batch_is_recorded(to_url: OpenSite, answering: OpenUpstream) -> None:
    async def main() -> None:
        async with asyncio.timeout(5), answering(answer_ok) as (url, _), to_url(url) as site:
            await site.raw(post(BATCH), until=b"\r\n\r\n")
            tools = [(bad.method, bad.wire_tool) for bad in site.gate.refusals]
            assert tools == [("tools/call", "vm_list"), ("tools/call", "vm_delete")]

    asyncio.run(main())


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"POST /flat/mcp HTTP/1.1\r\nHost: local", b"408"),
        (post(length=b"Content-Length: 4000\r\n"), b"408"),
        (chunked(b"2\r\n{}\r\n"), b"408"),
    ],
)
def test_a_slow_request_is_ended(
    to_url: OpenSite, answering: OpenUpstream, data: bytes, status: bytes
) -> None:
    async def main() -> None:
        bounds = HttpBounds(header_seconds_max=0.2, body_seconds_max=0.2, linger_seconds_max=0.1)
        async with (
            asyncio.timeout(5),
            answering(answer_ok) as (url, arrived),
            to_url(url, bounds=bounds) as site,
        ):
            said = await site.raw(data)
            assert said.split(b" ", 2)[1] == status
            assert [bad.code for bad in site.gate.refusals] == ["slow"]
            assert arrived == []

    asyncio.run(main())


def test_a_connection_that_says_nothing_is_closed(
    to_url: OpenSite, answering: OpenUpstream
) -> None:
    async def main() -> None:
        bounds = HttpBounds(header_seconds_max=0.2, idle_seconds_max=0.2)
        async with (
            asyncio.timeout(5),
            answering(answer_ok) as (url, _),
            to_url(url, bounds=bounds) as site,
        ):
            assert await site.raw(b"") == b""
            said = await site.raw(post())
            assert said.startswith(b"HTTP/1.1 200")

    asyncio.run(main())


def test_requests_sent_ahead_are_decided_one_by_one_and_answered_in_order(
    to_url: OpenSite, answering: OpenUpstream
) -> None:
    async def main() -> None:
        async with asyncio.timeout(5), answering(answer_ok) as (url, arrived), to_url(url) as site:
            site.gate.denied = {"vm_delete"}
            middle = CALL.replace(b"vm_list", b"vm_delete").replace(b'"id":1', b'"id":2')
            data = post() + post(middle) + post(headers=PLAIN + b"Connection: close\r\n")
            said = await site.raw(data)
            ids = [int(part[0:1]) for part in said.split(b'"id":')[1:]]
            assert ids == [1, 2, 1]
            assert [call.wire_name for call in site.gate.calls] == [
                "vm_list",
                "vm_delete",
                "vm_list",
            ]
            assert len(arrived) == 2

    asyncio.run(main())


def test_too_many_requests_sent_ahead_end_the_connection(
    to_url: OpenSite, answering: OpenUpstream
) -> None:
    async def main() -> None:
        bounds = HttpBounds(pipelined_max=2, linger_seconds_max=0.1)
        async with (
            asyncio.timeout(5),
            answering(answer_ok) as (url, arrived),
            to_url(url, bounds=bounds) as site,
        ):
            said = await site.raw(post() * 10)
            assert said.count(b"HTTP/1.1 200") == len(arrived) == 4
            assert said.count(b"HTTP/1.1 400") == 1
            assert [bad.code for bad in site.gate.refusals] == ["pipelining"]

    asyncio.run(main())


def test_a_request_behind_a_refused_one_is_never_looked_at(
    to_url: OpenSite, answering: OpenUpstream
) -> None:
    async def main() -> None:
        bounds = HttpBounds(linger_seconds_max=0.1)
        async with (
            asyncio.timeout(5),
            answering(answer_ok) as (url, arrived),
            to_url(url, bounds=bounds) as site,
        ):
            bad = post(headers=PLAIN.replace(b"localhost", b"evil.example"))
            said = await site.raw(bad + post())
            assert said.count(b"HTTP/1.1 ") == 1
            assert arrived == []

    asyncio.run(main())


def test_health_is_told_to_anyone(to_url: OpenSite, answering: OpenUpstream) -> None:
    async def main() -> None:
        async with asyncio.timeout(5), answering(answer_ok) as (url, _), to_url(url) as site:
            site.gate.tokens = {}
            said = await site.raw(
                b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1:8460\r\nConnection: close\r\n\r\n"
            )
            assert said.startswith(b"HTTP/1.1 200")
            assert site.gate.refusals == []

    asyncio.run(main())


def test_an_expectation_to_go_on_is_met(to_url: OpenSite, answering: OpenUpstream) -> None:
    async def main() -> None:
        async with asyncio.timeout(5), answering(answer_ok) as (url, _), to_url(url) as site:
            reader, writer = await asyncio.open_connection("127.0.0.1", site.port)
            head, _, body = post(headers=PLAIN + b"Expect: 100-continue\r\n").partition(b"\r\n\r\n")
            writer.write(head + b"\r\n\r\n")
            assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
            writer.write(body)
            assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200")
            writer.close()

    asyncio.run(main())
