"""Asks for blocks of a fleet's quota, and what is given, as messages."""

from toolreeve.decision.instant import MILLISECOND
from toolreeve.decision.lease import LeaseAsk, LeaseGiven, Settled
from toolreeve.v1 import fleet_pb2 as pb
from toolreeve.wire.errors import WireError

TEXT_MAX = 512
"""Characters in a name of a lease, a counter or an owner."""
SETTLED_MAX = 1_024


def write_lease_asked(ask: LeaseAsk) -> pb.LeaseAsked:
    """An ask as the contract says it."""
    said = pb.LeaseAsked(
        lease_id=ask.lease_id,
        server=ask.server,
        counter=ask.counter,
        amount=ask.need,
        owner=ask.owner,
        revision=ask.revision,
        least=ask.least,
        ahead=ask.ahead,
        share=ask.share,
        settled=[pb.LeaseSettled(lease_id=one.lease_id, used=one.used) for one in ask.settled],
    )
    if ask.window >= 0:
        said.window = ask.window
    return said


def read_lease_asked(message: pb.LeaseAsked) -> LeaseAsk:
    """An ask from the contract. Raises WireError."""
    if len(message.settled) > SETTLED_MAX:
        raise WireError(f"more than {SETTLED_MAX} leases are settled at once")
    if min(message.amount, message.least, message.ahead) < 0 or not message.lease_id:
        raise WireError("an ask for less than nothing, or without a name")
    if any(one.used < 0 for one in message.settled):
        raise WireError("of a lease less than nothing was used")
    return LeaseAsk(
        lease_id=_text(message.lease_id),
        server=_text(message.server),
        counter=_text(message.counter),
        owner=_text(message.owner),
        revision=_text(message.revision),
        window=message.window if message.HasField("window") else -1,
        need=message.amount,
        least=message.least,
        ahead=message.ahead,
        share=_text(message.share),
        settled=tuple(Settled(_text(one.lease_id), one.used) for one in message.settled),
    )


def write_lease_given(given: LeaseGiven) -> pb.LeaseGiven:
    """What is given, as the contract says it. Its life is rounded down, the waiting up."""
    return pb.LeaseGiven(
        lease_id=given.lease_id,
        amount=given.amount,
        life_ms=given.life_ns // MILLISECOND,
        retry_after_ms=-(-given.retry_ns // MILLISECOND),
        unknown=not given.known,
        share=given.share,
        share_life_ms=given.share_life_ns // MILLISECOND,
    )


def read_lease_given(message: pb.LeaseGiven) -> LeaseGiven:
    """What is given, from the contract. Raises WireError."""
    said = (message.amount, message.life_ms, message.retry_after_ms)
    if min(*said, message.share, message.share_life_ms) < 0:
        raise WireError("a lease of less than nothing")
    return LeaseGiven(
        lease_id=_text(message.lease_id),
        amount=message.amount,
        life_ns=message.life_ms * MILLISECOND,
        retry_ns=message.retry_after_ms * MILLISECOND,
        known=not message.unknown,
        share=message.share,
        share_life_ns=message.share_life_ms * MILLISECOND,
    )


def _text(text: str) -> str:
    if len(text) > TEXT_MAX or (text and not text.isprintable()):
        raise WireError("a name in a lease that is too long, or holds control characters")
    return text
