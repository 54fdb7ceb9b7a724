"""Room in the house: nobody takes so much of it that others get none."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from typing import TYPE_CHECKING

from tests.integration.proxy.words import CALL, LIST, OK, PLAIN, SESSION, STREAM_HEAD, fixed, saying

from toolreeve.proxy.gate import Caller
from toolreeve.proxy.http_request import HttpBounds

if TYPE_CHECKING:
    from tests.integration.proxy.conftest import Arrived, Ends, OpenSite, OpenUpstream

ONE = CALL.replace(b"\r\n\r\n", b"\r\nAuthorization: Bearer one\r\n\r\n")
TWO = CALL.replace(b"\r\n\r\n", b"\r\nAuthorization: Bearer two\r\n\r\n")
CALLERS = {"one": Caller("g-1", "a"), "two": Caller("g-2", "b")}
LARGE = b'{"jsonrpc":"2.0","id":1,"result":{"content":[{"type":"text","text":"%b"}]}}' % (
    b"x" * 900_000
)
LONG_LIST = b'{"jsonrpc":"2.0","id":1,"result":{"tools":[{"name":"a","description":"%b"}]}}' % (
    b"x" * 8_000_000
)


def test_who_says_nothing_makes_room_for_who_comes_after(
    to_url: OpenSite, answering: OpenUpstream
) -> None:
    async def main() -> None:
        bounds = HttpBounds(connections_per_peer_max=3)
        async with (
            asyncio.timeout(5),
            answering(saying(fixed(OK))) as (url, _),
            to_url(url, bounds=bounds) as site,
        ):
            silent = [await site.connect() for _ in range(3)]
            assert (await site.raw(CALL, until=b"}}")).startswith(b"HTTP/1.1 200")
            said = await silent[0][0].read()
            assert said.startswith(b"HTTP/1.1 503")
            assert [bad.code for bad in site.gate.refusals] == ["connections"]
            assert site.gate.refusals[0].peer == "127.0.0.1"
            _, writer = silent[2]
            writer.write(CALL)
            assert (await silent[2][0].readuntil(b"}}")).startswith(b"HTTP/1.1 200")

    asyncio.run(main())


def test_who_has_shown_a_grant_is_not_pushed_out_by_who_has_not(
    to_url: OpenSite, answering: OpenUpstream
) -> None:
    async def main() -> None:
        bounds = HttpBounds(connections_max=4, connections_per_peer_max=3)
        async with (
            asyncio.timeout(5),
            answering(saying(fixed(OK))) as (url, _),
            to_url(url, bounds=bounds) as site,
        ):
            reader, writer = await site.connect()
            writer.write(CALL)
            await reader.readuntil(b"}}")
            for _ in range(20):
                await site.connect()
            await site.until(lambda: len(site.gate.refusals) >= 17)
            writer.write(CALL)
            assert (await reader.readuntil(b"}}")).startswith(b"HTTP/1.1 200")
            await site.until(lambda: site.listener.connections <= 4)

    asyncio.run(main())


def test_a_house_full_of_callers_refuses_the_next_one_and_says_so(
    to_url: OpenSite, answering: OpenUpstream
) -> None:
    async def main() -> None:
        bounds = HttpBounds(connections_max=1)
        async with (
            asyncio.timeout(5),
            answering(saying(fixed(OK))) as (url, arrived),
            to_url(url, bounds=bounds) as site,
        ):
            reader, writer = await site.connect()
            writer.write(CALL)
            await reader.readuntil(b"}}")
            said = await site.raw(CALL)
            assert said.startswith(b"HTTP/1.1 503")
            assert b'"code":-32600' in said
            assert [bad.code for bad in site.gate.refusals] == ["connections"]
            assert len(arrived) == 1

    asyncio.run(main())


def test_one_grant_cannot_take_every_connection(to_url: OpenSite, answering: OpenUpstream) -> None:
    async def main() -> None:
        bounds = HttpBounds(connections_per_grant_max=2)
        async with (
            asyncio.timeout(5),
            answering(saying(fixed(OK))) as (url, arrived),
            to_url(url, bounds=bounds) as site,
        ):
            site.gate.tokens = CALLERS
            connections = [await site.connect() for _ in range(2)]
            for reader, writer in connections:
                writer.write(ONE)
                await reader.readuntil(b"}}")
            assert (await site.raw(ONE)).startswith(b"HTTP/1.1 429")
            assert [(bad.code, bad.caller) for bad in site.gate.refusals] == [
                ("connections", CALLERS["one"])
            ]
            assert (await site.raw(TWO, until=b"}}")).startswith(b"HTTP/1.1 200")
            connections[0][1].close()
            await site.until(lambda: site.listener.connections == 1)
            assert (await site.raw(ONE, until=b"}}")).startswith(b"HTTP/1.1 200")
            assert len(arrived) == 4

    asyncio.run(main())


def test_one_grant_cannot_open_streams_without_end(
    to_url: OpenSite, answering: OpenUpstream
) -> None:
    opened = asyncio.Event()

    async def stream(_: Arrived, ends: Ends) -> None:
        ends.writer.write(STREAM_HEAD + b": open\n\n")
        opened.set()
        with contextlib.suppress(ConnectionResetError):
            await ends.reader.read(1)
        raise EOFError

    async def main() -> None:
        bounds = HttpBounds(streams_per_grant_max=1)
        listen = b"GET /flat/mcp HTTP/1.1\r\n" + SESSION + b"\r\n"
        async with (
            asyncio.timeout(5),
            answering(stream) as (url, arrived),
            to_url(url, bounds=bounds) as site,
        ):
            reader, writer = await site.connect()
            writer.write(listen)
            await reader.readuntil(b": open")
            said = await site.raw(listen, until=b"}}")
            assert said.startswith(b"HTTP/1.1 429")
            assert [bad.code for bad in site.gate.refusals] == ["streams"]
            assert len(arrived) == 1
            writer.close()
            await site.until(lambda: site.listener.connections == 0)
            again, writer = await site.connect()
            writer.write(listen)
            await again.readuntil(b": open")

    asyncio.run(main())


def test_a_body_of_somebody_unknown_is_not_waited_for(
    to_url: OpenSite, answering: OpenUpstream
) -> None:
    async def main() -> None:
        async with (
            asyncio.timeout(5),
            answering(saying(fixed(OK))) as (url, _),
            to_url(url, bounds=HttpBounds(linger_seconds_max=0.1)) as site,
        ):
            site.gate.tokens = CALLERS
            head = b"POST /flat/mcp HTTP/1.1\r\n" + PLAIN + b"Content-Length: 4000000\r\n\r\n"
            said = await site.raw(head, until=b"}}")
            assert said.startswith(b"HTTP/1.1 401")
            assert site.gate.refusals[0].request_bytes == 0

    asyncio.run(main())


def test_requests_sent_ahead_have_no_more_room_together_than_one_body(
    to_url: OpenSite, answering: OpenUpstream
) -> None:
    async def main() -> None:
        bounds = HttpBounds(body_bytes_max=10_000, linger_seconds_max=0.1)
        async with (
            asyncio.timeout(5),
            answering(saying(fixed(OK))) as (url, arrived),
            to_url(url, bounds=bounds) as site,
        ):
            site.gate.hold = asyncio.Event()
            padded = CALL.rpartition(b"\r\n\r\n")[2].replace(b"{", b"{" + b" " * 4_000, 1)
            call = b"POST /flat/mcp HTTP/1.1\r\n" + PLAIN
            call += b"Content-Length: %d\r\n\r\n" % len(padded) + padded
            reader, writer = await site.connect()
            writer.write(call * 5)
            await site.gate.until(lambda: bool(site.gate.calls))
            site.gate.hold.set()
            said = await reader.read()
            assert said.count(b"HTTP/1.1 200") == len(arrived) == 3
            assert said.count(b"HTTP/1.1 400") == 1
            assert [bad.code for bad in site.gate.refusals] == ["pipelining"]

    asyncio.run(main())


def test_no_answers_are_made_for_a_client_that_does_not_take_them(
    to_url: OpenSite, answering: OpenUpstream
) -> None:
    async def main() -> None:
        bounds = HttpBounds(stalled_write_seconds_max=0.5)
        async with (
            asyncio.timeout(10),
            answering(saying(fixed(LARGE))) as (url, arrived),
            to_url(url, bounds=bounds) as site,
        ):
            with socket.socket() as client:
                client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8_192)
                client.connect(("127.0.0.1", site.port))
                client.sendall(CALL * 16)
                await site.until(lambda: site.listener.connections == 1)
                await site.until(lambda: site.listener.connections == 0)
                assert 1 <= len(arrived) <= 8
                assert site.gate.every_call_ended_once()

    asyncio.run(main())


def test_a_client_that_takes_its_answer_slowly_but_steadily_gets_all_of_it(
    to_url: OpenSite, answering: OpenUpstream
) -> None:
    async def main() -> None:
        body = LONG_LIST  # goes out in one piece, and is more than the sockets hold
        bounds = HttpBounds(stalled_write_seconds_max=0.3)
        loop = asyncio.get_running_loop()
        async with (
            asyncio.timeout(20),
            answering(saying(fixed(body))) as (url, _),
            to_url(url, bounds=bounds) as site,
        ):
            with socket.socket() as client:
                client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 262_144)
                client.setblocking(False)
                await loop.sock_connect(client, ("127.0.0.1", site.port))
                await loop.sock_sendall(client, LIST)
                began, got = loop.time(), b""
                while not got.endswith(b"}]}}"):
                    got += await loop.sock_recv(client, 400_000)
                    await asyncio.sleep(0.08)
                assert loop.time() - began > 2 * 0.3
                assert got.endswith(body)
                assert site.gate.refusals == []

    asyncio.run(main())


def test_chunks_of_next_to_nothing_are_not_taken_for_ever(
    to_url: OpenSite, answering: OpenUpstream
) -> None:
    async def main() -> None:
        async with (
            asyncio.timeout(5),
            answering(saying(fixed(OK))) as (url, arrived),
            to_url(url, bounds=HttpBounds(linger_seconds_max=0.1)) as site,
        ):
            reader, writer = await site.connect()
            head = b"POST /flat/mcp HTTP/1.1\r\n" + PLAIN + b"Transfer-Encoding: chunked\r\n\r\n"
            writer.write(head)
            with contextlib.suppress(ConnectionResetError, BrokenPipeError):
                for _ in range(1_000):
                    writer.write(b"1;%b\r\n{\r\n" % (b"x" * 200))
                    await writer.drain()
            assert (await reader.readuntil(b"}}")).startswith(b"HTTP/1.1 400")
            assert [bad.code for bad in site.gate.refusals] == ["http"]
            assert arrived == []

    asyncio.run(main())
