"""A server that is not ours and knows sessions only, behind clients of every kind."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from mcp.client import Client
from mcp.shared.exceptions import MCPError
from mcp.shared.subscriptions import ToolsListChanged
from mcp_types import TextResourceContents
from tests.conformance.conftest import Address
from tests.conformance.tour import Person, until

pytestmark = pytest.mark.timeout(120)

STATELESS = "2026-07-28"

Visit = Callable[[Client, Person], Any]


@pytest.fixture(params=["older", "older-stdio"])
def older_address(request: pytest.FixtureRequest, address: Address) -> str:
    """The older server behind the gateway, on each transport."""
    return address(str(request.param))


@asynccontextmanager
async def visiting(server: str, mode: str) -> AsyncGenerator[tuple[Client, Person]]:
    person = Person()
    async with asyncio.timeout(40), person.client(server, mode) as client:
        yield client, person


def words(result: Any) -> str:
    return str(result.content[0].text)


def test_a_client_without_sessions_lists_and_calls(older_address: str) -> None:
    async def story() -> None:
        async with visiting(older_address, STATELESS) as (client, _):
            names = [tool.name for tool in (await client.list_tools()).tools]
            assert {"add", "asks", "counts"} <= set(names)
            assert words(await client.call_tool("add", {"a": 2, "b": 3})) == "5"
            failed = await client.call_tool("fails")
            assert failed.is_error
            assert words(failed) == "not today"
            several = (client.call_tool("add", {"a": n, "b": n}) for n in range(10))
            assert [words(one) for one in await asyncio.gather(*several)] == [
                str(2 * n) for n in range(10)
            ]

    asyncio.run(story())


def test_it_gets_prompts_and_resources(older_address: str) -> None:
    async def story() -> None:
        async with visiting(older_address, STATELESS) as (client, _):
            assert [one.name for one in (await client.list_prompts()).prompts] == ["greet"]
            prompt = await client.get_prompt("greet", {"name": "Ada"})
            assert "Greet Ada." in str(prompt.messages[0].content)
            assert [one.name for one in (await client.list_resources()).resources] == ["static"]
            read = await client.read_resource("test://static")
            assert isinstance(read.contents[0], TextResourceContents)
            assert read.contents[0].text == "static"

    asyncio.run(story())


def test_it_is_asked_by_answers_as_often_as_the_server_asks(older_address: str, seen: Path) -> None:
    async def story() -> None:
        before = seen.read_text().count("asks\n")
        async with visiting(older_address, STATELESS) as (client, person):
            assert words(await client.call_tool("asks")) == "Ada likes blue"
            assert [one["message"] for one in person.asked] == [
                "What is your name?",
                "Which color?",
            ]
        assert seen.read_text().count("asks\n") == before + 1  # one call, however many rounds

    asyncio.run(story())


def test_it_sees_progress_and_as_much_of_the_log_as_it_asked_for(older_address: str) -> None:
    async def story() -> None:
        async with visiting(older_address, STATELESS) as (client, person):
            result = await client.call_tool("counts", progress_callback=person.watches)
            assert words(result) == "counted"
            assert person.progress == [[1, 3, None], [2, 3, None], [3, 3, None]]
            assert words(await client.call_tool("logs")) == "logged"
            await person.until(lambda: bool(person.logged))
            assert [one["level"] for one in person.logged] == ["warning"]

    asyncio.run(story())


def test_it_hears_of_changes(older_address: str) -> None:
    async def story() -> None:
        async with (
            visiting(older_address, STATELESS) as (client, _),
            client.listen(tools_list_changed=True) as changes,
        ):
            assert words(await client.call_tool("grows")) == "grown"
            assert isinstance(await anext(aiter(changes)), ToolsListChanged)

    asyncio.run(story())


def test_a_call_that_it_cancels_is_cancelled_at_the_server(older_address: str, seen: Path) -> None:
    async def story() -> None:
        calls, cancelled = seen.read_text().count("waits\n"), seen.read_text().count("cancelled\n")
        async with visiting(older_address, STATELESS) as (client, _):
            call = asyncio.ensure_future(client.call_tool("waits"))
            await until(lambda: seen.read_text().count("waits\n") > calls)
            call.cancel()
            with pytest.raises(asyncio.CancelledError):
                await call
            await until(lambda: seen.read_text().count("cancelled\n") > cancelled)

    asyncio.run(story())


def test_a_client_that_speaks_both_eras_is_served_in_the_server_s_own(older_address: str) -> None:
    async def story() -> None:
        async with visiting(older_address, "auto") as (client, _):
            assert client.protocol_version == "2025-11-25"
            assert words(await client.call_tool("add", {"a": 2, "b": 3})) == "5"
            assert words(await client.call_tool("asks")) == "Ada likes blue"

    asyncio.run(story())


def test_one_that_asks_first_is_told_what_to_do(older_address: str) -> None:
    async def story() -> None:
        async with visiting(older_address, STATELESS) as (client, _):
            with pytest.raises(MCPError) as caught:
                await client.session.send_discover(STATELESS)
            assert caught.value.error.code == -32022
            assert "offer_stateless" in caught.value.error.message
            assert caught.value.error.data["supported"][-1] == "2025-11-25"
            assert caught.value.error.data["requested"] == STATELESS

    asyncio.run(story())
