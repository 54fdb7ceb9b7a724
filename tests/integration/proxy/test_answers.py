"""Listings and answers of every size, and clients that are slow or leave."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from tests.integration.proxy.words import (
    CALL,
    LIST,
    OK,
    SESSION,
    STREAM_HEAD,
    fixed,
    saying,
)

if TYPE_CHECKING:
    from tests.integration.proxy.conftest import Arrived, Ends, OpenSite, OpenUpstream


LISTING = b'{"jsonrpc":"2.0","id":1,"result":{"tools":[{"name":"a"},{"name":"fails_by_raising"}]}}'


@pytest.mark.parametrize(
    "data",
    [fixed(LISTING), STREAM_HEAD + b"id: 3\ndata: " + LISTING + b"\n\n"],
    ids=["json", "stream"],
)
def test_a_list_shows_only_what_is_visible(
    to_url: OpenSite, answering: OpenUpstream, data: bytes
) -> None:
    async def main() -> None:
        async with (
            asyncio.timeout(5),
            answering(saying(data)) as (url, _),
            to_url(url) as site,
        ):
            said = await site.raw(LIST, until=b"}}")
            assert b'{"name":"a"}' in said
            assert b"fails_by_raising" not in said

    asyncio.run(main())


@pytest.mark.parametrize(
    "data",
    [
        fixed(LISTING.replace(b'"a"', b'"a","name":"fails_by_raising"')),
        fixed(LISTING.replace(b'"a"', b'"a","x":NaN')),
        fixed(LISTING[:-1]),
        fixed(LISTING, headers=b"content-type: text/plain\r\n") + b"",
        STREAM_HEAD + b"data: " + LISTING.replace(b'"a"', b'"a","x":NaN') + b"\n\n",
        STREAM_HEAD + b"data: " + LISTING.replace(b"}]", b'},{"name":7}]') + b"\n\n",
    ],
)
def test_a_list_that_cannot_be_read_shows_nothing(
    to_url: OpenSite, answering: OpenUpstream, data: bytes
) -> None:
    async def main() -> None:
        async with (
            asyncio.timeout(5),
            answering(saying(data, then_close=True)) as (url, _),
            to_url(url) as site,
        ):
            closing = LIST.replace(b"Host", b"Connection: close\r\nHost", 1)
            said = await site.raw(closing)
            assert b"fails_by_raising" not in said

    asyncio.run(main())


def test_a_list_that_comes_on_another_stream_is_filtered_too(
    to_url: OpenSite, answering: OpenUpstream
) -> None:
    async def main() -> None:
        async with (
            asyncio.timeout(5),
            answering(saying(STREAM_HEAD + b"data: " + LISTING + b"\n\n")) as (url, _),
            to_url(url) as site,
        ):
            said = await site.raw(b"GET /flat/mcp HTTP/1.1\r\n" + SESSION + b"\r\n", until=b"}}")
            assert b'{"name":"a"}' in said
            assert b"fails_by_raising" not in said

    asyncio.run(main())


@pytest.mark.parametrize("size", [100_000, 500_000, 1_048_000, 1_100_000, 5_000_000])
@pytest.mark.parametrize("form", ["fixed", "stream"])
def test_an_answer_of_any_size_arrives_whole(
    to_url: OpenSite, answering: OpenUpstream, size: int, form: str
) -> None:
    body = OK.replace(b"[]", b'["' + b"x" * size + b'"]')
    data = fixed(body) if form == "fixed" else STREAM_HEAD + b"data: " + body + b"\n\n"

    async def main() -> None:
        async with (
            asyncio.timeout(10),
            answering(saying(data, then_close=form == "stream")) as (url, _),
            to_url(url) as site,
        ):
            for _ in range(3):
                said = await site.raw(CALL.replace(b"Host", b"Connection: close\r\nHost", 1))
                assert said.count(b"x" * 1000) >= size // 1000 - 40
                assert b'"isError":false' in said
            assert site.gate.outcomes == ["success"] * 3

    asyncio.run(main())


def test_closing_ends_open_streams_at_once_and_lets_calls_finish(
    to_url: OpenSite, answering: OpenUpstream
) -> None:
    go_on = asyncio.Event()

    async def answer(request: Arrived, ends: Ends) -> None:
        if request.head.startswith(b"GET"):
            ends.writer.write(STREAM_HEAD + b": open\n\n")
        else:
            await go_on.wait()
            ends.writer.write(fixed(OK))

    async def main() -> None:
        async with asyncio.timeout(5), answering(answer) as (url, _), to_url(url) as site:
            reader, writer = await site.connect()
            writer.write(b"GET /flat/mcp HTTP/1.1\r\n" + SESSION + b"\r\n")
            await reader.readuntil(b": open\n\n")
            call = asyncio.create_task(site.raw(CALL, until=b"}}"))
            await site.gate.until(lambda: bool(site.gate.calls))
            closing = asyncio.create_task(site.listener.close(grace_seconds=60))
            await reader.read()
            assert not closing.done()
            go_on.set()
            assert (await call).startswith(b"HTTP/1.1 200")
            await closing
            assert site.gate.outcomes == ["success"]

    asyncio.run(main())


def test_a_client_that_does_not_read_is_ended(to_url: OpenSite, answering: OpenUpstream) -> None:
    from toolreeve.proxy.http_request import HttpBounds

    async def answer(_: Arrived, ends: Ends) -> None:
        ends.writer.write(STREAM_HEAD)
        while True:
            ends.writer.write(b": " + b"x" * 60_000 + b"\n\n")
            await ends.writer.drain()

    async def main() -> None:
        bounds = HttpBounds(stalled_write_seconds_max=0.2)
        async with (
            asyncio.timeout(8),
            answering(answer) as (url, _),
            to_url(url, bounds=bounds) as site,
        ):
            _, writer = await asyncio.open_connection("127.0.0.1", site.port, limit=1024)
            writer.write(CALL)
            await site.gate.until(lambda: bool(site.gate.endings))
            assert site.gate.outcomes == ["unknown"]
            writer.close()

    asyncio.run(main())
