"""What a server asks of its client passes the method policy; what is refused it never sees."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

import pytest
from tests.integration.proxy.actors import SESSION, STATELESS, HttpClient, HttpServer
from tests.integration.proxy.plays import answer, ask, ask_alone, question, reply
from tests.integration.proxy.stage import in_turn
from tests.integration.proxy.test_plays import Names, introduce, perform

if TYPE_CHECKING:
    from tests.integration.proxy.actors import Message
    from tests.integration.proxy.conftest import OpenStage
    from tests.integration.proxy.stage import Stage

WAYS = ["http", "bridge", "wrap"]
METHODS = ["sampling/createMessage", "elicitation/create", "x/ask"]
CALL = ask("@1", "tools/call", name="a", arguments={})
DONE = answer("@1", content=[])


async def refused(stage: Stage, method: str, code: str) -> dict[str, Any]:
    """What the server hears of its question, and that it is on record."""
    heard = await stage.server.heard.get()
    assert [(bad.code, bad.method) for bad in stage.gate.unheard] == [(code, method)]
    error: dict[str, Any] = heard["error"]
    return error


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("on", ["@1", None])
@pytest.mark.parametrize("way", WAYS)
def test_a_question_that_the_policy_refuses_is_answered_for_the_client(
    open_stage: OpenStage, way: str, on: str | None, method: str
) -> None:
    async def main() -> None:
        async with asyncio.timeout(10), open_stage(way, SESSION) as stage:
            names = Names()
            await introduce(stage, names)
            stage.gate.methods_denied = {method}
            await perform(stage, [CALL], names)
            line = question("@s", method, on, messages=[])
            raw = json.dumps(names.spoken("server", line.message)).encode()
            await stage.server.say(raw, on=names.spoken("server", on) if on else None)
            error = await refused(stage, method, "server_method_denied")
            assert error["code"] == -32601
            assert "POLICY DENIED" in error["message"]
            await perform(stage, [DONE], names)
            assert stage.client.heard.empty()
            assert stage.gate.unheard[0].caller is not None
            assert stage.gate.outcomes == ["success"]

    asyncio.run(main())


@pytest.mark.parametrize("way", WAYS)
def test_pings_and_lists_pass_whatever_else_is_refused(open_stage: OpenStage, way: str) -> None:
    async def main() -> None:
        async with asyncio.timeout(10), open_stage(way, SESSION) as stage:
            names = Names()
            await introduce(stage, names)
            stage.gate.methods_denied = set(METHODS)
            play = [
                CALL,
                question("@s", "ping", "@1"),
                reply("@s"),
                question("@t", "roots/list", "@1"),
                reply("@t", roots=[]),
                DONE,
            ]
            await perform(stage, play, names)
            assert stage.gate.unheard == []

    asyncio.run(main())


AMBIGUOUS = {
    "a method that stands twice": (
        b'{"jsonrpc":"2.0","id":"q","method":"sampling/createMessage","method":"ping"}',
        "duplicate_key",
    ),
    "a Method beside the method": (
        b'{"jsonrpc":"2.0","id":"q","method":"ping","Method":"sampling/createMessage"}',
        "unreadable",
    ),
    "a question that is an answer too": (
        b'{"jsonrpc":"2.0","id":"q","method":"ping","result":{}}',
        "envelope",
    ),
    "an answer that is a question to some": (
        b'{"jsonrpc":"2.0","id":"q","result":{},"METHOD":"sampling/createMessage"}',
        "unreadable",
    ),
    "a method that is no text": (
        b'{"jsonrpc":"2.0","id":"q","method":["ping"]}',
        "upstream_message",
    ),
    "no message at all": (b'["ping"]', "unreadable"),
}


@pytest.mark.parametrize("name", AMBIGUOUS)
@pytest.mark.parametrize("way", WAYS)
def test_what_two_clients_might_read_differently_is_shown_to_none(
    open_stage: OpenStage, way: str, name: str
) -> None:
    raw, code = AMBIGUOUS[name]

    async def main() -> None:
        async with asyncio.timeout(10), open_stage(way, SESSION) as stage:
            names = Names()
            await introduce(stage, names)
            await perform(stage, [CALL], names)
            await stage.server.say(raw, on=names.spoken("server", "@1"))
            if code in ("duplicate_key", "envelope"):
                assert "error" in await stage.server.heard.get()
            await perform(stage, [DONE], names)
            assert stage.client.heard.empty()
            assert [bad.code for bad in stage.gate.unheard] == [code]

    asyncio.run(main())


@pytest.mark.parametrize("megabytes", [2, 15, 18])
@pytest.mark.parametrize("allowed", [True, False])
def test_a_long_question_is_asked_about_too(
    open_stage: OpenStage, allowed: bool, megabytes: int
) -> None:
    """Of those that are too long to be held, nobody hears."""
    image = "A" * (megabytes * 1_000_000)
    late = {"jsonrpc": "2.0", "params": {"image": image}, "id": "@s", "method": METHODS[0]}
    seen = allowed and megabytes < 16

    async def main() -> None:
        async with asyncio.timeout(30), open_stage("http", SESSION) as stage:
            names = Names()
            await introduce(stage, names)
            stage.gate.methods_denied = set() if allowed else {METHODS[0]}
            await perform(stage, [CALL], names)
            for message in (late, question("@t", METHODS[0], "@1", image=image).message):
                raw = json.dumps(names.spoken("server", message)).encode()
                await stage.server.say(raw, on=names.spoken("server", "@1"))
                if seen:
                    assert (await stage.client_hears())["params"] == {"image": image}
            await perform(stage, [DONE], names)
            assert stage.client.heard.empty()
            expected = (
                [] if seen else ["too_long" if megabytes > 16 else "server_method_denied"] * 2
            )
            assert [bad.code for bad in stage.gate.unheard] == expected

    asyncio.run(main())


# The stateless era.


@pytest.mark.parametrize("way", ["http", "bridge"])
def test_without_sessions_a_server_asks_nothing_directly(open_stage: OpenStage, way: str) -> None:
    async def main() -> None:
        async with asyncio.timeout(10), open_stage(way, STATELESS) as stage:
            names = Names()
            await perform(stage, [ask_alone("@1", "tools/call", name="a", arguments={})], names)
            raw = b'{"jsonrpc":"2.0","id":"q","method":"roots/list"}'
            await stage.server.say(raw, on=names.spoken("server", "@1"))
            if way == "bridge":  # over HTTP there is no way to answer it
                assert (await stage.server.heard.get())["error"]["code"] == -32601
            await perform(stage, [DONE], names)
            assert stage.client.heard.empty()
            assert [bad.code for bad in stage.gate.unheard] == ["server_request"]

    asyncio.run(main())


ASKING: dict[str, Any] = {
    "resultType": "input_required",
    "inputRequests": {
        "r": {"method": "roots/list"},
        "s": {"method": "sampling/createMessage", "params": {"messages": []}},
    },
    "requestState": "s",
}


@pytest.mark.parametrize("method", ["tools/call", "prompts/get", "resources/read"])
@pytest.mark.parametrize("way", WAYS)
def test_a_question_within_an_answer_passes_the_policy_too(
    open_stage: OpenStage, way: str, method: str
) -> None:
    named: Message = (
        {"uri": "vm:///a"} if method == "resources/read" else {"name": "a", "arguments": {}}
    )
    play = [ask_alone("@1", method, **named)]

    async def main() -> None:
        async with asyncio.timeout(10), open_stage(way, STATELESS) as stage:
            names = Names()
            await perform(stage, [*play, answer("@1", **ASKING)], names)
            stage.gate.methods_denied = {"sampling/createMessage"}
            names = Names()
            await perform(stage, play, names)
            number = names.spoken("server", "@1")
            raw = json.dumps({"jsonrpc": "2.0", "id": number, "result": ASKING}).encode()
            await stage.server.say(raw)
            heard = await stage.client_hears()
            assert heard["id"] == names.at["client"]["@1"]
            said = json.dumps(heard)
            assert "[POLICY DENIED] the server asks its client for sampling/createMessage" in said
            assert "inputRequests" not in said
            if method == "tools/call":
                assert heard["result"]["isError"] is True
                assert heard["result"]["resultType"] == "complete"
                assert stage.gate.outcomes == ["input_required"] * 2
            else:
                assert heard["error"]["code"] == -32603
            assert [(bad.code, bad.method) for bad in stage.gate.unheard] == [
                ("server_method_denied", "sampling/createMessage")
            ]

    asyncio.run(main())


@pytest.mark.parametrize("way", WAYS)
def test_a_subscription_to_resources_needs_leave_to_subscribe_to_resources(
    open_stage: OpenStage, way: str
) -> None:
    async def main() -> None:
        async with asyncio.timeout(10), open_stage(way, STATELESS) as stage:
            stage.gate.methods_denied = {"resources/subscribe"}
            wanted = {"resourceSubscriptions": ["vm:///a"], "toolsListChanged": True}
            names = Names()
            line = ask_alone("@1", "subscriptions/listen", notifications=wanted)
            await stage.client.say(names.spoken("client", line.message))
            assert (await stage.client_hears())["error"]["code"] == -32601
            assert [bad.code for bad in stage.gate.refusals] == ["method_denied"]
            wanted["resourceSubscriptions"] = []
            line = ask_alone("@2", "subscriptions/listen", notifications=wanted)
            await perform(stage, [line], names)

    asyncio.run(main())


def test_what_is_refused_in_a_session_leaves_its_event_ids_behind(
    open_stage: OpenStage,
) -> None:
    """A client that resumes after it does not ask for it again."""

    async def main() -> None:
        async with asyncio.timeout(10), open_stage("http", SESSION) as stage:
            assert isinstance(stage.server, HttpServer)
            assert isinstance(stage.client, HttpClient)
            names = Names()
            await introduce(stage, names)
            stage.gate.methods_denied = {METHODS[0]}
            await perform(stage, [CALL], names)
            line = question("@s", METHODS[0], "@1")
            raw = json.dumps(names.spoken("server", line.message)).encode()
            event = b"data: " + raw + b"\r\nid: 44\r\n\r\n"
            await stage.server.say_event(event, on=names.spoken("server", "@1"))
            await stage.server.heard.get()
            await perform(stage, [DONE], names)
            await in_turn(stage)
            assert b"id: 44" in stage.client.events
            assert not any(METHODS[0].encode() in event for event in stage.client.events)

    asyncio.run(main())


@pytest.mark.parametrize("way", WAYS)
def test_a_call_that_goes_on_says_with_what(open_stage: OpenStage, way: str) -> None:
    """So that it need not count again."""
    begins = ask_alone("@1", "tools/call", name="a", arguments={})
    asked = {"resultType": "input_required", "requestState": "s/1"}
    goes_on = ask_alone("@2", "tools/call", name="a", arguments={}, requestState="s/1")
    stateless = ask_alone("@3", "tools/call", name="a", arguments={}, inputResponses={})

    async def main() -> None:
        async with asyncio.timeout(10), open_stage(way, STATELESS) as stage:
            play = [begins, answer("@1", **asked), goes_on, answer("@2", content=[]), stateless]
            await perform(stage, play, Names())
            assert [call.goes_on_with for call in stage.gate.calls] == [None, "s/1", ""]
            assert [ending.request_state for _, ending in stage.gate.endings] == ["s/1", None]

    asyncio.run(main())
