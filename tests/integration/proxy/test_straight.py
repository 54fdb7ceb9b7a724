"""Calls that need no task: the same promises hold for them, and for the heads that are known."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

import pytest
from tests.integration.proxy.words import CALL, JSON, OK, PLAIN, STREAM_HEAD, fixed, request, saying

from toolreeve.proxy.gate import Caller
from toolreeve.proxy.http_request import HttpBounds

if TYPE_CHECKING:
    from tests.integration.proxy.conftest import Arrived, Ends, OpenSite, OpenUpstream

ONE = request("tools/call", PLAIN + b"Authorization: Bearer one\r\n", name="vm_list")
LAST = CALL.replace(b"Host:", b"Connection: close\r\nHost:")
CALLERS = {"one": Caller("g-1", "a")}
FRAMED = STREAM_HEAD + b"data: %b\r\n\r\n"


async def one_answer(reader: asyncio.StreamReader) -> bytes:
    """All of one answer, whether it has a length or comes in chunks."""
    head = await reader.readuntil(b"\r\n\r\n")
    _, found, length = head.lower().partition(b"content-length: ")
    if not found:
        return head + await reader.readuntil(b"0\r\n\r\n")
    return head + await reader.readexactly(int(length.partition(b"\r\n")[0]))


def test_the_second_call_on_a_connection_is_as_good_as_the_first(
    to_url: OpenSite, answering: OpenUpstream
) -> None:
    async def main() -> None:
        async with (
            asyncio.timeout(5),
            answering(saying(fixed(OK))) as (url, arrived),
            to_url(url) as site,
        ):
            reader, writer = await site.connect()
            said: set[bytes] = set()
            for name in ("vm_list", "vm_get", "a_longer_name"):
                writer.write(request("tools/call", name=name))
                said.add(await reader.readuntil(b"}}"))
            assert len(site.listener.heads) == 1, "one head, three lengths"
            assert [call.wire_name for call in site.gate.calls] == [
                *("vm_list", "vm_get", "a_longer_name")
            ]
            assert len({one.partition(b"date:")[0] for one in said}) == 1
            assert (
                len(
                    {
                        tuple(sorted({**one.headers, "content-length": ""}.items()))
                        for one in arrived
                    }
                )
                == 1
            )
            assert site.gate.outcomes == ["success"] * 3

    asyncio.run(main())


def test_a_grant_that_is_taken_back_is_refused_though_its_head_is_known(
    to_url: OpenSite, answering: OpenUpstream
) -> None:
    async def main() -> None:
        async with (
            asyncio.timeout(5),
            answering(saying(fixed(OK))) as (url, arrived),
            to_url(url) as site,
        ):
            site.gate.tokens = dict(CALLERS)
            reader, writer = await site.connect()
            for _ in range(2):
                writer.write(ONE)
                assert (await reader.readuntil(b"}}")).startswith(b"HTTP/1.1 200")
            site.gate.tokens = {}
            writer.write(ONE)
            assert (await reader.read()).startswith(b"HTTP/1.1 401")
            assert [bad.code for bad in site.gate.refusals] == ["unauthenticated"]
            assert len(arrived) == 2

    asyncio.run(main())


def test_nothing_is_answered_behind_a_request_that_was_to_be_the_last(
    to_url: OpenSite, answering: OpenUpstream
) -> None:
    async def main() -> None:
        async with (
            asyncio.timeout(5),
            answering(saying(fixed(OK))) as (url, arrived),
            to_url(url) as site,
        ):
            await site.raw(CALL, until=b"}}")  # its head is known now
            site.gate.hold = asyncio.Event()
            reader, writer = await site.connect()
            writer.write(LAST)
            await site.gate.until(lambda: len(site.gate.calls) == 2)
            writer.write(CALL)  # comes while the last one is being decided
            await writer.drain()
            await site.raw(b"rubbish\r\n\r\n")  # answered when the loop has gone around
            site.gate.hold.set()
            assert (await reader.read()).count(b"HTTP/1.1") == 1
            assert (len(site.gate.calls), len(arrived)) == (2, 2)

    asyncio.run(main())


def test_calls_that_are_sent_ahead_are_bounded_though_their_head_is_known(
    to_url: OpenSite, answering: OpenUpstream
) -> None:
    async def main() -> None:
        bounds = HttpBounds(pipelined_max=2)
        async with (
            asyncio.timeout(5),
            answering(saying(fixed(OK))) as (url, _),
            to_url(url, bounds=bounds) as site,
        ):
            await site.raw(CALL, until=b"}}")
            site.gate.hold = asyncio.Event()
            reader, writer = await site.connect()
            for count in range(6):
                writer.write(CALL)
                await writer.drain()
                await site.until(lambda: bool(site.gate.refusals) or len(site.gate.calls) > 1)
                if count == 0:
                    await site.gate.until(lambda: len(site.gate.calls) == 2)
            site.gate.hold.set()
            said = await reader.read()
            assert said.count(b"HTTP/1.1 200") <= 4
            assert b"HTTP/1.1 400" in said
            assert [bad.code for bad in site.gate.refusals] == ["pipelining"]

    asyncio.run(main())


@pytest.mark.parametrize("head", [b"", b"HTTP/1.1 200 OK\r\n", STREAM_HEAD])
def test_a_client_that_leaves_is_noticed_by_the_upstream_and_by_the_record(
    to_url: OpenSite, answering: OpenUpstream, head: bytes
) -> None:
    """While nothing has come of the answer, half of its head, or the beginning of a stream."""
    gone = asyncio.Event()
    calls = 0

    async def answer(_: Arrived, ends: Ends) -> None:
        nonlocal calls
        calls += 1
        if calls == 1:
            ends.writer.write(fixed(OK))
            return
        ends.writer.write(head)
        with contextlib.suppress(ConnectionError):
            await ends.reader.read(1)
        gone.set()

    async def main() -> None:
        async with (
            asyncio.timeout(5),
            answering(answer) as (url, arrived),
            to_url(url) as site,
        ):
            reader, writer = await site.connect()
            writer.write(CALL)
            await reader.readuntil(b"}}")
            writer.write(CALL)
            await site.until(lambda: len(arrived) == 2)
            writer.close()
            await gone.wait()
            await site.gate.until(lambda: len(site.gate.endings) == 2)
            assert site.gate.outcomes == ["success", "unknown"]
            assert site.gate.last.detail == "client gone"

    asyncio.run(main())


@pytest.mark.parametrize(
    ("parts", "status"),
    [
        ((fixed(OK)[:20], fixed(OK)[20:]), b"200"),
        ((fixed(OK)[:-9], fixed(OK)[-9:]), b"200"),
        ((fixed(OK, headers=JSON + b"content-encoding: gzip\r\n"),), b"502"),
        ((fixed(OK, status=b"404 No"),), b"404"),
        ((FRAMED % OK,), b"200"),
        ((FRAMED[:-4], (b"%b\r\n\r\n" % OK)), b"200"),
        ((b"HTTP/1.1 100 Continue\r\n\r\n", fixed(OK)), b"200"),
        ((fixed(OK).replace(b'"id":1', b'"id":2'),), b"502"),
        ((fixed(b"not json"),), b"502"),
    ],
)
def test_whatever_an_answer_looks_like_a_call_behind_a_plain_one_ends_as_it_should(
    to_url: OpenSite, answering: OpenUpstream, parts: tuple[bytes, ...], status: bytes
) -> None:
    calls = 0

    async def answer(_: Arrived, ends: Ends) -> None:
        nonlocal calls
        calls += 1
        for part in parts if calls == 2 else (fixed(OK),):
            ends.writer.write(part)
            await ends.writer.drain()
            await asyncio.sleep(0.01)  # so that the parts come one by one
        if calls == 2 and parts[0].startswith(STREAM_HEAD):
            raise EOFError

    async def main() -> None:
        async with (
            asyncio.timeout(5),
            answering(answer) as (url, _),
            to_url(url) as site,
        ):
            reader, writer = await site.connect()
            for turn in range(3):
                writer.write(CALL)
                expected = status if turn == 1 else b"200"
                assert (await one_answer(reader)).startswith(b"HTTP/1.1 " + expected)
            assert site.gate.every_call_ended_once()
            assert len(site.gate.endings) == 3

    asyncio.run(main())


def test_an_enforcer_that_ends_waits_for_a_call_and_then_gives_it_up(
    to_url: OpenSite, answering: OpenUpstream
) -> None:
    async def main() -> None:
        async with (
            asyncio.timeout(5),
            answering(saying(b"")) as (url, arrived),
            to_url(url) as site,
        ):
            _, writer = await site.connect()
            writer.write(CALL)
            await site.until(lambda: bool(arrived))
            await site.listener.close(grace_seconds=0.05)
            assert site.gate.outcomes == ["unknown"]

    asyncio.run(main())
