"""Records what was refused before there was a call to decide, and what an upstream said in vain.

Whether something becomes an event of its own or is only counted, the enforcement says. What is
counted is said in summaries, at most once in `summary_seconds` and once more at the end; a crash
takes the counts of that span with it.
"""

import asyncio

import structlog

from toolreeve.audit import Draft, Position, RequestRefused
from toolreeve.enforcement import Append, CountsDue, Enforcer, Incoming, RequestUnfit
from toolreeve.enforcement.sampling import UPSTREAM
from toolreeve.outbox import Outbox
from toolreeve.proxy import gate as ask
from toolreeve.runtime.clock import Clock

log = structlog.get_logger()


class Refusals:
    """What a station records of things that are no calls."""

    def __init__(
        self, enforcer: Enforcer, outbox: Outbox[Draft], clock: Clock, *, summary_seconds: float
    ) -> None:
        self._enforcer = enforcer
        self._outbox = outbox
        self._clock = clock
        self._summary_seconds = summary_seconds
        self._timer: asyncio.TimerHandle | None = None
        self._failing = False

    async def record(self, bad: ask.BadRequest) -> None:
        """Return when it is on disk, or has been counted. Raises OutboxError."""
        refused = RequestRefused(
            server=bad.server,
            grant="" if bad.caller is None else bad.caller.grant,
            code=bad.code,
            reason=bad.reason,
            transport=bad.transport,
            http_status=bad.http_status,
            rpc_error_code=bad.rpc_error_code,
            method=bad.method,
            wire_tool=bad.wire_tool,
            request_bytes=bad.request_bytes,
        )
        peer = bad.peer if bad.caller is None else ""
        for written in self._append(RequestUnfit(refused, peer)):
            await written

    def withheld(self, bad: ask.BadAnswer) -> None:
        """Have it recorded in its time."""
        refused = RequestRefused(
            server=bad.server,
            grant="" if bad.caller is None else bad.caller.grant,
            code=bad.code,
            reason=bad.reason,
            transport=UPSTREAM,
            method=bad.method,
            request_bytes=bad.size_bytes,
        )
        for written in self._append(RequestUnfit(refused)):
            written.add_done_callback(self._written)

    async def settle(self) -> None:
        """Record what has been counted so far. Raises OutboxError."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        for written in self._append(CountsDue()):
            await written

    def sum_up_later(self) -> None:
        """Something was only counted: say so in its time."""
        if self._timer is None:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(self._summary_seconds, self._sum_up)

    def _append(self, incoming: Incoming) -> list[asyncio.Future[Position]]:
        actions = self._enforcer.receive(incoming, self._clock.now())
        if isinstance(incoming, RequestUnfit) and not actions:
            self.sum_up_later()
        drafts = [action.draft for action in actions if isinstance(action, Append)]
        return [self._outbox.append(draft) for draft in drafts]

    def _sum_up(self) -> None:
        self._timer = None
        for written in self._append(CountsDue()):
            written.add_done_callback(self._written)

    def _written(self, done: "asyncio.Future[Position]") -> None:
        """Say once that recording fails; a disk that stays full would fill the log too."""
        error = None if done.cancelled() else done.exception()
        if error is not None and not self._failing:
            log.error("refusal.not_recorded", error=str(error))
        self._failing = error is not None
