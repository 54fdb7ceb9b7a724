"""The control stream's words, as values and as bytes."""

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from toolreeve.audit import Hold, HoldReleased, Position
from toolreeve.audit.span import EpochSpan, Missing
from toolreeve.decision import Instant
from toolreeve.policy.sign import Envelope, EnvelopeSignature
from toolreeve.v1 import audit_pb2
from toolreeve.v1 import fleet_pb2 as pb
from toolreeve.wire import WireError
from toolreeve.wire.durable import SPANS_MAX, Durable, Resend
from toolreeve.wire.fleet import (
    FETCH_REVISION,
    SUBSCRIBE,
    UP_BYTES_MAX,
    Ack,
    Down,
    Hello,
    Nack,
    RunningPolicy,
    Stage,
    Status,
    Up,
    read_down,
    read_up,
    write_down,
    write_up,
)
from toolreeve.wire.hold_order import HoldOrder

HOLD = Hold(hold_id="h", tool="t", actor="ada", reason="burst", expires_at=Instant(9))


@pytest.mark.parametrize(
    "message",
    [
        Hello(
            enforcer_id="e",
            software_version="1",
            host="h",
            servers=("vm", "disk"),
            running=(RunningPolicy(server="vm", policy="p", revision="r", manifest_sequence=2),),
            labels={"a": "b", "site": "lab"},
            epoch=3,
        ),
        Ack(server="vm", policy="p", revision="r", manifest_sequence=1, stage=Stage.RECEIVED),
        Ack(server="vm", policy="p", revision="r", manifest_sequence=1, stage=Stage.ACTIVATED),
        Nack(server="vm", policy="p", revision="r", manifest_sequence=1, code="hash", reason="x"),
        Status(
            epoch=1,
            sequence=2,
            head=b"h" * 32,
            published_sequence=1,
            outbox_bytes=5,
            allowed=6,
            denied=7,
            at=Instant(8),
            kept_after=Position(3, 4),
            kept_after_head=b"k" * 32,
        ),
    ],
)
def test_what_an_enforcer_says_is_read_as_it_was_meant(message: Up) -> None:
    assert read_up(write_up(message)) == message


@pytest.mark.parametrize(
    "message",
    [
        Envelope(payload=b"{}", signatures=(EnvelopeSignature("k", b"s"),)),
        HoldOrder(sequence=1, place=HOLD),
        HoldOrder(sequence=2, release=HoldReleased(hold_id="h", actor="ada", reason="calm")),
        HoldOrder(sequence=3, snapshot=()),
        HoldOrder(sequence=3, snapshot=(HOLD,)),
        Durable(()),
        Durable((EpochSpan(1, 1, 9), EpochSpan(1, 12, 13), EpochSpan(7, 1, 2**63))),
        Resend(Missing(Position(0, 0), Position(7, 0))),
    ],
)
def test_what_the_control_plane_says_is_read_as_it_was_meant(message: Down) -> None:
    assert read_down(write_down(message)) == message


@pytest.mark.parametrize(
    ("message", "problem"),
    [
        (pb.SubscribeRequest(hello=pb.Hello()), "without an enforcer id"),
        (pb.SubscribeRequest(hello=pb.Hello(enforcer_id="e" * 300)), "more than"),
        (pb.SubscribeRequest(hello=pb.Hello(enforcer_id="a\nb")), "control characters"),
        (pb.SubscribeRequest(hello=pb.Hello(enforcer_id="e", servers=["s"] * 2000)), "servers"),
        (
            pb.SubscribeRequest(
                hello=pb.Hello(enforcer_id="e", labels={str(n): "" for n in range(99)})
            ),
            "labels",
        ),
        (pb.SubscribeRequest(ack=pb.Ack(server="vm")), "stage"),
        (pb.SubscribeRequest(nack=pb.Nack(reason="x" * UP_BYTES_MAX)), "bytes"),
    ],
)
def test_an_enforcer_that_says_too_much_or_too_little_is_refused(
    message: pb.SubscribeRequest, problem: str
) -> None:
    with pytest.raises(WireError, match=problem):
        read_up(message.SerializeToString())


def test_of_too_many_spans_the_newest_are_said() -> None:
    spans = tuple(EpochSpan(epoch, 1, 2) for epoch in range(1, SPANS_MAX + 11))
    assert read_down(write_down(Durable(spans))) == Durable(spans[10:])


def test_words_that_only_a_newer_version_knows_are_skipped() -> None:
    newer = b"\xfa\x3f\x00"  # member 1023, which nobody has given a meaning yet
    assert read_up(newer) is None
    assert read_up(b"") is None
    assert read_down(newer) is None


def test_a_hold_order_is_a_snapshot_or_a_step_and_never_both() -> None:
    both = pb.SubscribeResponse(hold=pb.HoldOrder(snapshot=True, place=audit_pb2.Hold(hold_id="h")))
    neither = pb.SubscribeResponse(hold=pb.HoldOrder())
    for message in (both, neither):
        with pytest.raises(WireError, match="snapshot or one step"):
            read_down(message.SerializeToString())


@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(raw: bytes) -> None:
    for read in (read_up, read_down):
        with suppress(WireError):
            read(raw)


def test_the_methods_have_the_names_of_the_contract() -> None:
    assert SUBSCRIBE == "/toolreeve.v1.FleetService/Subscribe"
    assert FETCH_REVISION == "/toolreeve.v1.FleetService/FetchRevision"
