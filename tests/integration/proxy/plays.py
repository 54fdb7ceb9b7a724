"""What clients and servers say to one another beside plain tool calls, as plays of two.

Each line is said by one and must be heard by the other word for word. `@name` stands for an id or a
progress token: what it is on each side of the proxy is the proxy's business.
"""

from __future__ import annotations

from typing import Any, NamedTuple

Message = dict[str, Any]


class Line(NamedTuple):
    """Who says what. `on` is the client's request whose stream a server's message belongs to."""

    who: str
    message: Message
    on: str | None = None


VERSION = "io.modelcontextprotocol/protocolVersion"
SUBSCRIPTION = "io.modelcontextprotocol/subscriptionId"
ENVELOPE: Message = {
    VERSION: "2026-07-28",
    "io.modelcontextprotocol/clientCapabilities": {"elicitation": {}, "x-new": [1]},
    "io.modelcontextprotocol/clientInfo": {"name": "t", "version": "1"},
}


def ask(number: str, method: str, **params: object) -> Line:
    """The client asks in the era of sessions."""
    return Line("client", {"jsonrpc": "2.0", "id": number, "method": method, "params": params})


def tell(method: str, **params: object) -> Line:
    return Line("client", {"jsonrpc": "2.0", "method": method, "params": params})


def reply(number: str, **result: object) -> Line:
    """The client answers what the server asked."""
    return Line("client", {"jsonrpc": "2.0", "id": number, "result": result})


def ask_alone(number: str, method: str, meta: Message | None = None, **params: object) -> Line:
    """The client asks in the stateless era."""
    params["_meta"] = {**ENVELOPE, **(meta or {})}
    return ask(number, method, **params)


def answer(number: str, **result: object) -> Line:
    return Line("server", {"jsonrpc": "2.0", "id": number, "result": result})


def note(method: str, on: str | None, **params: object) -> Line:
    return Line("server", {"jsonrpc": "2.0", "method": method, "params": params}, on)


def question(number: str, method: str, on: str | None, **params: object) -> Line:
    """The server asks its client."""
    message = {"jsonrpc": "2.0", "id": number, "method": method, "params": params}
    return Line("server", message, on)


TEXT: Message = {"content": [{"type": "text", "text": "döne", "x-new": {"a": [1.5, None]}}]}
IN_SESSION: dict[str, list[Line]] = {
    "a call with members nobody knows": [
        ask("@1", "tools/call", name="a", arguments={"b": [1, {"c": None}]}, extra={"d": True}),
        answer("@1", **TEXT, structuredContent={"e": 1}, _meta={"f": 2}, novelty=[3]),
    ],
    "progress": [
        ask("@1", "tools/call", name="a", _meta={"progressToken": "@p", "k": 1}),
        note("notifications/progress", "@1", progressToken="@p", progress=1, total=2),
        note("notifications/progress", "@1", progressToken="@p", progress=2, message="half"),
        answer("@1", **TEXT),
    ],
    "logging": [
        ask("@1", "logging/setLevel", level="debug"),
        answer("@1"),
        ask("@2", "tools/call", name="a"),
        note("notifications/message", "@2", level="info", logger="x", data={"big": 2**70}),
        answer("@2", **TEXT),
        note("notifications/message", None, level="info", data="of no request"),
    ],
    "sampling": [
        ask("@1", "tools/call", name="a"),
        question("@s", "sampling/createMessage", "@1", messages=[{"role": "user"}], maxTokens=9),
        reply("@s", role="assistant", content={"type": "text", "text": "x"}, model="m"),
        answer("@1", **TEXT),
    ],
    "sampling that the server cancels": [
        ask("@1", "tools/call", name="a"),
        question("@s", "sampling/createMessage", "@1", messages=[], maxTokens=9),
        note("notifications/cancelled", "@1", requestId="@s", reason="changed my mind"),
        answer("@1", **TEXT),
    ],
    "elicitation in two forms": [
        ask("@1", "tools/call", name="a"),
        question("@s", "elicitation/create", "@1", message="?", requestedSchema={"type": "object"}),
        reply("@s", action="accept", content={"a": "ü"}),
        question("@t", "elicitation/create", "@1", mode="url", url="https://a", elicitationId="e"),
        reply("@t", action="decline"),
        note("notifications/elicitation/complete", None, elicitationId="e"),
        answer("@1", **TEXT),
    ],
    "roots, and that they change": [
        ask("@1", "tools/call", name="a"),
        question("@s", "roots/list", "@1"),
        reply("@s", roots=[{"uri": "file:///a", "name": "a"}]),
        answer("@1", **TEXT),
        tell("notifications/roots/list_changed"),
    ],
    "resources": [
        ask("@1", "resources/list", cursor="c"),
        answer("@1", resources=[{"uri": "vm:///a", "name": "a", "size": 7}], nextCursor="d"),
        ask("@2", "resources/templates/list"),
        answer("@2", resourceTemplates=[{"uriTemplate": "vm:///{a}", "name": "t"}]),
        ask("@3", "resources/read", uri="vm:///a"),
        answer("@3", contents=[{"uri": "vm:///a", "blob": "AAEC", "mimeType": "x/y"}]),
    ],
    "a subscription to a resource": [
        ask("@1", "resources/subscribe", uri="vm:///a"),
        answer("@1"),
        note("notifications/resources/updated", None, uri="vm:///a"),
        note("notifications/resources/list_changed", None),
        ask("@2", "resources/unsubscribe", uri="vm:///a"),
        answer("@2"),
    ],
    "prompts and completion": [
        ask("@1", "prompts/list"),
        answer("@1", prompts=[{"name": "p", "arguments": [{"name": "q", "required": True}]}]),
        ask("@2", "prompts/get", name="p", arguments={"q": "r"}),
        answer("@2", messages=[{"role": "user", "content": {"type": "text", "text": "r"}}]),
        ask("@3", "completion/complete", ref={"type": "ref/prompt", "name": "p"}, argument={}),
        answer("@3", completion={"values": ["r"], "total": 1, "hasMore": False}),
        note("notifications/prompts/list_changed", None),
    ],
    "a task": [
        ask("@1", "tools/call", name="a", task={"ttl": 60000}),
        answer("@1", task={"taskId": "t-1", "status": "working", "pollInterval": 10}),
        note("notifications/tasks/status", None, taskId="t-1", status="working"),
        ask("@2", "tasks/get", taskId="t-1"),
        answer("@2", taskId="t-1", status="input_required"),
        ask("@3", "tasks/result", taskId="t-1"),
        question(
            "@s", "elicitation/create", "@3", message="?", _meta={"io.x/related-task": {"t": 1}}
        ),
        reply("@s", action="cancel"),
        answer("@3", **TEXT, _meta={"io.x/related-task": {"taskId": "t-1"}}),
        ask("@4", "tasks/list"),
        answer("@4", tasks=[]),
        ask("@5", "tasks/cancel", taskId="t-1"),
        answer("@5", taskId="t-1", status="cancelled"),
    ],
    "pings both ways": [
        ask("@1", "ping"),
        answer("@1"),
        question("@s", "ping", None),
        reply("@s"),
    ],
    "methods of an extension": [
        ask("@1", "x/frobnicate", deep={"er": [[[1]]]}),
        answer("@1", frobnicated=True),
        note("notifications/x/frobnicated", None, n=1),
        tell("notifications/x/heard", n=2),
    ],
}
ALONE: dict[str, list[Line]] = {
    "a call with members nobody knows": [
        ask_alone("@1", "tools/call", {"k": 1}, name="a", arguments={"b": [1.5]}, extra={"d": 1}),
        answer("@1", resultType="complete", **TEXT, novelty=[3], _meta={"f": 2}),
    ],
    "progress and logging": [
        ask_alone("@1", "tools/call", {"progressToken": "@p"}, name="a", arguments={}),
        note("notifications/progress", "@1", progressToken="@p", progress=1),
        note("notifications/message", "@1", level="info", data=[2**70], _meta={"k": 1}),
        answer("@1", resultType="complete", **TEXT),
    ],
    "a call that goes on with what the client adds": [
        ask_alone("@1", "tools/call", name="a", arguments={"b": 1}),
        answer(
            "@1",
            resultType="input_required",
            inputRequests={"who": {"method": "elicitation/create", "params": {"message": "?"}}},
            requestState='eyJ"\\u0041 /\u00fc==',
        ),
        ask_alone(
            "@2",
            "tools/call",
            name="a",
            arguments={"b": 1},
            inputResponses={"who": {"action": "accept", "content": {"n": 1}}},
            requestState='eyJ"\\u0041 /\u00fc==',
        ),
        answer("@2", resultType="complete", **TEXT),
    ],
    "a prompt and a resource that want to know more": [
        ask_alone("@1", "prompts/get", name="p", arguments={"q": "r"}),
        answer("@1", resultType="input_required", requestState="s"),
        ask_alone("@2", "resources/read", uri="vm:///a"),
        answer(
            "@2",
            resultType="input_required",
            inputRequests={"r": {"method": "roots/list"}},
        ),
    ],
    "lists that may be cached, and completion": [
        ask_alone("@1", "prompts/list"),
        answer("@1", resultType="complete", prompts=[], ttlMs=60000, cacheScope="public"),
        ask_alone("@2", "resources/list"),
        answer("@2", resultType="complete", resources=[], ttlMs=0, cacheScope="private"),
        ask_alone("@3", "completion/complete", ref={"type": "ref/resource", "uri": "u"}),
        answer("@3", resultType="complete", completion={"values": []}),
    ],
    "a subscription": [
        ask_alone(
            "@1",
            "subscriptions/listen",
            notifications={"resourceSubscriptions": ["vm:///a"], "promptsListChanged": True},
        ),
        note(
            "notifications/subscriptions/acknowledged",
            "@1",
            notifications={"resourceSubscriptions": ["vm:///a"]},
            _meta={SUBSCRIPTION: "@1"},
        ),
        note(
            "notifications/resources/updated",
            "@1",
            uri="vm:///a",
            _meta={SUBSCRIPTION: "@1", "k": 1},
        ),
        answer("@1", resultType="complete", _meta={SUBSCRIPTION: "@1"}),
    ],
    "a task of the extension": [
        ask_alone("@1", "tools/call", name="a", arguments={}),
        answer("@1", resultType="task", task={"taskId": "t-1", "status": "working"}),
        ask_alone("@2", "tasks/get", taskId="t-1"),
        answer("@2", resultType="complete", taskId="t-1", status="completed", result=TEXT),
        ask_alone("@3", "tasks/cancel", taskId="t-1"),
        answer("@3", resultType="complete"),
    ],
}
