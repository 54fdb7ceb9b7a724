"""An enforcer whose limits the fleet shares: what it wants done about leases."""

from toolreeve.audit import Decided, Redaction
from toolreeve.decision import Counters, Effect, Instant
from toolreeve.decision.lease import LeaseGiven
from toolreeve.decision.lease_book import LeaseBook
from toolreeve.enforcement import (
    Answer,
    Append,
    ArrivedCall,
    AskLeases,
    AsksDue,
    Await,
    CallArrived,
    Enforcer,
    Forward,
    LeaseHeard,
    LedgerReached,
    PolicyOffered,
    Wake,
)
from toolreeve.policy import Scope, parse

POLICY = """{"version": "1", "default": "deny", "tools": {"t": {"limits": [
    {"counter": "c", "window": "minute", "max": 1, "scope": "fleet"}]}}}"""
CALL = ArrivedCall(server="vm", grant="g", agent="a", request_id="1", wire_tool="t", arguments={})
NOW = Instant(0)


def enforcer(*, connected: bool = True) -> Enforcer:
    counters = Counters()
    counters.share(LeaseBook("1"), frozenset({Scope.FLEET}))
    made = Enforcer(redaction=Redaction(keep=(), key=b"k"), counters=counters, stopwatch=lambda: 0)
    made.receive(PolicyOffered(server="vm", policy=parse(POLICY, source=""), origin="file"), NOW)
    made.hear_of_leases(LedgerReached(connected), NOW)
    return made


def test_a_call_waits_for_a_lease_and_is_decided_once_when_it_has_come() -> None:
    here = enforcer()
    assert here.receive(CallArrived(CALL), NOW) == [Await((1,))]
    assert here.wants_leases
    (asking,) = here.hear_of_leases(AsksDue(), NOW)
    assert isinstance(asking, AskLeases)
    (ask,) = asking.asks
    assert ask.revision == parse(POLICY, source="").revision
    given = LeaseGiven(lease_id=ask.lease_id, amount=1, life_ns=10)
    assert here.hear_of_leases(LeaseHeard(given), NOW) == [Wake((1,))]
    record, forward = here.receive(CallArrived(CALL), NOW)
    assert isinstance(record, Append)
    assert isinstance(record.draft.body, Decided)
    assert record.draft.body.reservations[0].lease == ask.lease_id
    assert isinstance(forward, Forward)


def test_a_call_that_has_waited_long_enough_is_refused_and_says_why() -> None:
    here = enforcer()
    here.receive(CallArrived(CALL), NOW)
    record, answer = here.receive(CallArrived(CALL, waited=True), NOW)
    assert isinstance(record, Append)
    assert isinstance(record.draft.body, Decided)
    decided = record.draft.body
    assert (decided.effect, decided.code, decided.limit_counter) == (Effect.DENY, "no_lease", "c")
    assert decided.retry_after_ms == 1_000
    assert isinstance(answer, Answer)


def test_without_a_control_plane_in_reach_a_call_is_refused_at_once() -> None:
    here = enforcer(connected=False)
    _, answer = here.receive(CallArrived(CALL), NOW)
    assert isinstance(answer, Answer)
    assert not here.wants_leases


def test_who_waits_is_woken_when_the_stream_is_lost() -> None:
    here = enforcer()
    here.receive(CallArrived(CALL), NOW)
    here.hear_of_leases(AsksDue(), NOW)
    assert here.hear_of_leases(LedgerReached(connected=False), NOW) == [Wake((1,))]
