"""What the proxy asks, and of whom: everything it does not decide itself.

The proxy reads, forwards and answers. Who is calling, whether a call goes through, what is
recorded and which tools are shown is asked of a `Gate`, which a process provides.
"""

import asyncio
from collections.abc import Callable
from typing import Any, Literal, Protocol

import msgspec

Outcome = Literal[
    "success", "tool_error", "rpc_error", "timeout", "not_sent", "unknown", "input_required"
]
Transport = Literal["http", "stdio"]


class Caller(msgspec.Struct, frozen=True):
    """Who is behind a request."""

    grant: str
    agent: str


class Stranger(msgspec.Struct, frozen=True):
    """Nobody who may come in: why, as a stable word and for whoever asked."""

    code: str
    reason: str


class ToolCall(msgspec.Struct, frozen=True, kw_only=True):
    """A tool call as it stood on the wire."""

    server: str
    caller: Caller
    session: str  # empty in the stateless protocol era
    request_id: str  # JSON of the id: 7 or "a-7"
    wire_name: str
    arguments: dict[str, object]
    protocol_version: str  # empty where nothing said one
    request_bytes: int
    goes_on_with: str | None = None  # the server's state, where it goes on after more input


class Forward(msgspec.Struct, frozen=True):
    """The call goes through. `token` comes back with its `Ending`.

    `warning` is put beside the answer as one more text, where there is one.
    """

    token: object
    warning: str = ""


class Refusal(msgspec.Struct, frozen=True):
    """The call does not go through; `result` is the whole MCP result to answer with."""

    result: dict[str, object]


class Ending(msgspec.Struct, frozen=True, kw_only=True):
    """How a forwarded call ended, as far as can be seen from here."""

    outcome: Outcome
    duration_ns: int  # from the moment it was let through
    response_bytes: int
    rpc_error_code: int | None = None
    detail: str = ""
    request_state: str | None = None  # to be shown again by the request that goes on with the call


class BadRequest(msgspec.Struct, frozen=True, kw_only=True):
    """Something was refused before it was a call to decide."""

    server: str  # empty where the address named none of ours
    caller: Caller | None
    code: str  # stable word
    reason: str
    transport: Transport
    http_status: int  # 0 on stdio
    rpc_error_code: int
    method: str
    wire_tool: str
    request_bytes: int
    peer: str = ""  # the address it came from; empty on stdio


class BadAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """Something that an upstream said and that nobody is given."""

    server: str
    code: str  # stable word
    reason: str
    size_bytes: int
    caller: Caller | None = None  # who would have been given it, where that can be said
    method: str = ""


class Held(Protocol):
    """A call that waits for a person, for longer than a decision takes to be written."""

    def follow(self, tell: Callable[[str], None]) -> None:
        """Have `tell` called from time to time, with a sentence for whoever waits."""
        ...

    def leave(self) -> None:
        """Nobody waits for the answer any more: nothing is to be forwarded."""
        ...


class Asked(Protocol):
    """A call that is being decided."""

    @property
    def written(self) -> "asyncio.Future[Any] | None":
        """Done when the decision is durable or cannot be made so; None: nothing is waited for.

        Whoever waits for it only looks whether it is done.
        """
        ...

    @property
    def held(self) -> Held | None:
        """Set where the call waits for a person."""
        ...

    def verdict(self) -> Forward | Refusal:
        """What was decided; asked for once, as soon as it is `written`."""
        ...


class Gate(Protocol):
    """Implemented by the process; the proxy calls it from one event loop only."""

    def authenticate(self, server: str, authorization: str | None) -> Caller | Stranger:
        """Say whose credential this is; a Stranger's request is refused with 401.

        `authorization` is the header as it came, or on stdio None. The refusal is recorded
        through `refused`, so there is nothing to record here.
        """
        ...

    def may_stay(self, server: str, caller: Caller) -> bool:
        """Whether somebody who was let in may go on reading a stream without end."""
        ...

    def decide(self, call: ToolCall) -> Asked:
        """Decide, and begin to record the decision.

        A client that goes away before it is durable cancels nothing: its `Forward` is then ended
        as "not_sent".
        """
        ...

    def ended(self, token: object, ending: Ending) -> None:
        """Take the outcome of a `Forward`; never waits. Called exactly once for each of them,
        and before the answer is written to the client."""
        ...

    async def refused(self, bad: BadRequest) -> None:
        """Record a refusal; it is answered when this returns."""
        ...

    def withheld(self, bad: BadAnswer) -> None:
        """Record that something of an upstream's was not passed on; never waits."""
        ...

    def visible(
        self, server: str, caller: Caller, tools: list[object], *, more: bool
    ) -> list[object]:
        """Those of a listing's tools that the caller may see, changed or not, in their order.

        Asked once for every page that a server has answered; `more` says that another follows.
        """
        ...

    def watch_tools(self, server: str, changed: Callable[[], None]) -> None:
        """Call `changed`, from now on, whenever `visible` may answer otherwise for a server."""
        ...

    def method_allowed(self, server: str, caller: Caller, method: str) -> bool:
        """Whether a request that is no tool call may pass, from a client or to one.

        Asked for every such method.
        """
        ...
