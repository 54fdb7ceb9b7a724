"""A server on stdio with us in between: our stdin and stdout on one side, its pipes on the other.

Lines are pumped, not parsed into models: what a client says is read strictly, asked about and
passed on; what the server says is passed on as it is, after a look at its envelope. A refusal is
answered by us, and the server never hears of the call.
"""

import asyncio
import collections
import contextlib
from collections.abc import Coroutine, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import structlog

from toolreeve.proxy.announcing import INITIALIZED, asks_for_tools
from toolreeve.proxy.answers import (
    BUSY,
    INTERNAL_ERROR,
    UNAUTHENTICATED,
    error_answer,
    refused_answer,
    result_answer,
)
from toolreeve.proxy.child import Child, ChildBounds
from toolreeve.proxy.gate import Asked, BadRequest, Caller, Gate, Refusal, ToolCall
from toolreeve.proxy.message import CANCELLED, Element, Kind, Message, NotAMessage, read
from toolreeve.proxy.own_answers import CANCELLED_BY_CLIENT, method_denied
from toolreeve.proxy.pipes import LineSplitter, PipeReader, PipeWriter, unblocked
from toolreeve.proxy.progress import report
from toolreeve.proxy.screen import Screen
from toolreeve.proxy.seen import Flight
from toolreeve.proxy.sessions import ID_IN_USE, OPEN_REQUESTS_MAX
from toolreeve.proxy.strictjson import PARSE_ERROR, Refused
from toolreeve.proxy.subscription import methods_needed
from toolreeve.proxy.wrap_back import Pending, WayBack

log = structlog.get_logger()

CLIENT_LINE_BYTES_MAX: Final = 4 * 1024 * 1024
_HIGH_WATER: Final = 1024 * 1024
_TASKS_MAX: Final = OPEN_REQUESTS_MAX  # lines that are being decided or refused

_TOO_LONG: Final = Refused(
    code="line_size",
    reason=f"a line has at most {CLIENT_LINE_BYTES_MAX} bytes",
    rpc_code=PARSE_ERROR,
)
_BARE_CR: Final = Refused(
    code="bare_cr", reason="a carriage return stands inside a line", rpc_code=PARSE_ERROR
)
_BUSY: Final = Refused(code="busy", reason="the server does not read", rpc_code=BUSY)


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


class _Pump:
    def __init__(self, gate: Gate, server: str, stdin_fd: int, stdout_fd: int) -> None:
        self._gate = gate
        self._server = server
        self._loop = asyncio.get_running_loop()
        self._lines = LineSplitter(CLIENT_LINE_BYTES_MAX)
        self._pending: dict[str, Pending] = {}
        self._screen = Screen(server, gate)
        self._back = WayBack(
            self._screen,
            self._pending,
            to_client=self._to_client,
            to_server=self._to_server,
            answered=self._answered,
        )
        self._coming: collections.deque[bytes | None] = collections.deque()  # lines not looked at
        self._tasks: set[asyncio.Future[Any]] = set()  # and decisions that are being written
        self._over = False
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
            on_bad=self._screen.withhold,
            cwd=cwd,
            bounds=bounds,
        )
        child.on_drained = self._take_lines
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
            self._over = True
            for task in self._tasks:
                if isinstance(task, asyncio.Task):
                    task.cancel()
            for entry in self._pending.values():
                entry.close()
                if entry.flight is not None:
                    entry.flight.end("unknown", detail="the server ended")
            self._stdout.close()
        return code if code >= 0 else 128 - code

    async def _last_answers(self, child: Child, seconds: float) -> None:
        """The client has said its last: let what it asked for be decided and answered."""
        deadline = self._loop.time() + seconds
        while self._tasks and child.running and self._loop.time() < deadline:
            await asyncio.wait(self._tasks, timeout=deadline - self._loop.time())
        child.close_stdin()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout_at(deadline):
                while self._awaited() and child.running and not self._stdout.broken:
                    self._turn = self._loop.create_future()
                    await asyncio.wait(
                        (self._turn, child.ended), return_when=asyncio.FIRST_COMPLETED
                    )

    def _awaited(self) -> bool:
        return any(not entry.endless for entry in self._pending.values())

    # From the client.

    def _from_client(self, data: bytes) -> None:
        self._coming.extend(self._lines.feed(data))
        self._take_lines()

    def _take_lines(self) -> None:
        """Take what has come as far as there is room for it, and read on when that is all."""
        while self._coming and self._has_room():
            line = self._coming.popleft()
            if line is None:
                self._spawn(self._refuse(_TOO_LONG, CLIENT_LINE_BYTES_MAX))
            elif line and not line.isspace():
                self._client_line(line)
        if self._stdin is None:
            return
        if self._coming or not self._has_room():
            self._stdin.pause()
        else:
            self._stdin.resume()

    def _has_room(self) -> bool:
        """Whether neither side is behind, nor we are."""
        child = self._child
        return (
            len(self._tasks) < _TASKS_MAX
            and self._stdout.waiting_bytes <= _HIGH_WATER
            and (child is None or child.backlog_bytes <= _HIGH_WATER)
        )

    def _client_line(self, line: bytes) -> None:
        if b"\r" in line:
            self._spawn(self._refuse(_BARE_CR, len(line)))
            return
        message = read(line)
        if isinstance(message, NotAMessage):
            self._spawn(self._refuse(message.refused, len(line), message.elements))
            return
        who = self._gate.authenticate(self._server, None)
        caller = who if isinstance(who, Caller) else None
        if isinstance(who, Caller):
            refused = self._judge(message, who)
        else:
            refused = Refused(code=who.code, reason=who.reason, rpc_code=UNAUTHENTICATED)
        if refused is not None:
            element = Element(message.method, message.name, message.id_json or "null")
            self._spawn(self._refuse(refused, len(line), (element,), caller))
            return
        assert caller is not None
        if message.is_call:
            self._call(message, caller, len(line))
        elif message.method == CANCELLED:
            if self._cancel(message):
                self._to_server(message.raw)
        else:
            if message.method == INITIALIZED:
                self._back.client_listens()
            if asks_for_tools(message):
                self._back.subscribe(str(message.id))
            if not self._to_server(message.raw):
                self._spawn(self._unsent(message, caller, len(line)))

    async def _unsent(self, message: Message, caller: Caller, request_bytes: int) -> None:
        element = Element(message.method, "", message.id_json or "null")
        if message.kind is Kind.REQUEST:
            self._back.forget(str(message.id))
            await self._refuse(_BUSY, request_bytes, (element,), caller)
        else:
            await self._record(_BUSY, request_bytes, element, caller)

    def _judge(self, message: Message, caller: Caller) -> Refused | None:
        if message.kind is not Kind.REQUEST:
            return None
        key = str(message.id)
        if key in self._pending or len(self._pending) >= OPEN_REQUESTS_MAX:
            return ID_IN_USE
        if not message.is_call:
            for method in methods_needed(message):
                if not self._gate.method_allowed(self._server, caller, method):
                    return method_denied(method)
        self._pending[key] = Pending(message)
        return None

    def _call(self, message: Message, caller: Caller, request_bytes: int) -> None:
        """Have a call decided, and go on when that is written; a task would cost more than that."""
        call = ToolCall(
            server=self._server,
            caller=caller,
            session="stdio",
            request_id=message.id_json,
            wire_name=message.name,
            arguments=message.arguments,
            protocol_version=message.protocol_version or self._back.version,
            request_bytes=request_bytes,
            goes_on_with=message.goes_on_with,
        )
        try:
            asked = self._gate.decide(call)
        except Exception:
            log.exception("call.failed", server=self._server)
            self._failed(message)
            return
        if asked.held is not None:
            self._pending[str(message.id)].held = asked.held
            report(asked.held, message, self._to_client)
        written = asked.written
        if written is None or written.done():
            self._decided(message, asked)
            return

        def on_written(done: asyncio.Future[Any]) -> None:
            self._decided(message, asked)
            self._done(done)

        self._tasks.add(written)
        written.add_done_callback(on_written)

    def _failed(self, message: Message) -> None:
        del self._pending[str(message.id)]
        self._to_client(error_answer(message.id_json, INTERNAL_ERROR, "the enforcer failed"))

    def _decided(self, message: Message, asked: Asked) -> None:
        try:
            verdict = asked.verdict()
        except Exception:
            log.exception("call.failed", server=self._server)
            self._failed(message)
            return
        key = str(message.id)
        entry = self._pending[key]
        if isinstance(verdict, Refusal):
            del self._pending[key]
            if not entry.cancelled:
                self._to_client(result_answer(message.id_json, verdict.result))
            return
        entry.being_decided = False
        flight = entry.flight = Flight(self._gate, verdict.token, verdict.warning)
        if entry.cancelled or self._over:
            del self._pending[key]
            detail = CANCELLED_BY_CLIENT if entry.cancelled else "the server ended"
            flight.end("not_sent", detail=detail)
        elif not self._to_server(message.raw):
            del self._pending[key]
            flight.end("not_sent", detail=_BUSY.reason)
            self._to_client(refused_answer(message.id_json, _BUSY))

    def _cancel(self, message: Message) -> bool:
        """Whether the server should hear of a cancellation: not if it never saw the call."""
        key = str(message.params.get("requestId"))
        entry = self._pending.get(key)
        if entry is None:
            return True
        if entry.being_decided:
            entry.cancelled = True
            entry.leave()
            return False
        self._back.forget(key)
        if entry.flight is not None:
            entry.flight.end("unknown", detail=CANCELLED_BY_CLIENT)
        return not entry.own

    async def _refuse(
        self,
        refused: Refused,
        request_bytes: int,
        elements: Sequence[Element] = (Element(),),
        caller: Caller | None = None,
    ) -> None:
        for element in elements:
            await self._record(refused, request_bytes, element, caller)
        id_json = elements[0].id_json if len(elements) == 1 else "null"
        self._to_client(refused_answer(id_json, refused))

    async def _record(
        self, refused: Refused, request_bytes: int, element: Element, caller: Caller | None
    ) -> None:
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

    # From the server.

    def _from_server(self, line: bytes) -> None:
        self._back.line(line)
        if self._child is not None and self._stdout.waiting_bytes > _HIGH_WATER:
            self._child.pause()

    def _answered(self) -> None:
        if self._turn is not None and not self._turn.done():
            self._turn.set_result(None)

    # Both ends.

    def _to_server(self, raw: bytes) -> bool:
        return self._child is not None and self._child.send(raw)

    def _to_client(self, raw: bytes) -> None:
        if not self._over:
            self._stdout.write(raw + b"\n")

    def _client_reads(self) -> None:
        if self._child is not None:
            self._child.resume()
        self._take_lines()

    def _client_left(self) -> None:
        for entry in self._pending.values():
            entry.leave()
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
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Future[Any]) -> None:
        self._tasks.discard(task)
        if self._coming:
            self._take_lines()
        elif len(self._tasks) == _TASKS_MAX - 1 and self._stdin is not None:
            self._stdin.resume()
