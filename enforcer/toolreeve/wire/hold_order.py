"""What the control plane orders to be held, on its way."""

from msgspec import Struct

from toolreeve.audit import Hold, HoldReleased
from toolreeve.v1 import fleet_pb2 as pb
from toolreeve.wire.errors import WireError
from toolreeve.wire.read_body import read_hold, read_release
from toolreeve.wire.write_body import write_hold, write_release


class HoldOrder(Struct, frozen=True, kw_only=True):
    """Place one hold, release one, or, where `snapshot` is not None, keep these and no other.

    An order whose sequence does not lie above the last one carried out is to be ignored; a
    snapshot may repeat the last sequence.
    """

    sequence: int
    place: Hold | None = None
    release: HoldReleased | None = None
    snapshot: tuple[Hold, ...] | None = None


def write_order(order: HoldOrder) -> pb.HoldOrder:
    """An order as the contract says it."""
    said = pb.HoldOrder(sequence=order.sequence)
    if order.snapshot is not None:
        said.snapshot = True
        said.holds.extend(write_hold(hold) for hold in order.snapshot)
    if order.place is not None:
        said.place.CopyFrom(write_hold(order.place))
    if order.release is not None:
        said.release.CopyFrom(write_release(order.release))
    return said


def read_order(message: pb.HoldOrder) -> HoldOrder:
    """An order from the contract. Raises WireError."""
    which = message.WhichOneof("order")
    if message.snapshot == (which is not None):
        raise WireError("a hold order is either a snapshot or one step")
    return HoldOrder(
        sequence=message.sequence,
        place=read_hold(message.place) if which == "place" else None,
        release=read_release(message.release) if which == "release" else None,
        snapshot=tuple(read_hold(hold) for hold in message.holds) if message.snapshot else None,
    )
