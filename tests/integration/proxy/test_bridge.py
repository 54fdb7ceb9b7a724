"""A server on stdio behind HTTP: one process a session, one for all stateless requests."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

from toolreeve.proxy.bridge import Bridge, BridgeBounds
from toolreeve.proxy.gate import Caller

if TYPE_CHECKING:
    from tests.integration.proxy.conftest import OpenSite, Site

HERE = Path(__file__).parent
ODD = [sys.executable, str(HERE / "odd_server.py")]
FLAT = [sys.executable, str(HERE / "flat_server.py"), "stdio"]
META: dict[str, object] = {
    "io.modelcontextprotocol/protocolVersion": "2026-07-28",
    "io.modelcontextprotocol/clientCapabilities": {},
}


class Answer(NamedTuple):
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def value(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.body)
        return found

    @property
    def text(self) -> str:
        return str(self.value["result"]["content"][0]["text"])


class Connection:
    """An HTTP client with nothing between us and the bytes."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    def send(self, method: str, headers: Sequence[str] = (), body: bytes = b"") -> None:
        lines = [
            f"{method} /flat/mcp HTTP/1.1",
            "Host: localhost",
            "Content-Type: application/json",
            "Accept: application/json, text/event-stream",
            f"Content-Length: {len(body)}",
            *headers,
        ]
        self.writer.write("\r\n".join(lines).encode() + b"\r\n\r\n" + body)

    async def head(self) -> tuple[int, dict[str, str]]:
        head = (await self.reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        pairs = (line.partition(": ") for line in head[1:] if line)
        return int(head[0].split()[1]), {name: value for name, _, value in pairs}

    async def answer(self) -> Answer:
        status, headers = await self.head()
        if "content-length" in headers:
            return Answer(
                status, headers, await self.reader.readexactly(int(headers["content-length"]))
            )
        body = b""
        while chunk := await self.chunk():
            body += chunk
        return Answer(status, headers, body)

    async def chunk(self) -> bytes:
        size = int(await self.reader.readline(), 16)
        data = await self.reader.readexactly(size)
        await self.reader.readexactly(2)
        return data


async def connect(site: Site) -> Connection:
    return Connection(*await site.connect())


def stateless(
    method: str,
    number: int = 1,
    name: str = "",
    meta: dict[str, object] | None = None,
    **arguments: object,
) -> tuple[str, list[str], bytes]:
    headers = ["MCP-Protocol-Version: 2026-07-28", f"Mcp-Method: {method}"]
    params: dict[str, object] = {"_meta": {**META, **(meta or {})}}
    if name:
        headers.append(f"Mcp-Name: {name}")
        params |= {"name": name, "arguments": arguments}
    body = {"jsonrpc": "2.0", "id": number, "method": method, "params": params}
    return "POST", headers, json.dumps(body).encode()


def in_session(
    session: str, method: str, number: int = 1, **params: object
) -> tuple[str, list[str], bytes]:
    body = {"jsonrpc": "2.0", "id": number, "method": method, "params": params}
    headers = [f"Mcp-Session-Id: {session}"] if session else []
    return "POST", headers, json.dumps(body).encode()


async def opened(client: Connection) -> str:
    client.send(*in_session("", "initialize", protocolVersion="2025-11-25"))
    answer = await client.answer()
    assert answer.status == 200
    return answer.headers["mcp-session-id"]


def test_stateless_requests_share_one_process_and_keep_their_ids(to_command: OpenSite) -> None:
    async def main() -> None:
        async with asyncio.timeout(10), to_command(ODD) as site:
            clients = [await connect(site) for _ in range(5)]
            for client in clients:
                client.send(*stateless("tools/call", 7, "pid"))
            answers = [await client.answer() for client in clients]
            assert {answer.value["id"] for answer in answers} == {7}
            assert len({answer.text for answer in answers}) == 1
            assert site.gate.every_call_ended_once()

    asyncio.run(main())


def test_each_session_has_a_process_of_its_own(to_command: OpenSite) -> None:
    async def main() -> None:
        async with asyncio.timeout(10), to_command(ODD) as site:
            client = await connect(site)
            pids: set[str] = set()
            for _ in range(2):
                session = await opened(client)
                client.send(*in_session(session, "tools/call", 2, name="pid"))
                pids.add((await client.answer()).text)
                assert site.gate.calls[-1].session == session
            assert len(pids) == 2

    asyncio.run(main())


def test_what_the_shared_server_hears_has_ids_and_tokens_of_ours(to_command: OpenSite) -> None:
    async def main() -> None:
        async with asyncio.timeout(10), to_command(ODD) as site:
            client = await connect(site)
            client.send(*stateless("tools/call", 900, "echo", meta={"progressToken": "mine"}))
            answer = await client.answer()
            heard = json.loads(answer.text)
            assert heard["id"] == heard["params"]["_meta"]["progressToken"] == 1
            assert answer.value["id"] == 900

    asyncio.run(main())


def test_an_unknown_session_or_none_is_told_so(to_command: OpenSite) -> None:
    async def main() -> None:
        async with asyncio.timeout(10), to_command(ODD) as site:
            client = await connect(site)
            client.send(*in_session("nobody", "ping"))
            assert (await client.answer()).status == 404
            client.send(*in_session("", "ping"))
            assert (await client.answer()).status == 400
            client.send(*in_session("", "tools/call", name="echo"))
            assert (await client.answer()).status == 400
            assert site.gate.outcomes == ["not_sent"]

    asyncio.run(main())


def test_a_session_is_not_for_another_grant(to_command: OpenSite) -> None:
    async def main() -> None:
        async with asyncio.timeout(10), to_command(ODD) as site:
            site.gate.tokens = {"one": Caller("g-1", "a"), "two": Caller("g-2", "b")}
            client = await connect(site)
            method, headers, body = in_session("", "initialize")
            client.send(method, [*headers, "Authorization: Bearer one"], body)
            session = (await client.answer()).headers["mcp-session-id"]
            method, headers, body = in_session(session, "ping")
            client.send(method, [*headers, "Authorization: Bearer two"], body)
            assert (await client.answer()).status == 404

    asyncio.run(main())


def test_a_deleted_session_is_gone_with_its_process(to_command: OpenSite) -> None:
    async def main() -> None:
        async with asyncio.timeout(10), to_command(ODD) as site:
            client = await connect(site)
            session = await opened(client)
            client.send("DELETE", [f"Mcp-Session-Id: {session}"])
            assert (await client.answer()).status == 200
            client.send(*in_session(session, "ping"))
            assert (await client.answer()).status == 404

    asyncio.run(main())


def test_no_more_sessions_than_the_bound(to_command: OpenSite) -> None:
    async def main() -> None:
        bounds = BridgeBounds(sessions_max=1)
        async with asyncio.timeout(10), to_command(ODD, bridge_bounds=bounds) as site:
            client = await connect(site)
            await opened(client)
            client.send(*in_session("", "initialize"))
            assert (await client.answer()).status == 503

    asyncio.run(main())


def test_a_session_that_nobody_uses_is_ended(to_command: OpenSite) -> None:
    async def main() -> None:
        bounds = BridgeBounds(idle_seconds_max=0.2)
        async with asyncio.timeout(10), to_command(ODD, bridge_bounds=bounds) as site:
            client = await connect(site)
            session = await opened(client)
            upstream = site.upstream
            assert isinstance(upstream, Bridge)
            assert upstream.processes == 1
            await site.until(lambda: upstream.processes == 0)
            client.send(*in_session(session, "ping"))
            assert (await client.answer()).status == 404

    asyncio.run(main())


@pytest.mark.parametrize("era", ["stateless", "session"])
def test_a_server_that_ends_in_a_call_is_an_unknown_outcome(to_command: OpenSite, era: str) -> None:
    async def main() -> None:
        async with asyncio.timeout(10), to_command(ODD) as site:
            client = await connect(site)
            if era == "stateless":
                client.send(*stateless("tools/call", 1, "exit"))
            else:
                session = await opened(client)
                client.send(*in_session(session, "tools/call", 1, name="exit"))
            answer = await client.answer()
            assert answer.status == 502
            assert b"the server ended" in answer.body
            assert site.gate.outcomes == ["unknown"]
            if era == "stateless":  # the next request finds a new one
                client.send(*stateless("tools/call", 2, "pid"))
                assert (await client.answer()).status == 200

    asyncio.run(main())


def test_a_command_that_cannot_be_started_was_not_sent_anything(to_command: OpenSite) -> None:
    async def main() -> None:
        async with asyncio.timeout(10), to_command(["/no/such/server"]) as site:
            client = await connect(site)
            client.send(*stateless("tools/call", 1, "pid"))
            answer = await client.answer()
            assert answer.status == 502
            assert b"cannot start" in answer.body
            assert site.gate.outcomes == ["not_sent"]

    asyncio.run(main())


def test_a_silent_call_is_kept_open_with_pings_and_given_up_in_the_end(
    to_command: OpenSite,
) -> None:
    async def main() -> None:
        bounds = BridgeBounds(ping_seconds=0.05, silence_seconds_max=0.2)
        async with asyncio.timeout(10), to_command(ODD, bridge_bounds=bounds) as site:
            client = await connect(site)
            client.send(*stateless("tools/call", 1, "nothing_of_the_kind"))
            answer = await client.answer()
            assert answer.headers["content-type"] == "text/event-stream"
            assert answer.body.startswith(b": ping\n\n")
            assert b'"code":-32004' in answer.body
            assert site.gate.outcomes == ["timeout"]

    asyncio.run(main())


def test_leaving_cancels_a_stateless_call_at_the_server(
    to_command: OpenSite, witness: Path
) -> None:
    async def main() -> None:
        async with asyncio.timeout(20), to_command(FLAT) as site:
            client = await connect(site)
            meta: dict[str, object] = {"progressToken": 1}
            client.send(*stateless("tools/call", 1, "vm_wait", meta=meta, id=4711))
            await client.head()
            assert b"notifications/progress" in await client.chunk()
            client.writer.close()
            await site.gate.until(lambda: bool(site.gate.endings))
            assert (site.gate.last.outcome, site.gate.last.detail) == ("unknown", "client gone")
            other = await connect(site)
            other.send(*stateless("tools/call", 2, "vm_restart", id=4712))
            assert (await other.answer()).status == 200
            assert "cancelled 4711" in witness.read_text()

    asyncio.run(main())


def test_cancelling_in_a_session_ends_the_call(to_command: OpenSite, witness: Path) -> None:
    async def main() -> None:
        async with asyncio.timeout(20), to_command(FLAT) as site:
            client, other = await connect(site), await connect(site)
            params: dict[str, Any] = {
                "protocolVersion": "2025-11-25",
                "capabilities": {},
                "clientInfo": {"name": "t", "version": "1"},
            }
            client.send(*in_session("", "initialize", **params))
            session = (await client.answer()).headers["mcp-session-id"]
            ready = {"jsonrpc": "2.0", "method": "notifications/initialized"}
            client.send("POST", [f"Mcp-Session-Id: {session}"], json.dumps(ready).encode())
            assert (await client.answer()).status == 202
            call: dict[str, Any] = {
                "name": "vm_wait",
                "arguments": {"id": 4713},
                "_meta": {"progressToken": 9},
            }
            client.send(*in_session(session, "tools/call", 5, **call))
            await client.head()
            assert b'"progressToken":9' in await client.chunk()
            note: dict[str, Any] = {
                "jsonrpc": "2.0",
                "method": "notifications/cancelled",
                "params": {"requestId": 5},
            }
            other.send("POST", [f"Mcp-Session-Id: {session}"], json.dumps(note).encode())
            assert (await other.answer()).status == 202
            assert b'"code":-32800' in await client.chunk()
            assert site.gate.outcomes == ["unknown"]
            other.send(*in_session(session, "tools/call", 6, name="vm_list"))
            assert (await other.answer()).status == 200
            assert "cancelled 4713" in witness.read_text()

    asyncio.run(main())


def test_a_list_is_filtered_in_both_eras(to_command: OpenSite) -> None:
    async def main() -> None:
        async with asyncio.timeout(10), to_command(ODD) as site:
            client = await connect(site)
            client.send(*stateless("tools/list"))
            shown = (await client.answer()).value["result"]
            assert shown == {"tools": [{"name": "echo"}], "cacheScope": "private"}
            session = await opened(client)
            client.send(*in_session(session, "tools/list"))
            assert (await client.answer()).value["result"] == {"tools": [{"name": "echo"}]}

    asyncio.run(main())


def test_one_stream_a_session_for_what_belongs_to_no_request(to_command: OpenSite) -> None:
    async def main() -> None:
        async with asyncio.timeout(10), to_command(ODD) as site:
            client, other = await connect(site), await connect(site)
            session = await opened(client)
            client.send("GET", [f"Mcp-Session-Id: {session}"])
            assert (await client.head())[0] == 200
            assert await client.chunk() == b": ping\n\n"
            other.send("GET", [f"Mcp-Session-Id: {session}"])
            assert (await other.answer()).status == 409
            client.writer.close()
            status = 409
            while status == 409:
                other.send("GET", [f"Mcp-Session-Id: {session}"])
                status, headers = await other.head()
                if status == 409:
                    await other.reader.readexactly(int(headers["content-length"]))
            assert status == 200

    asyncio.run(main())
