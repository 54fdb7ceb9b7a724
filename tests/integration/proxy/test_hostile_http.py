"""Hostile HTTP gets a clear answer, leaves a record, and nothing of it reaches the upstream."""

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
MORE = PLAIN + b"X-More: 1\r\n"

# What is sent, the status of the answer, and the word in the record.
REFUSED: dict[str, tuple[bytes, int, str]] = {
    "no Host": (post(headers=PLAIN.replace(b"Host: localhost\r\n", b"")), 400, "host"),
    "an empty Host": (post(headers=PLAIN.replace(b"localhost", b"")), 400, "host"),
    "two Hosts": (post(headers=PLAIN + b"Host: localhost\r\n"), 400, "duplicate_header"),
    "another name": (post(headers=PLAIN.replace(b"localhost", b"evil.example")), 421, "host"),
    "a name that ends alike": (
        post(headers=PLAIN.replace(b"localhost", b"evil.localhost:80")),
        421,
        "host",
    ),
    "a foreign origin": (post(headers=PLAIN + b"Origin: http://evil.example\r\n"), 403, "origin"),
    "a null origin": (post(headers=PLAIN + b"Origin: null\r\n"), 403, "origin"),
    "an origin that only begins well": (
        post(headers=PLAIN + b"Origin: http://localhost.evil.example\r\n"),
        403,
        "origin",
    ),
    "length and chunks": (
        chunked(b"0\r\n\r\n", coding=b"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n"),
        400,
        "http",
    ),
    "chunks and length": (
        chunked(b"0\r\n\r\n", coding=b"Transfer-Encoding: chunked\r\nContent-Length: 3\r\n"),
        400,
        "http",
    ),
    "two lengths": (post(length=b"Content-Length: 3\r\nContent-Length: 3\r\n"), 400, "http"),
    "a signed length": (post(length=b"Content-Length: +3\r\n"), 400, "http"),
    "a list of lengths": (post(length=b"Content-Length: 3, 3\r\n"), 400, "http"),
    "an unknown coding": (chunked(b"", coding=b"Transfer-Encoding: xchunked\r\n"), 400, "http"),
    "identity after chunked": (
        chunked(b"", coding=b"Transfer-Encoding: chunked, identity\r\n"),
        400,
        "http",
    ),
    "compressed chunks": (
        chunked(b"", coding=b"Transfer-Encoding: gzip, chunked\r\n"),
        400,
        "http",
    ),
    "two codings": (
        chunked(b"", coding=b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n"),
        400,
        "http",
    ),
    "a negative chunk": (chunked(b"-7\r\nabc"), 400, "http"),
    "an overflowing chunk": (chunked(b"ffffffffffffffff1\r\nabc"), 400, "http"),
    "chunks ended by LF": (chunked(b"3\nabc\n0\n\n"), 400, "http"),
    "a trailer": (chunked(b"2\r\n{}\r\n0\r\nX-Late: 1\r\n\r\n"), 400, "http"),
    "lines ended by LF": (post().replace(b"\r\n", b"\n"), 400, "http"),
    "a CR in a header": (post(headers=MORE.replace(b": 1", b": 1\rX: 2")), 400, "http"),
    "a folded header": (post(headers=MORE.replace(b": 1", b": 1\r\n 2")), 400, "http"),
    "a space before the colon": (post(headers=MORE.replace(b": 1", b" : 1")), 400, "http"),
    "NUL in a header": (post(headers=MORE.replace(b": 1", b": \x00")), 400, "http"),
    "a header of 64 kB": (post(headers=MORE.replace(b"1", b"x" * 65536)), 431, "headers"),
    "a header without end": (b"POST /flat/mcp HTTP/1.1\r\nX: " + b"x" * 20000, 431, "headers"),
    "two thousand headers": (
        post(headers=PLAIN + b"".join(b"X-%d: 1\r\n" % n for n in range(2000))),
        431,
        "headers",
    ),
    "HTTP/1.0": (post(line=b"POST /flat/mcp HTTP/1.0"), 505, "http_version"),
    "HTTP/2.0": (post(line=b"POST /flat/mcp HTTP/2.0"), 505, "http_version"),
    "HTTP/0.9": (b"GET /flat/mcp\r\n\r\n", 505, "http_version"),
    "a method in small letters": (post(line=b"post /flat/mcp HTTP/1.1"), 400, "http"),
    "TLS": (bytes.fromhex("1603010200010001fc0303") + b"x" * 32, 400, "http"),
    "a change of protocol": (
        post(headers=PLAIN + b"Connection: Upgrade\r\nUpgrade: h2c\r\n"),
        400,
        "http",
    ),
    "CONNECT": (post(line=b"CONNECT localhost:80 HTTP/1.1"), 400, "http"),
    "a compressed body": (
        post(headers=PLAIN + b"Content-Encoding: gzip\r\n"),
        415,
        "content_encoding",
    ),
    "an unknown expectation": (post(headers=PLAIN + b"Expect: miracles\r\n"), 417, "http"),
    "a body that says it is too long": (post(length=b"Content-Length: 5000\r\n"), 413, "body_size"),
    "a body that turns out too long": (
        chunked(b"fff\r\n" + b" " * 0xFFF + b"\r\n" + b"2\r\n  \r\n0\r\n\r\n"),
        413,
        "body_size",
    ),
    "PUT": (post(line=b"PUT /flat/mcp HTTP/1.1"), 405, "http_method"),
    "TRACE": (post(line=b"TRACE /flat/mcp HTTP/1.1"), 405, "http_method"),
    "another server": (post(line=b"POST /other/mcp HTTP/1.1"), 404, "no_server"),
    "two slashes": (post(line=b"POST //flat/mcp HTTP/1.1"), 404, "no_server"),
    "a path with dots": (post(line=b"POST /x/../flat/mcp HTTP/1.1"), 404, "no_server"),
    "an escaped path": (post(line=b"POST /%66lat/mcp HTTP/1.1"), 404, "no_server"),
    "a path with a parameter": (post(line=b"POST /flat/mcp;x=1 HTTP/1.1"), 404, "no_server"),
    "a path in capitals": (post(line=b"POST /FLAT/mcp HTTP/1.1"), 404, "no_server"),
    "another media type": (
        post(headers=PLAIN.replace(b"json\r", b"xml\r", 1)),
        415,
        "content_type",
    ),
    "UTF-16 announced": (
        post(headers=PLAIN.replace(b"json\r", b"json; charset=utf-16\r", 1)),
        415,
        "content_type",
    ),
    "no Accept": (post(headers=PLAIN.replace(b"Accept", b"X-Accept")), 406, "accept"),
    "JSON only": (post(headers=PLAIN.replace(b", text/event-stream", b"")), 406, "accept"),
    "no body": (post(b""), 400, "empty"),
    "broken JSON": (post(CALL[:-1]), 400, "parse"),
    "a byte-order mark": (post(b"\xef\xbb\xbf" + CALL), 400, "bom"),
    "UTF-16": (post(CALL.decode().encode("utf-16")), 400, "encoding"),
    "a batch": (post(BATCH), 400, "batch"),
    "a doubled key": (post(CALL.replace(b'"id":1', b'"id":1,"id":2')), 400, "duplicate_key"),
    "Name beside name": (
        post(CALL.replace(b'"name"', b'"Name":"vm_delete","name"')),
        400,
        "key_case",
    ),
    "an unknown version": (
        post(headers=PLAIN + b"MCP-Protocol-Version: 9999-01-01\r\n"),
        400,
        "protocol_version",
    ),
    "the new version without its headers": (
        post(headers=PLAIN + b"MCP-Protocol-Version: 2026-07-28\r\n"),
        400,
        "header_mismatch",
    ),
    "GET in the stateless era": (
        post(
            b"",
            line=b"GET /flat/mcp HTTP/1.1",
            headers=PLAIN + b"MCP-Protocol-Version: 2026-07-28\r\n",
        ),
        405,
        "http_method",
    ),
    "two method names": (
        post(headers=PLAIN + b"Mcp-Method: a\r\nMcp-Method: b\r\n"),
        400,
        "duplicate_header",
    ),
    "two credentials": (
        post(headers=PLAIN + b"Authorization: Bearer a\r\nAuthorization: Bearer b\r\n"),
        400,
        "duplicate_header",
    ),
}


async def answer_ok(_: Arrived, ends: Ends) -> None:
    body = b'{"jsonrpc":"2.0","id":1,"result":{"content":[],"isError":false}}'
    ends.writer.write(
        b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%b"
        % (len(body), body)
    )


@pytest.mark.parametrize("name", REFUSED)
def test_hostile_requests_are_refused_recorded_and_not_forwarded(
    to_url: OpenSite, answering: OpenUpstream, name: str
) -> None:
    data, status, code = REFUSED[name]

    async def main() -> None:
        bounds = HttpBounds(body_bytes_max=4096, linger_seconds_max=0.2)
        async with (
            asyncio.timeout(5),
            answering(answer_ok) as (url, arrived),
            to_url(url, bounds=bounds) as site,
        ):
            said = await site.raw(data, until=b"\r\n\r\n")
            assert int(said.split(b" ", 2)[1]) == status
            assert site.gate.refusals
            if code:
                assert {bad.code for bad in site.gate.refusals} == {code}
            assert {bad.http_status for bad in site.gate.refusals} == {status}
            again = await site.raw(post(), until=b"\r\n\r\n")
            assert again.startswith(b"HTTP/1.1 200")
            assert len(arrived) == 1, "only the good request came through"
            assert site.gate.every_call_ended_once()

    asyncio.run(main())


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


def test_a_full_house_says_so(to_url: OpenSite, answering: OpenUpstream) -> None:
    async def main() -> None:
        bounds = HttpBounds(connections_max=1)
        async with (
            asyncio.timeout(5),
            answering(answer_ok) as (url, _),
            to_url(url, bounds=bounds) as site,
        ):
            reader, writer = await asyncio.open_connection("127.0.0.1", site.port)
            writer.write(post())
            await reader.readuntil(b"\r\n\r\n")
            assert (await site.raw(post())).startswith(b"HTTP/1.1 503")
            writer.close()

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
