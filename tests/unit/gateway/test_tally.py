"""What an enforcer says of its epoch is what is durable, and changes together."""

from toolreeve.audit import GENESIS, Arguments, Decided, Draft, Effect, EnforcerStopped, Position
from toolreeve.decision import Instant
from toolreeve.gateway.tally import Tally
from toolreeve.outbox import Group


def decided(effect: Effect) -> Draft:
    body = Decided(
        server="vm",
        grant="g",
        agent="a",
        request_id="1",
        tool="t",
        wire_tool="t",
        effect=effect,
        code="allowed",
        arguments=Arguments(),
    )
    return Draft(Instant(1), body)


def test_decisions_are_counted_with_the_group_that_made_them_durable() -> None:
    tally = Tally("gw")
    assert (tally.sequence, tally.head) == (0, GENESIS)
    tally.note(
        Group(Position(7, 1), 3, b"first", b""),
        [decided(Effect.ALLOW), decided(Effect.DENY), decided(Effect.ALLOW)],
    )
    tally.note(
        Group(Position(7, 4), 2, b"second", b""),
        [Draft(Instant(2), EnforcerStopped(reason="signal")), decided(Effect.DENY)],
    )
    assert (tally.sequence, tally.head) == (5, b"second")
    assert (tally.allowed, tally.denied) == (2, 2)
