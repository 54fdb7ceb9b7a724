"""Does what the enforcement wants done: the shell around it, without opinions."""

from asyncio import Future
from collections.abc import Callable

import structlog
from msgspec import Struct

from toolreeve.audit import (
    Completed,
    Draft,
    Effect,
    Outcome,
    Position,
    RequestRefused,
    Reservation,
)
from toolreeve.audit.event import event_id
from toolreeve.enforcement import (
    Accept,
    Answer,
    Append,
    ArrivedCall,
    CallArrived,
    CallEnded,
    Enforcer,
    Forward,
    Incoming,
    Reject,
    RequestUnfit,
    refusal,
)
from toolreeve.enforcement.answers import unrecorded_refusal
from toolreeve.gateway.grants import Grants
from toolreeve.outbox import Outbox, OutboxError
from toolreeve.proxy import gate as ask
from toolreeve.runtime.clock import Clock

log = structlog.get_logger()

Tell = Callable[[Accept | Reject], None]


class Token(Struct, frozen=True):
    """What a forwarded call is remembered by until it has ended."""

    decision_id: str
    request_bytes: int
    reservations: tuple[Reservation, ...]


class Counts(Struct):
    """Decisions of this epoch, for the heartbeat."""

    allowed: int = 0
    denied: int = 0


class Station:
    """One enforcer with its clock, its outbox and its grants. Implements the proxy's `Gate`.

    `tell` is where answers to the control plane go.
    """

    def __init__(
        self,
        *,
        name: str,
        enforcer: Enforcer,
        outbox: Outbox[Draft],
        clock: Clock,
        grants: Grants,
        tell: Tell = lambda _: None,
    ) -> None:
        self._name = name
        self._enforcer = enforcer
        self._outbox = outbox
        self._clock = clock
        self._grants = grants
        self._tell = tell
        self._failing = False
        self.counts = Counts()

    async def hear(self, incoming: Incoming) -> None:
        """Let the enforcement hear something that is not a call, and do what it wants done.

        Raises OutboxError when it could not be recorded; then nothing behind the record was done.
        """
        for action in self._enforcer.receive(incoming, self._clock.now()):
            match action:
                case Append(draft=draft):
                    await self._outbox.append(draft)
                case Accept() | Reject():
                    self._tell(action)
                case Forward() | Answer():
                    raise AssertionError("only a call is forwarded or answered")

    async def attempt(self, incoming: Incoming) -> None:
        """Like `hear`; that something could not be recorded is logged, and nothing follows it."""
        try:
            await self.hear(incoming)
        except OutboxError as error:
            self._not_recorded(error)

    async def note(self, draft: Draft) -> Position:
        """Record something that the enforcement did not decide: a start, a stop."""
        return await self._outbox.append(draft)

    def authenticate(self, server: str, authorization: str | None) -> ask.Caller | None:
        holder = self._grants.holder(server, authorization)
        return None if holder is None else ask.Caller(holder.grant, holder.agent)

    async def admit(self, call: ask.ToolCall) -> ask.Forward | ask.Refusal:
        arrived = ArrivedCall(
            server=call.server,
            grant=call.caller.grant,
            agent=call.caller.agent,
            session=call.session,
            request_id=call.request_id,
            wire_tool=call.wire_name,
            arguments=call.arguments,
            protocol_version=call.protocol_version,
        )
        decision_id = ""
        try:
            for action in self._enforcer.receive(CallArrived(arrived), self._clock.now()):
                match action:
                    case Append(draft=draft):
                        decision_id = event_id(self._name, await self._outbox.append(draft))
                        self._recorded()
                    case Forward(reservations=reservations, warning=warning):
                        self._count(Effect.ALLOW)
                        token = Token(decision_id, call.request_bytes, reservations)
                        return ask.Forward(decision_id, token, warning)
                    case Answer():
                        self._count(Effect.DENY)
                        version = call.protocol_version
                        said = refusal(action, decision_id=decision_id, protocol_version=version)
                        return ask.Refusal(said)
                    case Accept() | Reject():
                        raise AssertionError("a call changes no policy")
        except OutboxError as error:
            self._not_recorded(error)
            return ask.Refusal(unrecorded_refusal(protocol_version=call.protocol_version))
        raise AssertionError("a call is forwarded or answered")

    def ended(self, token: object, ending: ask.Ending) -> None:
        assert isinstance(token, Token)
        completed = Completed(
            decision_id=token.decision_id,
            outcome=Outcome(ending.outcome),
            duration_ns=ending.duration_ns,
            request_bytes=token.request_bytes,
            response_bytes=ending.response_bytes,
            rpc_error_code=ending.rpc_error_code,
            detail=ending.detail,
        )
        for action in self._enforcer.receive(
            CallEnded(completed, token.reservations), self._clock.now()
        ):
            assert isinstance(action, Append)
            self._outbox.append(action.draft, lingers=True).add_done_callback(_log_failure)

    async def refused(self, bad: ask.BadRequest) -> None:
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
        await self.attempt(RequestUnfit(refused))

    def visible(self, server: str, caller: ask.Caller, tools: list[object]) -> list[object]:
        del caller  # one policy a server; grants with policies of their own come with the fleet
        return self._enforcer.visible(server, tools)

    def method_allowed(self, server: str, caller: ask.Caller, method: str) -> bool:
        del caller
        return self._enforcer.method_allowed(server, method)

    def _not_recorded(self, error: OutboxError) -> None:
        """Say so once; a disk that stays full would fill the log too."""
        if not self._failing:
            log.error("record.failed", error=str(error), remedy="every call is refused until then")
        self._failing = True

    def _recorded(self) -> None:
        if self._failing:
            log.info("record.works_again")
        self._failing = False

    def _count(self, effect: Effect) -> None:
        if effect is Effect.ALLOW:
            self.counts.allowed += 1
        else:
            self.counts.denied += 1


def _log_failure(done: "Future[Position]") -> None:
    """An outcome that cannot be recorded is recorded as unknown at the next start."""
    if not done.cancelled() and (error := done.exception()) is not None:
        log.error("outcome.not_recorded", error=str(error))
