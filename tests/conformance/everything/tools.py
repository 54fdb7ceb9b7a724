"""The server's tools, and the ways they talk to the client while they work."""

import asyncio
import os
from collections import Counter
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Final, NamedTuple

from mcp.server.context import ServerRequestContext
from mcp.server.subscriptions import (
    InMemorySubscriptionBus,
    PromptsListChanged,
    ResourceUpdated,
    ToolsListChanged,
)
from mcp.shared.exceptions import MCPError
from mcp_types import (
    MISSING_REQUIRED_CLIENT_CAPABILITY,
    CallToolRequestParams,
    CallToolResult,
    ContentBlock,
    InputRequiredResult,
    Tool,
)
from tests.conformance.everything import asking
from tests.conformance.everything.contents import (
    RICH_SCHEMA,
    WATCHED,
    audio,
    embedded,
    image,
    schema,
    text,
)

Answer = CallToolResult | InputRequiredResult | list[ContentBlock] | str
_STEP_SECONDS: Final = 0.02

bus = InMemorySubscriptionBus()
watched: Counter[str] = Counter()  # resources that sessions have subscribed to


class Call(NamedTuple):
    """One call of a tool."""

    ctx: ServerRequestContext[Any, Any]
    params: CallToolRequestParams

    @property
    def arguments(self) -> dict[str, Any]:
        return self.params.arguments or {}


Handler = Callable[[Call], Awaitable[Answer]]


async def call_tool(
    ctx: ServerRequestContext[Any, Any], params: CallToolRequestParams
) -> CallToolResult | InputRequiredResult:
    """Run a tool; a tool that is not there fails the way the protocol means it."""
    _witness(params)
    handler = _HANDLERS.get(params.name)
    if handler is None:
        asked = asking.QUESTIONS.get(params.name)
        if asked is not None:
            return await asking.ask(ctx, params, asked)
        return CallToolResult(content=[text(f"Unknown tool: {params.name}")], is_error=True)
    answer = await handler(Call(ctx, params))
    if isinstance(answer, CallToolResult | InputRequiredResult):
        return answer
    return CallToolResult(content=[text(answer)] if isinstance(answer, str) else answer)


def _witness(params: CallToolRequestParams) -> None:
    """Write down that a call has come through, where the tests look for it."""
    seen = os.environ.get("SEEN_FILE")
    if seen:
        with Path(seen).open("a", encoding="utf-8") as file:
            file.write(f"{params.name}\n")


async def _simple_text(call: Call) -> Answer:
    return "This is a simple text response for testing."


async def _image(call: Call) -> Answer:
    return [image()]


async def _audio(call: Call) -> Answer:
    return [audio()]


async def _embedded(call: Call) -> Answer:
    return [embedded("test://embedded-resource", "This is an embedded resource content.")]


async def _mixed(call: Call) -> Answer:
    data = '{"test":"data","value":123}'
    return [
        text("Multiple content types test:"),
        image(),
        embedded("test://mixed-content-resource", data, "application/json"),
    ]


async def _fails(call: Call) -> Answer:
    words = "This tool intentionally returns an error for testing"
    return CallToolResult(content=[text(words)], is_error=True)


async def _structured(call: Call) -> Answer:
    return CallToolResult(
        content=[text("21 degrees")],
        structured_content={"degrees": 21, "scale": {"name": "C"}},
        _meta={"example.org/kept": [1, 2]},
    )


async def _logs(call: Call) -> Answer:
    for words in ("Tool execution started", "Tool processing data", "Tool execution completed"):
        await call.ctx.session.send_log_message(  # pyright: ignore[reportDeprecated]
            "info", words, related_request_id=call.ctx.request_id
        )
        await asyncio.sleep(_STEP_SECONDS)
    return "Logged."


async def _progresses(call: Call) -> Answer:
    for done in (0, 50, 100):
        await call.ctx.session.report_progress(done, 100)
        await asyncio.sleep(_STEP_SECONDS)
    return "Done."


async def _reconnects(call: Call) -> Answer:
    if call.ctx.close_sse_stream is not None:
        await call.ctx.close_sse_stream()
    await asyncio.sleep(_STEP_SECONDS)
    return "Reconnection test completed."


async def _needs_sampling(call: Call) -> Answer:
    declared = call.ctx.session.client_capabilities
    if declared is None or declared.sampling is None:
        raise MCPError(
            MISSING_REQUIRED_CLIENT_CAPABILITY,
            "this tool needs a client that samples",
            {"requiredCapabilities": {"sampling": {}}},
        )
    return "The client samples."


async def _waits(call: Call) -> Answer:
    """Never ends by itself; says so in the witness when it is cancelled."""
    await call.ctx.session.report_progress(1, 2, "waiting")
    try:
        await asyncio.Event().wait()
    except asyncio.CancelledError:
        _witness(CallToolRequestParams(name="test_waits was cancelled"))
        raise
    return "never"


async def _changes_tools(call: Call) -> Answer:
    await bus.publish(ToolsListChanged())
    await call.ctx.session.send_tool_list_changed()
    return "The list of tools has changed."


async def _changes_prompts(call: Call) -> Answer:
    await bus.publish(PromptsListChanged())
    await call.ctx.session.send_prompt_list_changed()
    return "The list of prompts has changed."


async def _changes_resource(call: Call) -> Answer:
    await bus.publish(ResourceUpdated(uri=WATCHED))
    if watched[WATCHED] > 0:
        await call.ctx.session.send_resource_updated(WATCHED)
    return "The watched resource has changed."


async def _says_hello(call: Call) -> Answer:
    return f"Hello, {call.arguments.get('name', 'nobody')}."


async def _takes_headers(call: Call) -> Answer:
    return f"Region {call.arguments.get('region')}."


_HANDLERS: Final[dict[str, Handler]] = {
    "test_simple_text": _simple_text,
    "test_image_content": _image,
    "test_audio_content": _audio,
    "test_embedded_resource": _embedded,
    "test_multiple_content_types": _mixed,
    "test_error_handling": _fails,
    "test_structured_content": _structured,
    "test_tool_with_logging": _logs,
    "test_logging_tool": _logs,
    "test_tool_with_progress": _progresses,
    "test_reconnection": _reconnects,
    "test_missing_capability": _needs_sampling,
    "test_waits": _waits,
    "test_trigger_tool_change": _changes_tools,
    "test_trigger_prompt_change": _changes_prompts,
    "test_trigger_resource_update": _changes_resource,
    "test_headers": _takes_headers,
    "json_schema_2020_12_tool": _says_hello,
}
_SCHEMAS: Final[dict[str, dict[str, Any]]] = {
    "test_sampling": schema(prompt={"type": "string"}),
    "test_elicitation": schema(message={"type": "string"}),
    "test_headers": schema(region={"type": "string", "x-mcp-header": "Region"}),
    "json_schema_2020_12_tool": RICH_SCHEMA,
}


def tools() -> list[Tool]:
    """All of them, always in the same order."""
    return [
        Tool(
            name=name,
            description=f"{name.replace('_', ' ').capitalize()}.",
            input_schema=_SCHEMAS.get(name, {"type": "object"}),
            output_schema=schema(degrees={"type": "integer"}, scale={"type": "object"})
            if name == "test_structured_content"
            else None,
        )
        for name in (*_HANDLERS, *asking.QUESTIONS)
    ]
