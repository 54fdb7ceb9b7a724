"""Clients leave anywhere, upstreams do anything: each call ends once and nothing is left."""

from __future__ import annotations

import asyncio
import json
import random
from typing import TYPE_CHECKING

import pytest

from toolreeve.proxy.http_client import UpstreamBounds
from toolreeve.proxy.http_request import HttpBounds

if TYPE_CHECKING:
    from tests.integration.proxy.conftest import Arrived, Ends, OpenSite, OpenUpstream, Site

BODY = json.dumps(
    {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "vm_list"}}
).encode()
CALL = (
    b"POST /flat/mcp HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    b"Accept: */*\r\nContent-Length: %d\r\n\r\n%b" % (len(BODY), BODY)
)
OK = b'{"jsonrpc":"2.0","id":1,"result":{"content":[],"isError":false}}'
WHOLE = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%b" % (
    len(OK),
    OK,
)
EVENTS = (
    b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
    + b"".join(
        b"%x\r\n%b\r\n" % (len(piece), piece)
        for piece in (b": hello\n\n", b'data: {"jsonrpc":"2.0","method":"notifications/x"}\n\n')
    )
    + b"%x\r\ndata: %b\n\n\r\n0\r\n\r\n" % (len(OK) + 8, OK)
)


async def leave_after(site: Site, sent: int, heard: int) -> None:
    """Send so many bytes of a call, read so many of the answer, and go."""
    reader, writer = await asyncio.open_connection("127.0.0.1", site.port)
    try:
        writer.write(CALL[:sent])
        await writer.drain()
        if sent == len(CALL) and heard:
            await reader.readexactly(heard)
    except (OSError, EOFError):
        pass
    finally:
        writer.close()


def test_a_client_may_leave_at_any_byte(to_url: OpenSite, answering: OpenUpstream) -> None:
    async def answer(_: Arrived, ends: Ends) -> None:
        ends.writer.write(EVENTS)

    async def main() -> None:
        async with asyncio.timeout(60), answering(answer) as (url, arrived), to_url(url) as site:
            for sent in range(0, len(CALL), 3):
                await leave_after(site, sent, 0)
            await site.until(lambda: site.listener.connections == 0)
            assert site.gate.calls == []
            assert arrived == []
            for heard in range(0, 250, 3):
                await leave_after(site, len(CALL), heard)
            await site.until(lambda: site.listener.connections == 0)
            await site.gate.until(site.gate.every_call_ended_once)
            assert set(site.gate.outcomes) <= {"success", "unknown", "not_sent"}

    asyncio.run(main())


@pytest.mark.parametrize("whole", [WHOLE, EVENTS], ids=["json", "stream"])
def test_an_upstream_may_break_off_at_any_byte(
    to_url: OpenSite, answering: OpenUpstream, whole: bytes
) -> None:
    cut = 0

    async def answer(_: Arrived, ends: Ends) -> None:
        ends.writer.write(whole[:cut])
        await ends.writer.drain()
        raise EOFError

    async def main() -> None:
        nonlocal cut
        async with asyncio.timeout(60), answering(answer) as (url, _), to_url(url) as site:
            closing = CALL.replace(b"Host", b"Connection: close\r\nHost", 1)
            for place in (*range(0, len(whole), 2), len(whole)):
                cut = place
                said = await site.raw(closing)
                assert said.startswith(b"HTTP/1.1 ")
                assert len(site.gate.endings) == len(site.gate.calls)
            assert site.gate.every_call_ended_once()
            assert set(site.gate.outcomes) == {"success", "unknown"}

    asyncio.run(main())


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_in_any_disorder_every_call_ends_once_and_nothing_is_left(
    to_url: OpenSite, answering: OpenUpstream, seed: int
) -> None:
    chance = random.Random(seed)

    async def answer(_: Arrived, ends: Ends) -> None:
        kind = chance.randrange(6)
        whole = WHOLE if chance.random() < 0.5 else EVENTS
        if kind == 0:
            await asyncio.Event().wait()
        elif kind == 1:
            ends.writer.write(whole[: chance.randrange(len(whole))])
            await ends.writer.drain()
            raise EOFError
        elif kind == 2:
            for start in range(0, len(whole), 40):
                ends.writer.write(whole[start : start + 40])
                await ends.writer.drain()
        else:
            ends.writer.write(whole)

    async def main() -> None:
        upstream_bounds = UpstreamBounds(
            head_seconds_max=0.5, silence_seconds_max=0.5, connections_max=20
        )
        async with (
            asyncio.timeout(60),
            answering(answer) as (url, _),
            to_url(
                url, upstream_bounds=upstream_bounds, bounds=HttpBounds(idle_seconds_max=0.3)
            ) as site,
        ):
            site.gate.denied = set()

            async def agent() -> None:
                for _ in range(8):
                    sent = len(CALL) if chance.random() < 0.9 else chance.randrange(len(CALL))
                    await leave_after(site, sent, chance.choice([0, 0, 10, 100, 190]))

            await asyncio.gather(*(agent() for _ in range(30)))
            await site.until(lambda: site.listener.connections == 0)
            await site.gate.until(site.gate.every_call_ended_once)
            left = [repr(task) for task in asyncio.all_tasks()]
            assert [task for task in left if "http_server" in task] == []

    asyncio.run(main())
