"""A server on stdio with us in between: our stdin and stdout on one side, its pipes on the other.

Lines are pumped, not parsed into models: what a client says is read strictly, asked about and
passed on; what the server says is passed on as it is, after a look at its envelope. A refusal is
answered by us, and the server never hears of the call.
"""

import asyncio
import contextlib
from collections.abc import Coroutine, Mapping, Sequence
from pathlib import Path
from typing import Final

import structlog

from toolreeve.proxy.answers import (
    INTERNAL_ERROR,
    UNAUTHENTICATED,
    error_answer,
    refused_answer,
    result_answer,
)
from toolreeve.proxy.child import Child, ChildBounds
from toolreeve.proxy.gate import BadRequest, Caller, Gate, Refusal, ToolCall
from toolreeve.proxy.listing import filter_listing
from toolreeve.proxy.message import (
    INITIALIZE,
    TOOLS_LIST,
    Element,
    Kind,
    Message,
    NotAMessage,
    read,
)
from toolreeve.proxy.pipes import LineSplitter, PipeReader, PipeWriter, unblocked
from toolreeve.proxy.seen import Flight, Seen, look
from toolreeve.proxy.sessions import ID_IN_USE, OPEN_REQUESTS_MAX
from toolreeve.proxy.strictjson import INVALID_REQUEST, METHOD_NOT_FOUND, PARSE_ERROR, Refused

log = structlog.get_logger()

CLIENT_LINE_BYTES_MAX: Final = 4 * 1024 * 1024
_HIGH_WATER: Final = 1024 * 1024
_CANCELLED: Final = "notifications/cancelled"

_TOO_LONG: Final = Refused(
    code="line_size",
    reason=f"a line has at most {CLIENT_LINE_BYTES_MAX} bytes",
    rpc_code=PARSE_ERROR,
)
_BARE_CR: Final = Refused(
    code="bare_cr", reason="a carriage return stands inside a line", rpc_code=PARSE_ERROR
)
_UNAUTHENTICATED: Final = Refused(
    code="unauthenticated", reason="no valid grant for this server", rpc_code=UNAUTHENTICATED
)


async def wrap(
    command: Sequence[str],
    gate: Gate,
    server: str,
    *,
    environ: Mapping[str, str],
    cwd: Path | None = None,
    stdin_fd: int = 0,
    stdout_fd: int = 1,
    bounds: ChildBounds | None = None,
) -> int:
    """Run `command` behind `gate` until either side ends; the answer is an exit code.

    It is the server's own, or 128 and the signal's number where a signal ended it. Raises
    ChildError if the command cannot be started.
    """
    with unblocked(stdout_fd) as output_fd:
        pump = _Pump(gate, server, stdin_fd, output_fd)
        return await pump.run(command, environ, cwd, bounds)


class _Open:
    """A request of the client's that has not been answered."""

    __slots__ = ("being_decided", "cancelled", "flight", "lists_tools")

    def __init__(self, *, is_call: bool, lists_tools: bool) -> None:
        self.flight: Flight | None = None
        self.being_decided = is_call
        self.lists_tools = lists_tools
        self.cancelled = False


class _Pump:
    def __init__(self, gate: Gate, server: str, stdin_fd: int, stdout_fd: int) -> None:
        self._gate = gate
        self._server = server
        self._loop = asyncio.get_running_loop()
        self._lines = LineSplitter(CLIENT_LINE_BYTES_MAX)
        self._open: dict[str, _Open] = {}
        self._version = ""
        self._tasks: set[asyncio.Task[None]] = set()
        self._client_gone: asyncio.Future[None] = self._loop.create_future()
        self._turn: asyncio.Future[None] | None = None  # done when something was answered
        self._child: Child | None = None
        self._stdin_fd = stdin_fd
        self._stdin: PipeReader | None = None
        self._stdout = PipeWriter(stdout_fd, self._client_reads, self._client_left)

    async def run(
        self,
        command: Sequence[str],
        environ: Mapping[str, str],
        cwd: Path | None,
        bounds: ChildBounds | None,
    ) -> int:
        child = self._child = Child(
            command,
            environ,
            server=self._server,
            on_line=self._from_server,
            on_end=lambda: None,
            cwd=cwd,
            bounds=bounds,
        )
        child.on_drained = self._server_reads
        self._stdin = PipeReader(self._stdin_fd, self._from_client, self._client_left)
        try:
            await asyncio.wait(
                (self._client_gone, child.ended), return_when=asyncio.FIRST_COMPLETED
            )
            await self._last_answers(child, (bounds or ChildBounds()).last_answers_seconds_max)
            code = await child.stop()
            await self._written()
        finally:
            self._stdin.close()
            await child.stop()
            for task in self._tasks:
                task.cancel()
            for entry in self._open.values():
                if entry.flight is not None:
                    entry.flight.end("unknown", detail="the server ended")
            self._stdout.close()
        return code if code >= 0 else 128 - code

    async def _last_answers(self, child: Child, seconds: float) -> None:
        """The client has said its last: let what it asked for be decided and answered."""
        deadline = self._loop.time() + seconds
        if self._tasks and child.running:
            await asyncio.wait(self._tasks, timeout=seconds)
        child.close_stdin()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout_at(deadline):
                while self._open and child.running and not self._stdout.broken:
                    self._turn = self._loop.create_future()
                    await asyncio.wait(
                        (self._turn, child.ended), return_when=asyncio.FIRST_COMPLETED
                    )

    # From the client.

    def _from_client(self, data: bytes) -> None:
        for line in self._lines.feed(data):
            if line is None:
                self._spawn(self._refuse(_TOO_LONG, CLIENT_LINE_BYTES_MAX))
            elif line and not line.isspace():
                self._client_line(line)
        child, stdin = self._child, self._stdin
        if child is not None and stdin is not None and child.backlog_bytes > _HIGH_WATER:
            stdin.pause()

    def _client_line(self, line: bytes) -> None:
        if b"\r" in line:
            self._spawn(self._refuse(_BARE_CR, len(line)))
            return
        message = read(line)
        if isinstance(message, NotAMessage):
            self._spawn(self._refuse(message.refused, len(line), message.elements))
            return
        caller = self._gate.authenticate(self._server, None)
        refused = self._judge(message, caller)
        if refused is not None:
            element = Element(message.method, message.name, message.id_json or "null")
            self._spawn(self._refuse(refused, len(line), (element,), caller))
            return
        assert caller is not None
        if message.method == INITIALIZE:
            self._version = message.protocol_version or ""
        if message.is_call:
            self._spawn(self._call(message, caller, len(line)))
        elif message.method != _CANCELLED or self._cancel(message):
            self._to_server(message.raw)

    def _judge(self, message: Message, caller: Caller | None) -> Refused | None:
        if caller is None:
            return _UNAUTHENTICATED
        if message.kind is not Kind.REQUEST:
            return None
        key = str(message.id)
        if key in self._open or len(self._open) >= OPEN_REQUESTS_MAX:
            return ID_IN_USE
        if not message.is_call and not self._gate.method_allowed(
            self._server, caller, message.method
        ):
            return Refused(
                code="method_denied",
                reason=f"[POLICY DENIED] the method {message.method} is not allowed here",
                rpc_code=METHOD_NOT_FOUND,
            )
        self._open[key] = _Open(is_call=message.is_call, lists_tools=message.method == TOOLS_LIST)
        return None

    async def _call(self, message: Message, caller: Caller, request_bytes: int) -> None:
        key = str(message.id)
        entry = self._open[key]
        call = ToolCall(
            server=self._server,
            caller=caller,
            session="stdio",
            request_id=message.id_json,
            wire_name=message.name,
            arguments=message.arguments,
            protocol_version=message.protocol_version or self._version,
            request_bytes=request_bytes,
        )
        try:
            verdict = await self._gate.admit(call)
        except Exception:
            log.exception("call.failed", server=self._server)
            del self._open[key]
            self._to_client(error_answer(message.id_json, INTERNAL_ERROR, "the enforcer failed"))
            return
        if isinstance(verdict, Refusal):
            del self._open[key]
            if not entry.cancelled:
                self._to_client(result_answer(message.id_json, verdict.result))
            return
        entry.being_decided = False
        flight = entry.flight = Flight(self._gate, verdict.token, verdict.warning)
        if entry.cancelled:
            del self._open[key]
            flight.end("not_sent", detail="cancelled by the client")
        elif not self._to_server(message.raw):
            del self._open[key]
            flight.end("not_sent", detail="the server does not read")
            text = "the server does not read"
            self._to_client(error_answer(message.id_json, INVALID_REQUEST, text))

    def _cancel(self, message: Message) -> bool:
        """Whether the server should hear of a cancellation: not if it never saw the call."""
        key = str(message.params.get("requestId"))
        entry = self._open.get(key)
        if entry is None:
            return True
        if entry.being_decided:
            entry.cancelled = True
            return False
        del self._open[key]  # its answer, if one comes at all, is not wanted
        if entry.flight is not None:
            entry.flight.end("unknown", detail="cancelled by the client")
        return True

    async def _refuse(
        self,
        refused: Refused,
        request_bytes: int,
        elements: Sequence[Element] = (Element(),),
        caller: Caller | None = None,
    ) -> None:
        for element in elements:
            await self._gate.refused(
                BadRequest(
                    server=self._server,
                    caller=caller,
                    code=refused.code,
                    reason=refused.reason,
                    transport="stdio",
                    http_status=0,
                    rpc_error_code=refused.rpc_code,
                    method=element.method,
                    wire_tool=element.tool,
                    request_bytes=request_bytes,
                )
            )
        id_json = elements[0].id_json if len(elements) == 1 else "null"
        self._to_client(refused_answer(id_json, refused))

    # From the server.

    def _from_server(self, line: bytes) -> None:
        seen = look(line)
        if seen is None:
            log.warning("upstream.unreadable", server=self._server, size=len(line))
        elif not seen.is_response or (seen.key is None and seen.id is None):
            self._to_client(line)
        else:
            self._answer(line, seen)
        if self._child is not None and self._stdout.waiting_bytes > _HIGH_WATER:
            self._child.pause()

    def _answer(self, line: bytes, seen: Seen) -> None:
        key = seen.key
        entry = self._open.pop(key, None) if key is not None else None
        if entry is None:
            log.warning("upstream.stray_answer", server=self._server)
            return
        if entry.flight is not None:
            entry.flight.answered(seen, len(line))
            line = entry.flight.told(line)
        if entry.lists_tools:
            line = self._shown(line, seen)
        self._to_client(line)
        if self._turn is not None and not self._turn.done():
            self._turn.set_result(None)

    def _shown(self, line: bytes, seen: Seen) -> bytes:
        caller = self._gate.authenticate(self._server, None)
        listing = filter_listing(
            line,
            lambda tools: [] if caller is None else self._gate.visible(self._server, caller, tools),
            stateless=False,
        )
        if isinstance(listing, Refused):
            log.warning("tool_list.unreadable", server=self._server, reason=listing.reason)
            id_json = f'"{seen.id}"' if isinstance(seen.id, str) else str(seen.id)
            text = f"the server's list of tools cannot be shown: {listing.reason}"
            return error_answer(id_json, listing.rpc_code, text)
        return listing.raw

    # Both ends.

    def _to_server(self, raw: bytes) -> bool:
        return self._child is not None and self._child.send(raw)

    def _to_client(self, raw: bytes) -> None:
        self._stdout.write(raw + b"\n")

    def _client_reads(self) -> None:
        if self._child is not None:
            self._child.resume()

    def _server_reads(self) -> None:
        if self._stdin is not None:
            self._stdin.resume()

    def _client_left(self) -> None:
        if not self._client_gone.done():
            self._client_gone.set_result(None)

    async def _written(self) -> None:
        """Wait until the client has read everything, or stops reading."""
        written = asyncio.Event()
        self._stdout.close_when_written(written.set)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(5.0):
                await written.wait()

    def _spawn(self, work: Coroutine[object, object, None]) -> None:
        task = self._loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
