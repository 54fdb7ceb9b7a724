"""The server put together: its lists, its prompts and resources, and what the eras do alike."""

import os
import warnings
from typing import Any, Final

from mcp.server.caching import CacheHint
from mcp.server.context import CallNext, HandlerResult, ServerRequestContext
from mcp.server.lowlevel.server import NotificationOptions, Server
from mcp.server.models import InitializationOptions
from mcp.server.request_state import RequestStateBoundary, RequestStateSecurity
from mcp.server.subscriptions import ListenHandler
from mcp.shared.exceptions import MCPDeprecationWarning, MCPError
from mcp_types import (
    INVALID_PARAMS,
    METHOD_NOT_FOUND,
    UNSUPPORTED_PROTOCOL_VERSION,
    CompleteRequestParams,
    CompleteResult,
    Completion,
    ContentBlock,
    EmptyResult,
    GetPromptRequestParams,
    GetPromptResult,
    InputRequiredResult,
    ListPromptsResult,
    ListResourcesResult,
    ListResourceTemplatesResult,
    ListToolsResult,
    PaginatedRequestParams,
    Prompt,
    PromptArgument,
    PromptMessage,
    ReadResourceRequestParams,
    ReadResourceResult,
    Resource,
    ResourceTemplate,
    SetLevelRequestParams,
    SubscribeRequestParams,
    UnsubscribeRequestParams,
)
from mcp_types.version import MODERN_PROTOCOL_VERSIONS
from tests.conformance.everything import contents
from tests.conformance.everything.asking import ask, context_prompt
from tests.conformance.everything.contents import embedded, image, text
from tests.conformance.everything.tools import bus, call_tool, tools, watched

Ctx = ServerRequestContext[Any, Any]
Page = PaginatedRequestParams | None

NAME: Final = "everything"
_CHANGES: Final = NotificationOptions(
    prompts_changed=True, resources_changed=True, tools_changed=True
)
_PROMPTS: Final[dict[str, tuple[str, ...]]] = {
    "test_simple_prompt": (),
    "test_prompt_with_arguments": ("arg1", "arg2"),
    "test_prompt_with_embedded_resource": ("resourceUri",),
    "test_prompt_with_image": (),
    "test_input_required_result_prompt": (),
}


class Everything(Server[dict[str, Any]]):
    """The SDK's server, which says in the older era too that its lists may change."""

    def create_initialization_options(
        self,
        notification_options: NotificationOptions | None = None,
        experimental_capabilities: dict[str, dict[str, Any]] | None = None,
        extensions: dict[str, dict[str, Any]] | None = None,
    ) -> InitializationOptions:
        return super().create_initialization_options(
            notification_options or _CHANGES, experimental_capabilities, extensions
        )


def everything() -> Everything:
    """A fresh one."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", MCPDeprecationWarning)
        server = Everything(  # pyright: ignore[reportDeprecated]
            NAME,
            version="1.0.0",
            title="Everything",
            instructions="Try everything.",
            cache_hints={"tools/list": CacheHint(ttl_ms=1_000, scope="public")},
            on_list_tools=_list_tools,
            on_call_tool=call_tool,
            on_list_resources=_list_resources,
            on_list_resource_templates=_list_templates,
            on_read_resource=_read,
            on_subscribe_resource=_subscribe,
            on_unsubscribe_resource=_unsubscribe,
            on_subscriptions_listen=ListenHandler(bus),
            on_list_prompts=_list_prompts,
            on_get_prompt=_get_prompt,
            on_completion=_complete,
            on_set_logging_level=_set_level,
        )
    key = os.environ.get("STATE_KEY")
    security = RequestStateSecurity(keys=[key]) if key else RequestStateSecurity.ephemeral()
    server.middleware.append(RequestStateBoundary(security, default_audience=NAME))
    server.middleware.append(_one_era)
    return server


async def _one_era(ctx: Ctx, call_next: CallNext) -> HandlerResult:
    """ERA in the environment leaves one of the eras: "session" or "stateless"."""
    stateless, only = ctx.protocol_version >= "2026", os.environ.get("ERA")
    if only == "session" and stateless:
        raise MCPError(METHOD_NOT_FOUND, "Method not found")
    if only == "stateless" and not stateless:
        requested = str((ctx.params or {}).get("protocolVersion"))
        data = {"supported": list(MODERN_PROTOCOL_VERSIONS), "requested": requested}
        raise MCPError(UNSUPPORTED_PROTOCOL_VERSION, "Unsupported protocol version", data)
    return await call_next(ctx)


async def _list_tools(ctx: Ctx, params: Page) -> ListToolsResult:
    """In two pages, for those who follow the cursor."""
    every = tools()
    if params is not None and params.cursor == "rest":
        return ListToolsResult(tools=every[20:])
    if ctx.protocol_version >= "2026" or len(every) <= 20 or not os.environ.get("PAGES"):
        return ListToolsResult(tools=every)
    return ListToolsResult(tools=every[:20], next_cursor="rest")


async def _list_resources(ctx: Ctx, params: Page) -> ListResourcesResult:
    named = {
        contents.STATIC_TEXT: ("Static text", "text/plain"),
        contents.STATIC_BINARY: ("Static binary", "image/png"),
        contents.WATCHED: ("Watched", "text/plain"),
    }
    return ListResourcesResult(
        resources=[
            Resource(uri=uri, name=name, description=f"{name}.", mime_type=mime_type)
            for uri, (name, mime_type) in named.items()
        ]
    )


async def _list_templates(ctx: Ctx, params: Page) -> ListResourceTemplatesResult:
    template = ResourceTemplate(
        uri_template=contents.TEMPLATE,
        name="Template",
        description="Data by id.",
        mime_type="application/json",
    )
    return ListResourceTemplatesResult(resource_templates=[template])


async def _read(ctx: Ctx, params: ReadResourceRequestParams) -> ReadResourceResult:
    found = contents.resource(params.uri)
    if found is None:
        raise MCPError(INVALID_PARAMS, "Resource not found", {"uri": params.uri})
    return ReadResourceResult(contents=[found])


async def _subscribe(ctx: Ctx, params: SubscribeRequestParams) -> EmptyResult:
    watched[params.uri] += 1
    return EmptyResult()


async def _unsubscribe(ctx: Ctx, params: UnsubscribeRequestParams) -> EmptyResult:
    watched[params.uri] -= 1
    return EmptyResult()


async def _set_level(ctx: Ctx, params: SetLevelRequestParams) -> EmptyResult:
    return EmptyResult()


async def _list_prompts(ctx: Ctx, params: Page) -> ListPromptsResult:
    return ListPromptsResult(
        prompts=[
            Prompt(
                name=name,
                description=f"{name.replace('_', ' ').capitalize()}.",
                arguments=[
                    PromptArgument(name=argument, description=argument, required=True)
                    for argument in arguments
                ]
                or None,
            )
            for name, arguments in _PROMPTS.items()
        ]
    )


async def _get_prompt(
    ctx: Ctx, params: GetPromptRequestParams
) -> GetPromptResult | InputRequiredResult:
    given = params.arguments or {}
    parts: list[ContentBlock]
    match params.name:
        case "test_simple_prompt":
            parts = [text("This is a simple prompt for testing.")]
        case "test_prompt_with_arguments":
            words = f"arg1='{given.get('arg1')}', arg2='{given.get('arg2')}'"
            parts = [text(f"Prompt with arguments: {words}")]
        case "test_prompt_with_embedded_resource":
            inner = embedded(given["resourceUri"], "Embedded resource content for testing.")
            parts = [inner, text("Please process the embedded resource above.")]
        case "test_prompt_with_image":
            parts = [image(), text("Please analyze the image above.")]
        case "test_input_required_result_prompt":
            return await ask(ctx, params, context_prompt)
        case _:
            raise MCPError(INVALID_PARAMS, f"Unknown prompt: {params.name}")
    return GetPromptResult(messages=[PromptMessage(role="user", content=part) for part in parts])


async def _complete(ctx: Ctx, params: CompleteRequestParams) -> CompleteResult:
    values = [word for word in ("paris", "park", "test") if word.startswith(params.argument.value)]
    return CompleteResult(completion=Completion(values=values, total=len(values), has_more=False))
