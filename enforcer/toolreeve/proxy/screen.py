"""What stands between one server and its clients: who is shown what of it.

Three things in what a server says are the policy's business beside calls: which tools a list
shows, what the server may ask its clients for, and that clients are told when either is judged
otherwise than before. The same for every way a server is reached.
"""

import time
from typing import Final

import msgspec
import structlog

from toolreeve.proxy.announcing import INTRODUCTIONS, with_announcements
from toolreeve.proxy.answers import INTERNAL_ERROR, error_answer, result_answer
from toolreeve.proxy.audience import Audience
from toolreeve.proxy.gate import BadAnswer, Caller, Gate
from toolreeve.proxy.listing import filter_listing
from toolreeve.proxy.mcp_headers import ParamHeaders
from toolreeve.proxy.message import NotAMessage, read
from toolreeve.proxy.seen import Finding, Seen
from toolreeve.proxy.sessions import Session
from toolreeve.proxy.strictjson import METHOD_NOT_FOUND, Refused

log = structlog.get_logger()

_LOG_SECONDS: Final = 1.0
# What servers ask their clients for as the answer to a request, in the newer era.
QUESTIONS: Final = ("elicitation/create", "roots/list", "sampling/createMessage")


class Asker(msgspec.Struct, frozen=True):
    """The request that an answer belongs to, as far as its form depends on it."""

    method: str  # empty where only its id is known
    id_json: str
    is_call: bool
    stateless: bool


class Screen:
    """One server's. `params` are the headers its tools ask for, `audience` who is listening."""

    def __init__(self, server: str, gate: Gate) -> None:
        self.server = server
        self.gate = gate
        self.params = ParamHeaders()
        self.audience = Audience()
        self._log_from = 0.0  # a server that floods is not to flood the log
        self._unlogged = 0
        gate.watch_tools(server, self._changed)

    def _changed(self) -> None:
        self.params.forget()  # or a tool that is hidden now would betray itself by its headers
        self.audience.changed()

    def listing(
        self, caller: Caller, raw: bytes, *, stateless: bool, session: Session | None = None
    ) -> bytes | Refused:
        """An answer to tools/list as the caller may see it, or why it cannot be shown."""
        listing = filter_listing(
            raw,
            lambda tools, more: self.gate.visible(self.server, caller, tools, more=more),
            stateless=stateless,
        )
        if isinstance(listing, Refused):
            reason = f"the upstream's list of tools cannot be shown: {listing.reason}"
            self.withhold("tool_list", reason, len(raw), caller)
            return Refused(
                code="tool_list", reason=reason, http_status=502, rpc_code=INTERNAL_ERROR
            )
        self.params.learn(listing.shown)
        self.audience.listed(session)
        return listing.raw

    def unasked(
        self, caller: Caller | None, raw: bytes, seen: Seen, *, stateless: bool
    ) -> bytes | Refused:
        """What a client gets of a message that is no answer; a request is asked about.

        Of a refusal, which is recorded here, the client hears nothing. Its server is owed an error
        where it has sent a request: `refusal_of_request`.
        """
        if seen.id is msgspec.UNSET and isinstance(seen.method, str):
            return raw
        refused = self._request_refused(caller, raw, seen, stateless=stateless)
        if isinstance(refused, bytes):
            return refused
        method = seen.method if isinstance(seen.method, str) else ""
        self.withhold(refused.code, refused.reason, len(raw), caller, method)
        return refused

    def answer(self, caller: Caller, raw: bytes, found: Finding, to: Asker) -> bytes:
        """What a client gets of the answer to a request that lists no tools."""
        if found.outcome == "unknown":
            reason = "the upstream's answer is neither a result nor an error"
            self.withhold("unreadable", reason, len(raw), caller)
            return error_answer(to.id_json, INTERNAL_ERROR, reason)
        if to.method in INTRODUCTIONS:
            return with_announcements(raw)
        for method in found.asked:
            if not self.gate.method_allowed(self.server, caller, method):
                reason = f"the server asks its client for {method}, which is not allowed here"
                self.withhold(_DENIED, reason, len(raw), caller, method)
                return _unasked_answer(to, f"[POLICY DENIED] {reason}")
        return raw

    def may_ask(self, caller: Caller) -> bool:
        """Whether the server may ask this client for anything it can ask for in an answer."""
        return all(self.gate.method_allowed(self.server, caller, one) for one in QUESTIONS)

    def withhold(
        self, code: str, reason: str, size: int, caller: Caller | None = None, method: str = ""
    ) -> None:
        """Record that something of the server's is not passed on."""
        now = time.monotonic()
        if now >= self._log_from:
            self._log_from = now + _LOG_SECONDS
            unlogged, self._unlogged = self._unlogged, 0
            log.warning(
                "upstream.withheld", server=self.server, code=code, size=size, unlogged=unlogged
            )
        else:
            self._unlogged += 1
        self.gate.withheld(
            BadAnswer(
                server=self.server,
                code=code,
                reason=reason,
                size_bytes=size,
                caller=caller,
                method=method,
            )
        )

    def _request_refused(
        self, caller: Caller | None, raw: bytes, seen: Seen, *, stateless: bool
    ) -> bytes | Refused:
        if not seen.is_request:
            return Refused(code="upstream_message", reason="no request, notification or answer")
        if stateless:
            return Refused(
                code="server_request",
                reason="in this protocol version a server sends no requests",
                rpc_code=METHOD_NOT_FOUND,
            )
        message = read(raw)
        if isinstance(message, NotAMessage):
            return message.refused
        if caller is not None and self.gate.method_allowed(self.server, caller, message.method):
            return message.raw
        return Refused(
            code=_DENIED,
            reason=f"[POLICY DENIED] the method {message.method} is not allowed here",
            rpc_code=METHOD_NOT_FOUND,
        )


_DENIED: Final = "server_method_denied"


def refusal_of_request(seen: Seen, refused: Refused) -> bytes | None:
    """What the server is answered whose request a client never sees; None: it sent no request."""
    if seen.key is None or not seen.is_request:
        return None
    return error_answer(msgspec.json.encode(seen.id).decode(), refused.rpc_code, refused.reason)


def _unasked_answer(to: Asker, text: str) -> bytes:
    if not to.is_call:
        return error_answer(to.id_json, INTERNAL_ERROR, text)
    result: dict[str, object] = {"content": [{"type": "text", "text": text}], "isError": True}
    if to.stateless:
        result["resultType"] = "complete"
    return result_answer(to.id_json, result)
