"""Real SDK clients of both eras reach real SDK servers through the proxy, and notice nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from mcp.client import Client
from mcp_types import ListRootsResult, Root, TextContent, TextResourceContents
from pydantic import FileUrl

if TYPE_CHECKING:
    from contextlib import AbstractAsyncContextManager

    from mcp_types import CallToolResult
    from tests.integration.proxy.conftest import OpenSite, Site

ERAS = {"auto": "2026-07-28", "legacy": "2025-11-25"}
FlatUrl = Callable[[str], str]


def text(result: CallToolResult) -> str:
    content = result.content[0]
    assert isinstance(content, TextContent)
    return content.text


@pytest.fixture(params=["sse", "json", "stdio"])
def site(
    request: pytest.FixtureRequest, to_url: OpenSite, to_command: OpenSite, flat_url: FlatUrl
) -> AbstractAsyncContextManager[Site]:
    """The flat server behind the proxy, over each transport."""
    return to_command() if request.param == "stdio" else to_url(flat_url(request.param))


@pytest.mark.parametrize("mode", ERAS)
def test_a_client_lists_and_calls(site: AbstractAsyncContextManager[Site], mode: str) -> None:
    async def main() -> None:
        async with asyncio.timeout(20), site as here, Client(here.url, mode=mode) as client:
            assert client.protocol_version == ERAS[mode]
            names = [tool.name for tool in (await client.list_tools()).tools]
            assert "vm_restart" in names
            assert "fails_by_raising" not in names
            result = await client.call_tool("vm_restart", {"id": 3})
            assert text(result) == "restarted 3"
            assert result.structured_content == {"result": "restarted 3"}
            call = here.gate.calls[-1]
            assert (call.server, call.wire_name, call.arguments) == (
                "flat",
                "vm_restart",
                {"id": 3},
            )
            assert call.protocol_version == ERAS[mode]
            assert bool(call.session) is (mode == "legacy")
            assert here.gate.outcomes == ["success"]
            assert here.gate.last.duration_ns > 0
            assert here.gate.last.response_bytes > 0

    asyncio.run(main())


@pytest.mark.parametrize("mode", ERAS)
def test_a_refused_call_is_answered_and_never_arrives(
    site: AbstractAsyncContextManager[Site], witness: Path, mode: str
) -> None:
    async def main() -> None:
        async with asyncio.timeout(20), site as here, Client(here.url, mode=mode) as client:
            here.gate.denied = {"vm_restart"}
            result = await client.call_tool("vm_restart", {"id": 987})
            assert result.is_error
            assert text(result) == "[POLICY DENIED] vm_restart"
            assert here.gate.endings == []
            assert "vm_restart 987" not in witness.read_text()

    asyncio.run(main())


@pytest.mark.parametrize("mode", ERAS)
def test_every_kind_of_failure_has_its_outcome(
    site: AbstractAsyncContextManager[Site], mode: str
) -> None:
    async def main() -> None:
        async with asyncio.timeout(20), site as here, Client(here.url, mode=mode) as client:
            assert (await client.call_tool("fails_by_flag")).is_error
            assert not (await client.call_tool("fails_inside_success")).is_error
            assert (await client.call_tool("no_such_tool")).is_error
            assert here.gate.outcomes == ["tool_error", "success", "tool_error"]

    asyncio.run(main())


@pytest.mark.parametrize("mode", ERAS)
def test_progress_passes(
    request: pytest.FixtureRequest, site: AbstractAsyncContextManager[Site], mode: str
) -> None:
    steps: list[tuple[float, str | None]] = []

    async def note(progress: float, total: float | None, message: str | None) -> None:
        steps.append((progress, message))

    async def main() -> None:
        async with asyncio.timeout(20), site as here, Client(here.url, mode=mode) as client:
            result = await client.call_tool("vm_backup", {"id": 5}, progress_callback=note)
            assert text(result) == "backed up 5"

    asyncio.run(main())
    form: str = request.node.callspec.params["site"]
    expected = [] if form == "json" else [(1, "step 1"), (2, "step 2"), (3, "step 3")]
    assert steps == expected


@pytest.mark.parametrize("mode", ERAS)
def test_many_calls_at_once_get_their_own_answers(
    site: AbstractAsyncContextManager[Site], mode: str
) -> None:
    async def main() -> None:
        async with asyncio.timeout(40), site as here, Client(here.url, mode=mode) as client:

            async def one(number: int) -> None:
                tool = "vm_backup" if number % 3 == 0 else "vm_restart"
                said = "backed up" if number % 3 == 0 else "restarted"
                result = await client.call_tool(tool, {"id": number})
                assert text(result) == f"{said} {number}"

            await asyncio.gather(*(one(number) for number in range(60)))
            assert here.gate.outcomes == ["success"] * 60
            assert here.gate.every_call_ended_once()

    asyncio.run(main())


def test_two_clients_with_the_same_ids_get_their_own_answers(
    site: AbstractAsyncContextManager[Site],
) -> None:
    async def main() -> None:
        async with (
            asyncio.timeout(40),
            site as here,
            Client(here.url) as one,
            Client(here.url) as two,
            Client(here.url, mode="legacy") as three,
        ):

            async def ask(client: Client, number: int) -> None:
                steps: list[float] = []

                async def note(progress: float, total: float | None, message: str | None) -> None:
                    steps.append(progress)

                result = await client.call_tool("vm_backup", {"id": number}, progress_callback=note)
                assert text(result) == f"backed up {number}"
                assert steps in ([], [1, 2, 3])

            clients = (one, two, three)
            await asyncio.gather(*(ask(clients[n % 3], n) for n in range(30)))
            assert here.gate.every_call_ended_once()

    asyncio.run(main())


@pytest.mark.parametrize("form", ["sse", "stdio"])
def test_a_server_may_ask_its_client_in_the_era_of_sessions(
    to_url: OpenSite, to_command: OpenSite, flat_url: FlatUrl, form: str
) -> None:
    async def roots(context: object) -> ListRootsResult:
        return ListRootsResult(roots=[Root(uri=FileUrl("file:///a"))])

    async def main() -> None:
        site = to_command() if form == "stdio" else to_url(flat_url(form))
        async with (
            asyncio.timeout(20),
            site as here,
            Client(here.url, mode="legacy", list_roots_callback=roots) as client,
        ):
            assert text(await client.call_tool("asks_the_client")) == "1 roots"
            assert here.gate.outcomes == ["success"]

    asyncio.run(main())


@pytest.mark.parametrize("mode", ERAS)
def test_resources_and_prompts_pass(site: AbstractAsyncContextManager[Site], mode: str) -> None:
    async def main() -> None:
        async with asyncio.timeout(20), site as here, Client(here.url, mode=mode) as client:
            found = (await client.read_resource("vm:///web")).contents[0]
            assert isinstance(found, TextResourceContents)
            assert found.text == "machine web"
            prompt = (await client.get_prompt("greet", {"name": "Zoë"})).messages[0]
            assert isinstance(prompt.content, TextContent)
            assert prompt.content.text == "hello Zoë"
            assert here.gate.calls == []

    asyncio.run(main())


def test_a_subscription_hears_of_changes(site: AbstractAsyncContextManager[Site]) -> None:
    async def main() -> None:
        async with (
            asyncio.timeout(20),
            site as here,
            Client(here.url) as client,
            client.listen(tools_list_changed=True) as events,
        ):
            await client.call_tool("changes_the_tools")
            async for event in events:
                assert type(event).__name__ == "ToolsListChanged"
                break

    asyncio.run(main())


def test_an_answer_that_is_fetched_on_another_stream_is_an_answer(
    to_url: OpenSite, flat_url: FlatUrl
) -> None:
    async def main() -> None:
        async with (
            asyncio.timeout(20),
            to_url(flat_url("sse")) as here,
            Client(here.url, mode="legacy") as client,
        ):
            assert text(await client.call_tool("breaks_off")) == "after the break"
            assert here.gate.outcomes == ["success"]

    asyncio.run(main())


def test_a_long_answer_streams_through_unread(to_url: OpenSite, flat_url: FlatUrl) -> None:
    async def main() -> None:
        async with (
            asyncio.timeout(20),
            to_url(flat_url("json")) as here,
            Client(here.url) as client,
        ):
            result = await client.call_tool("big", {"size": 3_000_000})
            assert text(result) == "x" * 3_000_000
            assert here.gate.last.outcome == "success"
            assert here.gate.last.detail == "not inspected"
            assert here.gate.last.response_bytes > 3_000_000

    asyncio.run(main())


def test_a_method_that_is_not_allowed_is_refused_and_recorded(
    site: AbstractAsyncContextManager[Site],
) -> None:
    async def main() -> None:
        async with (
            asyncio.timeout(20),
            site as here,
            Client(here.url, mode="legacy") as client,
        ):
            here.gate.methods_denied = {"resources/read"}
            with pytest.raises(Exception, match="POLICY DENIED"):
                await client.read_resource("file:///etc/passwd")
            assert [bad.code for bad in here.gate.refusals] == ["method_denied"]
            assert (await client.list_resources()).resources == []

    asyncio.run(main())
