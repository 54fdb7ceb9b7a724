"""Asks for quota and what is given, as bytes."""

import pytest

from toolreeve.decision.lease import LeaseAsk, LeaseGiven, Settled
from toolreeve.v1 import fleet_pb2 as pb
from toolreeve.wire import WireError
from toolreeve.wire.fleet import read_down, read_up, write_down, write_up

ASK = LeaseAsk(
    lease_id="7-1",
    server="vm",
    counter="rate",
    owner="fleet vm by 00ff",
    revision="sha256:00",
    window=12,
    need=3,
    least=1,
    ahead=8,
    settled=(Settled("7-0", 2), Settled("6-9", 0)),
    share="00ff",
)


@pytest.mark.parametrize("ask", [ASK, LeaseAsk(lease_id="1", server="v", counter="c", owner="o")])
def test_an_ask_comes_back_as_it_was(ask: LeaseAsk) -> None:
    assert read_up(write_up(ask)) == ask


@pytest.mark.parametrize(
    "given",
    [
        LeaseGiven(lease_id="7-1", amount=3, life_ns=6_000_000_000, retry_ns=1_000_000),
        LeaseGiven(lease_id="7-1", known=False),
        LeaseGiven(lease_id="7-1", share=4, share_life_ns=3_000_000),
    ],
)
def test_what_is_given_comes_back_as_it_was(given: LeaseGiven) -> None:
    assert read_down(write_down(given)) == given


def test_a_life_is_rounded_down_and_a_wait_up() -> None:
    given = LeaseGiven(lease_id="1", amount=1, life_ns=1_999_999, retry_ns=1_000_001)
    read = read_down(write_down(given))
    assert isinstance(read, LeaseGiven)
    assert (read.life_ns, read.retry_ns) == (1_000_000, 2_000_000)


@pytest.mark.parametrize(
    "bad",
    [
        pb.LeaseAsked(),
        pb.LeaseAsked(lease_id="1", amount=-1),
        pb.LeaseAsked(lease_id="1", settled=[pb.LeaseSettled(lease_id="0", used=-1)]),
        pb.LeaseAsked(lease_id="1", settled=[pb.LeaseSettled(lease_id="0")] * 1_025),
        pb.LeaseAsked(lease_id="1", owner="x" * 513),
        pb.LeaseAsked(lease_id="1", counter="a\nb"),
    ],
)
def test_an_ask_that_makes_no_sense_is_refused(bad: pb.LeaseAsked) -> None:
    with pytest.raises(WireError):
        read_up(pb.SubscribeRequest(lease_asked=bad).SerializeToString())


def test_less_than_nothing_is_not_given() -> None:
    bad = pb.SubscribeResponse(lease_given=pb.LeaseGiven(lease_id="1", amount=-1))
    with pytest.raises(WireError):
        read_down(bad.SerializeToString())
