"""A tour of all that a server offers, taken by the SDK's own client: what it saw, step by step.

The same tour of the same server must see the same, whatever stands between.
"""

import asyncio
import contextlib
import warnings
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, Final

from mcp.client import Client
from mcp.client.stdio import StdioServerParameters
from mcp.shared.exceptions import MCPDeprecationWarning, MCPError
from mcp_types import (
    CreateMessageRequestParams,
    CreateMessageResult,
    ElicitRequestFormParams,
    ElicitRequestParams,
    ElicitResult,
    ListRootsResult,
    LoggingMessageNotificationParams,
    PromptReference,
    ResourceTemplateReference,
    Root,
    ServerNotification,
    TextContent,
)
from pydantic import BaseModel, FileUrl
from tests.conformance.everything.contents import STATIC_BINARY, STATIC_TEXT, TEMPLATE, WATCHED

SECONDS_MAX: Final = 40.0
NOTE_SECONDS_MAX: Final = 5.0
Seen = dict[str, Any]

_PLAIN_TOOLS: Final = (
    "test_simple_text",
    "test_image_content",
    "test_audio_content",
    "test_embedded_resource",
    "test_multiple_content_types",
    "test_structured_content",
    "test_error_handling",
    "no_such_tool",
)
_ASKING: Final[dict[str, dict[str, Any]]] = {
    "test_sampling": {"prompt": "Say hello."},
    "test_elicitation": {"message": "Who are you?"},
    "test_elicitation_sep1034_defaults": {},
    "test_elicitation_sep1330_enums": {},
    "test_list_roots": {},
    "test_input_required_result_request_state": {},
    "test_input_required_result_multiple_inputs": {},
    "test_input_required_result_multi_round": {},
    "test_input_required_result_capabilities": {},
    "test_missing_capability": {},
}
_PROMPTS: Final[dict[str, dict[str, str]]] = {
    "test_simple_prompt": {},
    "test_prompt_with_arguments": {"arg1": "hello", "arg2": "world"},
    "test_prompt_with_embedded_resource": {"resourceUri": "test://mine"},
    "test_prompt_with_image": {},
    "no_such_prompt": {},
}
_FILLED_IN: Final[dict[str, Any]] = {
    "name": "Ada",
    "username": "ada",
    "email": "ada@example.org",
    "ok": True,
    "color": "blue",
    "context": "a test",
}


class Person:
    """Who sits at the client: answers what it is asked, and notes what it is told."""

    def __init__(self) -> None:
        self.asked: list[Any] = []
        self.told: list[Any] = []
        self.logged: list[Any] = []
        self.progress: list[Any] = []
        self._changed = asyncio.Event()

    async def samples(
        self, context: Any, params: CreateMessageRequestParams
    ) -> CreateMessageResult:
        self.asked.append(plain(params))
        said = TextContent(type="text", text="Hello from the model.")
        return CreateMessageResult(
            role="assistant", content=said, model="none", stop_reason="endTurn"
        )

    async def fills_in(self, context: Any, params: ElicitRequestParams) -> ElicitResult:
        self.asked.append(plain(params))
        assert isinstance(params, ElicitRequestFormParams)
        wanted = params.requested_schema["properties"]
        content = {name: _FILLED_IN[name] for name in wanted if name in _FILLED_IN}
        return ElicitResult(action="accept", content=content)

    async def shows_roots(self, context: Any) -> ListRootsResult:
        self.asked.append("roots/list")
        return ListRootsResult(roots=[Root(uri=FileUrl("file:///work"), name="work")])

    async def reads_log(self, params: LoggingMessageNotificationParams) -> None:
        self.logged.append(plain(params))
        self._changed.set()

    async def watches(self, progress: float, total: float | None, message: str | None) -> None:
        self.progress.append([progress, total, message])
        self._changed.set()

    async def hears(self, message: Any) -> None:
        if isinstance(message, ServerNotification) and message.method not in (
            "notifications/message",
            "notifications/progress",
        ):
            self.told.append(plain(message))
            self._changed.set()

    async def until(self, seen: Callable[[], bool]) -> None:
        """Wait for it; what does not come is missing from what the tour has seen."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(NOTE_SECONDS_MAX):
                while not seen():
                    self._changed.clear()
                    await self._changed.wait()

    async def told_more_than(self, count: int) -> None:
        await self.until(lambda: len(self.told) > count)

    def client(self, server: str | StdioServerParameters, mode: str) -> Client:
        return Client(
            server,
            mode=mode,
            sampling_callback=self.samples,
            elicitation_callback=self.fills_in,
            list_roots_callback=self.shows_roots,
            logging_callback=self.reads_log,
            message_handler=self.hears,
            log_level=None if mode == "legacy" else "info",
            cache=None,
        )


def plain(value: object) -> Any:
    """What a model says, as plain JSON."""
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json", by_alias=True, exclude_none=True)
    return value


async def _outcome(work: Awaitable[object]) -> Any:
    """Its result, or the error that it was answered with."""
    try:
        return plain(await work)
    except MCPError as problem:
        return {"error": plain(problem.error)}


async def tour(server: str | StdioServerParameters, mode: str) -> Seen:
    """Take the tour; `mode` is the client's: "legacy", "auto" or a version of its own."""
    person = Person()
    seen: Seen = {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", MCPDeprecationWarning)
        async with asyncio.timeout(SECONDS_MAX), person.client(server, mode) as client:
            seen["version"] = client.protocol_version
            seen["server"] = plain(client.server_info)
            seen["capabilities"] = plain(client.server_capabilities)
            seen["instructions"] = client.instructions
            await _lists(client, seen)
            await _calls(client, person, seen)
            await _prompts_and_resources(client, seen)
            await _questions(client, seen)
            if client.protocol_version >= "2026":
                await _stateless(client, person, seen)
            else:
                await _in_session(client, person, seen)
    seen["asked"] = person.asked
    return seen


async def _lists(client: Client, seen: Seen) -> None:
    seen["tools"] = await _outcome(client.list_tools())
    seen["prompts"] = await _outcome(client.list_prompts())
    seen["resources"] = await _outcome(client.list_resources())
    seen["templates"] = await _outcome(client.list_resource_templates())


async def _calls(client: Client, person: Person, seen: Seen) -> None:
    for name in _PLAIN_TOOLS:
        seen[name] = await _outcome(client.call_tool(name))
    region = {"region": "Zürich"}  # which over HTTP stands in a header too
    seen["headers"] = await _outcome(client.call_tool("test_headers", region))
    progresses = client.call_tool("test_tool_with_progress", progress_callback=person.watches)
    seen["progressing"] = await _outcome(progresses)
    await person.until(lambda: len(person.progress) >= 3)
    seen["progress"] = person.progress
    seen["logging"] = await _outcome(client.call_tool("test_tool_with_logging"))
    await person.until(lambda: len(person.logged) >= 3)
    seen["logged"] = person.logged
    several = (client.call_tool("test_tool_with_progress") for _ in range(5))
    seen["at once"] = await asyncio.gather(*(_outcome(one) for one in several))


async def _prompts_and_resources(client: Client, seen: Seen) -> None:
    for name, arguments in _PROMPTS.items():
        seen[name] = await _outcome(client.get_prompt(name, arguments))
    for uri in (STATIC_TEXT, STATIC_BINARY, TEMPLATE.format(id=123), "test://nowhere"):
        seen[uri] = await _outcome(client.read_resource(uri))
    prompt = PromptReference(type="ref/prompt", name="test_prompt_with_arguments")
    seen["complete prompt"] = await _outcome(
        client.complete(prompt, {"name": "arg1", "value": "par"})
    )
    template = ResourceTemplateReference(type="ref/resource", uri=TEMPLATE)
    seen["complete uri"] = await _outcome(client.complete(template, {"name": "id", "value": ""}))


async def _questions(client: Client, seen: Seen) -> None:
    for name, arguments in _ASKING.items():
        seen[name] = await _outcome(client.call_tool(name, arguments))
    asking_prompt = client.get_prompt("test_input_required_result_prompt")
    seen["asking prompt"] = await _outcome(asking_prompt)


async def _in_session(client: Client, person: Person, seen: Seen) -> None:
    seen["ping"] = await _outcome(client.send_ping())  # pyright: ignore[reportDeprecated]
    seen["level"] = await _outcome(
        client.set_logging_level("warning")  # pyright: ignore[reportDeprecated]
    )
    seen["subscribe"] = await _outcome(
        client.subscribe_resource(WATCHED)  # pyright: ignore[reportDeprecated]
    )
    for name in (
        "test_trigger_resource_update",
        "test_trigger_tool_change",
        "test_trigger_prompt_change",
    ):
        told = len(person.told)
        seen[name] = await _outcome(client.call_tool(name))
        await person.told_more_than(told)
    seen["told"] = person.told
    seen["unsubscribe"] = await _outcome(
        client.unsubscribe_resource(WATCHED)  # pyright: ignore[reportDeprecated]
    )


async def _stateless(client: Client, person: Person, seen: Seen) -> None:
    listening = client.listen(
        tools_list_changed=True, prompts_list_changed=True, resource_subscriptions=[WATCHED]
    )
    events: list[str] = []
    async with listening as subscription:
        seen["honored"] = plain(subscription.honored)
        for name in (
            "test_trigger_resource_update",
            "test_trigger_tool_change",
            "test_trigger_prompt_change",
        ):
            seen[name] = await _outcome(client.call_tool(name))
            events.append(repr(await anext(aiter(subscription))))
    seen["events"] = events


@asynccontextmanager
async def waiting_call(
    server: str | StdioServerParameters, mode: str
) -> AsyncGenerator["asyncio.Task[Any]"]:
    """A call that never ends by itself, under way; cancel the task to have it cancelled."""
    person = Person()
    async with asyncio.timeout(SECONDS_MAX), person.client(server, mode) as client:
        call = asyncio.ensure_future(
            client.call_tool("test_waits", progress_callback=person.watches)
        )
        await person.until(lambda: bool(person.progress))
        yield call


async def until(seen: Callable[[], bool]) -> None:
    """Let the loop go on until it is so, in whatever process it comes about."""
    loop = asyncio.get_running_loop()
    while not seen():
        turn = loop.create_future()
        loop.call_later(0.01, turn.set_result, None)
        await turn
