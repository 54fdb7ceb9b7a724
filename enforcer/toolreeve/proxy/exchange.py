"""One request on its way through: what it is, whose it is, and what has become of it."""

from typing import TYPE_CHECKING, Protocol

from toolreeve.proxy.answers import JSON_HEADERS, error_answer
from toolreeve.proxy.gate import Caller
from toolreeve.proxy.http_reply import HttpReply
from toolreeve.proxy.http_request import HttpRequest
from toolreeve.proxy.mcp_headers import Era, ParamHeaders
from toolreeve.proxy.message import TOOLS_LIST, Kind, Message
from toolreeve.proxy.seen import Flight
from toolreeve.proxy.sessions import Session

if TYPE_CHECKING:  # the wrapper of a stdio server speaks no HTTP and loads no parser of it
    from toolreeve.proxy.http_client import HttpResponse


class Exchange:
    """State of one HTTP request between endpoint and upstream. Never shared, never reused."""

    __slots__ = (
        "answered",
        "caller",
        "changes_seen",
        "era",
        "flight",
        "message",
        "parked",
        "reply",
        "request",
        "session",
    )

    def __init__(
        self,
        request: HttpRequest,
        reply: HttpReply,
        caller: Caller,
        era: Era,
        *,
        message: Message | None = None,
        session: Session | None = None,
    ) -> None:
        self.request = request
        self.reply = reply
        self.caller = caller
        self.era = era
        self.message = message  # None for GET and DELETE
        self.session = session
        self.flight: Flight | None = None  # of an admitted tool call
        self.answered = False  # its answer has come by on a stream
        self.parked = False  # its answer may come on another stream
        self.changes_seen = 0  # of the tools, when it was sent

    @property
    def key(self) -> str:
        return "" if self.message is None else str(self.message.id)

    @property
    def asks(self) -> bool:
        """Whether it is a request, which is owed one answer."""
        return self.message is not None and self.message.kind is Kind.REQUEST

    @property
    def lists_tools(self) -> bool:
        return self.message is not None and self.message.method == TOOLS_LIST

    @property
    def lists_for(self) -> Session | None:
        """The session whose client begins to list the tools; None for a later page, or for none."""
        message = self.message
        if message is None or message.method != TOOLS_LIST or "cursor" in message.params:
            return None
        return self.session

    def answer(self, status: int, body: bytes) -> None:
        self.reply.send(status, JSON_HEADERS, body)

    def fail(self, status: int, code: int, text: str) -> None:
        """Answer with a JSON-RPC error of our own, unrecorded: see `own_answers.say`."""
        id_json = self.message.id_json if self.message is not None else "null"
        self.answer(status, error_answer(id_json or "null", code, text))

    def settle(self) -> None:
        """The exchange is over, however it went: no call stays without an outcome."""
        if self.parked:
            return
        if self.flight is not None:
            self.flight.end("unknown", detail="client gone")
        if self.session is not None and self.asks:
            self.session.end(self.key)


class Route(Protocol):
    """The way of a call to an upstream that needs no task while nothing unusual happens."""

    def send(self, exchange: Exchange) -> "HttpResponse | None":
        """Send a call that was let through; None where there is no connection free for it."""
        ...

    def answer(self, exchange: Exchange, response: "HttpResponse") -> bool:
        """Answer the client with a response that is complete; False: it needs `go_on`."""
        ...

    async def go_on(self, exchange: Exchange, response: "HttpResponse") -> None:
        """Wait for what is missing of a response, and answer the client."""
        ...


class Upstream(Protocol):
    """What stands behind one server's name."""

    @property
    def params(self) -> ParamHeaders:
        """Headers that its tools ask for."""
        ...

    def session(self, session_id: str, caller: Caller) -> Session | None:
        """The caller's session of that id, or None."""
        ...

    def route(self, exchange: Exchange) -> Route | None:
        """How a call could be sent without a task; None where `post` alone can."""
        ...

    async def post(self, exchange: Exchange) -> None:
        """Forward a message that was let through, and answer."""
        ...

    async def get(self, exchange: Exchange) -> None:
        """Open a stream for what the server sends unasked, or resume one."""
        ...

    async def delete(self, exchange: Exchange) -> None:
        """End a session."""
        ...

    async def close(self) -> None: ...
