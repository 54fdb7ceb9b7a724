"""What can be said of an event without reading all of it."""

import pytest

from toolreeve.audit import EnforcerStopped, Event, HeadSealed
from toolreeve.decision import Instant
from toolreeve.v1 import audit_pb2 as pb
from toolreeve.wire import WireError, write_event
from toolreeve.wire.lines import UNKNOWN, any_between, glance


def stopped(at: int) -> bytes:
    body = EnforcerStopped(reason="asked")
    return write_event(Event(enforcer="edge-1", epoch=7, sequence=3, at=Instant(at), body=body))


def test_a_glance_tells_what_an_event_is_and_where_it_stands() -> None:
    sealed = HeadSealed(sequence=2, head=bytes(32), signature=bytes(64))
    raw = write_event(Event(enforcer="edge-1", epoch=7, sequence=3, at=Instant(1), body=sealed))
    assert glance(raw) == ("head_sealed", "edge-1", 7, 3, b"")
    assert glance(stopped(1)) == ("enforcer_stopped", "edge-1", 7, 3, b"")


def test_a_glance_at_a_newer_kind_tells_where_it_stands() -> None:
    raw = pb.Event(enforcer_id="edge-1", epoch=7, sequence=3).SerializeToString()
    assert glance(raw) == (UNKNOWN, "edge-1", 7, 3, b"")
    with pytest.raises(WireError):
        glance(b"\xff")


@pytest.mark.parametrize(
    ("since", "until", "inside"),
    [
        (None, None, True),
        (10, None, True),
        (20, 21, True),
        (21, None, False),
        (None, 10, False),
        (None, 11, True),
        (11, 20, False),
    ],
)
def test_a_span_holds_its_beginning_and_not_its_end(
    since: int | None, until: int | None, inside: bool
) -> None:
    assert any_between([stopped(10), stopped(20)], since, until) is inside
