"""Does what the enforcement wants done: the shell around it, without opinions."""

from asyncio import Future, ensure_future
from collections.abc import Callable

import structlog

from toolreeve.audit import (
    Completed,
    Draft,
    Outcome,
    Position,
    Reservation,
)
from toolreeve.audit.event import event_id
from toolreeve.decision import Code
from toolreeve.decision.approval import Permit
from toolreeve.decision.grant import TurnedAway
from toolreeve.enforcement import (
    Accept,
    Announce,
    Answer,
    Append,
    ArrivedCall,
    Await,
    CallArrived,
    CallEnded,
    Enforcer,
    Forward,
    Incoming,
    KeepPins,
    Memory,
    OpenCall,
    Question,
    Reject,
    refusal,
)
from toolreeve.enforcement.answers import Asking, unrecorded_refusal
from toolreeve.gateway.admission import Admission
from toolreeve.gateway.approving import Approving
from toolreeve.gateway.decided import Decision, Token, Waiting
from toolreeve.gateway.leasing import Leasing
from toolreeve.gateway.refusals import Refusals
from toolreeve.gateway.refused_call import RefusedCall
from toolreeve.outbox import Outbox, OutboxError
from toolreeve.proxy import gate as ask
from toolreeve.runtime.clock import Clock

log = structlog.get_logger()

Tell = Callable[[Accept | Reject], None]
OnListing = Callable[[str, list[object], bool], None]
"""Hears what a server has answered to `tools/list`, and whether another page follows."""


_OUTCOMES = {outcome.value: outcome for outcome in Outcome}


class Station:
    """One enforcer with its clock, its outbox and its door. Implements the proxy's `Gate`.

    `tell` is where answers to the control plane go. `waits` is `audit = "required"`: a call is
    forwarded when its decision is durable, and else while it is being written.
    """

    def __init__(
        self,
        *,
        name: str,
        enforcer: Enforcer,
        outbox: Outbox[Draft],
        clock: Clock,
        admission: Admission,
        waits: bool = True,
        tell: Tell = lambda _: None,
        summary_seconds: float = 10.0,
    ) -> None:
        self._name = name
        self._enforcer = enforcer
        self._outbox = outbox
        self._clock = clock
        self._admission = admission
        self._waits = waits
        self._tell = tell
        self._failing = False
        self._open: dict[Future[Position], tuple[Reservation, ...]] = {}  # let through, not ended
        self._watchers: dict[str, list[Callable[[], None]]] = {}
        self._refusals = Refusals(enforcer, outbox, clock, summary_seconds=summary_seconds)
        self.leasing = Leasing(enforcer, clock.now)
        self.approving = Approving(clock.now, lambda body: self.note(Draft(clock.now(), body)))
        self.on_listing: OnListing = lambda _server, _tools, _more: None

    async def hear(self, incoming: Incoming) -> None:
        """Let the enforcement hear something that is not a call, and do what it wants done.

        Raises OutboxError when it could not be recorded; then nothing behind the record was done.
        """
        for action in self._enforcer.receive(incoming, self._clock.now()):
            match action:
                case Append(draft=draft):
                    await self._outbox.append(draft)
                case Announce(server=server):
                    self.announce(server)
                case Accept() | Reject():
                    self._tell(action)
                case Forward() | Answer() | Await():
                    raise AssertionError("only a call is forwarded or answered")
                case KeepPins():
                    raise AssertionError("whoever hears listings keeps pins")
        self.approving.look_again()

    async def attempt(self, incoming: Incoming) -> None:
        """Like `hear`; that something could not be recorded is logged, and nothing follows it."""
        try:
            await self.hear(incoming)
        except OutboxError as error:
            self._not_recorded(error)

    async def note(self, draft: Draft) -> Position:
        """Record something that the enforcement did not decide: a start, a stop."""
        return await self._outbox.append(draft)

    def authenticate(self, server: str, authorization: str | None) -> ask.Caller | ask.Stranger:
        who = self._admission.admit(server, authorization, self._clock.now())
        if isinstance(who, TurnedAway):
            return ask.Stranger(who.code, who.reason)
        return ask.Caller(who.grant, who.agent)

    def may_stay(self, server: str, caller: ask.Caller) -> bool:
        return self._admission.holds(server, caller.grant, self._clock.now())

    def decide(self, call: ask.ToolCall) -> ask.Asked:
        arrived = ArrivedCall(
            server=call.server,
            grant=call.caller.grant,
            agent=call.caller.agent,
            session=call.session,
            request_id=call.request_id,
            wire_tool=call.wire_name,
            arguments=call.arguments,
            protocol_version=call.protocol_version,
            goes_on_with=call.goes_on_with,
        )
        asked = self._decide(call, arrived, waited=False)
        if isinstance(asked, Await):
            return self._wait(call, arrived, asked, None)
        if self._enforcer.wants_leases:
            self.leasing.ask_soon()
        action = asked.action
        if isinstance(action, Answer) and action.question is not None and self.approving.asks:
            refused = RefusedCall(self, asked, action.question, self._name)
            return self.approving.hold(action.question, refused)
        return asked

    def look(self, arrived: ArrivedCall, binding: bytes) -> Code:
        """What would be made of a call now if a person had approved it."""
        if not self._admission.holds(arrived.server, arrived.grant, self._clock.now()):
            return Code.DENIED
        return self._enforcer.look(arrived, binding, self._clock.now()).code

    def again(self, call: ask.ToolCall, arrived: ArrivedCall, permit: Permit | None) -> ask.Asked:
        """Decide a call once more that has waited for a person."""
        if not self._admission.holds(arrived.server, arrived.grant, self._clock.now()):
            permit = None  # revoked, or over, since the call came in
        asked = self._decide(call, arrived, waited=False, permit=permit)
        return self._wait(call, arrived, asked, permit) if isinstance(asked, Await) else asked

    def _wait(
        self, call: ask.ToolCall, arrived: ArrivedCall, asked: Await, permit: Permit | None
    ) -> ask.Asked:
        if self.leasing.full:
            at_last = self._decide(call, arrived, waited=True, permit=permit)
            assert not isinstance(at_last, Await), "it has waited"
            return at_last
        waiting = Waiting()

        def again(last: bool) -> tuple[int, ...]:
            asked = self._decide(call, arrived, waited=last, permit=permit)
            if isinstance(asked, Await):
                return asked.counts
            waiting.settle(asked)
            return ()

        self.leasing.wait(asked.counts, again)
        self.leasing.ask_soon()
        return waiting

    def _decide(
        self,
        call: ask.ToolCall,
        arrived: ArrivedCall,
        *,
        waited: bool,
        permit: Permit | None = None,
    ) -> Decision | Await:
        decided: Future[Position] | None = None
        incoming = CallArrived(arrived, waited, permit)
        for action in self._enforcer.receive(incoming, self._clock.now()):
            if isinstance(action, Await):
                if decided is not None:
                    decided.add_done_callback(self._note_written)
                return action
            if isinstance(action, Append):
                if decided is not None:  # a hold has ended in this moment
                    decided.add_done_callback(self._note_written)
                decided = self._outbox.append(action.draft)
            else:
                assert isinstance(action, Forward | Answer), "a call changes no policy"
                if isinstance(action, Answer) and not action.recorded:
                    if decided is not None:
                        decided.add_done_callback(self._note_written)
                    self._refusals.sum_up_later()
                    return Decision(self, None, action, call, arrived)
                assert decided is not None, "a decision stands before what follows from it"
                if isinstance(action, Forward):
                    self._open[decided] = action.reservations
                return Decision(self, decided, action, call, arrived)
        raise AssertionError("a call is forwarded or answered")

    def ended(self, token: object, ending: ask.Ending) -> None:
        assert isinstance(token, Token)
        if not token.decided.done():
            token.decided.add_done_callback(lambda _: self.ended(token, ending))
            return
        self._open.pop(token.decided, None)
        if token.decided.exception() is not None:
            return  # there is no decision that this would be the outcome of
        completed = Completed(
            decision_id=event_id(self._name, token.decided.result()),
            outcome=_OUTCOMES[ending.outcome],
            duration_ns=ending.duration_ns,
            request_bytes=token.request_bytes,
            response_bytes=ending.response_bytes,
            rpc_error_code=ending.rpc_error_code,
            detail=ending.detail,
        )
        question = None
        if completed.outcome is Outcome.INPUT_REQUIRED:
            state = ending.request_state or ""
            question = Question(token.call, state, token.rounds, token.permit)
        for action in self._enforcer.receive(
            CallEnded(completed, token.reservations, question), self._clock.now()
        ):
            assert isinstance(action, Append)
            self._outbox.append(action.draft, lingers=True).add_done_callback(_log_failure)

    async def refused(self, bad: ask.BadRequest) -> None:
        try:
            await self._refusals.record(bad)
        except OutboxError as error:
            self._not_recorded(error)

    def withheld(self, bad: ask.BadAnswer) -> None:
        self._refusals.withheld(bad)

    async def settle(self) -> None:
        """Record what has only been counted so far. Raises OutboxError."""
        await self._refusals.settle()

    def visible(
        self, server: str, caller: ask.Caller, tools: list[object], *, more: bool
    ) -> list[object]:
        del caller  # one policy a server; grants with policies of their own come with the fleet
        self.on_listing(server, tools, more)
        return self._enforcer.visible(server, tools)

    def memory(self) -> "Future[Memory] | None":
        """What the history comes to, up to the record that was appended last.

        Done when that record is durable, with its position; raises OutboxError where it was
        refused. None where nothing was appended yet.
        """
        newest = self._outbox.newest
        if newest is None:
            return None
        at, buckets, calls = self._clock.now(), self._enforcer.counted(), list(self._open.items())

        async def settled() -> Memory:
            position = await newest
            recorded = [
                OpenCall(event_id(self._name, decided.result()), reservations)
                for decided, reservations in calls
                if decided.done() and decided.exception() is None
            ]
            return Memory(position=position, latest_at=at, buckets=buckets, open=tuple(recorded))

        return ensure_future(settled())

    def announce(self, server: str) -> None:
        """Tell the clients of a server that it may show other tools now."""
        for changed in self._watchers.get(server, ()):
            changed()

    def watch_tools(self, server: str, changed: Callable[[], None]) -> None:
        self._watchers.setdefault(server, []).append(changed)

    def method_allowed(self, server: str, caller: ask.Caller, method: str) -> bool:
        del caller
        return self._enforcer.method_allowed(server, method)

    def verdict_of(
        self, asked: Decision, asking: Asking | None = None
    ) -> ask.Forward | ask.Refusal:
        """What follows from a decision, now that it is written or nobody waits for that."""
        decided, action, call = asked.decided, asked.action, asked.call
        version = call.protocol_version
        if decided is None:
            assert isinstance(action, Answer)
            return ask.Refusal(refusal(action, decision_id="", protocol_version=version))
        if decided.done():
            error = decided.exception()
            if isinstance(error, OutboxError):
                self._not_recorded(error)
                if self.waits_for(action):
                    self._open.pop(decided, None)
                    return ask.Refusal(unrecorded_refusal(protocol_version=version))
            elif error is not None:
                raise error
            elif self._failing:
                self._recorded()
        else:
            decided.add_done_callback(self._note_written)
        if isinstance(action, Answer):
            decision_id = event_id(self._name, decided.result())
            said = refusal(action, decision_id=decision_id, protocol_version=version, asking=asking)
            return ask.Refusal(said)
        size, refundable = call.request_bytes, action.reservations
        token = Token(decided, asked.arrived, size, refundable, action.rounds, action.permit)
        return ask.Forward(token, action.warning)

    def waits_for(self, action: Forward | Answer) -> bool:
        """Whether nothing may follow from a decision before it is durable."""
        return self._waits or isinstance(action, Answer)

    def _note_written(self, decided: "Future[Position]") -> None:
        error = decided.exception()
        if error is None:
            self._recorded()
        elif isinstance(error, OutboxError):
            self._not_recorded(error)

    def _not_recorded(self, error: OutboxError) -> None:
        """Say so once; a disk that stays full would fill the log too."""
        if not self._failing:
            then = "every call is refused" if self._waits else "calls go on, and leave no record"
            log.error("record.failed", error=str(error), until_it_is_mended=then)
        self._failing = True

    def _recorded(self) -> None:
        if self._failing:
            log.info("record.works_again")
        self._failing = False


def _log_failure(done: "Future[Position]") -> None:
    """An outcome that cannot be recorded is recorded as unknown at the next start."""
    if not done.cancelled() and (error := done.exception()) is not None:
        log.error("outcome.not_recorded", error=str(error))
