"""Clients of one era before servers of the other: what the gate sees, and the odd cases."""

from __future__ import annotations

import asyncio
import json
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest
from tests.conformance.sites import everything_http
from tests.conformance.tour import Person, until
from tests.integration.proxy.conftest import Recorder, Site
from tests.integration.proxy.words import PLAIN, fixed

from toolreeve.proxy import upstream_session
from toolreeve.proxy.answers import UNREACHABLE
from toolreeve.proxy.endpoint import Endpoint
from toolreeve.proxy.gate import Caller
from toolreeve.proxy.http_request import HeadRules, HttpBounds
from toolreeve.proxy.http_server import HttpListener
from toolreeve.proxy.relay import HttpUpstream
from toolreeve.proxy.translating import Translating

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Iterator, Mapping
    from pathlib import Path

    from tests.integration.proxy.conftest import Arrived, Ends, OpenUpstream

META = "io.modelcontextprotocol/"
STATELESS = b"MCP-Protocol-Version: 2026-07-28\r\n"
ASKING = "test_input_required_result_elicitation"


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the servers write down the calls that have reached them."""
    path = tmp_path_factory.mktemp("translating") / "seen.txt"
    path.touch()
    return path


@pytest.fixture(scope="module")
def only(seen: Path) -> Iterator[Callable[[str], str]]:
    """The address of a server that speaks one era alone: "session" or "stateless"."""
    environment = {"SEEN_FILE": str(seen)}
    with (
        everything_http({**environment, "ERA": "session"}) as session,
        everything_http({**environment, "ERA": "stateless"}) as stateless,
    ):
        yield {"session": session.url, "stateless": stateless.url}.__getitem__


@asynccontextmanager
async def before(url: str, gate: Recorder | None = None) -> AsyncGenerator[Site]:
    """A site that translates, before one server."""
    gate, bounds = gate or Recorder(), HttpBounds()
    upstream = Translating(HttpUpstream("flat", url, gate), "flat")
    listener = HttpListener(Endpoint(gate, {"flat": upstream}), HeadRules(bounds), bounds)
    site = Site(await listener.listen("127.0.0.1", 0), gate, upstream, listener)
    try:
        yield site
    finally:
        await listener.close(grace_seconds=0.1)
        await upstream.close()


def stateless(method: str, *, headers: bytes = b"", meta: object = None, **params: object) -> bytes:
    """A request of a client without a session."""
    declared: object = {} if meta is None else meta
    said = {f"{META}protocolVersion": "2026-07-28", f"{META}clientCapabilities": declared}
    value = {"jsonrpc": "2.0", "id": 1, "method": method, "params": {**params, "_meta": said}}
    body = json.dumps(value).encode()
    named = f"Mcp-Name: {params['name']}\r\n".encode() if "name" in params else b""
    routed = f"Mcp-Method: {method}\r\n".encode() + named
    length = b"Content-Length: %d\r\n\r\n" % len(body)
    return b"POST /flat/mcp HTTP/1.1\r\n" + PLAIN + STATELESS + routed + headers + length + body


async def answer(site: Site, request: bytes) -> tuple[int, Any]:
    """The status and the message of one answer with a body."""
    said = await site.raw(request.replace(b" HTTP/1.1\r\n", b" HTTP/1.1\r\nConnection: close\r\n"))
    head, _, body = said.partition(b"\r\n\r\n")
    return int(head.split()[1]), json.loads(body)


def test_a_refused_call_never_reaches_a_server_of_the_other_era(
    only: Callable[[str], str], seen: Path
) -> None:
    async def story(era: str, mode: str) -> None:
        gate, calls = Recorder(), seen.read_text()
        gate.denied, gate.hidden = {"test_simple_text"}, {"test_image_content"}
        async with asyncio.timeout(20), before(only(era), gate) as site:
            async with Person().client(site.url, mode) as client:
                names = [tool.name for tool in (await client.list_tools()).tools]
                assert "test_simple_text" in names
                assert "test_image_content" not in names
                refused = await client.call_tool("test_simple_text")
                assert refused.is_error
            assert seen.read_text() == calls
            assert gate.outcomes == []

    asyncio.run(story("session", "2026-07-28"))
    asyncio.run(story("stateless", "legacy"))


def test_a_call_is_decided_on_once_where_the_server_asks_in_the_middle(
    only: Callable[[str], str], seen: Path
) -> None:
    async def story() -> None:
        calls = seen.read_text().count(ASKING)
        async with asyncio.timeout(20), before(only("stateless")) as site:
            async with Person().client(site.url, "legacy") as client:
                said = await client.call_tool(ASKING)
                assert "Hello, Ada!" in str(said.content)
            assert [call.wire_name for call in site.gate.calls] == [ASKING]
            assert site.gate.outcomes == ["success"]
        assert seen.read_text().count(ASKING) == calls + 2  # without sessions it is called again

    asyncio.run(story())


def test_a_call_reaches_the_server_once_where_the_client_comes_back_with_answers(
    only: Callable[[str], str], seen: Path
) -> None:
    async def story() -> None:
        calls = seen.read_text().count(ASKING)
        async with asyncio.timeout(20), before(only("session")) as site:
            async with Person().client(site.url, "2026-07-28") as client:
                said = await client.call_tool(ASKING)
                assert "Hello, Ada!" in str(said.content)
            assert site.gate.outcomes == ["input_required", "success"]
            assert site.gate.every_call_ended_once()
        assert seen.read_text().count(ASKING) == calls + 1

    asyncio.run(story())


FORM: Mapping[str, object] = {"elicitation": {"form": {}}}
FILLED_IN = {"action": "accept", "content": {"name": "Ada"}}


def test_the_word_to_come_back_with_is_worth_nothing_to_anybody_else(
    only: Callable[[str], str],
) -> None:
    def come_back(state: str, token: bytes, **params: object) -> bytes:
        headers = b"Authorization: Bearer " + token + b"\r\n"
        params = {"requestState": state, "inputResponses": {}, **params}
        return stateless("tools/call", headers=headers, meta=FORM, **params)

    async def story() -> None:
        gate = Recorder()
        gate.tokens = {"ada": Caller("ada", "a"), "eve": Caller("eve", "e")}
        async with asyncio.timeout(20), before(only("session"), gate) as site:
            first = stateless(
                "tools/call", headers=b"Authorization: Bearer ada\r\n", meta=FORM, name=ASKING
            )
            _, asked = await answer(site, first)
            state = asked["result"]["requestState"]
            (key,) = asked["result"]["inputRequests"]
            for stolen in (
                come_back(state, b"eve", name=ASKING),
                come_back(state, b"ada", name="test_simple_text"),
                come_back(state, b"ada", name=ASKING, arguments={"x": 1}),
                come_back(state[:-1] + "~", b"ada", name=ASKING),
            ):
                status, refused = await answer(site, stolen)
                assert (status, refused["error"]["code"]) == (400, -32602)
            _, again = await answer(site, come_back(state, b"ada", name=ASKING))
            assert again["result"]["resultType"] == "input_required"  # nothing was answered
            state = again["result"]["requestState"]
            done = come_back(state, b"ada", name=ASKING, inputResponses={key: FILLED_IN})
            _, said = await answer(site, done)
            assert "Hello, Ada!" in str(said["result"])
            status, refused = await answer(site, done)
            assert status == 400

    asyncio.run(story())


def test_a_question_that_nobody_answers_ends_its_call_at_the_server(
    only: Callable[[str], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upstream_session, "WAIT_SECONDS_MAX", 0.05)

    async def story() -> None:
        async with asyncio.timeout(20), before(only("session")) as site:
            _, asked = await answer(site, stateless("tools/call", meta=FORM, name=ASKING))
            state = asked["result"]["requestState"]
            assert isinstance(site.upstream, Translating)
            (session,) = site.upstream.sessions
            await until(lambda: session.idle)
            again = stateless("tools/call", meta=FORM, name=ASKING, requestState=state)
            assert (await answer(site, again))[0] == 400

    asyncio.run(story())


def test_a_request_must_say_what_its_client_can_do(only: Callable[[str], str]) -> None:
    async def story() -> None:
        async with asyncio.timeout(20), before(only("session")) as site:
            status, said = await answer(site, stateless("tools/list", meta="nothing"))
            assert (status, said["error"]["code"]) == (400, -32602)
            status, said = await answer(site, stateless("tools/list"))
            assert status == 200
            assert said["result"]["resultType"] == "complete"

    asyncio.run(story())


@pytest.mark.parametrize("method", ["ping", "logging/setLevel", "tasks/list", "acme/own"])
def test_what_has_no_translation_is_no_method(only: Callable[[str], str], method: str) -> None:
    async def story() -> None:
        async with asyncio.timeout(20), before(only("session")) as site:
            status, said = await answer(site, stateless(method))
            assert (status, said["error"]["code"]) == (404, -32601)

    asyncio.run(story())


INITIALIZED: dict[str, object] = {
    "protocolVersion": "2025-11-25",
    "capabilities": {"tools": {}},
    "serverInfo": {"name": "odd", "version": "1"},
}


class OddServer:
    """Speaks with sessions, by hand; forgets a session when told to."""

    def __init__(self, *, with_ids: bool = True) -> None:
        self.with_ids = with_ids
        self.session = 0
        self.calls: list[str | None] = []
        self.troubled = False

    async def __call__(self, request: Arrived, ends: Ends) -> None:
        given = request.headers.get("mcp-session-id")
        message: dict[str, Any] = json.loads(request.body) if request.body else {}
        method, number = message.get("method"), message.get("id")
        if self.troubled:
            ends.writer.write(fixed(b'{"down": true}', status=b"503 Service Unavailable"))
        elif method == "initialize":
            self.session += 1
            own = f"mcp-session-id: s-{self.session}\r\n".encode() if self.with_ids else b""
            body = json.dumps({"jsonrpc": "2.0", "id": number, "result": INITIALIZED}).encode()
            ends.writer.write(fixed(body, headers=b"content-type: application/json\r\n" + own))
        elif request.head.startswith(b"GET"):
            ends.writer.write(fixed(b"", status=b"405 Method Not Allowed"))
        elif number is None:
            ends.writer.write(fixed(b"", status=b"202 Accepted"))
        elif method == "server/discover":
            ends.writer.write(fixed(b'{"error": "no session"}', status=b"400 Bad Request"))
        elif self.with_ids and given != f"s-{self.session}":
            ends.writer.write(fixed(b"", status=b"404 Not Found"))
        else:
            self.calls.append(given)
            result: dict[str, object] = {"content": [], "isError": False}
            body = json.dumps({"jsonrpc": "2.0", "id": number, "result": result}).encode()
            ends.writer.write(fixed(body))


def test_a_session_that_the_server_has_lost_is_opened_again(answering: OpenUpstream) -> None:
    async def story() -> None:
        server = OddServer()
        async with asyncio.timeout(10), answering(server) as (url, _), before(url) as site:
            for lost in (False, True, False):
                server.session += lost
                status, said = await answer(site, stateless("tools/call", name="a"))
                assert (status, said["result"]["isError"]) == (200, False)
            assert server.calls == ["s-1", "s-3", "s-3"]
            assert site.gate.outcomes == ["success"] * 3

    asyncio.run(story())


def test_a_server_that_gives_its_sessions_no_ids_is_called_all_the_same(
    answering: OpenUpstream,
) -> None:
    async def story() -> None:
        server = OddServer(with_ids=False)
        async with asyncio.timeout(10), answering(server) as (url, _), before(url) as site:
            for _ in range(2):
                status, _said = await answer(site, stateless("tools/call", name="a"))
                assert status == 200
            assert server.calls == [None, None]
            assert server.session == 1

    asyncio.run(story())


def test_a_server_in_trouble_is_not_taken_for_one_of_another_era(answering: OpenUpstream) -> None:
    async def story() -> None:
        server = OddServer()
        server.troubled = True
        async with asyncio.timeout(10), answering(server) as (url, came), before(url) as site:
            status, _ = await answer(site, stateless("tools/call", name="a"))
            assert status >= 500
            assert not [one for one in came if b'"initialize"' in one.body]  # not even tried
            server.troubled = False
            status, _ = await answer(site, stateless("tools/call", name="a"))
            assert status == 200

    asyncio.run(story())


def test_a_server_that_cannot_be_reached_is_not_said_to_speak_with_sessions() -> None:
    async def story() -> None:
        async with asyncio.timeout(10), before("http://127.0.0.1:1/mcp") as site:
            status, said = await answer(site, stateless("server/discover"))
            assert (status, said["error"]["code"]) == (502, UNREACHABLE)

    asyncio.run(story())
